#include "data/record_codec.h"

#include "duck/expression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace ziwa::data {
namespace {

using duckdb::Value;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

Schema make_schema(const std::vector<std::pair<std::string, std::string>>& columns) {
  Schema schema;
  for (const auto& [name, type] : columns) schema.columns.push_back({0, name, type});
  return schema;
}

duckdb::vector<duckdb::LogicalType> types_of(const Schema& schema) {
  duckdb::vector<duckdb::LogicalType> types;
  for (const auto& column : schema.columns) types.push_back(*duck::parse_type(column.type));
  return types;
}

/// A codec, a chunk of its columns, and what came out of decoding.
struct Bench {
  explicit Bench(Schema with, const std::string& format = "json")
      : schema(std::move(with)), chunk(types_of(schema)) {
    auto made = make_record_codec(schema, format);
    EXPECT_TRUE(made) << made.error().to_string();
    if (made) codec = std::move(*made);
  }
  /// Decodes records and returns how many were consumed.
  size_t decode(const std::vector<std::string>& values) {
    std::vector<Record> records;
    for (size_t i = 0; i < values.size(); ++i) {
      records.push_back({.offset = Offset(static_cast<int64_t>(i)), .value = as_bytes(values[i])});
    }
    return codec->decode(records, chunk, row_record, rejected);
  }
  /// The only row's value in column `i` as text, or the reason.
  std::string one(const std::string& value, size_t column = 0) {
    chunk.rows.Reset();
    rejected.clear();
    decode({value});
    if (!rejected.empty()) return "! " + rejected[0].reason;
    return chunk.rows.GetValue(column, 0).ToString();
  }
  std::vector<std::string> encode() {
    std::vector<Bytes> out;
    Status encoded = codec->encode(chunk, out);
    if (!encoded) return {"! " + encoded.error().message()};
    std::vector<std::string> texts;
    for (const auto& bytes : out) texts.emplace_back(as_text(bytes));
    return texts;
  }

