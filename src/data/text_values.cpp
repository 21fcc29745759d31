#include "data/text_values_internal.h"

#include <algorithm>
#include <array>

namespace ziwa::data {
namespace {

constexpr std::string_view kHex = "0123456789abcdef";
constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Days since 1970 of a date of the proleptic Gregorian calendar, and back.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
constexpr int32_t days_from_civil(int year, unsigned month, unsigned day) {
  year -= month <= 2;
  int era = (year >= 0 ? year : year - 399) / 400;
  auto year_of_era = static_cast<unsigned>(year - era * 400);
  unsigned day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  unsigned day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + static_cast<int>(day_of_era) - 719468;
}

struct Civil {
  int year;
  unsigned month;
  unsigned day;
};
constexpr Civil civil_from_days(int32_t days) {
  days += 719468;
  int era = (days >= 0 ? days : days - 146096) / 146097;
  auto day_of_era = static_cast<unsigned>(days - era * 146097);
  unsigned year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  unsigned day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  unsigned shifted = (5 * day_of_year + 2) / 153;
  unsigned month = shifted < 10 ? shifted + 3 : shifted - 9;
  return {static_cast<int>(year_of_era) + era * 400 + (month <= 2), month,
          day_of_year - (153 * shifted + 2) / 5 + 1};
}

constexpr int32_t kFirstDay = days_from_civil(1, 1, 1);
constexpr int32_t kLastDay = days_from_civil(9999, 12, 31);

constexpr unsigned days_in_month(int year, unsigned month) {
  constexpr std::array<unsigned char, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month == 2 && leap ? 29 : kDays[month - 1];
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Takes exactly `count` digits off the front.
bool take_digits(std::string_view& text, size_t count, unsigned& number) {
  if (text.size() < count) return false;
  number = 0;
  for (size_t i = 0; i < count; ++i) {
    if (!is_digit(text[i])) return false;
    number = number * 10 + static_cast<unsigned>(text[i] - '0');
  }
  text.remove_prefix(count);
  return true;
}

bool take(std::string_view& text, char c) {
  if (text.empty() || text.front() != c) return false;
  text.remove_prefix(1);
  return true;
}

bool take_date(std::string_view& text, int32_t& days) {
  unsigned year = 0;
  unsigned month = 0;
  unsigned day = 0;
  if (!take_digits(text, 4, year) || !take(text, '-') || !take_digits(text, 2, month) ||
      !take(text, '-') || !take_digits(text, 2, day)) {
    return false;
  }
  if (year < 1 || month < 1 || month > 12 || day < 1) return false;
  if (day > days_in_month(static_cast<int>(year), month)) return false;
  days = days_from_civil(static_cast<int>(year), month, day);
  return true;
}

bool take_fraction(std::string_view& text, int64_t& micros) {
  constexpr size_t kDigitsMax = 9;
  size_t count = 0;
  int64_t factor = 100'000;
  for (; count < text.size() && is_digit(text[count]); ++count) {
    micros += factor * (text[count] - '0');
    factor /= 10;
  }
  text.remove_prefix(count);
  return count >= 1 && count <= kDigitsMax;
}

bool take_time(std::string_view& text, int64_t& micros) {
  unsigned hour = 0;
  unsigned minute = 0;
  unsigned second = 0;
  if (!take_digits(text, 2, hour) || !take(text, ':') || !take_digits(text, 2, minute))
    return false;
  if (take(text, ':') && !take_digits(text, 2, second)) return false;
  if (hour > 23 || minute > 59 || second > 59) return false;
  micros = ((hour * 60LL + minute) * 60 + second) * 1'000'000;
  return !take(text, '.') || take_fraction(text, micros);
}

/// "Z", "+02:00", "+0200", "+02", or nothing at all.
bool take_zone(std::string_view& text, int64_t& offset_micros) {
  if (text.empty() || take(text, 'Z') || take(text, 'z')) return text.empty();
  int sign = text.front() == '-' ? -1 : 1;
  if (!take(text, '+') && !take(text, '-')) return false;
  unsigned hour = 0;
  unsigned minute = 0;
  if (!take_digits(text, 2, hour)) return false;
  if (!text.empty()) {
    take(text, ':');
    if (!take_digits(text, 2, minute)) return false;
  }
  if (hour > 23 || minute > 59) return false;
  offset_micros = sign * (hour * 60LL + minute) * 60'000'000;
  return text.empty();
}

void append_digits(unsigned number, int count, std::string& out) {
  size_t begin = out.size();
  out.resize(begin + static_cast<size_t>(count));
  for (int i = count - 1; i >= 0; --i) {
    out[begin + static_cast<size_t>(i)] = static_cast<char>('0' + number % 10);
    number /= 10;
  }
}

constexpr int kPowerMax = 38;
constexpr std::array<Int128, kPowerMax + 1> kPowers = [] {
  std::array<Int128, kPowerMax + 1> powers{};
  powers[0] = 1;
  for (size_t i = 1; i < powers.size(); ++i) powers[i] = powers[i - 1] * 10;
  return powers;
}();

/// The digits of a decimal number without leading zeroes, and where its point is: digits *
/// 10^-point.
struct DecimalText {
  bool negative = false;
  std::string digits;
  int64_t point = 0;
};

std::optional<DecimalText> split_decimal(std::string_view text) {
  DecimalText number;
  if (take(text, '-')) number.negative = true;
  size_t seen = 0;
  bool after_point = false;
  for (; !text.empty() && (is_digit(text.front()) || (text.front() == '.' && !after_point));
       text.remove_prefix(1)) {
    if (text.front() == '.') {
      after_point = true;
      continue;
    }
    ++seen;
    if (text.front() != '0' || !number.digits.empty()) number.digits += text.front();
    number.point += after_point;
  }
  if (seen == 0) return std::nullopt;
  if (take(text, 'e') || take(text, 'E')) {
    bool negative = take(text, '-');
    if (!negative) take(text, '+');
    unsigned exponent = 0;
    if (text.empty() || text.size() > 4 || !take_digits(text, text.size(), exponent))
      return std::nullopt;
    number.point += negative ? static_cast<int64_t>(exponent) : -static_cast<int64_t>(exponent);
  }
  if (!text.empty()) return std::nullopt;
  return number;
}

}  // namespace

std::optional<int32_t> parse_date(std::string_view text) {
  int32_t days = 0;
  if (!take_date(text, days) || !text.empty()) return std::nullopt;
  return days;
}

std::optional<int64_t> parse_time(std::string_view text) {
  int64_t micros = 0;
  if (!take_time(text, micros) || !text.empty()) return std::nullopt;
  return micros;
}

std::optional<int64_t> parse_timestamp(std::string_view text) {
  int32_t days = 0;
  int64_t micros = 0;
  int64_t offset = 0;
  if (!take_date(text, days)) return std::nullopt;
  if (!text.empty()) {
    if (!take(text, 'T') && !take(text, ' ') && !take(text, 't')) return std::nullopt;
    if (!take_time(text, micros) || !take_zone(text, offset)) return std::nullopt;
  }
  return days * kMicrosPerDay + micros - offset;
}

std::optional<Int128> parse_decimal(std::string_view text, int width, int scale) {
  auto number = split_decimal(text);
  if (!number) return std::nullopt;
  if (number->digits.empty()) return Int128{0};
  // What is left of the last digit that counts, in digits.
  int64_t kept = static_cast<int64_t>(number->digits.size()) - number->point + scale;
  if (kept > width) return std::nullopt;
  if (kept < 0) return Int128{0};
  Int128 value = 0;
  for (int64_t i = 0; i < kept; ++i) {
    auto at = static_cast<size_t>(i);
    value = value * 10 + (at < number->digits.size() ? number->digits[at] - '0' : 0);
  }
  auto next = static_cast<size_t>(kept);
  if (next < number->digits.size() && number->digits[next] >= '5') ++value;
  if (value >= kPowers[static_cast<size_t>(width)]) return std::nullopt;
  return number->negative ? -value : value;
}

std::optional<Int128> parse_int128(std::string_view text) {
  bool negative = take(text, '-');
  if (text.empty() || text.size() > 39) return std::nullopt;
  unsigned __int128 value = 0;
  for (char c : text) {
    if (!is_digit(c)) return std::nullopt;
    unsigned __int128 next = value * 10 + static_cast<unsigned>(c - '0');
    if (next / 10 != value) return std::nullopt;
    value = next;
  }
  constexpr unsigned __int128 kTop = static_cast<unsigned __int128>(1) << 127;
  if (value > kTop || (value == kTop && !negative)) return std::nullopt;
  return static_cast<Int128>(negative ? ~value + 1 : value);
}

std::optional<unsigned __int128> parse_uuid(std::string_view text) {
  if (text.size() != 36) return std::nullopt;
  unsigned __int128 value = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i] != '-') return std::nullopt;
      continue;
    }
    char c = text[i] >= 'A' && text[i] <= 'F' ? static_cast<char>(text[i] - 'A' + 'a') : text[i];
    size_t digit = kHex.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    value = value << 4 | digit;
  }
  return value;
}

