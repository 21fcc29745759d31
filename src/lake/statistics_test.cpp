#include "lake/partition_value_internal.h"
#include "lake/statistics_internal.h"

#include <gtest/gtest.h>

#include <random>

namespace ziwa::lake {
namespace {

using duckdb::LogicalType;
using duckdb::Value;

std::string repeat(const std::string& text, size_t times) {
  std::string out;
  for (size_t i = 0; i < times; ++i) out += text;
  return out;
}

TEST(StatisticsTest, ShortStringsAreTheirOwnBounds) {
  for (const char* text : {"", "a", "äöü", "exactly thirty-two characters!!!"}) {
    EXPECT_EQ(lower_bound_of(text), text);
    EXPECT_EQ(upper_bound_of(text), text);
  }
}

TEST(StatisticsTest, LongStringsAreCutAtCharactersAndRaised) {
  EXPECT_EQ(lower_bound_of(repeat("é", 40)), repeat("é", 32));
  EXPECT_EQ(upper_bound_of(repeat("é", 40)), repeat("é", 31) + "ê");
  const std::string last = "\xF4\x8F\xBF\xBF";  // U+10FFFF
  EXPECT_EQ(upper_bound_of("ab" + repeat(last, 40)), "ac");
  EXPECT_EQ(upper_bound_of(repeat(last, 40)), std::nullopt);
  // After U+D7FF comes U+E000: surrogates are no characters.
  EXPECT_EQ(upper_bound_of(repeat("a", 31) + "\xED\x9F\xBF" + "x"),
            repeat("a", 31) + "\xEE\x80\x80");
}

TEST(StatisticsTest, UpperBoundsAreAboveAndShort) {
  std::mt19937 random(7);
  const std::vector<std::string> letters = {"a",
                                            "\x7f",
                                            "é",
                                            "\xDF\xBF",
                                            "\xED\x9F\xBF",
                                            "\xEF\xBF\xBF",
                                            "\xF0\x9F\x98\x80",
                                            "\xF4\x8F\xBF\xBF"};
  for (int round = 0; round < 2000; ++round) {
    std::string text;
    for (size_t i = random() % 50; i > 0; --i) text += letters[random() % letters.size()];
    EXPECT_LE(lower_bound_of(text), text);
    if (auto upper = upper_bound_of(text)) EXPECT_GE(*upper, text);
  }
}

TableColumns columns_of(const std::vector<std::pair<std::string, std::string>>& columns,
                        const std::string& partition = "") {
  data::Schema schema;
  for (auto& [name, type] : columns)
    schema.columns.push_back({.id = 1, .name = name, .type = type});
  Metadata metadata;
  metadata.schema_string = schema_to_string(schema).value();
  if (!partition.empty()) metadata.partition_columns = {partition};
  return parse_schema(metadata).value();
}

TEST(StatisticsTest, PrunesOnlyWhatCannotMatch) {
  using Op = data::ScanRequest::Bound::Op;
  auto columns = columns_of({{"n", "INTEGER"},
                             {"t", "TIMESTAMP"},
                             {"d", "DOUBLE"},
                             {"price", "DECIMAL(38,2)"},
                             {"s", "VARCHAR"}});
  DataFile file{
      .stats =
          R"({"numRecords":4,"minValues":{"n":3,"t":"2001-01-01T00:00:00.000","d":1.5,"price":1.5,"s":"b"},)"
          R"("maxValues":{"n":9,"t":"2001-01-01T00:00:01.123","d":2.5,"price":2.5,"s":"d"},"nullCount":{"n":0,"s":0}})",
      .rows = 4};
  auto may = [&](size_t column, Op op, Value value) {
    std::vector<data::ScanRequest::Bound> bounds = {
        {.column = column, .op = op, .value = std::make_shared<const Value>(value)}};
    return FilePruner(columns, bounds).may_match(file);
  };
  EXPECT_TRUE(may(0, Op::equal, Value::INTEGER(3)));
  EXPECT_FALSE(may(0, Op::equal, Value::INTEGER(2)));
  EXPECT_FALSE(may(0, Op::equal, Value::BIGINT(10)));
  EXPECT_FALSE(may(0, Op::less, Value::INTEGER(3)));
  EXPECT_TRUE(may(0, Op::less_equal, Value::INTEGER(3)));
  EXPECT_FALSE(may(0, Op::greater, Value::INTEGER(9)));
  EXPECT_TRUE(may(0, Op::greater_equal, Value::INTEGER(9)));
  // Spark's bound has milliseconds only: the value may lie just above.
  EXPECT_TRUE(
      may(1, Op::equal, Value("2001-01-01 00:00:01.1239").DefaultCastAs(LogicalType::TIMESTAMP)));
  EXPECT_FALSE(
      may(1, Op::equal, Value("2001-01-01 00:00:01.124").DefaultCastAs(LogicalType::TIMESTAMP)));
  // NaN is above all numbers and may be missing from the bounds.
  EXPECT_TRUE(may(2, Op::greater, Value::DOUBLE(99)));
  EXPECT_FALSE(may(2, Op::less, Value::DOUBLE(1)));
  // Decimals of many digits are not compared through doubles; another type is not compared at all.
  EXPECT_TRUE(may(3, Op::greater, Value("99").DefaultCastAs(LogicalType::DECIMAL(38, 2))));
  EXPECT_TRUE(may(0, Op::equal, Value::DOUBLE(100)));
  EXPECT_FALSE(may(4, Op::equal, Value("a")));
  file.stats = R"({"numRecords":4,"nullCount":{"n":4}})";
  EXPECT_FALSE(may(0, Op::greater_equal, Value::INTEGER(0)));
  for (const char* broken : {"", "x", "[]", "7", R"({"minValues":7})", R"({"minValues":{"n":{}}})",
                             R"({"nullCount":7})"}) {
    file.stats = broken;
    EXPECT_TRUE(may(0, Op::equal, Value::INTEGER(1000))) << broken;
  }
}

TEST(StatisticsTest, JsonHoldsWhatReadersUnderstand) {
  duck::WrittenFile file{.rows = 2, .bytes = 9, .columns = {}};
  file.columns.push_back(
      {.min = Value("9999-12-31 01:02:03.5").DefaultCastAs(LogicalType::TIMESTAMP_TZ),
       .max = Value("9999-12-31 23:59:59").DefaultCastAs(LogicalType::TIMESTAMP_TZ),
       .null_count = 1});
  file.columns.push_back(
      {.min = Value("12345678901234567890.12").DefaultCastAs(LogicalType::DECIMAL(30, 2)),
       .max = Value("5").DefaultCastAs(LogicalType::DECIMAL(30, 2)),
       .null_count = 0});
  file.columns.push_back(
      {.min = Value::DOUBLE(-1), .max = Value::DOUBLE(0.1), .null_count = std::nullopt});
  file.columns.push_back({.min = Value("q\"\n"), .max = Value("z"), .null_count = 0});
  file.columns.push_back({.min = std::nullopt, .max = std::nullopt, .null_count = 0});
  file.columns.push_back({.min = std::nullopt, .max = std::nullopt, .null_count = 2});
  std::vector<duck::NamedType> columns = {
      {"t", LogicalType::TIMESTAMP_TZ}, {"d", LogicalType::DECIMAL(30, 2)},
      {"f", LogicalType::DOUBLE},       {"s", LogicalType::VARCHAR},
      {"b", LogicalType::BLOB},         {"n", LogicalType::DOUBLE}};
  EXPECT_EQ(
      statistics_to_json(file, columns),
      R"({"numRecords":2,"minValues":{"t":"9999-12-31T01:02:03.5Z","d":12345678901234567890.12,"f":-1.0,"s":"q\"\n"},)"
      R"("maxValues":{"t":"9999-12-31T23:59:59Z","d":5.00,"f":0.1,"s":"z"},)"
      R"("nullCount":{"t":1,"d":0,"s":0,"b":0,"n":2}})");
}

