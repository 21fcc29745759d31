#include "data/row_key.h"

#include <random>

namespace ziwa::data {
namespace {

using duckdb::LogicalType;
using duckdb::Value;

using Types = duckdb::vector<LogicalType>;
using Row = std::vector<Value>;

void fill(duckdb::DataChunk& chunk, const Types& types, const std::vector<Row>& rows) {
  chunk.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  for (size_t row = 0; row < rows.size(); ++row) {
    for (size_t i = 0; i < types.size(); ++i) chunk.SetValue(i, row, rows[row][i]);
  }
  chunk.SetCardinality(rows.size());
}

std::vector<size_t> all_columns(const Types& types) {
  std::vector<size_t> columns(types.size());
  for (size_t i = 0; i < columns.size(); ++i) columns[i] = i;
  return columns;
}

template <typename Encoder>
std::vector<std::string> encode(const Types& types, const std::vector<Row>& rows) {
  duckdb::DataChunk chunk;
  fill(chunk, types, rows);
  auto encoder = Encoder::create(types);
  EXPECT_TRUE(encoder.has_value());
  std::vector<std::string> out;
  encoder->encode(chunk, all_columns(types), out);
  return out;
}

std::vector<std::string> keys(const LogicalType& type, const std::vector<Value>& values) {
  std::vector<Row> rows;
  for (const auto& value : values) rows.push_back({value.DefaultCastAs(type)});
  return encode<RowKeyEncoder>({type}, rows);
}

void expect_ascending(const LogicalType& type, const std::vector<Value>& values) {
  auto encoded = keys(type, values);
  for (size_t i = 1; i < encoded.size(); ++i) {
    EXPECT_LT(encoded[i - 1], encoded[i])
        << type.ToString() << " " << values[i - 1].ToString() << " < " << values[i].ToString();
  }
}

TEST(RowKey, OrdersEveryTypeAsItsValues) {
  auto null = Value();
  expect_ascending(LogicalType::BOOLEAN, {Value::BOOLEAN(false), Value::BOOLEAN(true), null});
  for (const LogicalType& type : std::vector<LogicalType>{
           LogicalType::TINYINT, LogicalType::SMALLINT, LogicalType::INTEGER, LogicalType::BIGINT,
           LogicalType::HUGEINT, LogicalType::DECIMAL(4, 1), LogicalType::DECIMAL(9, 2),
           LogicalType::DECIMAL(18, 3), LogicalType::DECIMAL(38, 10)}) {
    expect_ascending(type,
                     {Value(-100), Value(-1), Value(0), Value(1), Value(77), Value(100), null});
  }
  for (const LogicalType& type : std::vector<LogicalType>{
           LogicalType::UTINYINT, LogicalType::USMALLINT, LogicalType::UINTEGER,
           LogicalType::UBIGINT, LogicalType::UHUGEINT}) {
    expect_ascending(type, {Value(0), Value(1), Value(127), Value(200), null});
  }
  expect_ascending(LogicalType::BIGINT,
                   {Value::BIGINT(INT64_MIN), Value::BIGINT(-1), Value::BIGINT(INT64_MAX), null});
  for (const LogicalType& type :
       std::vector<LogicalType>{LogicalType::FLOAT, LogicalType::DOUBLE}) {
    expect_ascending(type, {Value("-inf"), Value(-1e30), Value(-1.5), Value(0), Value(1e-30),
                            Value(2.5), Value("inf"), Value("nan"), null});
  }
  expect_ascending(LogicalType::VARCHAR,
                   {Value(""), Value("a"), Value(std::string("a\0", 2)),
                    Value(std::string("a\0b", 3)), Value("aa"), Value("b"), Value("é"), null});
  expect_ascending(LogicalType::BLOB,
                   {Value::BLOB(""), Value::BLOB("\\x00"), Value::BLOB("\\x00\\x01"),
                    Value::BLOB("\\x01"), Value::BLOB("\\xFF"), Value::BLOB("\\xFF\\xFF"), null});
  expect_ascending(LogicalType::DATE,
                   {Value("1969-12-31"), Value("1970-01-01"), Value("2026-11-22"), null});
  for (const LogicalType& type : std::vector<LogicalType>{
           LogicalType::TIMESTAMP, LogicalType::TIMESTAMP_TZ, LogicalType::TIMESTAMP_S,
           LogicalType::TIMESTAMP_MS, LogicalType::TIMESTAMP_NS}) {
    expect_ascending(type, {Value("1969-12-31 23:59:59"), Value("1970-01-01 00:00:00"),
                            Value("2026-11-22 00:00:01"), null});
  }
  expect_ascending(LogicalType::TIME, {Value("00:00:00"), Value("12:00:00"), null});
  expect_ascending(LogicalType::TIME_TZ,
                   {Value("00:00:00+00"), Value("12:00:00+02"), Value("12:00:00+00"), null});
  expect_ascending(LogicalType::INTERVAL,
                   {Value("-1 day"), Value("1 second"), Value("29 days"), Value("1 month"),
                    Value("31 days"), Value("1 year"), null});
  expect_ascending(LogicalType::UUID, {Value("00000000-0000-0000-0000-000000000000"),
                                       Value("7fffffff-0000-0000-0000-000000000000"),
                                       Value("ffffffff-ffff-ffff-ffff-ffffffffffff"), null});
}

TEST(RowKey, GivesEqualBytesForEqualValues) {
  auto zero = keys(LogicalType::DOUBLE, {Value::DOUBLE(0.0), Value::DOUBLE(-0.0)});
  EXPECT_EQ(zero[0], zero[1]);
  auto nan =
      keys(LogicalType::DOUBLE, {Value::DOUBLE(std::nan("1")), Value::DOUBLE(-std::nan("2"))});
  EXPECT_EQ(nan[0], nan[1]);
  auto month =
      keys(LogicalType::INTERVAL, {Value("30 days"), Value("1 month"), Value("720 hours")});
  EXPECT_EQ(month[0], month[1]);
  EXPECT_EQ(month[0], month[2]);
}

TEST(RowKey, LaterColumnsBreakTies) {
  Types types = {LogicalType::VARCHAR, LogicalType::INTEGER};
  auto sorted = encode<RowKeyEncoder>(types, {{Value("a"), Value(9)},
                                              {Value("a"), Value(LogicalType::INTEGER)},
                                              {Value("aa"), Value(1)},
                                              {Value(LogicalType::VARCHAR), Value(0)}});
  EXPECT_TRUE(std::is_sorted(sorted.begin(), sorted.end()));
}

TEST(RowKey, GoldenBytes) {  // docs/formats/row-key.md: these bytes are on disks.
  auto encoded =
      encode<RowKeyEncoder>({LogicalType::VARCHAR, LogicalType::INTEGER},
                            {{Value("ab"), Value(-2)}, {Value(LogicalType::VARCHAR), Value(1)}});
  EXPECT_EQ(encoded[0], std::string("\x01"
                                    "ab\x00\x00\x01\x7f\xff\xff\xfe",
                                    10));
  EXPECT_EQ(encoded[1], std::string("\x02\x01\x80\x00\x00\x01", 6));
}

TEST(RowKey, RefusesNestedTypes) {
  auto encoder = RowKeyEncoder::create({LogicalType::LIST(LogicalType::INTEGER)});
  ASSERT_FALSE(encoder.has_value());
  EXPECT_EQ(encoder.error().code(), Code::unsupported);
}

TEST(RowKey, ValueEncodesLikeItsRow) {
  Types types = {LogicalType::VARCHAR, LogicalType::TIMESTAMP, LogicalType::DOUBLE};
  Row row = {Value(std::string("x\0y", 3)),
             Value("2020-01-01 00:00:00").DefaultCastAs(LogicalType::TIMESTAMP),
             Value(LogicalType::DOUBLE)};
  auto encoder = RowKeyEncoder::create(types);
  ASSERT_TRUE(encoder.has_value());
  std::string one;
  for (size_t i = 0; i < row.size(); ++i) encoder->encode_value(i, row[i], one);
  EXPECT_EQ(one, encode<RowKeyEncoder>(types, {row})[0]);
}

TEST(RowKey, DecodingSkipsColumnsAndReportsTheTail) {
  Types types = {LogicalType::VARCHAR, LogicalType::INTEGER};
  auto key = encode<RowKeyEncoder>(types, {{Value("ab"), Value(7)}})[0];
  auto encoder = RowKeyEncoder::create(types);
  duckdb::DataChunk out;
  out.Initialize(duckdb::Allocator::DefaultAllocator(), Types{LogicalType::INTEGER});
  std::array<ColumnTarget, 2> targets = {kSkip, 0};
  auto used = encoder->decode_columns(key + "tail", targets, out, 0);
  ASSERT_TRUE(used.has_value());
  EXPECT_EQ(*used, key.size());
  EXPECT_EQ(out.GetValue(0, 0).GetValue<int32_t>(), 7);
  duckdb::DataChunk whole;
  whole.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  EXPECT_FALSE(encoder->decode(key + "tail", whole, 0, 0).has_value());
}

Value random_value(const LogicalType& type, std::mt19937_64& random) {
  if (random() % 8 == 0) return Value(type);
  switch (type.id()) {
    case duckdb::LogicalTypeId::VARCHAR: {
      std::string text(random() % 20, 'a');
      for (auto& c : text) c = static_cast<char>(random() % 3 == 0 ? 0 : 'a' + random() % 26);
      return Value(text);
    }
    case duckdb::LogicalTypeId::LIST: {
      duckdb::vector<Value> children;
      const auto& child = duckdb::ListType::GetChildType(type);
      for (size_t i = random() % 4; i > 0; --i) children.push_back(random_value(child, random));
      return Value::LIST(child, children);
    }
    case duckdb::LogicalTypeId::STRUCT: {
      duckdb::vector<Value> children;
      for (const auto& field : duckdb::StructType::GetChildTypes(type)) {
        children.push_back(random_value(field.second, random));
      }
      return Value::STRUCT(type, children);
    }
    case duckdb::LogicalTypeId::DOUBLE:
      return Value::DOUBLE(static_cast<double>(static_cast<int64_t>(random())) / 1e9);
    case duckdb::LogicalTypeId::INTERVAL:
      return Value::INTERVAL(static_cast<int32_t>(random() % 50),
                             static_cast<int32_t>(random() % 30), 5);
    default:
      return Value::BIGINT(static_cast<int64_t>(random() % 100)).DefaultCastAs(type);
  }
}

template <typename Encoder>
void round_trip(const Types& types, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<Row> rows(1 + random() % 100);
  for (auto& row : rows) {
    for (const auto& type : types) row.push_back(random_value(type, random));
  }
  auto encoded = encode<Encoder>(types, rows);
  auto encoder = Encoder::create(types);
  duckdb::DataChunk out;
  out.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  for (size_t row = 0; row < rows.size(); ++row) {
    ASSERT_TRUE(encoder->decode(encoded[row], out, 0, row).has_value());
    // Cut and flipped bytes must give an error or other values, never a crash.
    duckdb::DataChunk scratch;
    scratch.Initialize(duckdb::Allocator::DefaultAllocator(), types);
    for (size_t cut = 0; cut < encoded[row].size(); ++cut) {
      EXPECT_FALSE(encoder->decode(std::string_view(encoded[row]).substr(0, cut), scratch, 0, 0)
                       .has_value());
    }
    auto flipped = encoded[row];
    flipped[random() % flipped.size()] ^= static_cast<char>(1 << random() % 8);
    encoder->decode(flipped, scratch, 0, 0).ignore("any outcome but a crash is fine");
  }
  out.SetCardinality(rows.size());
  for (size_t row = 0; row < rows.size(); ++row) {
    for (size_t i = 0; i < types.size(); ++i) {
      EXPECT_TRUE(Value::NotDistinctFrom(out.GetValue(i, row), rows[row][i]))
          << types[i].ToString() << ": " << out.GetValue(i, row).ToString() << " is not "
          << rows[row][i].ToString();
    }
  }
}

TEST(RowKey, RoundTrip) {
  for (uint64_t seed = 0; seed < 50; ++seed) {
    round_trip<RowKeyEncoder>(
        {LogicalType::VARCHAR, LogicalType::BIGINT, LogicalType::DOUBLE, LogicalType::BOOLEAN,
         LogicalType::DECIMAL(38, 4), LogicalType::INTERVAL, LogicalType::UTINYINT},
        seed);
  }
}

TEST(Row, RoundTrip) {
  auto list = LogicalType::LIST(LogicalType::VARCHAR);
  auto nested = LogicalType::STRUCT({{"a", LogicalType::INTEGER}, {"b", LogicalType::LIST(list)}});
  for (uint64_t seed = 0; seed < 50; ++seed) {
    round_trip<RowEncoder>(
        {LogicalType::VARCHAR, LogicalType::BIGINT, LogicalType::DOUBLE, LogicalType::HUGEINT, list,
         nested, LogicalType::SMALLINT, LogicalType::VARCHAR, LogicalType::BOOLEAN},
        seed);
  }
}

TEST(Row, GoldenBytes) {
  auto encoded =
      encode<RowEncoder>({LogicalType::INTEGER, LogicalType::VARCHAR, LogicalType::INTEGER},
                         {{Value(5), Value("ab"), Value(LogicalType::INTEGER)}});
  EXPECT_EQ(encoded[0], std::string("\x04\x05\x00\x00\x00\x02"
                                    "ab",
                                    8));
}

/// Decoding `bytes` as one value of `type`: its code, or ok.
template <typename Encoder>
std::optional<Code> refusal(const LogicalType& type, std::string_view bytes) {
  auto encoder = Encoder::create({type});
  EXPECT_TRUE(encoder.has_value());
  duckdb::DataChunk out;
  out.Initialize(duckdb::Allocator::DefaultAllocator(), Types{type});
  auto decoded = encoder->decode(bytes, out, 0, 0);
  if (decoded) return std::nullopt;
  return decoded.error().code();
}

LogicalType two_names() {
  duckdb::Vector names(LogicalType::VARCHAR, 2);
  names.SetValue(0, Value("a"));
  names.SetValue(1, Value("b"));
  return LogicalType::ENUM(names, 2);
}

TEST(RowKey, OnlyTheKeyOfAValueIsAccepted) {
  using namespace std::string_view_literals;
  auto key = [](const LogicalType& type, std::string_view bytes) {
    return refusal<RowKeyEncoder>(type, bytes);
  };
  EXPECT_EQ(key(LogicalType::BOOLEAN, "\1\1"sv), std::nullopt);
  EXPECT_EQ(key(LogicalType::BOOLEAN, "\1\2"sv), Code::corrupt);
  EXPECT_EQ(key(LogicalType::BOOLEAN, "\2\0"sv), std::nullopt);
  EXPECT_EQ(key(LogicalType::BOOLEAN, "\2\1"sv), Code::corrupt) << "the body of a NULL";
  EXPECT_EQ(key(two_names(), "\1\1"sv), std::nullopt);
  EXPECT_EQ(key(two_names(), "\1\2"sv), Code::corrupt) << "it has two names";
  EXPECT_EQ(key(LogicalType::VARCHAR, "\1a\0\xff\0\0"sv), std::nullopt);
  EXPECT_EQ(key(LogicalType::VARCHAR, "\1a\0\7\0\0"sv), Code::corrupt) << "an unknown escape";
  EXPECT_EQ(key(LogicalType::VARCHAR, "\1\xff\0\0"sv), Code::corrupt) << "no UTF-8";
  EXPECT_EQ(key(LogicalType::BLOB, "\1\xff\0\0"sv), std::nullopt);
  EXPECT_EQ(key(LogicalType::BIT, "\1\0\0"sv), Code::corrupt) << "bits without their header";
  EXPECT_EQ(key(LogicalType::FLOAT, "\1\x7f\xff\xff\xff"sv), Code::corrupt) << "-0.0";
  EXPECT_EQ(key(LogicalType::FLOAT, "\1\xff\xff\xff\xff"sv), std::nullopt) << "NaN";
  EXPECT_EQ(key(LogicalType::FLOAT, "\1\xff\xff\xff\xfe"sv), Code::corrupt) << "another NaN";
  EXPECT_EQ(key(LogicalType::TIME, "\1\x80\0\0\0\0\0\0\1"sv), std::nullopt);
  EXPECT_EQ(key(LogicalType::TIME, "\1\xff\0\0\0\0\0\0\1"sv), Code::corrupt) << "no day is so long";
  EXPECT_EQ(key(LogicalType::INTERVAL, "\1" + std::string(16, '\xff')), Code::corrupt);
}

TEST(RowKey, TheLongestIntervalsAreReadAgain) {
  constexpr int32_t kMax = std::numeric_limits<int32_t>::max();
  constexpr int64_t kLong = std::numeric_limits<int64_t>::max();
  for (int sign : {-1, 1}) {
    auto value = Value::INTERVAL(sign * kMax, sign * kMax, sign * kLong);
    auto key = encode<RowKeyEncoder>({LogicalType::INTERVAL}, {{value}})[0];
    duckdb::DataChunk out;
    out.Initialize(duckdb::Allocator::DefaultAllocator(), Types{LogicalType::INTERVAL});
    ASSERT_TRUE(RowKeyEncoder::create({LogicalType::INTERVAL})->decode(key, out, 0, 0));
    EXPECT_TRUE(Value::NotDistinctFrom(out.GetValue(0, 0), value)) << out.GetValue(0, 0).ToString();
  }
}

TEST(Row, WhatIsNoValueIsRefused) {
  using namespace std::string_view_literals;
  auto row = [](const LogicalType& type, std::string_view bytes) {
    return refusal<RowEncoder>(type, bytes);
  };
  auto pair = LogicalType::ARRAY(LogicalType::BOOLEAN, 2);
  EXPECT_EQ(row(LogicalType::BOOLEAN, "\0\2"sv), Code::corrupt);
  EXPECT_EQ(row(two_names(), "\0\2"sv), Code::corrupt);
  EXPECT_EQ(row(LogicalType::VARCHAR, "\0\1\xff"sv), Code::corrupt);
  EXPECT_EQ(row(LogicalType::LIST(two_names()), "\0\1\1\1\1"sv), std::nullopt);
  EXPECT_EQ(row(LogicalType::LIST(two_names()), "\0\1\1\1\2"sv), Code::corrupt);
  EXPECT_EQ(row(pair, "\0\1\2\1\1\1\0"sv), std::nullopt);
  EXPECT_EQ(row(pair, "\0\1\1\1\1"sv), Code::corrupt) << "an array of another size";
}

}  // namespace
}  // namespace ziwa::data
