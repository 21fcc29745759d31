#include "base/checksum.h"

#include <isa-l/crc.h>

namespace ziwa {

uint32_t crc32c(ByteView bytes, uint32_t seed) {
  // isa-l neither inverts its input nor its output, and its length is an int.
  uint32_t crc = ~seed;
  constexpr size_t kStep = 1u << 30;
  for (size_t at = 0; at < bytes.size(); at += kStep) {
    size_t size = std::min(kStep, bytes.size() - at);
    auto* data = reinterpret_cast<unsigned char*>(const_cast<std::byte*>(bytes.data() + at));
    crc = crc32_iscsi(data, static_cast<int>(size), crc);
  }
  return ~crc;
}

namespace {

uint64_t mix(uint64_t a, uint64_t b) {
  auto product = static_cast<unsigned __int128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

constexpr uint64_t kSecret0 = 0xA0761D6478BD642Full;
constexpr uint64_t kSecret1 = 0xE7037ED1A0B428DBull;

}  // namespace

uint64_t hash64(ByteView bytes, uint64_t seed) {
  const std::byte* at = bytes.data();
  size_t left = bytes.size();
  uint64_t state = seed ^ kSecret0;
  while (left > 16) {
    state = mix(load_le<uint64_t>(at) ^ kSecret1, load_le<uint64_t>(at + 8) ^ state);
    at += 16;
    left -= 16;
  }
  uint64_t low = 0;
  uint64_t high = 0;
  if (left >= 8) {
    low = load_le<uint64_t>(at);
    high = load_le<uint64_t>(at + left - 8);
  } else if (left >= 4) {
    low = load_le<uint32_t>(at);
    high = load_le<uint32_t>(at + left - 4);
  } else if (left > 0) {
    low = static_cast<uint64_t>(at[0]) << 16 | static_cast<uint64_t>(at[left / 2]) << 8 |
          static_cast<uint64_t>(at[left - 1]);
  }
  return mix(kSecret1 ^ bytes.size(), mix(low ^ kSecret1, high ^ state));
}

}  // namespace ziwa
