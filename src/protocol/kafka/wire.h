#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <array>
#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

// The primitive types of the Kafka protocol, big-endian. A message version is either classic
// (strings with an i16 length, arrays and bytes with an i32 length, -1 for null) or flexible
// (lengths are unsigned varints of length + 1, 0 for null, and every struct ends with tagged
// fields: count, then (tag, size, bytes)). Source: kafka.apache.org/protocol, KIP-482.
namespace ziwa::kafka {

/// 16 bytes that name a topic; all zero means "none".
struct Uuid {
  std::array<std::byte, 16> bytes{};
  bool is_zero() const { return *this == Uuid{}; }
  friend bool operator==(const Uuid&, const Uuid&) = default;
};

/// Bytes inside the frame that was decoded, which must outlive it.
struct BlobView {
  ByteView bytes;
  BlobView() = default;
  BlobView(ByteView view) : bytes(view) {}  // NOLINT: a view of a view
  friend bool operator==(const BlobView& a, const BlobView& b) {
    return as_text(a.bytes) == as_text(b.bytes);
  }
};

/// Reads a message from untrusted bytes; strings and blobs are views into them. Like ByteReader, a
/// bad read yields zero or empty and everything after it too: check status() before using the
/// message. At most kElementsMax array elements per message, so that a small frame cannot ask for a
/// lot of memory.
class Decoder {
 public:
  static constexpr size_t kElementsMax = 100'000;

  Decoder(ByteView bytes, bool flexible) : reader_(bytes), flexible_(flexible) {}

  template <std::integral T>
  T number() {
    return reader_.be<T>();
  }
  bool boolean() { return reader_.be<int8_t>() != 0; }
  double float64() { return std::bit_cast<double>(reader_.be<uint64_t>()); }
  Uuid uuid();
  std::string_view string();
  std::optional<std::string_view> nullable_string();
  BlobView blob();
  std::optional<BlobView> nullable_blob();
  /// Number of elements that follow.
  size_t array();
  std::optional<size_t> nullable_array();
  uint32_t varint();

  /// Reads the tagged fields at the end of a struct, if the version has them: `known(tag, decoder)`
  /// reads the value of a tag it knows and returns true; others are skipped.
  template <typename Known>
  void tags(Known&& known) {
    if (!flexible_) return;
    uint32_t count = varint();
    for (uint32_t i = 0; i < count && ok(); ++i) {
      uint32_t tag = varint();
      Decoder value(reader_.raw(varint()), true);
      value.elements_ = elements_;
      if (ok() && known(tag, value) && !value.ok()) fail("a tagged field is cut off");
      elements_ = value.elements_;
    }
  }
  void skip_tags() {
    tags([](uint32_t, Decoder&) { return false; });
  }

  bool ok() const { return problem_ == nullptr && reader_.ok(); }
  size_t remaining() const { return reader_.remaining(); }
  /// The rest of the input; the decoder is at its end after it.
  ByteView rest() { return reader_.raw(reader_.remaining()); }
  /// Errors: invalid_argument naming `what` and the byte.
  Status status(std::string_view what) const;

 private:
  void fail(const char* problem);
  std::optional<size_t> length16();
  std::optional<size_t> length32();
  std::optional<size_t> compact_length();

  ByteReader reader_;
  bool flexible_;
  size_t elements_ = 0;
  const char* problem_ = nullptr;
};

/// Writes a message; the twin of Decoder. What a version cannot say is left out or written as its
/// default.
class Encoder {
 public:
  explicit Encoder(bool flexible) : flexible_(flexible) {}

  template <std::integral T>
  void number(T value) {
    out_.be(value);
  }
  void boolean(bool value) { out_.be<int8_t>(value ? 1 : 0); }
  void float64(double value) { out_.be(std::bit_cast<uint64_t>(value)); }
  void uuid(const Uuid& value) { out_.raw(ByteView(value.bytes)); }
  void string(std::string_view value);
  void null_string();
  void blob(ByteView value);
  void null_blob();
  void array(size_t count);
  void null_array();
  void varint(uint32_t value) { out_.varint(value); }
  void raw(ByteView bytes) { out_.raw(bytes); }

  /// Tagged fields, in order of tag; count first.
  void tag_count(uint32_t count) { out_.varint(count); }
  void tag(uint32_t tag, ByteView value) {
    out_.varint(tag);
    out_.varint(value.size());
    out_.raw(value);
  }
  void no_tags() {
    if (flexible_) out_.varint(0);
  }

  bool flexible() const { return flexible_; }
  void reserve(size_t bytes) { out_.buffer().reserve(bytes); }
  ByteWriter& writer() { return out_; }
  ByteView view() const { return out_.view(); }
  Bytes take() { return out_.take(); }

 private:
  ByteWriter out_;
  bool flexible_;
};

/// The fields before the body of every request.
struct RequestHeader {
  int16_t api_key = 0;
  int16_t api_version = 0;
  int32_t correlation_id = 0;
  std::string_view client_id;
};

/// Reads the header; `flexible(key, version)` says whether tagged fields end it (header v2) or not
/// (v1). Leaves `in` at the body's first byte.
template <typename Flexible>
RequestHeader read_header(Decoder& in, Flexible&& flexible) {
  RequestHeader header;
  header.api_key = in.number<int16_t>();
  header.api_version = in.number<int16_t>();
  header.correlation_id = in.number<int32_t>();
  header.client_id = in.nullable_string().value_or("");  // Never compact, also in header v2.
  if (in.ok() && flexible(header.api_key, header.api_version)) {
    Decoder tail(in.rest(), true);
    tail.skip_tags();
    in = tail;
  }
  return header;
}

}  // namespace ziwa::kafka
