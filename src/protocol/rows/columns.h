#pragma once

#include "base/result.h"
#include "duck/values.h"

#include <vector>

namespace ziwa::protocol {

/// The columns of one chunk, ready to be read value by value. Types that no door knows (BIT, UNION,
/// BIGNUM, TIME WITH TIME ZONE ...) are cast to VARCHAR once per chunk. Keep one and load each
/// chunk into it; one thread.
class Columns {
 public:
  /// True when values of the type are shown as their text because doors have no form of their own
  /// for it.
  static bool shown_as_text(const duckdb::LogicalType& type);
  /// True for LIST, ARRAY, STRUCT and MAP: read them with value().
  static bool nested(const duckdb::LogicalType& type);

  /// `chunk` must outlive the reads. Errors: internal when a cast to text fails.
  Status load(duckdb::DataChunk& chunk);
  size_t rows() const { return rows_; }
  size_t count() const { return columns_.size(); }
  /// The type that at() points to: VARCHAR for what is shown as text.
  const duckdb::LogicalType& type(size_t column) const {
    return columns_[column].vector->GetType();
  }
  /// The stored value (int32_t, string_t, hugeint_t ... by the type's physical type), or null for
  /// NULL.
  const void* at(size_t column, size_t row) const {
    const Column& c = columns_[column];
    auto index = c.format.sel->get_index(row);
    if (!c.format.validity.RowIsValid(index)) return nullptr;
    return c.format.data + index * c.width;
  }
  /// Any value, slowly.
  duckdb::Value value(size_t column, size_t row) const {
    return columns_[column].vector->GetValue(row);
  }

 private:
  struct Column {
    duckdb::Vector* vector = nullptr;
    std::unique_ptr<duckdb::Vector> text;  ///< Owns what was cast.
    duckdb::UnifiedVectorFormat format;
    size_t width = 0;
  };
  std::vector<Column> columns_;
  size_t rows_ = 0;
};

/// A scalar out of a nested value, in the form that Columns::at gives.
class ScalarCell {
 public:
  explicit ScalarCell(const duckdb::Value& value);
  const duckdb::LogicalType& type() const { return vector_.GetType(); }
  const void* at();

 private:
  duckdb::Vector vector_;
};

}  // namespace ziwa::protocol
