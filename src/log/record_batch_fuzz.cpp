#include "base/result.h"
#include "log/record_batch.h"

#include <cstddef>
#include <cstdint>

/// Any bytes: the header, the CRC and the records of a batch are read or refused, and never cost
/// more than the limit.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ziwa;
  ByteView bytes(reinterpret_cast<const std::byte*>(data), size);
  auto header = log::parse_batch_header(bytes);
  log::parse_batch_header_alone(bytes).ignore("only that it does not crash");
  log::verify_batch(bytes).ignore("only that it does not crash");
  log::control_commits(bytes).ignore("only that it does not crash");
  std::vector<log::RecordView> records;
  Bytes buffer;
  constexpr size_t kLimit = 1u << 20;
  auto read = log::read_records(bytes, records, buffer, kLimit);
  CHECK(read.has_value() || records.empty());
  CHECK(buffer.size() <= kLimit);
  // What may be stored can be read. Its CRC is not asked for here: the fuzzer finds none.
  bool plausible = header && header->total_bytes() == bytes.size() && header->count > 0 &&
                   header->count - 1 <= header->last_offset_delta;
  if (plausible && log::check_records(bytes, kLimit)) {
    CHECK(read.has_value());
    CHECK(log::check_records(bytes, kLimit, false).has_value());
  }
  if (!read) return 0;
  CHECK(header.has_value() && records.size() == static_cast<size_t>(header->count));
  size_t sum = 0;
  for (const auto& record : records) {
    for (ByteView part : {record.key, record.value, record.headers}) {
      for (std::byte byte : part) sum += static_cast<size_t>(byte);
    }
    CHECK(record.offset.value >= header->base_offset &&
          record.offset.value <= header->last_offset());
  }
  CHECK(sum < SIZE_MAX);
  return 0;
}