TEST(StatisticsTest, WithoutABoundOfOneColumnThereAreNone) {
  auto date = [](const char* text) { return Value(text).DefaultCastAs(LogicalType::DATE); };
  struct Case {
    Value min, max;
  };
  for (const Case& one : {Case{Value::DOUBLE(-INFINITY), Value::DOUBLE(1)},
                          Case{Value::DOUBLE(0), Value::DOUBLE(NAN)},
                          Case{date("0044-03-15 (BC)"), date("2000-01-01")},
                          Case{date("2000-01-01"), date("12024-03-15")},
                          Case{date("2000-01-01"), date("infinity")}}) {
    duck::WrittenFile file{.rows = 2, .bytes = 9, .columns = {}};
    file.columns.push_back({.min = Value::INTEGER(1), .max = Value::INTEGER(2), .null_count = 0});
    file.columns.push_back({.min = one.min, .max = one.max, .null_count = 0});
    EXPECT_EQ(statistics_to_json(file, {{"i", LogicalType::INTEGER}, {"x", one.min.type()}}),
              R"({"numRecords":2,"nullCount":{"i":0,"x":0}})");
  }
}

TEST(PartitionValueTest, RoundTrips) {
  for (const auto& [text, type] : std::vector<std::pair<std::string, LogicalType>>{
           {"true", LogicalType::BOOLEAN},
           {"-7", LogicalType::BIGINT},
           {"1.50", LogicalType::DECIMAL(10, 2)},
           {"2001-02-03", LogicalType::DATE},
           {"2001-02-03 04:05:06.789", LogicalType::TIMESTAMP},
           {"2001-02-03 04:05:06.000789+00", LogicalType::TIMESTAMP_TZ},
           {"nan", LogicalType::DOUBLE},
           {"-inf", LogicalType::FLOAT},
           {"5e-324", LogicalType::DOUBLE},
           {"word", LogicalType::VARCHAR},
           {"\\x00\\xFF", LogicalType::BLOB}}) {
    Value value(text);
    ASSERT_TRUE(value.DefaultTryCastAs(type)) << text;
    auto written = partition_text(value);
    ASSERT_TRUE(written.has_value() && written->has_value()) << text;
    auto back = partition_value(*written, type);
    ASSERT_TRUE(back.has_value()) << text << ": " << back.error().to_string();
    EXPECT_EQ(back->ToString(), value.ToString()) << **written;
  }
  EXPECT_EQ(partition_text(Value("2001-02-03 04:05:06+00").DefaultCastAs(LogicalType::TIMESTAMP_TZ))
                .value(),
            "2001-02-03T04:05:06.000000Z");
  for (const char* text : {"infinity", "0044-03-15 (BC)", "12024-03-15"}) {
    for (const auto& type : {LogicalType::TIMESTAMP_TZ, LogicalType::TIMESTAMP, LogicalType::DATE})
      EXPECT_EQ(partition_text(Value(text).DefaultCastAs(type)).error().code(),
                Code::invalid_argument);
  }
  // Both forms that Spark writes.
  EXPECT_EQ(partition_value("2001-02-03 04:05:06", LogicalType::TIMESTAMP_TZ)->ToString(),
            "2001-02-03 04:05:06+00");
  EXPECT_EQ(partition_value("2001-02-03T04:05:06.5Z", LogicalType::TIMESTAMP_TZ)->ToString(),
            "2001-02-03 04:05:06.5+00");
  EXPECT_EQ(partition_value("x", LogicalType::INTEGER).error().code(), Code::corrupt);
}

}  // namespace
}  // namespace ziwa::lake
