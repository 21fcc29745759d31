#include "protocol/http/filter_value.h"

#include <gtest/gtest.h>

#include <tuple>

namespace ziwa::protocol::http {
namespace {

using duckdb::LogicalType;

/// "at_most at_least"; "-" beyond the range; "no" when it is no number.
std::string place(std::string_view text, const LogicalType& type) {
  auto placed = place_number(text, type);
  if (!placed) return placed.error().code() == Code::invalid_argument ? "no" : "another error";
  return placed->at_most.value_or("-") + " " + placed->at_least.value_or("-");
}

std::string fitted(std::string op, std::vector<std::string> values, const LogicalType& type) {
  Filter filter{.column = "a", .op = std::move(op), .values = std::move(values)};
  for (size_t i = filter.values.size(); i-- > 0;) {
    auto changed = fit_value(filter, i, type);
    if (!changed) return "refused";
  }
  std::string out = filter.op;
  for (const auto& value : filter.values) out += " " + value;
  return out;
}

TEST(PlaceNumber, whole_numbers) {
  const auto type = LogicalType::BIGINT;
  EXPECT_EQ(place("2", type), "2 2");
  EXPECT_EQ(place("+02.00", type), "2 2");
  EXPECT_EQ(place(" -0 ", type), "0 0");
  EXPECT_EQ(place("1.5", type), "1 2");
  EXPECT_EQ(place("-1.5", type), "-2 -1");
  EXPECT_EQ(place("-.5", type), "-1 0");
  EXPECT_EQ(place("9.9", type), "9 10");
  EXPECT_EQ(place("12e2", type), "1200 1200");
  EXPECT_EQ(place("1234e-2", type), "12 13");
  EXPECT_EQ(place("1e-999999999999", type), "0 1");
  EXPECT_EQ(place("0e999999999999", type), "0 0");
}

TEST(PlaceNumber, the_ends_of_the_range) {
  EXPECT_EQ(place("127", LogicalType::TINYINT), "127 127");
  EXPECT_EQ(place("127.5", LogicalType::TINYINT), "127 -");
  EXPECT_EQ(place("128", LogicalType::TINYINT), "127 -");
  EXPECT_EQ(place("-128", LogicalType::TINYINT), "-128 -128");
  EXPECT_EQ(place("-128.1", LogicalType::TINYINT), "- -128");
  EXPECT_EQ(place("-1", LogicalType::UBIGINT), "- 0");
  EXPECT_EQ(place("-0.1", LogicalType::UBIGINT), "- 0");
  EXPECT_EQ(place("1e999999999999", LogicalType::BIGINT), "9223372036854775807 -");
  EXPECT_EQ(place("-1e999999999999", LogicalType::BIGINT), "- -9223372036854775808");
  EXPECT_EQ(place("170141183460469231731687303715884105727.5", LogicalType::HUGEINT),
            "170141183460469231731687303715884105727 -");
  EXPECT_EQ(place("-170141183460469231731687303715884105728", LogicalType::HUGEINT),
            "-170141183460469231731687303715884105728 -170141183460469231731687303715884105728");
}

TEST(PlaceNumber, decimals) {
  const auto type = LogicalType::DECIMAL(9, 2);
  EXPECT_EQ(place("1.2", type), "1.20 1.20");
  EXPECT_EQ(place("1.204", type), "1.20 1.21");
  EXPECT_EQ(place("1.999", type), "1.99 2.00");
  EXPECT_EQ(place("-0.001", type), "-0.01 0.00");
  EXPECT_EQ(place("9999999.99", type), "9999999.99 9999999.99");
  EXPECT_EQ(place("9999999.991", type), "9999999.99 -");
  EXPECT_EQ(place("-10000000", type), "- -9999999.99");
}

TEST(PlaceNumber, what_is_no_number) {
  for (const char* text : {"", " ", "x", "1x", "1.2.3", ".", "-", "e5", "1e", "1e+", "1e1.5",
                           "0x10", "1_000", "NaN", "inf", "1 2", "--1"}) {
    EXPECT_EQ(place(text, LogicalType::BIGINT), "no") << text;
  }
}

TEST(FitValue, means_the_same_rows) {
  const auto type = LogicalType::BIGINT;
  EXPECT_EQ(fitted("=", {"2.0"}, type), "= 2");
  EXPECT_EQ(fitted("=", {"1.5"}, type), "never");
  EXPECT_EQ(fitted("<>", {"1.5"}, type), "always");
  EXPECT_EQ(fitted(">", {"1.5"}, type), ">= 2");
  EXPECT_EQ(fitted(">=", {"2.4"}, type), ">= 3");
  EXPECT_EQ(fitted("<", {"1.5"}, type), "<= 1");
  EXPECT_EQ(fitted("<=", {"1.5"}, type), "<= 1");
  EXPECT_EQ(fitted("<", {"1e30"}, type), "<= 9223372036854775807");
  EXPECT_EQ(fitted(">", {"1e30"}, type), "never");
  EXPECT_EQ(fitted("IN", {"1", "1.5", "2.0", "7.5"}, type), "IN 1 2");
  EXPECT_EQ(fitted("IN", {"1.5", "2.5"}, type), "never");
  EXPECT_EQ(fitted(">", {"many"}, type), "refused");
}

TEST(FitValue, times_are_whole_or_refused) {
  EXPECT_EQ(fitted("=", {"2026-01-02"}, LogicalType::DATE), "= 2026-01-02");
  EXPECT_EQ(fitted("=", {"2026-01-02 10:00:00"}, LogicalType::DATE), "refused");
  EXPECT_EQ(fitted("=", {"2026-01-02 00:00:00"}, LogicalType::DATE), "= 2026-01-02 00:00:00");
  EXPECT_EQ(fitted(">", {"2026-01-02 10:00:00.5"}, LogicalType::TIMESTAMP_S), "refused");
  EXPECT_EQ(fitted(">", {"2026-01-02 10:00:00.5"}, LogicalType::TIMESTAMP_MS),
            "> 2026-01-02 10:00:00.5");
  EXPECT_EQ(fitted(">", {"2026-01-02 10:00:00.0000001"}, LogicalType::TIMESTAMP), "refused");
  EXPECT_EQ(fitted(">", {"0001-01-02 10:00:00"}, LogicalType::TIMESTAMP), "> 0001-01-02 10:00:00");
}

TEST(FitValue, other_types_are_left_as_they_are) {
  EXPECT_EQ(fitted("=", {"1.5"}, LogicalType::VARCHAR), "= 1.5");
  EXPECT_EQ(fitted("=", {"1.55"}, LogicalType::DOUBLE), "= 1.55");
  EXPECT_EQ(fitted("=", {"1.55"}, LogicalType::UNKNOWN), "= 1.55");
}

TEST(BlobBytes, as_answers_write_them) {
  EXPECT_EQ(blob_bytes("\\x00fF"), std::string("\0\xff", 2));
  EXPECT_EQ(blob_bytes("\\x"), "");
  for (const char* text : {"", "abc", "\\x0", "\\xgg", "\\x00\\xff", "\\x-1", "x00", "\\X00"}) {
    EXPECT_EQ(blob_bytes(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace ziwa::protocol::http
