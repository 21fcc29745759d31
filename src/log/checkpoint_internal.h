#pragma once

#include "base/file.h"
#include "log/producer_table_internal.h"

#include <map>
#include <optional>
#include <string>

namespace ziwa::log {

/// A transaction that has records in the partition and no control batch yet, by its first offset.
struct OpenTransaction {
  int64_t producer_id = 0;
  int16_t producer_epoch = 0;
  int64_t time = 0;          ///< When its last batch came, ms.
  int64_t last_offset = -1;  ///< Of its control batch, once appended.
};

/// Where recovery of a partition may begin: everything before was durable when this was written.
/// Layout: magic u32, version u32, crc u32 (of what follows), fields in the order below
/// (docs/formats/log.md).
struct Checkpoint {
  int64_t log_start = 0;
  int64_t segment = 0;    ///< Base of the segment that recovery reads; older ones are sealed.
  uint64_t position = 0;  ///< Where in it.
  int64_t offset = 0;     ///< Of the first record at `position`.
  uint64_t entry = 0;     ///< Journal entries up to this one are reflected.
  uint64_t index_points = 0;
  uint64_t time_points = 0;
  uint64_t end_points = 0;
  uint64_t aborted_points = 0;
  uint64_t indexed_position = 0;
  int64_t max_timestamp = 0;
  ProducerTable producers;
  std::map<int64_t, OpenTransaction> open;
};

Bytes encode_checkpoint(const Checkpoint& checkpoint);
/// Errors: corrupt; unsupported (written by a newer Ziwa).
Result<Checkpoint> decode_checkpoint(ByteView bytes);

}  // namespace ziwa::log
