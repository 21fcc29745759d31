#pragma once

#include "catalog/catalog.h"
#include "data/record_codec.h"
#include "sql/topic_reader.h"

#include <memory>
#include <span>
#include <vector>

namespace ziwa::sql {

/// Turns the records of a topic with declared columns into rows, at most a chunk at a time. One
/// thread.
class TopicDecoder {
 public:
  /// Errors: unsupported formats and types.
  static Result<std::unique_ptr<TopicDecoder>> create(catalog::ObjectPtr topic);

  /// Decodes records from the front of what `reader` gave, replacing what was decoded before.
  /// Returns those that were taken, at least one.
  Result<std::span<const log::RecordView>> decode(const PieceReader& reader,
                                                  std::span<const log::RecordView> records);

  /// The declared columns of the records that decoded.
  duckdb::DataChunk& rows() { return decoded_.rows; }
  /// Per row, the index of its record.
  const std::vector<uint32_t>& records() const { return row_records_; }
  const std::vector<data::Rejected>& rejected() const { return rejected_; }

 private:
  TopicDecoder(catalog::ObjectPtr topic, std::unique_ptr<data::RecordCodec> codec,
               const duckdb::vector<duckdb::LogicalType>& types)
      : topic_(std::move(topic)), codec_(std::move(codec)), decoded_(types) {}

  catalog::ObjectPtr topic_;
  std::unique_ptr<data::RecordCodec> codec_;
  duck::Chunk decoded_;
  std::vector<data::Record> inputs_;
  std::vector<uint32_t> row_records_;
  std::vector<data::Rejected> rejected_;
};

}  // namespace ziwa::sql
