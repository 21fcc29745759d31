#include "data/text_values_internal.h"

#include <gtest/gtest.h>

#include <limits>
#include <random>

namespace ziwa::data {
namespace {

template <typename Append, typename... Args>
std::string text(Append append, Args... args) {
  std::string out;
  append(args..., out);
  return out;
}

TEST(TextValues, Dates) {
  EXPECT_EQ(parse_date("1970-01-01"), 0);
  EXPECT_EQ(parse_date("2000-02-29"), 11016);
  EXPECT_EQ(parse_date("0001-01-01"), -719162);
  EXPECT_EQ(parse_date("9999-12-31"), 2932896);
  for (const char* wrong :
       {"", "1970-1-1", "1970-13-01", "1970-00-01", "1970-01-32", "1970-01-00", "1900-02-29",
        "2001-02-29", "0000-01-01", "1970-01-01 ", "1970/01/01", "infinity", "-001-01-01"}) {
    EXPECT_EQ(parse_date(wrong), std::nullopt) << wrong;
  }
  for (int32_t day = -719162; day <= 2932896; day += 97) {
    EXPECT_EQ(parse_date(text(append_date, day)), day);
  }
  std::string out;
  EXPECT_FALSE(append_date(2932897, out));
  EXPECT_FALSE(append_date(-719163, out));
  EXPECT_EQ(out, "");
}

TEST(TextValues, Times) {
  EXPECT_EQ(parse_time("00:00"), 0);
  EXPECT_EQ(parse_time("23:59:59.999999"), kMicrosPerDay - 1);
  EXPECT_EQ(parse_time("00:00:00.1"), 100'000);
  EXPECT_EQ(parse_time("00:00:00.123456789"), 123'456);
  for (const char* wrong :
       {"24:00", "12", "12:60", "12:00:60", "12:00:00.", "12:00:00.1234567891", "1:00", "12:00:"}) {
    EXPECT_EQ(parse_time(wrong), std::nullopt) << wrong;
  }
  EXPECT_EQ(text(append_time, 0), "00:00:00");
  EXPECT_EQ(text(append_time, 45'296'000'007), "12:34:56.000007");
}

TEST(TextValues, Timestamps) {
  EXPECT_EQ(parse_timestamp("2001-01-01T00:00:00"), 978'307'200'000'000);
  EXPECT_EQ(parse_timestamp("2001-01-01"), 978'307'200'000'000);
  EXPECT_EQ(parse_timestamp("2001-01-01 00:00"), 978'307'200'000'000);
  EXPECT_EQ(parse_timestamp("2001-01-01T00:00:00Z"), 978'307'200'000'000);
  EXPECT_EQ(parse_timestamp("2001-01-01T02:00:00+02:00"), 978'307'200'000'000);
  EXPECT_EQ(parse_timestamp("2000-12-31T18:30:00.5-0530"), 978'307'200'500'000);
  EXPECT_EQ(parse_timestamp("1969-12-31T23:59:59.999999"), -1);
  for (const char* wrong :
       {"2001-01-01T", "2001-01-01T00:00:00+", "2001-01-01T00:00:00+24:00", "2001-01-01T00:00:00ZZ",
        "2001-01-01X00:00:00", "now", "2001-01-01T00:00:00 Z"}) {
    EXPECT_EQ(parse_timestamp(wrong), std::nullopt) << wrong;
  }
  EXPECT_EQ(text(append_timestamp, int64_t{-1}), "1969-12-31T23:59:59.999999");
  std::mt19937_64 random(1);
  for (int i = 0; i < 10'000; ++i) {
    int64_t micros = static_cast<int64_t>(random() % 253'402'300'800'000'000ull) -
                     static_cast<int64_t>(random() % 62'135'596'800'000'000ull);
    EXPECT_EQ(parse_timestamp(text(append_timestamp, micros)), micros);
  }
}

std::string decimal(std::string_view from, int width, int scale) {
  auto number = parse_decimal(from, width, scale);
  return number ? text(append_decimal, *number, scale) : "none";
}

TEST(TextValues, Decimals) {
  EXPECT_EQ(decimal("12.34", 4, 2), "12.34");
  EXPECT_EQ(decimal("-0.05", 4, 2), "-0.05");
  EXPECT_EQ(decimal("1", 4, 2), "1.00");
  EXPECT_EQ(decimal("0.125", 4, 2), "0.13");
  EXPECT_EQ(decimal("-0.125", 4, 2), "-0.13");
  EXPECT_EQ(decimal("0.30000000000000004", 4, 2), "0.30");
  EXPECT_EQ(decimal("99.994", 4, 2), "99.99");
  EXPECT_EQ(decimal("99.995", 4, 2), "none");
  EXPECT_EQ(decimal("100", 4, 2), "none");
  EXPECT_EQ(decimal("1.5e1", 4, 2), "15.00");
  EXPECT_EQ(decimal("1500e-2", 4, 2), "15.00");
  EXPECT_EQ(decimal("1e-9999", 4, 2), "0.00");
  EXPECT_EQ(decimal("0e9999", 4, 2), "0.00");
  EXPECT_EQ(decimal("1e9999", 4, 2), "none");
  EXPECT_EQ(decimal("0.006", 4, 2), "0.01");
  EXPECT_EQ(decimal("0.0006", 4, 2), "0.00");
  EXPECT_EQ(decimal("99999999999999999999999999999999999999", 38, 0),
            "99999999999999999999999999999999999999");
  EXPECT_EQ(decimal("999999999999999999999999999999999999999", 38, 0), "none");
  for (const char* wrong : {"", "-", ".", "1e", "1e99999", "1.2.3", "1x", "NaN", " 1", "--1"}) {
    EXPECT_EQ(decimal(wrong, 10, 2), "none") << wrong;
  }
}

TEST(TextValues, Int128) {
  constexpr auto kMin = static_cast<Int128>(static_cast<unsigned __int128>(1) << 127);
  EXPECT_EQ(text(append_int128, kMin), "-170141183460469231731687303715884105728");
  EXPECT_TRUE(parse_int128("-170141183460469231731687303715884105728") == kMin);
  EXPECT_TRUE(parse_int128("170141183460469231731687303715884105727") == ~kMin);
  for (const char* wrong : {"", "-", "1.0", "170141183460469231731687303715884105728",
                            "999999999999999999999999999999999999999", "1e3"}) {
    EXPECT_FALSE(parse_int128(wrong)) << wrong;
  }
}

TEST(TextValues, Uuids) {
  auto uuid = parse_uuid("550E8400-e29b-41d4-a716-446655440000");
  ASSERT_TRUE(uuid);
  EXPECT_EQ(text(append_uuid, *uuid), "550e8400-e29b-41d4-a716-446655440000");
  for (const char* wrong :
       {"", "550e8400e29b41d4a716446655440000", "550e8400-e29b-41d4-a716-44665544000g",
        "550e8400-e29b-41d4-a716-4466554400000", "{50e8400-e29b-41d4-a716-446655440000"}) {
    EXPECT_FALSE(parse_uuid(wrong)) << wrong;
  }
}

TEST(TextValues, Base64OfRfc4648) {
  const std::pair<const char*, const char*> pairs[] = {{"", ""},
                                                       {"f", "Zg=="},
                                                       {"fo", "Zm8="},
                                                       {"foo", "Zm9v"},
                                                       {"foob", "Zm9vYg=="},
                                                       {"fooba", "Zm9vYmE="},
                                                       {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, encoded] : pairs) {
    EXPECT_EQ(text(append_base64, std::string_view(bytes)), encoded);
    std::string back;
    EXPECT_TRUE(parse_base64(encoded, back));
    EXPECT_EQ(back, bytes);
  }
  for (const char* wrong : {"Zg", "Zg=", "Z===", "Zh==", "Zm9=", "Zm9v====", "Zm=v", "Zm9\n"}) {
    std::string out;
    EXPECT_FALSE(parse_base64(wrong, out)) << wrong;
  }
}

TEST(TextValues, JsonStrings) {
  EXPECT_EQ(text(append_json_string, std::string_view("a\"\\\n\r\t\x01\x1f\xc3\xa9")),
            "\"a\\\"\\\\\\n\\r\\t\\u0001\\u001f\xc3\xa9\"");
  EXPECT_EQ(text(append_json_string, std::string_view()), "\"\"");
}

}  // namespace
}  // namespace ziwa::data