  Schema schema;
  std::unique_ptr<RecordCodec> codec;
  duck::Chunk chunk;
  std::vector<uint32_t> row_record;
  std::vector<Rejected> rejected;
};

std::string read_one(const std::string& type, const std::string& json_value) {
  return Bench(make_schema({{"x", type}})).one("{\"x\":" + json_value + "}");
}

TEST(JsonCodec, ReadsEveryType) {
  EXPECT_EQ(read_one("BOOLEAN", "true"), "true");
  EXPECT_EQ(read_one("TINYINT", "-128"), "-128");
  EXPECT_EQ(read_one("SMALLINT", "32767"), "32767");
  EXPECT_EQ(read_one("INTEGER", "-2147483648"), "-2147483648");
  EXPECT_EQ(read_one("BIGINT", "9223372036854775807"), "9223372036854775807");
  EXPECT_EQ(read_one("UTINYINT", "255"), "255");
  EXPECT_EQ(read_one("USMALLINT", "65535"), "65535");
  EXPECT_EQ(read_one("UINTEGER", "4294967295"), "4294967295");
  EXPECT_EQ(read_one("UBIGINT", "18446744073709551615"), "18446744073709551615");
  EXPECT_EQ(read_one("HUGEINT", "-170141183460469231731687303715884105728"),
            "-170141183460469231731687303715884105728");
  EXPECT_EQ(read_one("HUGEINT", "\"12\""), "12");
  EXPECT_EQ(read_one("FLOAT", "1.5"), "1.5");
  EXPECT_EQ(read_one("DOUBLE", "1e-300"), "1e-300");
  EXPECT_EQ(read_one("DOUBLE", "7"), "7.0");
  EXPECT_EQ(read_one("DECIMAL(4,2)", "12.345"), "12.35");
  EXPECT_EQ(read_one("DECIMAL(9,2)", "\"-1234567.89\""), "-1234567.89");
  EXPECT_EQ(read_one("DECIMAL(18,3)", "1e3"), "1000.000");
  EXPECT_EQ(read_one("DECIMAL(38,10)", "1234567890123456789012345678.0123456789"),
            "1234567890123456789012345678.0123456789");
  EXPECT_EQ(read_one("VARCHAR", R"("caf\u00e9 \"\n")"), "caf\xc3\xa9 \"\n");
  EXPECT_EQ(read_one("VARCHAR", R"("longer than the twelve bytes that lie in the vector")"),
            "longer than the twelve bytes that lie in the vector");
  EXPECT_EQ(read_one("BLOB", "\"AP8=\""), "\\x00\\xFF");
  EXPECT_EQ(read_one("DATE", "\"2001-03-09\""), "2001-03-09");
  EXPECT_EQ(read_one("TIME", "\"12:34:56.789\""), "12:34:56.789");
  EXPECT_EQ(read_one("TIMESTAMP", "\"2001-03-09T12:34:56.789\""), "2001-03-09 12:34:56.789");
  EXPECT_EQ(read_one("TIMESTAMP", "978307200000001"), "2001-01-01 00:00:00.000001");
  EXPECT_EQ(read_one("TIMESTAMP WITH TIME ZONE", "\"2001-01-01T01:00:00+01:00\""),
            "2001-01-01 00:00:00+00");
  EXPECT_EQ(read_one("UUID", "\"550e8400-e29b-41d4-a716-446655440000\""),
            "550e8400-e29b-41d4-a716-446655440000");
  EXPECT_EQ(read_one("INTEGER[]", "[1, null, 3]"), "[1, NULL, 3]");
  EXPECT_EQ(read_one("STRUCT(a INTEGER, b VARCHAR[])", R"({"b":["x"],"zz":[{}],"a":1})"),
            "{'a': 1, 'b': [x]}");
  EXPECT_EQ(read_one("STRUCT(a INTEGER, b VARCHAR[])", "{}"), "{'a': NULL, 'b': NULL}");
  EXPECT_EQ(read_one("INTEGER", "null"), "NULL");
}

TEST(JsonCodec, RefusesWithAReasonThatNamesTheField) {
  EXPECT_EQ(read_one("INTEGER", "\"12\""), "! field \"x\": expected INTEGER, found a string");
  EXPECT_EQ(read_one("INTEGER", "{}"), "! field \"x\": expected INTEGER, found an object");
  EXPECT_EQ(read_one("INTEGER", "12.5"), "! field \"x\": 12.5 is not a INTEGER");
  EXPECT_EQ(read_one("INTEGER", "2147483648"),
            "! field \"x\": 2147483648 is out of range for INTEGER");
  EXPECT_EQ(read_one("BIGINT", "9223372036854775808"),
            "! field \"x\": 9223372036854775808 is out of range for BIGINT");
  EXPECT_EQ(read_one("UTINYINT", "-1"), "! field \"x\": -1 is out of range for UTINYINT");
  EXPECT_EQ(read_one("UBIGINT", "18446744073709551616"),
            "! field \"x\": 18446744073709551616 is out of range for UBIGINT");
  EXPECT_THAT(read_one("FLOAT", "1e39"), HasSubstr("field \"x\": 1e+39 is out of range"));
  EXPECT_THAT(read_one("DOUBLE", "1e400"), HasSubstr("! field \"x\": 1e400"));
  EXPECT_THAT(read_one("DOUBLE", "NaN"), HasSubstr("! field \"x\":"));
  EXPECT_THAT(read_one("DOUBLE", "\"NaN\""),
              HasSubstr("! field \"x\": expected DOUBLE, found a string"));
  EXPECT_THAT(read_one("DECIMAL(4,2)", "100"), HasSubstr("! field \"x\": \"100\""));
  EXPECT_THAT(read_one("DECIMAL(4,2)", "\"abc\""), HasSubstr("! field \"x\": \"abc\""));
  EXPECT_THAT(read_one("DATE", "\"2001-02-30\""), HasSubstr("! field \"x\":"));
  EXPECT_THAT(read_one("TIMESTAMP", "9223372036854775807"), HasSubstr("out of range"));
  EXPECT_THAT(read_one("TIMESTAMP", "\"yesterday\""), HasSubstr("! field \"x\":"));
  EXPECT_THAT(read_one("BLOB", "\"*\""), HasSubstr("not base64"));
  EXPECT_THAT(read_one("UUID", "\"1\""), HasSubstr("! field \"x\":"));
  EXPECT_THAT(read_one("VARCHAR", "1"), HasSubstr("1 is not a VARCHAR"));
  EXPECT_THAT(read_one("VARCHAR", R"("\q")"), HasSubstr("! field \"x\":"));
  EXPECT_THAT(read_one("VARCHAR", R"("\ud800")"), HasSubstr("! field \"x\":"));
  EXPECT_THAT(read_one("BOOLEAN", "trux"), HasSubstr("! field \"x\":"));
  EXPECT_THAT(read_one("BOOLEAN", "nul"), HasSubstr("! field \"x\":"));
  EXPECT_THAT(read_one("INTEGER[]", "[1,\"2\"]"), HasSubstr("! field \"x\": expected INTEGER"));
  EXPECT_THAT(read_one("INTEGER[]", "[1,,2]"), HasSubstr("! "));
  EXPECT_THAT(read_one("STRUCT(a INTEGER)", R"({"a":1,"a":2})"), HasSubstr("\"a\" is there twice"));
}

TEST(JsonCodec, RefusesWhatIsNotOneJsonObject) {
  Bench bench(make_schema({{"a", "INTEGER"}, {"b", "VARCHAR"}}));
  for (const std::string& wrong : {std::string(),
                                   std::string(" "),
                                   std::string("1"),
                                   std::string("[]"),
                                   std::string("null"),
                                   std::string("{"),
                                   std::string("}"),
                                   std::string(R"({"a":1)"),
                                   std::string(R"({"a":1,})"),
                                   std::string(R"({"a" 1})"),
                                   std::string(R"({"a":1 "b":""})"),
                                   std::string(R"({"a":1}})"),
                                   std::string(R"({"a":1} x)"),
                                   std::string(R"({"a":1}{"a":2})"),
                                   std::string(R"({"a":01})"),
                                   std::string(R"({a:1})"),
                                   std::string(R"({"b":"open})"),
                                   std::string("{\"b\":\"\xff\"}"),
                                   std::string("{\"b\":\"a\nb\"}"),
                                   std::string(R"({"u":tru})"),
                                   std::string(R"({"u":[1 2]})"),
                                   std::string(R"({"u":-})"),
                                   std::string(R"({"u":{"v":}})"),
                                   std::string("\0", 1)}) {
    EXPECT_THAT(bench.one(wrong), HasSubstr("! ")) << wrong;
  }
  EXPECT_THAT(bench.one(R"({"b":"x","a":1,"b":"y"})"), HasSubstr("field \"b\": is there twice"));
  EXPECT_THAT(bench.one("{\"b\":\"\xff\"}"), HasSubstr("not UTF-8"));
  EXPECT_THAT(bench.one("[1]"), HasSubstr("expected a JSON object, found an array"));
  EXPECT_THAT(bench.one("nothing"), HasSubstr("expected a JSON object, found nothing"));
  std::string deep = "{\"u\":" + std::string(2000, '[') + std::string(2000, ']') + "}";
  EXPECT_THAT(bench.one(deep), HasSubstr("nested deeper than 64"));
  EXPECT_EQ(bench.one(R"({"a":5})"), "5") << "and goes on afterwards";
}

