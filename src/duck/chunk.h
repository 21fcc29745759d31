#pragma once

#include <duckdb/common/types/data_chunk.hpp>

#include <cstdint>
#include <memory>
#include <vector>

namespace ziwa::duck {

/// How often a row counts: +1 inserts, -1 deletes (a Z-set).
using Weight = int64_t;

/// Up to 2,048 rows as DuckDB vectors, each with a weight. Held by ChunkPtr; one owner. Nothing of
/// it may cross DuckDB instances.
struct Chunk {
  duckdb::DataChunk rows;
  /// One per row, or empty when every row counts +1.
  std::vector<Weight> weights;

  explicit Chunk(const duckdb::vector<duckdb::LogicalType>& types) {
    rows.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  }
  Chunk(const Chunk&) = delete;
  Chunk& operator=(const Chunk&) = delete;
  size_t size() const { return rows.size(); }
  Weight weight(size_t row) const { return weights.empty() ? 1 : weights[row]; }
};

using ChunkPtr = std::unique_ptr<Chunk>;

}  // namespace ziwa::duck
