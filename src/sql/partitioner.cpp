#include "sql/partitioner.h"

namespace ziwa::sql {

uint32_t murmur2(ByteView key) {
  constexpr uint32_t kMultiplier = 0x5bd1e995;
  constexpr int kShift = 24;
  size_t left = key.size();
  uint32_t hash = 0x9747b28cu ^ static_cast<uint32_t>(left);
  const std::byte* at = key.data();
  for (; left >= 4; at += 4, left -= 4) {
    uint32_t word = load_le<uint32_t>(at) * kMultiplier;
    word ^= word >> kShift;
    hash = (hash * kMultiplier) ^ (word * kMultiplier);
  }
  if (left >= 3) hash ^= static_cast<uint32_t>(at[2]) << 16;
  if (left >= 2) hash ^= static_cast<uint32_t>(at[1]) << 8;
  if (left >= 1) hash = (hash ^ static_cast<uint32_t>(at[0])) * kMultiplier;
  hash ^= hash >> 13;
  hash *= kMultiplier;
  return hash ^ (hash >> 15);
}

int32_t partition_of_key(ByteView key, int32_t partitions) {
  return static_cast<int32_t>(murmur2(key) & 0x7fffffff) % partitions;
}

}  // namespace ziwa::sql