TEST(JsonCodec, KeysInAnyOrderMissingUnknownEscapedAndInAnyCase) {
  Bench bench(make_schema({{"id", "BIGINT"}, {"Name", "VARCHAR"}, {"on", "BOOLEAN"}}));
  EXPECT_EQ(
      bench.decode({R"({"id":1,"Name":"a","on":true})", R"({"on":false,"id":2,"Name":"b"})",
                    R"({"id":3})", R"({"extra":{"id":[9]},"ID":4,"name":"d","x":null,"on":null})",
                    R"({"\u0069d":5,"N\u0061me":"e"})", "{}"}),
      6u);
  ASSERT_TRUE(bench.rejected.empty()) << bench.rejected[0].reason;
  auto row = [&](size_t i) {
    return bench.chunk.rows.GetValue(0, i).ToString() + " " +
           bench.chunk.rows.GetValue(1, i).ToString() + " " +
           bench.chunk.rows.GetValue(2, i).ToString();
  };
  EXPECT_EQ(row(0), "1 a true");
  EXPECT_EQ(row(1), "2 b false");
  EXPECT_EQ(row(2), "3 NULL NULL");
  EXPECT_EQ(row(3), "4 d NULL");
  EXPECT_EQ(row(4), "5 e NULL");
  EXPECT_EQ(row(5), "NULL NULL NULL");
}