bool parse_base64(std::string_view text, std::string& out) {
  static const auto digits = [] {
    std::array<signed char, 256> values{};
    values.fill(-1);
    for (size_t i = 0; i < kBase64.size(); ++i) {
      values[static_cast<unsigned char>(kBase64[i])] = static_cast<signed char>(i);
    }
    return values;
  }();
  if (text.size() % 4 != 0) return false;
  size_t padding = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  for (size_t i = 0; i < text.size(); i += 4) {
    size_t missing = i + 4 == text.size() ? padding : 0;
    uint32_t group = 0;
    for (size_t j = 0; j < 4; ++j) {
      int value = j >= 4 - missing ? 0 : digits[static_cast<unsigned char>(text[i + j])];
      if (value < 0) return false;
      group = group << 6 | static_cast<uint32_t>(value);
    }
    // Bits that no byte takes must be zero, or two texts would mean one value.
    if (missing > 0 && (group & ((1u << (8 * missing)) - 1)) != 0) return false;
    for (size_t j = 0; j < 3 - missing; ++j) out += static_cast<char>(group >> (16 - 8 * j));
  }
  return true;
}

bool append_date(int32_t days, std::string& out) {
  if (days < kFirstDay || days > kLastDay) return false;
  Civil civil = civil_from_days(days);
  append_digits(static_cast<unsigned>(civil.year), 4, out);
  out += '-';
  append_digits(civil.month, 2, out);
  out += '-';
  append_digits(civil.day, 2, out);
  return true;
}

