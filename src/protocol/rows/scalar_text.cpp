#include "protocol/rows/scalar_text.h"

#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <limits>

namespace ziwa::protocol {
namespace {

constexpr int64_t kSecondUs = 1'000'000;
constexpr int64_t kDayUs = 86'400 * kSecondUs;
constexpr int32_t kInfinityDays = std::numeric_limits<int32_t>::max();
constexpr int64_t kInfinityUs = std::numeric_limits<int64_t>::max();

template <typename Number>
void append_number(std::string& out, Number value) {
  std::array<char, 24> digits;
  auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
  out.append(digits.data(), end);
}

void append_two_digits(std::string& out, unsigned value) {
  out.push_back(static_cast<char>('0' + value / 10));
  out.push_back(static_cast<char>('0' + value % 10));
}

void append_fraction(std::string& out, int64_t us) {
  if (us == 0) return;
  std::array<char, 7> text{'.'};
  for (size_t i = 6; i > 0; --i, us /= 10) text[i] = static_cast<char>('0' + us % 10);
  size_t size = text.size();
  while (text[size - 1] == '0') --size;
  out.append(text.data(), size);
}

/// Writes year-month-day and says whether the year is before Christ, whose mark goes after the
/// time.
bool append_civil_date(std::string& out, int64_t days) {
  // chrono's year is 16 bits; DuckDB's range is wider, so whole 400-year cycles move aside first.
  constexpr int64_t kCycleDays = 146'097;
  int64_t cycles = days / kCycleDays;
  std::chrono::year_month_day civil{
      std::chrono::sys_days{std::chrono::days{static_cast<int>(days - cycles * kCycleDays)}}};
  int64_t year = static_cast<int>(civil.year()) + cycles * 400;
  bool before_christ = year <= 0;
  if (before_christ) year = 1 - year;
  for (int64_t limit = 1000; limit > year && limit > 1; limit /= 10) out.push_back('0');
  append_number(out, year);
  out.push_back('-');
  append_two_digits(out, static_cast<unsigned>(civil.month()));
  out.push_back('-');
  append_two_digits(out, static_cast<unsigned>(civil.day()));
  return before_christ;
}

template <typename Number>
void append_shortest(std::string& out, Number value) {
  if (std::isnan(value)) {
    out.append("NaN");
    return;
  }
  if (std::isinf(value)) {
    out.append(value > 0 ? "Infinity" : "-Infinity");
    return;
  }
  Number size = std::abs(value);
  bool plain = size == 0 || (size >= static_cast<Number>(1e-4) && size < static_cast<Number>(1e15));
  std::array<char, 64> digits;
  auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value,
                           plain ? std::chars_format::fixed : std::chars_format::scientific)
                 .ptr;
  out.append(digits.data(), end);
}

void append_unit(std::string& out, size_t start, int64_t count, const char* one, const char* many) {
  if (count == 0) return;
  if (out.size() > start) out.push_back(' ');
  append_number(out, count);
  out.append(count == 1 ? one : many);
}

}  // namespace

void append_integer(std::string& out, int64_t value) { append_number(out, value); }
void append_unsigned(std::string& out, uint64_t value) { append_number(out, value); }
void append_float(std::string& out, double value) { append_shortest(out, value); }
void append_float(std::string& out, float value) { append_shortest(out, value); }

void append_date(std::string& out, int32_t days) {
  if (days == kInfinityDays || days == -kInfinityDays) {
    out.append(days > 0 ? "infinity" : "-infinity");
    return;
  }
  if (append_civil_date(out, days)) out.append(" BC");
}

void append_time(std::string& out, int64_t us) {
  int64_t seconds = us / kSecondUs;
  append_two_digits(out, static_cast<unsigned>(seconds / 3600));
  out.push_back(':');
  append_two_digits(out, static_cast<unsigned>(seconds / 60 % 60));
  out.push_back(':');
  append_two_digits(out, static_cast<unsigned>(seconds % 60));
  append_fraction(out, us % kSecondUs);
}

void append_timestamp(std::string& out, int64_t us, char separator) {
  if (us == kInfinityUs || us == -kInfinityUs) {
    out.append(us > 0 ? "infinity" : "-infinity");
    return;
  }
  int64_t days = us / kDayUs;
  int64_t in_day = us % kDayUs;
  if (in_day < 0) {
    in_day += kDayUs;
    --days;
  }
  bool before_christ = append_civil_date(out, days);
  out.push_back(separator);
  append_time(out, in_day);
  if (before_christ) out.append(" BC");
}

void append_interval(std::string& out, int32_t months, int32_t days, int64_t us) {
  size_t start = out.size();
  append_unit(out, start, months / 12, " year", " years");
  append_unit(out, start, months % 12, " mon", " mons");
  append_unit(out, start, days, " day", " days");
  if (us == 0 && out.size() > start) return;
  if (out.size() > start) out.push_back(' ');
  if (us < 0) out.push_back('-');
  uint64_t size = us < 0 ? 0 - static_cast<uint64_t>(us) : static_cast<uint64_t>(us);
  uint64_t hours = size / (3600 * kSecondUs);
  if (hours < 10) out.push_back('0');
  append_number(out, hours);
  size %= 3600 * kSecondUs;
  out.push_back(':');
  append_two_digits(out, static_cast<unsigned>(size / (60 * kSecondUs)));
  out.push_back(':');
  append_two_digits(out, static_cast<unsigned>(size / kSecondUs % 60));
  append_fraction(out, static_cast<int64_t>(size % kSecondUs));
}

void append_hex(std::string& out, std::string_view bytes) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  for (char c : bytes) {
    auto byte = static_cast<unsigned char>(c);
    out.push_back(kDigits[byte >> 4]);
    out.push_back(kDigits[byte & 15]);
  }
}

void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  size_t kept = 0;  // Bytes of `text` already in `out`.
  for (size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    if (c >= 0x20 && c != '"' && c != '\\') [[likely]]
      continue;
    out.append(text, kept, i - kept);
    kept = i + 1;
    switch (c) {
      case '"':
        out.append("\\\"");
        break;
      case '\\':
        out.append("\\\\");
        break;
      case '\n':
        out.append("\\n");
        break;
      case '\r':
        out.append("\\r");
        break;
      case '\t':
        out.append("\\t");
        break;
      default:
        out.append("\\u00");
        append_hex(out, text.substr(i, 1));
    }
  }
  out.append(text, kept);
  out.push_back('"');
}

}  // namespace ziwa::protocol