TEST(JsonCodec, NotNullIsKept) {
  Schema schema = make_schema({{"a", "INTEGER"}});
  schema.columns[0].not_null = true;
  Bench bench(schema);
  EXPECT_EQ(bench.one("{}"), "! field \"a\": is missing, and may not be NULL");
  EXPECT_EQ(bench.one(R"({"a":null})"), "! field \"a\": is null, and may not be NULL");
}

class EveryFormat : public ::testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Formats, EveryFormat, ::testing::Values("json", "avro"),
                         [](const auto& format) { return format.param; });

TEST_P(EveryFormat, RejectedRecordsLeaveNoRowAndNoTrace) {
  Bench source(make_schema({{"a", "INTEGER"}, {"b", "VARCHAR"}}), GetParam());
  source.chunk.rows.SetValue(0, 0, Value::INTEGER(1));
  source.chunk.rows.SetValue(1, 0, Value("one"));
  source.chunk.rows.SetValue(0, 1, Value());
  source.chunk.rows.SetValue(1, 1, Value());
  source.chunk.rows.SetCardinality(2);
  auto good = source.encode();
  ASSERT_EQ(good.size(), 2u);
  Bench bench(source.schema, GetParam());
  std::string broken = good[1] + "x";
  const std::string& value = good[0];
  std::vector<Record> records = {{.offset = Offset(10), .value = as_bytes(broken)},
                                 {.offset = Offset(11), .value = as_bytes(value)},
                                 {.offset = Offset(12), .partition = 3, .entry = EntryNumber(7)},
                                 {.offset = Offset(13), .value = as_bytes(value)}};
  EXPECT_EQ(bench.codec->decode(records, bench.chunk, bench.row_record, bench.rejected), 4u);
  EXPECT_THAT(bench.row_record, ElementsAre(1u, 3u));
  ASSERT_EQ(bench.rejected.size(), 2u);
  EXPECT_EQ(bench.rejected[0].offset, Offset(10));
  EXPECT_EQ(bench.rejected[1].offset, Offset(12));
  EXPECT_EQ(bench.rejected[1].partition, 3);
  EXPECT_EQ(bench.rejected[1].entry, EntryNumber(7));
  EXPECT_EQ(bench.rejected[1].reason, "the record has no value");
  ASSERT_EQ(bench.chunk.size(), 2u);
  for (size_t row : {0, 1}) {
    EXPECT_EQ(bench.chunk.rows.GetValue(0, row).ToString(), "1")
        << "the NULL of the refused row must not stay";
    EXPECT_EQ(bench.chunk.rows.GetValue(1, row).ToString(), "one");
  }
}

TEST_P(EveryFormat, StopsWhenTheChunkIsFullAndAppendsToWhatIsThere) {
  Bench source(make_schema({{"a", "INTEGER"}}), GetParam());
  source.chunk.rows.SetValue(0, 0, Value::INTEGER(7));
  source.chunk.rows.SetCardinality(1);
  std::string value = source.encode().at(0);
  Bench bench(source.schema, GetParam());
  EXPECT_EQ(bench.decode(std::vector<std::string>(2000, value)), 2000u);
  bench.row_record.clear();
  EXPECT_EQ(bench.decode(std::vector<std::string>(2000, value)), 48u);
  EXPECT_EQ(bench.chunk.size(), 2048u);
  EXPECT_EQ(bench.row_record.size(), 48u);
  EXPECT_EQ(bench.decode({value}), 0u);
}

