#pragma once

#include "base/bytes.h"

#include <cstdint>

namespace ziwa {

/// CRC-32C (Castagnoli) of `bytes`, continuing from `seed` = the CRC of what came before (0 at the
/// start).
uint32_t crc32c(ByteView bytes, uint32_t seed = 0);

/// A fast 64-bit hash for tables in memory (wyhash-like); never stored on disk.
uint64_t hash64(ByteView bytes, uint64_t seed = 0);

}  // namespace ziwa
