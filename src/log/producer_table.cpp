#include "log/producer_table_internal.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace ziwa::log {

int32_t last_sequence(int32_t first, int32_t count) {
  return static_cast<int32_t>((static_cast<uint32_t>(first) + static_cast<uint32_t>(count) - 1) &
                              0x7FFFFFFFu);
}

ProducerTable::Verdict ProducerTable::check(const BatchHeader& header) const {
  auto found = producers_.find(header.producer_id);
  if (found == producers_.end()) return {};
  const Producer& producer = found->second;
  if (header.producer_epoch < producer.epoch) {
    return {AppendRefusal::invalid_producer_epoch, std::nullopt,
            fmt::format("producer {} has epoch {} now, the batch has {}", header.producer_id,
                        producer.epoch, header.producer_epoch)};
  }
  if (header.producer_epoch > producer.epoch) {
    if (header.base_sequence == 0) return {};
    return {AppendRefusal::out_of_order_sequence, std::nullopt,
            fmt::format("producer {} must begin its new epoch {} with sequence 0, not {}",
                        header.producer_id, header.producer_epoch, header.base_sequence)};
  }
  int32_t last = last_sequence(header.base_sequence, header.count);
  for (size_t i = 0; i < producer.count; ++i) {
    const Batch& batch = producer.batches[i];
    if (batch.first_sequence == header.base_sequence && batch.last_sequence == last) {
      return {AppendRefusal::none, batch, {}};
    }
  }
  int32_t before = producer.count == 0 ? -1 : producer.batches[producer.count - 1].last_sequence;
  int32_t expected = before == std::numeric_limits<int32_t>::max() ? 0 : before + 1;
  if (header.base_sequence == expected) return {};
  return {AppendRefusal::out_of_order_sequence, std::nullopt,
          fmt::format("producer {} sent sequence {} where {} is next", header.producer_id,
                      header.base_sequence, expected)};
}

void ProducerTable::add(const BatchHeader& header, int64_t time) {
  Producer& producer = producers_[header.producer_id];
  if (producer.epoch != header.producer_epoch) producer.count = 0;
  producer.epoch = header.producer_epoch;
  producer.time = time;
  if (producer.count == kBatchesKept) {
    std::shift_left(producer.batches.begin(), producer.batches.end(), 1);
    --producer.count;
  }
  producer.batches[producer.count++] = {header.base_sequence,
                                        last_sequence(header.base_sequence, header.count),
                                        header.base_offset, header.last_offset(), time};
}

void ProducerTable::end_transaction(int64_t producer_id, int16_t epoch, int64_t time) {
  Producer& producer = producers_[producer_id];
  if (epoch > producer.epoch) producer.count = 0;
  producer.epoch = std::max(producer.epoch, epoch);
  producer.time = time;
}

std::optional<int16_t> ProducerTable::epoch_of(int64_t producer_id) const {
  auto found = producers_.find(producer_id);
  if (found == producers_.end()) return std::nullopt;
  return found->second.epoch;
}

void ProducerTable::encode(ByteWriter& writer) const {
  writer.varint(producers_.size());
  for (const auto& [id, producer] : producers_) {
    writer.svarint(id);
    writer.svarint(producer.epoch);
    writer.svarint(producer.time);
    writer.varint(producer.count);
    for (size_t i = 0; i < producer.count; ++i) {
      const Batch& batch = producer.batches[i];
      writer.svarint(batch.first_sequence);
      writer.svarint(batch.last_sequence);
      writer.svarint(batch.base_offset);
      writer.svarint(batch.last_offset);
      writer.svarint(batch.time);
    }
  }
}

bool ProducerTable::decode(ByteReader& reader) {
  producers_.clear();
  uint64_t count = reader.varint();
  for (uint64_t i = 0; i < count && reader.ok(); ++i) {
    int64_t id = reader.svarint();
    Producer& producer = producers_[id];
    producer.epoch = static_cast<int16_t>(reader.svarint());
    producer.time = reader.svarint();
    uint64_t batches = reader.varint();
    if (batches > kBatchesKept) return false;
    producer.count = static_cast<uint8_t>(batches);
    for (size_t b = 0; b < batches; ++b) {
      Batch& batch = producer.batches[b];
      batch.first_sequence = static_cast<int32_t>(reader.svarint());
      batch.last_sequence = static_cast<int32_t>(reader.svarint());
      batch.base_offset = reader.svarint();
      batch.last_offset = reader.svarint();
      batch.time = reader.svarint();
    }
  }
  return reader.ok();
}

}  // namespace ziwa::log
