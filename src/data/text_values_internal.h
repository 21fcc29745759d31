#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ziwa::data {

/// Values as text, as the JSON codec reads and writes them. Parsing is strict: the whole text, or
/// nullopt.

using Int128 = __int128;

constexpr int64_t kMicrosPerDay = 86'400'000'000;

/// "2001-03-09", years 0001 to 9999: days since 1970-01-01.
std::optional<int32_t> parse_date(std::string_view text);
/// "23:59", "23:59:59", "23:59:59.123456" (up to 9 digits, cut to 6): microseconds since midnight.
std::optional<int64_t> parse_time(std::string_view text);
/// Date, then "T" or a space and a time, then perhaps "Z" or "+02:00": microseconds since 1970 UTC.
/// A date alone is midnight.
std::optional<int64_t> parse_timestamp(std::string_view text);
/// "-12.345e2" as a whole number of 10^-scale, rounded half away from zero; nullopt if it has more
/// than `width` digits.
std::optional<Int128> parse_decimal(std::string_view text, int width, int scale);
/// A whole number without fraction or exponent.
std::optional<Int128> parse_int128(std::string_view text);
/// "550e8400-e29b-41d4-a716-446655440000", upper or lower case.
std::optional<unsigned __int128> parse_uuid(std::string_view text);
/// RFC 4648 with padding, appended to `out`; false if it is not.
bool parse_base64(std::string_view text, std::string& out);

/// The inverses, appended to `out`. Dates outside of the years 0001 to 9999 give false and append
/// nothing.
bool append_date(int32_t days, std::string& out);
void append_time(int64_t micros, std::string& out);
bool append_timestamp(int64_t micros, std::string& out);
void append_int128(Int128 number, std::string& out);
void append_decimal(Int128 number, int scale, std::string& out);
void append_uuid(unsigned __int128 uuid, std::string& out);
void append_base64(std::string_view bytes, std::string& out);
/// As a JSON string with its quotes; `text` is UTF-8.
void append_json_string(std::string_view text, std::string& out);

}  // namespace ziwa::data