Schema every_type() {
  return make_schema({{"t1", "BOOLEAN"},
                      {"t2", "TINYINT"},
                      {"t3", "SMALLINT"},
                      {"t4", "INTEGER"},
                      {"t5", "BIGINT"},
                      {"t6", "UTINYINT"},
                      {"t7", "USMALLINT"},
                      {"t8", "UINTEGER"},
                      {"t9", "UBIGINT"},
                      {"t10", "HUGEINT"},
                      {"t11", "FLOAT"},
                      {"t12", "DOUBLE"},
                      {"t13", "DECIMAL(4,1)"},
                      {"t14", "DECIMAL(9,2)"},
                      {"t15", "DECIMAL(18,6)"},
                      {"t16", "DECIMAL(38,10)"},
                      {"t17", "VARCHAR"},
                      {"t18", "BLOB"},
                      {"t19", "DATE"},
                      {"t20", "TIME"},
                      {"t21", "TIMESTAMP"},
                      {"t22", "TIMESTAMP WITH TIME ZONE"},
                      {"t23", "UUID"},
                      {"t24", "VARCHAR[]"},
                      {"t25", "STRUCT(a INTEGER, b DECIMAL(9,2)[], c UUID)"}});
}

/// Values of every type, cast by DuckDB from text.
std::vector<std::vector<std::string>> sample_rows() {
  return {{"true",
           "-128",
           "-32768",
           "-2147483648",
           "-9223372036854775808",
           "0",
           "0",
           "0",
           "0",
           "-170141183460469231731687303715884105728",
           "-1.5",
           "-1e300",
           "-999.9",
           "-9999999.99",
           "-999999999999.999999",
           "-9999999999999999999999999999.9999999999",
           "",
           "",
           "0001-01-01",
           "00:00:00",
           "0001-01-01 00:00:00",
           "0001-01-01 00:00:00+00",
           "00000000-0000-0000-0000-000000000000",
           "[]",
           "{'a': NULL, 'b': NULL, 'c': NULL}"},
          {"false",
           "127",
           "32767",
           "2147483647",
           "9223372036854775807",
           "255",
           "65535",
           "4294967295",
           "18446744073709551615",
           "170141183460469231731687303715884105727",
           "3.4028235e38",
           "2.5e-308",
           "999.9",
           "9999999.99",
           "999999999999.999999",
           "9999999999999999999999999999.9999999999",
           "\xc3\xa9\"\\ \n and more",
           "\\x00\\xFF\\x22",
           "9999-12-31",
           "23:59:59.999999",
           "9999-12-31 23:59:59.999999",
           "9999-12-31 23:59:59.999999+00",
           "ffffffff-ffff-ffff-ffff-ffffffffffff",
           "[a, NULL, '']",
           "{'a': -1, 'b': [0.01, -0.01, NULL], 'c': 550e8400-e29b-41d4-a716-446655440000}"},
          std::vector<std::string>(25, "")};
}

void fill(Bench& bench) {
  auto rows = sample_rows();
  auto types = types_of(bench.schema);
  for (size_t row = 0; row < rows.size(); ++row) {
    for (size_t i = 0; i < types.size(); ++i) {
      bool null = row + 1 == rows.size();
      bench.chunk.rows.SetValue(
          i, row, null ? Value(types[i]) : Value(rows[row][i]).DefaultCastAs(types[i]));
    }
  }
  bench.chunk.rows.SetCardinality(rows.size());
}

TEST_P(EveryFormat, EveryTypeComesBack) {
  Bench source(every_type(), GetParam());
  fill(source);
  auto values = source.encode();
  ASSERT_EQ(values.size(), 3u) << values.at(0);
  Bench back(every_type(), GetParam());
  EXPECT_EQ(back.decode(values), 3u);
  ASSERT_TRUE(back.rejected.empty()) << back.rejected[0].reason;
  for (size_t row = 0; row < 3; ++row) {
    for (size_t i = 0; i < source.chunk.rows.ColumnCount(); ++i) {
      EXPECT_TRUE(Value::NotDistinctFrom(back.chunk.rows.GetValue(i, row),
                                         source.chunk.rows.GetValue(i, row)))
          << source.schema.columns[i].type << " row " << row;
    }
  }
  EXPECT_EQ(back.encode(), values);
}

