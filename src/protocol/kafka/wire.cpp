#include "protocol/kafka/wire.h"

#include <limits>

namespace ziwa::kafka {

void Decoder::fail(const char* problem) {
  if (problem_ == nullptr) problem_ = problem;
  reader_.raw(reader_.remaining());  // Nothing after a bad field can be trusted.
}

Uuid Decoder::uuid() {
  Uuid value;
  ByteView raw = reader_.raw(value.bytes.size());
  if (!raw.empty()) std::copy(raw.begin(), raw.end(), value.bytes.begin());
  return value;
}

uint32_t Decoder::varint() {
  uint64_t value = reader_.varint();
  if (value <= std::numeric_limits<uint32_t>::max()) return static_cast<uint32_t>(value);
  fail("a varint is too large");
  return 0;
}

std::optional<size_t> Decoder::compact_length() {
  uint32_t length = varint();
  if (length == 0) return std::nullopt;
  return length - 1;
}

std::optional<size_t> Decoder::length16() {
  if (flexible_) return compact_length();
  auto length = reader_.be<int16_t>();
  if (length == -1) return std::nullopt;
  if (length < 0) fail("a length is negative");
  return length < 0 ? 0 : static_cast<size_t>(length);
}

std::optional<size_t> Decoder::length32() {
  if (flexible_) return compact_length();
  auto length = reader_.be<int32_t>();
  if (length == -1) return std::nullopt;
  if (length < 0) fail("a length is negative");
  return length < 0 ? 0 : static_cast<size_t>(length);
}

std::optional<std::string_view> Decoder::nullable_string() {
  std::optional<size_t> length = length16();
  if (!length) return std::nullopt;
  return as_text(reader_.raw(*length));
}

std::string_view Decoder::string() {
  std::optional<std::string_view> value = nullable_string();
  if (!value && reader_.ok()) fail("a string is null where it may not be");
  return value.value_or("");
}

std::optional<BlobView> Decoder::nullable_blob() {
  std::optional<size_t> length = length32();
  if (!length) return std::nullopt;
  return BlobView(reader_.raw(*length));
}

BlobView Decoder::blob() {
  std::optional<BlobView> value = nullable_blob();
  if (!value && reader_.ok()) fail("bytes are null where they may not be");
  return value.value_or(BlobView());
}

std::optional<size_t> Decoder::nullable_array() {
  std::optional<size_t> count = length32();
  if (!count) return std::nullopt;
  // Every element takes at least one byte, so a longer array cannot be whole.
  if (*count > reader_.remaining()) {
    fail("an array is longer than the frame");
    return 0;
  }
  elements_ += *count;
  if (elements_ > kElementsMax) {
    fail("a message has more than 100000 array elements");
    return 0;
  }
  return count;
}

size_t Decoder::array() {
  std::optional<size_t> count = nullable_array();
  if (!count && reader_.ok()) fail("an array is null where it may not be");
  return count.value_or(0);
}

Status Decoder::status(std::string_view what) const {
  if (problem_ != nullptr) return Error(Code::invalid_argument, "malformed {}: {}", what, problem_);
  if (!reader_.ok()) return Error(Code::invalid_argument, "malformed {}: it ends too early", what);
  return {};
}

void Encoder::string(std::string_view value) {
  if (flexible_) {
    out_.varint(value.size() + 1);
  } else {
    value = value.substr(0, std::numeric_limits<int16_t>::max());
    out_.be(static_cast<int16_t>(value.size()));
  }
  out_.raw(value);
}

void Encoder::null_string() {
  if (flexible_) return out_.varint(0);
  out_.be<int16_t>(-1);
}

void Encoder::blob(ByteView value) {
  if (flexible_) {
    out_.varint(value.size() + 1);
  } else {
    out_.be(static_cast<int32_t>(value.size()));
  }
  out_.raw(value);
}

void Encoder::null_blob() { null_array(); }

void Encoder::array(size_t count) {
  if (flexible_) return out_.varint(count + 1);
  out_.be(static_cast<int32_t>(count));
}

void Encoder::null_array() {
  if (flexible_) return out_.varint(0);
  out_.be<int32_t>(-1);
}

}  // namespace ziwa::kafka
