#pragma once

#include "base/bytes.h"
#include "base/result.h"
#include "stream/delta.h"

#include <memory>
#include <span>
#include <string>

namespace ziwa::stream {

/// How one aggregate call keeps its state in a few bytes per group, adds rows and takes them back.
/// The states themselves live in the group table. One thread.
class Accumulator {
 public:
  /// Which rows an update reads and where they go.
  struct Rows {
    size_t count = 0;
    const Weight* weights = nullptr;     ///< Null: all +1.
    const uint8_t* passes = nullptr;     ///< Null: all; else FILTER's outcome per row.
    std::span<std::byte* const> groups;  ///< Per row: this call's state.
  };

  /// count_star, count, sum, avg; min and max of rows that are never taken back (`append_only`).
  /// `argument` is INVALID for count_star. Errors: unsupported naming the function and type.
  static Result<std::unique_ptr<Accumulator>> create(const std::string& function,
                                                     const duckdb::LogicalType& argument,
                                                     bool append_only);
  virtual ~Accumulator() = default;

  /// As DuckDB's binder says for the same call.
  virtual duckdb::LogicalType result_type() const = 0;
  virtual size_t state_bytes() const = 0;
  /// States begin as zero bytes; those that own memory begin and end here.
  virtual void begin(std::byte*) const {}
  virtual void end(std::byte*) const {}
  virtual size_t owned_bytes(const std::byte*) const { return 0; }

  /// `argument` is null for count_star.
  virtual void update(duckdb::Vector* argument, const Rows& rows) = 0;
  /// Writes the result into row `row` of the flat vector `out`; false when it is out of range.
  virtual bool result(const std::byte* state, duckdb::Vector& out, size_t row) = 0;
  virtual void save(const std::byte* state, ByteWriter& out) const = 0;
  virtual Status load(std::byte* state, ByteReader& in) const = 0;
};

}  // namespace ziwa::stream