TEST_P(EveryFormat, ReadsVectorsOfAnyShape) {
  Bench bench(make_schema({{"a", "INTEGER"}, {"b", "VARCHAR"}}), GetParam());
  bench.chunk.rows.data[0].Reference(Value::INTEGER(5));  // constant
  for (size_t row = 0; row < 3; ++row)
    bench.chunk.rows.SetValue(1, row, Value(std::string(1, static_cast<char>('x' + row))));
  duckdb::SelectionVector backwards(3);
  for (size_t row = 0; row < 3; ++row) backwards.set_index(row, 2 - row);
  bench.chunk.rows.data[1].Slice(backwards, 3);  // dictionary
  bench.chunk.rows.SetCardinality(3);
  auto values = bench.encode();
  Bench back(bench.schema, GetParam());
  back.decode(values);
  ASSERT_EQ(back.chunk.size(), 3u);
  EXPECT_EQ(back.chunk.rows.GetValue(0, 2).ToString(), "5");
  EXPECT_EQ(back.chunk.rows.GetValue(1, 0).ToString(), "z");
  EXPECT_EQ(back.chunk.rows.GetValue(1, 2).ToString(), "x");
}

TEST(JsonCodec, GoldenText) {
  Bench bench(make_schema({{"id", "BIGINT"},
                           {"ts", "TIMESTAMP"},
                           {"d", "DECIMAL(9,2)"},
                           {"f", "DOUBLE"},
                           {"b", "BLOB"},
                           {"s", "STRUCT(a INTEGER[])"}}));
  std::vector<Value> row = {Value::BIGINT(-5), Value("2001-01-01 00:00:00.5"),
                            Value("-0.05"),    Value::DOUBLE(0.1),
                            Value("\\xFF"),    Value("{'a': [1, NULL]}")};
  auto types = types_of(bench.schema);
  for (size_t i = 0; i < row.size(); ++i)
    bench.chunk.rows.SetValue(i, 0, row[i].DefaultCastAs(types[i]));
  bench.chunk.rows.SetCardinality(1);
  EXPECT_EQ(bench.encode().at(0),
            R"({"id":-5,"ts":"2001-01-01T00:00:00.500000","d":-0.05,"f":0.1,"b":"/w==",)"
            R"("s":{"a":[1,null]}})");
}

TEST(JsonCodec, WhatHasNoJsonIsAnError) {
  Bench bench(make_schema({{"f", "DOUBLE"}}));
  bench.chunk.rows.SetValue(0, 0, Value::DOUBLE(std::nan("")));
  bench.chunk.rows.SetCardinality(1);
  EXPECT_EQ(bench.encode().at(0), "! row 0, column \"f\": NaN and infinity have no JSON");
}

// Bytes computed by hand from the Avro 1.11 specification.
TEST(AvroCodec, GoldenBytes) {
  Bench bench(make_schema({{"id", "BIGINT"},
                           {"name", "VARCHAR"},
                           {"ok", "BOOLEAN"},
                           {"f", "DOUBLE"},
                           {"d", "DECIMAL(9,2)"},
                           {"l", "INTEGER[]"},
                           {"none", "DATE"}}),
              "avro");
  std::vector<Value> row = {
      Value::BIGINT(-65), Value("lake"), Value::BOOLEAN(true), Value::DOUBLE(1.0), Value("-1.29"),
      Value("[1, NULL]"), Value()};
  auto types = types_of(bench.schema);
  for (size_t i = 0; i < row.size(); ++i)
    bench.chunk.rows.SetValue(i, 0, row[i].DefaultCastAs(types[i]));
  bench.chunk.rows.SetCardinality(1);
  std::string golden(
      "\x02\x81\x01"              // branch 1, -65 as zigzag 129
      "\x02\x08lake"              // branch 1, 4 bytes
      "\x02\x01"                  // true
      "\x02\0\0\0\0\0\0\xf0\x3f"  // 1.0
      "\x02\x04\xff\x7f"          // -129 in two bytes: 0xff7f
      "\x02\x04\x02\x02\0\0"      // a block of two: branch 1 with 1, branch 0; the end
      "\0",                       // branch 0
      3 + 6 + 2 + 9 + 4 + 6 + 1);
  EXPECT_EQ(bench.encode().at(0), golden);
  Bench back(bench.schema, "avro");
  EXPECT_EQ(back.one(golden, 4), "-1.29");
}

