#pragma once

#include "data/record_codec.h"
#include "duck/expression.h"

#include <memory>

namespace ziwa::data {

/// Decodes `bytes` as one record of every type. What is accepted must be written and read back as
/// the same row.
inline void fuzz_codec(ByteView bytes, const std::string& format) {
  static const Schema schema = {{{1, "a", "BIGINT"},
                                 {2, "b", "VARCHAR"},
                                 {3, "c", "DOUBLE"},
                                 {4, "d", "DECIMAL(9,2)"},
                                 {5, "e", "TIMESTAMP"},
                                 {6, "f", "BLOB"},
                                 {7, "g", "UUID"},
                                 {8, "h", "HUGEINT"},
                                 {9, "i", "STRUCT(x INTEGER[], y VARCHAR)"},
                                 {10, "j", "DATE"},
                                 {11, "k", "TIME"},
                                 {12, "l", "UBIGINT"},
                                 {13, "m", "BOOLEAN"},
                                 {14, "n", "FLOAT"}}};
  static const auto types = [] {
    duckdb::vector<duckdb::LogicalType> made;
    for (const auto& column : schema.columns) made.push_back(*duck::parse_type(column.type));
    return made;
  }();
  static const auto codec = *make_record_codec(schema, format);
  std::vector<uint32_t> rows;
  std::vector<Rejected> rejected;
  duck::Chunk first(types);
  Record record{.value = bytes};
  codec->decode({&record, 1}, first, rows, rejected);
  CHECK(rows.size() + rejected.size() == 1);
  if (rows.empty()) {
    CHECK(!rejected[0].reason.empty());
    return;
  }
  std::vector<Bytes> encoded;
  // JSON has no NaN, and text no dates before the year 1: then there is nothing to read back.
  if (!codec->encode(first, encoded)) return;
  duck::Chunk second(types);
  record.value = encoded[0];
  codec->decode({&record, 1}, second, rows, rejected);
  CHECK(rejected.empty(), "{}", rejected.empty() ? "" : rejected[0].reason);
  for (size_t i = 0; i < types.size(); ++i) {
    CHECK(duckdb::Value::NotDistinctFrom(first.rows.GetValue(i, 0), second.rows.GetValue(i, 0)),
          "column {}", i);
  }
}

}  // namespace ziwa::data
