#pragma once

#include "base/bytes.h"

#include <cstdint>

namespace ziwa::sql {

/// Kafka's 32-bit murmur2 (seed 0x9747b28c). Source: apache/kafka: clients/.../utils/Utils.java.
uint32_t murmur2(ByteView key);

/// The partition that Kafka's default partitioner (Java's, librdkafka's murmur2_random) gives a
/// key.
int32_t partition_of_key(ByteView key, int32_t partitions);

}  // namespace ziwa::sql