std::string from_hex(std::string_view hex) {
  std::string bytes;
  for (size_t i = 0; i < hex.size(); i += 2) {
    bytes += static_cast<char>(std::stoi(std::string(hex.substr(i, 2)), nullptr, 16));
  }
  return bytes;
}

// Another encoder's bytes: fastavro 1.13.1, schemaless_writer, with the schema that avro_schema()
// gives.
TEST(AvroCodec, AgreesWithFastavro) {
  Bench bench(make_schema({{"t1", "BOOLEAN"},
                           {"t4", "INTEGER"},
                           {"t5", "BIGINT"},
                           {"t9", "UBIGINT"},
                           {"t10", "HUGEINT"},
                           {"t11", "FLOAT"},
                           {"t12", "DOUBLE"},
                           {"t14", "DECIMAL(9,2)"},
                           {"t16", "DECIMAL(38,10)"},
                           {"t17", "VARCHAR"},
                           {"t18", "BLOB"},
                           {"t19", "DATE"},
                           {"t20", "TIME"},
                           {"t21", "TIMESTAMP"},
                           {"t22", "TIMESTAMP WITH TIME ZONE"},
                           {"t23", "UUID"},
                           {"t24", "VARCHAR[]"},
                           {"t25", "STRUCT(a INTEGER, b DECIMAL(9,2)[])"}}),
              "avro");
  std::string golden = from_hex(
      "020102ffffffff0f02feffffffffffffffff010228313834343637343430373337303935353136313502502d31"
      "3730313431313833343630343639323331373331363837333033373135383834313035373238020000c0bf029a"
      "9999999999b93f0208f8a432eb02204b3b4ca85a86c47a098a223fffffffff020a636166c3a9020400ff02fcb1"
      "01029098b1bed102029098bb86c8c4bf030201024835353065383430302d653239622d343164342d613731362d"
      "34343636353534343030303002060202610002000002020102060202010202ff0000");
  bench.decode({golden});
  ASSERT_TRUE(bench.rejected.empty()) << bench.rejected[0].reason;
  std::vector<std::string> values;
  for (size_t i = 0; i < bench.schema.columns.size(); ++i)
    values.push_back(bench.chunk.rows.GetValue(i, 0).ToString());
  EXPECT_THAT(values,
              ElementsAre("true", "-2147483648", "9223372036854775807", "18446744073709551615",
                          "-170141183460469231731687303715884105728", "-1.5", "0.1", "-1234567.89",
                          "9999999999999999999999999999.9999999999", "caf\xc3\xa9", "\\x00\\xFF",
                          "2001-03-09", "12:34:56.789", "2001-03-09 12:34:56.789",
                          "1969-12-31 23:59:59.999999+00", "550e8400-e29b-41d4-a716-446655440000",
                          "[a, NULL, '']", "{'a': -1, 'b': [0.01, -0.01, NULL]}"));
  EXPECT_EQ(bench.encode().at(0), golden);
}

