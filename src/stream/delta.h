#pragma once

#include "base/ids.h"
#include "duck/chunk.h"

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace ziwa::stream {

using duck::Weight;

/// No watermark yet: nothing is late.
inline constexpr int64_t kNoWatermark = std::numeric_limits<int64_t>::min();

/// Decoded records of one topic, in the order of their journal entries. Filled by a feed, then
/// only read: many views and sinks share it.
struct TopicChunk {
  explicit TopicChunk(const duckdb::vector<duckdb::LogicalType>& types) : rows(types) {}

  duck::Chunk rows;  ///< The topic's columns.
  ObjectId topic;
  std::vector<int32_t> partitions;
  std::vector<int64_t> offsets;
  std::vector<int64_t> timestamps_ms;
  std::vector<uint64_t> entries;
  /// The merged watermark (micros) before each row's entry.
  std::vector<int64_t> watermarks;
  /// Columns `_key` and `_value` (BLOB), when a reader asks for them; else without columns.
  duckdb::DataChunk blobs;

  size_t size() const { return rows.size(); }
};

/// A batch of changes to a Z-set: rows with weights, and, as long as each row still is one record
/// of a topic, which one. A view that lives during one call; receivers do not change contents.
struct Delta {
  duckdb::DataChunk& rows;
  const Weight* weights = nullptr;     ///< Null: all +1.
  const TopicChunk* origin = nullptr;  ///< Null: rows are not single records any more.
  /// Row of `origin` per row; null: the same. Without `origin`: what the sender numbered.
  const uint32_t* origin_rows = nullptr;
  /// Each row says what its key holds now (weight +1: new, 0: instead of another row) or that it
  /// holds nothing any more (-1). Only for receivers that take it: see Stage::takes_upserts().
  bool upserts = false;

  size_t size() const { return rows.size(); }
  Weight weight(size_t row) const { return weights == nullptr ? 1 : weights[row]; }
  size_t origin_row(size_t row) const { return origin_rows == nullptr ? row : origin_rows[row]; }
};

/// A subset of the rows of a Delta, without copying them.
class DeltaSlice {
 public:
  explicit DeltaSlice(const duckdb::vector<duckdb::LogicalType>& types) {
    rows_.InitializeEmpty(types);
  }
  /// Valid until the next call and as long as `from`.
  Delta take(const Delta& from, const duckdb::SelectionVector& selection, size_t count);

 private:
  duckdb::DataChunk rows_;
  std::vector<Weight> weights_;
  std::vector<uint32_t> origin_rows_;
};

/// Copies one value between flat vectors of one type.
void copy_value(const duckdb::Vector& from, size_t from_row, duckdb::Vector& to, size_t to_row);
/// Whether two values of flat vectors of one type have the same bytes; NULL equals NULL.
bool same_value(const duckdb::Vector& a, size_t a_row, const duckdb::Vector& b, size_t b_row);
/// Makes room for `rows` rows again: flat vectors, empty, all valid.
void reset_chunk(duckdb::DataChunk& chunk);

}  // namespace ziwa::stream
