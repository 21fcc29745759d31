#pragma once

#include "base/checksum.h"
#include "log/record_batch.h"

namespace ziwa::log::testing {

/// `batch` with other bytes for its records, under a codec.
inline Bytes with_records(Bytes batch, int codec, ByteView records) {
  batch.resize(kBatchHeaderBytes);
  batch.insert(batch.end(), records.begin(), records.end());
  store_be<int32_t>(batch.data() + 8, static_cast<int32_t>(batch.size() - kBatchOverheadBytes));
  store_be<int16_t>(batch.data() + 21, static_cast<int16_t>(codec));
  store_be(batch.data() + 17, crc32c(ByteView(batch).subspan(21)));
  return batch;
}

/// A batch of 2 to 15 records that an append takes, for its frame is right, and nobody can unpack.
inline Bytes unreadable_batch(size_t records, TimestampMs time = {}) {
  std::vector<NewRecord> some(records, NewRecord{time, std::nullopt, std::nullopt});
  Bytes snappy(12, std::byte(0xff));  // A copy of what is not there.
  snappy[0] = static_cast<std::byte>(records * 8);
  return with_records(encode_batch(some), 2, snappy);
}

/// `batch` as one frame of zstd that holds its records as they are.
inline Bytes as_zstd(const Bytes& batch) {
  ByteView records = ByteView(batch).subspan(kBatchHeaderBytes);
  ByteWriter frame;
  frame.le<uint32_t>(0xFD2FB528);
  frame.le<uint8_t>(0);     // No size of the content, no checksum.
  frame.le<uint8_t>(0x58);  // A window of 2 MiB.
  auto block = static_cast<uint32_t>(records.size() << 3 | 1);  // The last one, raw.
  for (int i = 0; i < 3; ++i) frame.le<uint8_t>(static_cast<uint8_t>(block >> (8 * i)));
  frame.raw(records);
  return with_records(batch, 4, frame.view());
}

}  // namespace ziwa::log::testing
