#pragma once

#include "base/bytes.h"
#include "base/ids.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

// A Kafka record batch, version 2, big-endian (KIP-98), stored exactly as the client sent it but
// for the first 16 bytes:
//   baseOffset i64 | batchLength i32 | partitionLeaderEpoch i32 | magic i8 = 2 | crc u32 (CRC-32C
//   from attributes to the end) | attributes i16 | lastOffsetDelta i32 | baseTimestamp i64 |
//   maxTimestamp i64 | producerId i64 | producerEpoch i16 | baseSequence i32 | count i32 | records
//   (perhaps compressed)
// attributes: bits 0-2 codec (0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd), 3 log append time, 4
// transactional, 5 control.
namespace ziwa::log {

inline constexpr size_t kBatchHeaderBytes = 61;
inline constexpr size_t kBatchOverheadBytes =
    12;  ///< baseOffset and batchLength, not counted in batchLength.

/// The first 61 bytes of a batch, decoded.
struct BatchHeader {
  int64_t base_offset = 0;
  int32_t batch_length = 0;
  int32_t leader_epoch = 0;
  int8_t magic = 0;
  uint32_t crc = 0;
  int16_t attributes = 0;
  int32_t last_offset_delta = 0;
  int64_t base_timestamp = 0;
  int64_t max_timestamp = 0;
  int64_t producer_id = -1;
  int16_t producer_epoch = -1;
  int32_t base_sequence = -1;
  int32_t count = 0;

  size_t total_bytes() const { return kBatchOverheadBytes + static_cast<size_t>(batch_length); }
  int64_t last_offset() const { return base_offset + last_offset_delta; }
  bool transactional() const { return (attributes & 0x10) != 0; }
  bool control() const { return (attributes & 0x20) != 0; }
  int codec() const { return attributes & 7; }
};

inline constexpr int16_t kTransactional = 0x10;  ///< Bit of BatchHeader::attributes.
inline constexpr int16_t kControl = 0x20;        ///< Bit of BatchHeader::attributes.

/// Reads the header of the batch at the start of `bytes`, which may hold more batches. Checks magic
/// and lengths, not the CRC. Errors: corrupt (also when the batch is cut off), unsupported (message
/// formats 0 and 1).
Result<BatchHeader> parse_batch_header(ByteView bytes);
/// The same when only the first kBatchHeaderBytes of the batch need be there.
Result<BatchHeader> parse_batch_header_alone(ByteView bytes);
/// Checks the CRC-32C and the counts. `batch` is exactly one batch.
Status verify_batch(ByteView batch);

/// One record of a batch; views into the (decompressed) batch.
struct RecordView {
  Offset offset;
  TimestampMs timestamp;
  ByteView key;      ///< data() == nullptr: null
  ByteView value;    ///< data() == nullptr: null
  ByteView headers;  ///< Encoded: varint count, then (name, value) pairs.
};

/// What the records of one batch may unpack to.
inline constexpr size_t kUnpackedBytesMax = 256u << 20;

/// Checks what a reader of the batch would meet, so that only what everybody can read is stored:
/// the records fill the batch, their number is the header's, their offset deltas are 0, 1, 2 ... Of
/// a compressed batch only the frame is checked, and that it unpacks to at most `limit` bytes,
/// unless the frame does not say so much or `unpack` asks for the records themselves. Nothing is
/// copied but what is decompressed. `batch` is exactly one batch that passed verify_batch(). Any
/// thread. Errors: invalid_argument, which says what is wrong; exhausted because memory is short.
Status check_records(ByteView batch, size_t limit = kUnpackedBytesMax, bool unpack = true);

/// Appends the records of one batch to `out`. Uncompressed batches give views into `batch`;
/// compressed ones into `buffer`, which must outlive `out` and is overwritten by the next call. On
/// an error `out` is as before. Errors: corrupt; unsupported codec; exhausted when it would
/// decompress to more than `limit`.
Status read_records(ByteView batch, std::vector<RecordView>& out, Bytes& buffer,
                    size_t limit = kUnpackedBytesMax);

/// read_records() for readers that go on after a batch that cannot be read: records out of order or
/// of offsets that are not the batch's are an error too.
Status read_stored_records(ByteView batch, std::vector<RecordView>& out, Bytes& buffer);
/// Whether an error of the two above is one of the batch for ever: not when memory was short.
bool is_of_batch(const Error& error);
/// What the dead letter of a batch that cannot be read says.
std::string unreadable_reason(const BatchHeader& header, const Error& why);

/// A record to be encoded.
struct NewRecord {
  TimestampMs timestamp;
  std::optional<ByteView> key;
  std::optional<ByteView> value;
};

/// Encodes an uncompressed batch with base offset 0; `producer_*` -1 for none.
Bytes encode_batch(std::span<const NewRecord> records, int64_t producer_id = -1,
                   int16_t producer_epoch = -1, int32_t base_sequence = -1, int16_t attributes = 0);
/// Gives an encoded batch its place in a partition: base offset, and leader epoch 0. Both lie
/// outside the CRC.
void place_batch(std::span<std::byte> batch, Offset base_offset);
/// Whether a control batch commits (true) or aborts its transaction.
Result<bool> control_commits(ByteView batch);
/// Encodes the control batch that ends a transaction.
Bytes encode_control_batch(bool commit, int64_t producer_id, int16_t producer_epoch,
                           TimestampMs time);

}  // namespace ziwa::log
