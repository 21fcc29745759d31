#include "sql/topic_decoder.h"

#include "duck/expression.h"

#include <algorithm>

namespace ziwa::sql {

Result<std::unique_ptr<TopicDecoder>> TopicDecoder::create(catalog::ObjectPtr topic) {
  const auto& definition = topic->topic();
  duckdb::vector<duckdb::LogicalType> types;
  for (const data::Column& column : definition.schema.columns)
    types.push_back(TRY(duck::parse_type(column.type)));
  auto codec = TRY(data::make_record_codec(definition.schema, definition.format));
  return std::unique_ptr<TopicDecoder>(new TopicDecoder(std::move(topic), std::move(codec), types));
}

Result<std::span<const log::RecordView>> TopicDecoder::decode(
    const PieceReader& reader, std::span<const log::RecordView> records) {
  records = records.first(std::min<size_t>(records.size(), STANDARD_VECTOR_SIZE));
  inputs_.clear();
  for (const log::RecordView& record : records) {
    inputs_.push_back({.offset = record.offset,
                       .partition = reader.id().partition,
                       .timestamp = record.timestamp,
                       .entry = {},
                       .key = record.key,
                       .value = record.value});
  }
  decoded_.rows.Reset();
  row_records_.clear();
  rejected_.clear();
  size_t taken = codec_->decode(inputs_, decoded_, row_records_, rejected_);
  if (taken == 0)
    return Error(Code::internal, "the codec of topic \"{}\" made no progress", topic_->name);
  return records.first(taken);
}

}  // namespace ziwa::sql
