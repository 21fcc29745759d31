#include "base/advice.h"
#include "base/checksum.h"
#include "log/checkpoint_internal.h"

namespace ziwa::log {

namespace {

constexpr uint32_t kMagic = 0x50434C5A;  // "ZLCP"
constexpr uint32_t kVersion = 1;
constexpr size_t kHeaderBytes = 12;

}  // namespace

Bytes encode_checkpoint(const Checkpoint& checkpoint) {
  ByteWriter writer;
  writer.le<uint32_t>(kMagic);
  writer.le<uint32_t>(kVersion);
  writer.le<uint32_t>(0);
  writer.le<int64_t>(checkpoint.log_start);
  writer.le<int64_t>(checkpoint.segment);
  writer.le<uint64_t>(checkpoint.position);
  writer.le<int64_t>(checkpoint.offset);
  writer.le<uint64_t>(checkpoint.entry);
  writer.le<uint64_t>(checkpoint.index_points);
  writer.le<uint64_t>(checkpoint.time_points);
  writer.le<uint64_t>(checkpoint.end_points);
  writer.le<uint64_t>(checkpoint.aborted_points);
  writer.le<uint64_t>(checkpoint.indexed_position);
  writer.le<int64_t>(checkpoint.max_timestamp);
  writer.varint(checkpoint.open.size());
  for (const auto& [first, open] : checkpoint.open) {
    writer.svarint(first);
    writer.svarint(open.producer_id);
    writer.svarint(open.producer_epoch);
    writer.svarint(open.time);
  }
  checkpoint.producers.encode(writer);
  store_le(writer.at(8), crc32c(writer.view().subspan(kHeaderBytes)));
  return writer.take();
}

Result<Checkpoint> decode_checkpoint(ByteView bytes) {
  if (bytes.size() < kHeaderBytes || load_le<uint32_t>(bytes.data()) != kMagic) {
    return Error(Code::corrupt, "not a partition checkpoint");
  }
  if (auto version = load_le<uint32_t>(bytes.data() + 4); version > kVersion) {
    return Error(Code::unsupported,
                 "partition checkpoint has format {}, written by a newer Ziwa; this one reads {}",
                 version, kVersion)
        .with_hint(kNewerOrDamaged);
  }
  if (crc32c(bytes.subspan(kHeaderBytes)) != load_le<uint32_t>(bytes.data() + 8)) {
    return Error(Code::corrupt, "partition checkpoint has a wrong CRC");
  }
  ByteReader reader(bytes.subspan(kHeaderBytes));
  Checkpoint checkpoint;
  checkpoint.log_start = reader.le<int64_t>();
  checkpoint.segment = reader.le<int64_t>();
  checkpoint.position = reader.le<uint64_t>();
  checkpoint.offset = reader.le<int64_t>();
  checkpoint.entry = reader.le<uint64_t>();
  checkpoint.index_points = reader.le<uint64_t>();
  checkpoint.time_points = reader.le<uint64_t>();
  checkpoint.end_points = reader.le<uint64_t>();
  checkpoint.aborted_points = reader.le<uint64_t>();
  checkpoint.indexed_position = reader.le<uint64_t>();
  checkpoint.max_timestamp = reader.le<int64_t>();
  uint64_t open = reader.varint();
  for (uint64_t i = 0; i < open && reader.ok(); ++i) {
    auto& one = checkpoint.open[reader.svarint()];
    one.producer_id = reader.svarint();
    one.producer_epoch = static_cast<int16_t>(reader.svarint());
    one.time = reader.svarint();
  }
  if (!checkpoint.producers.decode(reader) || reader.remaining() != 0) {
    return Error(Code::corrupt, "partition checkpoint is malformed");
  }
  return checkpoint;
}

}  // namespace ziwa::log
