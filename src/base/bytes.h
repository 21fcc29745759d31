#pragma once

#include "base/result.h"

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa {

using Bytes = std::vector<std::byte>;
using ByteView = std::span<const std::byte>;

/// The same memory, seen as bytes or as text.
inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}
/// The same memory, seen as text.
inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// Integers to and from bytes in a named byte order; no alignment needed.
template <std::integral T>
T load_be(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return std::endian::native == std::endian::little ? std::byteswap(value) : value;
}
template <std::integral T>
T load_le(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <std::integral T>
void store_be(void* to, T value) {
  if constexpr (std::endian::native == std::endian::little) value = std::byteswap(value);
  std::memcpy(to, &value, sizeof value);
}
template <std::integral T>
void store_le(void* to, T value) {
  std::memcpy(to, &value, sizeof value);
}
static_assert(std::endian::native == std::endian::little, "Ziwa runs on little-endian machines");

/// Zigzag varints as Kafka records, Avro and Protobuf sint use them.
constexpr uint64_t zigzag(int64_t value) {
  return (static_cast<uint64_t>(value) << 1) ^ static_cast<uint64_t>(value >> 63);
}
constexpr int64_t unzigzag(uint64_t value) {
  return static_cast<int64_t>(value >> 1) ^ -static_cast<int64_t>(value & 1);
}

/// Appends fields to a growing buffer. Formats of ours are little-endian; `be` is for Kafka and
/// Postgres.
class ByteWriter {
 public:
  template <std::integral T>
  void le(T value) {
    put(&value, sizeof value);
  }
  template <std::integral T>
  void be(T value) {
    std::byte raw[sizeof value];
    store_be(raw, value);
    put(raw, sizeof value);
  }
  /// Unsigned LEB128, at most 10 bytes.
  void varint(uint64_t value) {
    while (value >= 0x80) {
      bytes_.push_back(static_cast<std::byte>(value | 0x80));
      value >>= 7;
    }
    bytes_.push_back(static_cast<std::byte>(value));
  }
  void svarint(int64_t value) { varint(zigzag(value)); }
  void raw(ByteView bytes) { bytes_.insert(bytes_.end(), bytes.begin(), bytes.end()); }
  void raw(std::string_view text) { raw(as_bytes(text)); }
  /// A varint length and the bytes.
  void sized(std::string_view text) {
    varint(text.size());
    raw(text);
  }
  size_t size() const { return bytes_.size(); }
  std::byte* at(size_t position) { return bytes_.data() + position; }
  Bytes& buffer() { return bytes_; }
  ByteView view() const { return bytes_; }
  Bytes take() { return std::move(bytes_); }

 private:
  void put(const void* from, size_t size) {
    const auto* begin = static_cast<const std::byte*>(from);
    bytes_.insert(bytes_.end(), begin, begin + size);
  }
  Bytes bytes_;
};

/// Reads fields from untrusted bytes. A read past the end turns the reader bad and yields zero;
/// check `ok()` (or `status()`) once after a group of reads and before using any length that was
/// read.
class ByteReader {
 public:
  explicit ByteReader(ByteView bytes) : bytes_(bytes) {}
  template <std::integral T>
  T le() {
    return take<T>([](const std::byte* p) { return load_le<T>(p); });
  }
  template <std::integral T>
  T be() {
    return take<T>([](const std::byte* p) { return load_be<T>(p); });
  }
  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      if (position_ >= bytes_.size()) return fail();
      auto byte = static_cast<uint8_t>(bytes_[position_++]);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    return fail();
  }
  int64_t svarint() { return unzigzag(varint()); }
  /// A view into the input, which must outlive it; empty and bad when fewer than `size` bytes are
  /// left.
  ByteView raw(size_t size) {
    if (size > remaining()) {
      fail();
      return {};
    }
    ByteView view = bytes_.subspan(position_, size);
    position_ += size;
    return view;
  }
  std::string_view sized() { return as_text(raw(varint())); }
  size_t remaining() const { return bytes_.size() - position_; }
  size_t position() const { return position_; }
  bool ok() const { return ok_; }
  Status status(std::string_view what) const {
    if (ok_) return {};
    return Error(Code::corrupt, "{} ends too early, at byte {}", what, position_);
  }

 private:
  uint64_t fail() {
    ok_ = false;
    position_ = bytes_.size();
    return 0;
  }
  template <typename T, typename Load>
  T take(Load load) {
    if (remaining() < sizeof(T)) return static_cast<T>(fail());
    T value = load(bytes_.data() + position_);
    position_ += sizeof(T);
    return value;
  }
  ByteView bytes_;
  size_t position_ = 0;
  bool ok_ = true;
};

}  // namespace ziwa
