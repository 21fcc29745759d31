#pragma once

#include "data/schema.h"
#include "stream/stage.h"

#include <vector>

namespace ziwa::stream {

/// The leaf of a plan: hands rows of a topic, table or view to the operators above.
class Source final : public Stage {
 public:
  /// Columns of every topic besides its own.
  static const std::vector<data::Column>& virtual_columns();

  /// `schema` is the object's; a topic (`topic`) also has the virtual columns.
  /// Errors: not_found for a column that is gone, invalid_argument when its type changed.
  static Result<std::unique_ptr<Source>> create(const SourceNode& node,
                                                const std::vector<PlanColumn>& output,
                                                const data::Schema& schema, bool topic);

  ObjectId object() const { return object_; }
  /// Whether TopicChunk::blobs is needed.
  bool wants_blobs() const { return wants_blobs_; }
  /// Positions in the object's schema of the columns; only for tables and views.
  const std::vector<size_t>& schema_columns() const { return schema_columns_; }
  const duckdb::vector<duckdb::LogicalType>& types() const { return types_; }

  Status push(const TopicChunk& chunk);
  /// `rows` has all columns of the object's schema (a view's own output). An error is that of the
  /// view above, not of the one that gives the rows: take_failure() has it.
  Status consume(size_t input, Delta& delta) override;
  /// `rows` has exactly this source's columns.
  Status push_own(Delta& delta) { return emit(delta); }
  /// The first error of consume() since the last call.
  Status take_failure() { return std::exchange(failure_, Status()); }
  /// The view above has failed: what consume() gets is left out.
  void close() { closed_ = true; }

 private:
  enum class Virtual : unsigned char { none, partition, offset, timestamp, entry, key, value };
  struct Column {
    Virtual kind = Virtual::none;
    size_t position = 0;
  };
  Source() = default;
  void fill(const TopicChunk& chunk, Virtual kind, duckdb::Vector& out) const;

  ObjectId object_;
  std::vector<Column> columns_;
  std::vector<size_t> schema_columns_;
  duckdb::vector<duckdb::LogicalType> types_;
  bool wants_blobs_ = false;
  bool closed_ = false;
  Status failure_;
  duckdb::DataChunk output_;
  std::vector<std::unique_ptr<duckdb::Vector>> computed_;  ///< Per column that is made here.
};

}  // namespace ziwa::stream