void append_time(int64_t micros, std::string& out) {
  auto seconds = static_cast<unsigned>(micros / 1'000'000);
  auto fraction = static_cast<unsigned>(micros % 1'000'000);
  append_digits(seconds / 3600, 2, out);
  out += ':';
  append_digits(seconds / 60 % 60, 2, out);
  out += ':';
  append_digits(seconds % 60, 2, out);
  if (fraction == 0) return;
  out += '.';
  append_digits(fraction, 6, out);
}

bool append_timestamp(int64_t micros, std::string& out) {
  int64_t days = micros / kMicrosPerDay - (micros % kMicrosPerDay < 0);
  if (days < kFirstDay || days > kLastDay) return false;
  append_date(static_cast<int32_t>(days), out);
  out += 'T';
  append_time(micros - days * kMicrosPerDay, out);
  return true;
}

void append_int128(Int128 number, std::string& out) {
  auto value = static_cast<unsigned __int128>(number);
  if (number < 0) {
    out += '-';
    value = ~value + 1;
  }
  size_t begin = out.size();
  do {
    out += static_cast<char>('0' + static_cast<unsigned>(value % 10));
    value /= 10;
  } while (value != 0);
  std::reverse(out.begin() + static_cast<std::ptrdiff_t>(begin), out.end());
}

void append_decimal(Int128 number, int scale, std::string& out) {
  if (number < 0) {
    out += '-';
    number = -number;
  }
  std::string digits;
  append_int128(number, digits);
  auto after = static_cast<size_t>(scale);
  if (digits.size() <= after) digits.insert(0, after + 1 - digits.size(), '0');
  out.append(digits, 0, digits.size() - after);
  if (after == 0) return;
  out += '.';
  out.append(digits, digits.size() - after);
}

void append_uuid(unsigned __int128 uuid, std::string& out) {
  for (int i = 31; i >= 0; --i) {
    out += kHex[static_cast<size_t>(uuid >> (4 * i)) & 15];
    if (i == 24 || i == 20 || i == 16 || i == 12) out += '-';
  }
}

void append_base64(std::string_view bytes, std::string& out) {
  for (size_t i = 0; i < bytes.size(); i += 3) {
    size_t count = std::min<size_t>(3, bytes.size() - i);
    uint32_t group = 0;
    for (size_t j = 0; j < 3; ++j) {
      group = group << 8 | (j < count ? static_cast<unsigned char>(bytes[i + j]) : 0);
    }
    for (size_t j = 0; j < 4; ++j) {
      out += j <= count ? kBase64[group >> (18 - 6 * j) & 63] : '=';
    }
  }
}

void append_json_string(std::string_view text, std::string& out) {
  out += '"';
  size_t done = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') continue;
    out.append(text, done, i - done);
    done = i + 1;
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\r':
        out += "\\r";
        break;
      case '\t':
        out += "\\t";
        break;
      default:
        out += "\\u00";
        out += kHex[c >> 4];
        out += kHex[c & 15];
    }
  }
  out.append(text, done);
  out += '"';
}

}  // namespace ziwa::data