TEST(AvroCodec, RefusesDamageWithAReason) {
  Bench source(every_type(), "avro");
  fill(source);
  auto values = source.encode();
  Bench bench(every_type(), "avro");
  for (const auto& value : values) {
    for (size_t size = 0; size < value.size(); ++size) {
      EXPECT_THAT(bench.one(value.substr(0, size)), HasSubstr("! field ")) << size;
    }
    EXPECT_EQ(bench.one(value + "x"), "! 1 bytes follow the record");
  }
  auto one = [](const std::string& type, std::string_view bytes) {
    return Bench(make_schema({{"x", type}}), "avro").one(std::string(bytes));
  };
  using namespace std::string_view_literals;
  EXPECT_EQ(one("INTEGER", "\x04\x02"sv), "! field \"x\": the union has no branch 2");
  EXPECT_EQ(one("TINYINT", "\x02\x80\x02"sv), "! field \"x\": 128 is out of range for TINYINT");
  EXPECT_EQ(one("INTEGER", "\x02\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02"sv),
            "! field \"x\": a number of more than 64 bits");
  EXPECT_EQ(one("BOOLEAN", "\x02\x02"sv), "! field \"x\": 2 is not a BOOLEAN");
  EXPECT_EQ(one("VARCHAR", "\x02\x02\xff"sv), "! field \"x\": not UTF-8");
  EXPECT_EQ(one("VARCHAR", "\x02\x01"sv), "! field \"x\": a length of -1 with 0 bytes left");
  EXPECT_EQ(one("INTEGER[]", "\x02\xfe\xff\xff\xff\x0f"sv),
            "! field \"x\": an array longer than the record");
  EXPECT_EQ(one("DECIMAL(4,2)", "\x02\x06\x01\0\0"sv),
            "! field \"x\": more digits than DECIMAL(4,2) has");
  EXPECT_EQ(one("DECIMAL(4,2)", "\x02\0"sv), "! field \"x\": a decimal without bytes");
  EXPECT_EQ(one("TIME", "\x02\x01"sv), "! field \"x\": -1 is out of range for TIME");
  EXPECT_EQ(one("INTEGER[]", "\x02\x03\x08\x02\x02\x02\x04\0"sv), "[1, 2]")
      << "a block with its size";
  EXPECT_EQ(
      one("DECIMAL(4,2)",
          "\x02\x28\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"sv),
      "-0.01")
      << "needless sign bytes";
}

TEST(AvroCodec, TheSchemaSaysWhatIsWritten) {
  auto text = avro_schema(
      make_schema({{"id", "BIGINT"}, {"at", "TIMESTAMP"}, {"s", "STRUCT(a DECIMAL(9,2))[]"}}),
      "flights");
  ASSERT_TRUE(text);
  EXPECT_EQ(
      *text,
      R"({"type":"record","name":"flights","fields":[{"name":"id","type":["null","long"],"default":null},)"
      R"({"name":"at","type":["null",{"type":"long","logicalType":"local-timestamp-micros"}],"default":null},)"
      R"({"name":"s","type":["null",{"type":"array","items":["null",{"type":"record","name":"flights_s_element",)"
      R"("fields":[{"name":"a","type":["null",{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}],)"
      R"("default":null}]}]}],"default":null}]})");
  EXPECT_EQ(avro_schema(make_schema({{"id", "BIGINT"}}), "no name").error().code(),
            Code::invalid_argument);
}

TEST(RecordCodec, RefusesWhatItCannotCarry) {
  auto code = [](const Schema& schema, const std::string& format) {
    auto made = make_record_codec(schema, format);
    return made ? std::string("made") : made.error().to_string();
  };
  EXPECT_THAT(code(make_schema({{"a", "INTERVAL"}}), "json"),
              HasSubstr("unsupported: column \"a\""));
  EXPECT_THAT(code(make_schema({{"a", "MAP(VARCHAR, INTEGER)"}}), "json"),
              HasSubstr("unsupported: column \"a\""));
  EXPECT_THAT(code(make_schema({{"a", "NONSENSE"}}), "json"), HasSubstr("column \"a\""));
  EXPECT_THAT(code(make_schema({{"a b", "INTEGER"}}), "avro"), HasSubstr("unsupported"));
  EXPECT_THAT(code(make_schema({{"a", "INTEGER"}}), "xml"), HasSubstr("formats are json and avro"));
  EXPECT_THAT(code({}, "json"), HasSubstr("at least one column"));
}

}  // namespace
}  // namespace ziwa::data
