#include "protocol/postgres/types.h"

#include <gtest/gtest.h>

#include <limits>

namespace ziwa::protocol::postgres {
namespace {

using duckdb::LogicalType;
using duckdb::Value;
using namespace std::string_literals;

/// The one field of a one-column row, as it lies on the wire; "NULL" for null.
std::string wire(const Value& value, int16_t format) {
  duckdb::DataChunk chunk;
  chunk.Initialize(duckdb::Allocator::DefaultAllocator(), {value.type()});
  chunk.SetValue(0, 0, value);
  chunk.SetCardinality(1);
  Columns columns;
  EXPECT_TRUE(columns.load(chunk).has_value());
  RowWriter writer({value.type()}, {format});
  MessageWriter out;
  EXPECT_TRUE(writer.append(out, columns, 0).has_value());
  std::string row = out.take();
  auto size = load_be<int32_t>(row.data() + 7);
  return size < 0 ? "NULL" : row.substr(11);
}

const std::vector<Value>& samples() {
  static const std::vector<Value> kSamples = {
      Value::BOOLEAN(true),
      Value::SMALLINT(-7),
      Value::INTEGER(1 << 30),
      Value::BIGINT(std::numeric_limits<int64_t>::min()),
      Value::FLOAT(1.5F),
      Value::DOUBLE(-0.1),
      Value::DECIMAL(int64_t{-1234567}, 12, 3),
      Value::HUGEINT(duckdb::NumericLimits<duckdb::hugeint_t>::Maximum()),
      Value("héllo"),
      Value::BLOB_RAW("\x00\xff\\"s),
      Value::DATE(2001, 7, 1),
      Value::TIME(duckdb::dtime_t(86'399'999'999)),
      Value::TIMESTAMP(1999, 12, 31, 23, 59, 59, 1),
      Value::TIMESTAMPTZ(duckdb::timestamp_tz_t(978'307'200'000'000)),
      Value::INTERVAL(13, -2, 3'000'001),
      Value::UUID("00112233-4455-6677-8899-aabbccddeeff"),
      Value::LIST(LogicalType::INTEGER, {Value::INTEGER(1), Value(LogicalType::INTEGER)}),
      Value::LIST(LogicalType::VARCHAR, {Value("a b"), Value("null"), Value("q\"\\")}),
  };
  return kSamples;
}

TEST(Types, every_sample_comes_back_in_both_formats) {
  for (const auto& value : samples()) {
    for (int16_t format : {0, 1}) {
      std::string bytes = wire(value, format);
      uint32_t type_oid = wire_type(value.type()).oid;
      auto back = decode_parameter(as_bytes(bytes), format == 1, type_oid, value.type());
      ASSERT_TRUE(back.has_value())
          << value.ToString() << " format " << format << ": " << back.error().to_string();
      EXPECT_EQ(*back, value) << "format " << format;
    }
  }
}

TEST(Types, text_forms_are_postgres_s) {
  EXPECT_EQ(wire(Value::BOOLEAN(false), 0), "f");
  EXPECT_EQ(wire(Value::BLOB_RAW("\x01\xab"), 0), "\\x01ab");
  EXPECT_EQ(wire(Value::TIMESTAMP(2001, 1, 1, 0, 1, 0, 0), 0), "2001-01-01 00:01:00");
  EXPECT_EQ(wire(Value::TIMESTAMPTZ(duckdb::timestamp_tz_t(0)), 0), "1970-01-01 00:00:00+00");
  EXPECT_EQ(wire(samples()[16], 0), "{1,NULL}");
  EXPECT_EQ(wire(samples()[17], 0), R"({"a b","null","q\"\\"})");
  EXPECT_EQ(wire(Value::STRUCT({{"a", Value::INTEGER(1)}}), 0), R"({"a":1})");
  EXPECT_EQ(wire(Value(LogicalType::INTEGER), 0), "NULL");
}

TEST(Types, oids_that_drivers_choose_decoders_by) {
  EXPECT_EQ(wire_type(LogicalType::HUGEINT).oid, oid::kNumeric);
  EXPECT_EQ(wire_type(LogicalType::UBIGINT).oid, oid::kNumeric);
  EXPECT_EQ(wire_type(LogicalType::UINTEGER).oid, oid::kInt8);
  EXPECT_EQ(wire_type(LogicalType::LIST(LogicalType::BIGINT)).oid, 1016u);
  EXPECT_EQ(wire_type(LogicalType::LIST(LogicalType::LIST(LogicalType::BIGINT))).oid, oid::kJson);
  EXPECT_EQ(wire_type(LogicalType::JSON()).oid, oid::kJson);
  EXPECT_EQ(wire_type(LogicalType::DECIMAL(10, 2)).modifier, ((10 << 16) | 2) + 4);
}

TEST(Types, a_parameter_takes_the_type_the_statement_wants) {
  auto text = decode_parameter(as_bytes("42"), false, 0, LogicalType::BIGINT);
  EXPECT_EQ(*text, Value::BIGINT(42));
  auto small = decode_parameter(as_bytes(std::string_view("\0\x05", 2)), true, oid::kInt2,
                                LogicalType::BIGINT);
  EXPECT_EQ(*small, Value::BIGINT(5));
  EXPECT_TRUE(decode_parameter(std::nullopt, false, 0, LogicalType::BIGINT)->IsNull());
  auto open = decode_parameter(as_bytes("x"), false, 0, LogicalType::UNKNOWN);
  EXPECT_EQ(open->type(), LogicalType::VARCHAR);
}

TEST(Types, bad_parameters_are_refused) {
  auto code = [](std::string_view bytes, bool binary, uint32_t type_oid, const LogicalType& type) {
    auto value = decode_parameter(as_bytes(bytes), binary, type_oid, type);
    return value ? std::optional<Code>() : value.error().code();
  };
  EXPECT_EQ(code("x", false, 0, LogicalType::BIGINT), Code::invalid_argument);
  EXPECT_EQ(code("abc", true, oid::kInt8, LogicalType::BIGINT), Code::invalid_argument);
  EXPECT_EQ(code("\\xz", false, 0, LogicalType::BLOB), Code::invalid_argument);
  EXPECT_EQ(code("{1,", false, 0, LogicalType::LIST(LogicalType::INTEGER)), Code::invalid_argument);
  EXPECT_EQ(code("\xff\xfe", false, 0, LogicalType::VARCHAR), Code::invalid_argument);
  EXPECT_EQ(code("abcd", true, 600, LogicalType::UNKNOWN), Code::unsupported);
}

template <typename T>
Result<Value> binary(T number, uint32_t type_oid, const LogicalType& type) {
  std::byte bytes[sizeof number];
  store_be(bytes, number);
  return decode_parameter(ByteView(bytes), true, type_oid, type);
}

// DuckDB reads outside its tables when such a value becomes text: the server used to crash.
TEST(Types, times_out_of_range_are_refused) {
  for (int64_t us : {int64_t{-1}, int64_t{86'400'000'001}, std::numeric_limits<int64_t>::max()}) {
    EXPECT_FALSE(binary(us, oid::kTime, LogicalType::VARCHAR)) << us;
  }
  EXPECT_EQ(binary(int64_t{86'400'000'000}, oid::kTime, LogicalType::TIME)->ToString(), "24:00:00");
  for (auto type_oid : {oid::kTimestamp, oid::kTimestampTz}) {
    EXPECT_FALSE(binary(std::numeric_limits<int64_t>::max() - 1, type_oid, LogicalType::TIMESTAMP));
    EXPECT_TRUE(binary(std::numeric_limits<int64_t>::min() + 1, type_oid, LogicalType::TIMESTAMP));
  }
  EXPECT_FALSE(binary(std::numeric_limits<int32_t>::max() - 1, oid::kDate, LogicalType::DATE));
  EXPECT_TRUE(binary(std::numeric_limits<int32_t>::min() + 1, oid::kDate, LogicalType::DATE));
}

TEST(Types, the_ends_of_time_travel) {
  for (const auto& value :
       {Value::DATE(duckdb::date_t::infinity()), Value::DATE(duckdb::date_t::ninfinity()),
        Value::TIMESTAMP(duckdb::timestamp_t::infinity()),
        Value::TIMESTAMP(duckdb::timestamp_t::ninfinity())}) {
    std::string bytes = wire(value, 1);
    auto back = decode_parameter(as_bytes(bytes), true, wire_type(value.type()).oid, value.type());
    ASSERT_TRUE(back) << back.error().to_string();
    EXPECT_EQ(*back, value);
  }
  // Postgres's form begins thirty years later than DuckDB's range.
  auto minus_infinity = [](size_t size) { return "\x80" + std::string(size - 1, '\0'); };
  EXPECT_EQ(wire(Value::MinimumValue(LogicalType::TIMESTAMP), 1), minus_infinity(8));
  EXPECT_EQ(wire(Value::MinimumValue(LogicalType::DATE), 1), minus_infinity(4));
}

}  // namespace
}  // namespace ziwa::protocol::postgres
