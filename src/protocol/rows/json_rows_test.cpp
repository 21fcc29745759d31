#include "protocol/rows/json_rows.h"

#include "protocol/rows/scalar_text.h"

#include <gtest/gtest.h>

#include <limits>

namespace ziwa::protocol {
namespace {

using duckdb::LogicalType;
using duckdb::Value;

std::string row_json(const std::vector<Value>& values) {
  duckdb::vector<LogicalType> types;
  std::vector<std::string> names;
  for (const auto& value : values) {
    types.push_back(value.type());
    names.push_back("c" + std::to_string(names.size()));
  }
  duckdb::DataChunk chunk;
  chunk.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  for (size_t i = 0; i < values.size(); ++i) chunk.SetValue(i, 0, values[i]);
  chunk.SetCardinality(1);
  Columns columns;
  auto loaded = columns.load(chunk);
  EXPECT_TRUE(loaded.has_value());
  std::string out;
  JsonRowWriter(names).append(out, columns, 0);
  return out;
}

std::string json(const Value& value) {
  std::string row = row_json({value});
  return row.substr(6, row.size() - 7);  // {"c0":...}
}

TEST(JsonRows, numbers_keep_all_digits) {
  EXPECT_EQ(json(Value::BIGINT(std::numeric_limits<int64_t>::min())), "-9223372036854775808");
  EXPECT_EQ(json(Value::UBIGINT(std::numeric_limits<uint64_t>::max())), "18446744073709551615");
  EXPECT_EQ(json(Value::HUGEINT(duckdb::hugeint_t(-1))), "-1");
  EXPECT_EQ(json(Value::DECIMAL(int32_t{-5}, 9, 2)), "-0.05");
  EXPECT_EQ(json(Value::DOUBLE(0.1)), "0.1");
  EXPECT_EQ(json(Value::DOUBLE(100000)), "100000");
  EXPECT_EQ(json(Value::DOUBLE(1e300)), "1e+300");
  EXPECT_EQ(json(Value::DOUBLE(std::numeric_limits<double>::quiet_NaN())), "\"NaN\"");
  EXPECT_EQ(json(Value::FLOAT(-std::numeric_limits<float>::infinity())), "\"-Infinity\"");
}

TEST(JsonRows, times_are_iso_8601) {
  EXPECT_EQ(json(Value::DATE(2001, 7, 4)), "\"2001-07-04\"");
  EXPECT_EQ(json(Value::DATE(duckdb::date_t(std::numeric_limits<int32_t>::max()))), "\"infinity\"");
  EXPECT_EQ(json(Value::TIMESTAMP(2001, 1, 1, 0, 1, 0, 0)), "\"2001-01-01T00:01:00\"");
  EXPECT_EQ(json(Value::TIMESTAMP(duckdb::timestamp_t(-1))), "\"1969-12-31T23:59:59.999999\"");
  EXPECT_EQ(json(Value::TIMESTAMPTZ(duckdb::timestamp_tz_t(500'000))),
            "\"1970-01-01T00:00:00.5+00:00\"");
  EXPECT_EQ(json(Value::TIMESTAMPNS(duckdb::timestamp_ns_t(-1))), "\"1969-12-31T23:59:59.999999\"");
  EXPECT_EQ(json(Value::INTERVAL(14, 3, 14'706'700'000)), "\"1 year 2 mons 3 days 04:05:06.7\"");
}

TEST(JsonRows, text_is_escaped_and_json_is_not) {
  EXPECT_EQ(json(Value("a\"b\\c\n\x01 é")), "\"a\\\"b\\\\c\\n\\u0001 é\"");
  EXPECT_EQ(json(Value(std::string())), "\"\"");
  Value document("{\"a\":1}");
  document.Reinterpret(LogicalType::JSON());
  EXPECT_EQ(json(document), "{\"a\":1}");
  EXPECT_EQ(json(Value::BLOB_RAW(std::string("\x00\xff", 2))), "\"\\\\x00ff\"");
  EXPECT_EQ(json(Value::UUID("00112233-4455-6677-8899-aabbccddeeff")),
            "\"00112233-4455-6677-8899-aabbccddeeff\"");
}

TEST(JsonRows, nested_values) {
  Value list = Value::LIST(LogicalType::INTEGER, {Value::INTEGER(1), Value(LogicalType::INTEGER)});
  EXPECT_EQ(json(list), "[1,null]");
  EXPECT_EQ(json(Value::STRUCT({{"x", Value("y")}, {"l", list}})), R"({"x":"y","l":[1,null]})");
  EXPECT_EQ(json(Value::MAP(LogicalType::VARCHAR, LogicalType::INTEGER, {Value("k")},
                            {Value::INTEGER(2)})),
            R"({"k":2})");
  EXPECT_EQ(json(Value::MAP(LogicalType::INTEGER, LogicalType::INTEGER, {Value::INTEGER(1)},
                            {Value::INTEGER(2)})),
            R"([{"key":1,"value":2}])");
}

TEST(JsonRows, types_without_a_form_of_their_own_are_text) {
  EXPECT_EQ(json(Value::BIT("0101")), "\"0101\"");
  EXPECT_EQ(json(Value::LIST(LogicalType::BIT, {Value::BIT("11")})), "[\"11\"]");
}

TEST(JsonRows, one_object_per_row_with_nulls) {
  EXPECT_EQ(row_json({Value::BOOLEAN(true), Value(LogicalType::VARCHAR)}),
            R"({"c0":true,"c1":null})");
}

TEST(ScalarText, years_out_of_the_ordinary) {
  auto date = [](int32_t days) {
    std::string out;
    append_date(out, days);
    return out;
  };
  EXPECT_EQ(date(0), "1970-01-01");
  EXPECT_EQ(date(-719'163), "0001-12-31 BC");
  EXPECT_EQ(date(-719'162), "0001-01-01");
  EXPECT_EQ(date(2'932'897), "10000-01-01");
}

}  // namespace
}  // namespace ziwa::protocol
