#pragma once

#include "base/result.h"
#include "protocol/rows/columns.h"

#include <string>
#include <vector>

namespace ziwa::protocol {

/// Any TIMESTAMP type in microseconds; infinities stay.
int64_t timestamp_us(const duckdb::LogicalType& type, const void* at);
/// Appends one scalar as JSON; a null pointer is null. Numbers stay numbers (also HUGEINT and
/// DECIMAL, all digits); NaN and infinities are strings, as Postgres does; BLOB is "\x" and
/// hexadecimal digits; JSON columns are put in as they are.
void append_json_scalar(std::string& out, const duckdb::LogicalType& type, const void* at);
/// Appends any value: lists are arrays, structs objects, maps objects when the key is text, else
/// arrays of {key, value}.
void append_json_value(std::string& out, const duckdb::Value& value);

/// Writes rows as JSON objects, one key per column. One thread.
class JsonRowWriter {
 public:
  explicit JsonRowWriter(const std::vector<std::string>& names);
  /// Appends row `row` of `columns`: {"a":1,"b":null}.
  void append(std::string& out, const Columns& columns, size_t row) const;

 private:
  std::vector<std::string> keys_;  ///< `{"a":`, `,"b":` ...
};

}  // namespace ziwa::protocol
