#include "protocol/http/filter_value.h"

#include "duck/instance.h"

#include <algorithm>
#include <charconv>
#include <cstdint>

namespace ziwa::protocol::http {
namespace {

using duckdb::LogicalType;
using duckdb::LogicalTypeId;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// More digits than any integer or DECIMAL has.
constexpr size_t kDigitsMax = 64;

/// A whole number of any size.
struct Whole {
  bool negative = false;
  std::string digits;  ///< Without leading zeros; empty: zero, which is never negative.

  static Whole of(std::string_view digits, bool negative) {
    const size_t first = digits.find_first_not_of('0');
    if (first == std::string_view::npos) return {};
    return {negative, std::string(digits.substr(first))};
  }
};

/// -1, 0 or 1.
int compare(const Whole& a, const Whole& b) {
  if (a.negative != b.negative) return a.negative ? -1 : 1;
  int larger = 0;
  if (a.digits.size() != b.digits.size()) {
    larger = a.digits.size() < b.digits.size() ? -1 : 1;
  } else {
    larger = std::clamp(a.digits.compare(b.digits), -1, 1);
  }
  return a.negative ? -larger : larger;
}

/// One further from zero, on the side that `negative` says.
Whole further(Whole value, bool negative) {
  std::string digits = "0" + value.digits;
  size_t i = digits.size() - 1;
  for (; digits[i] == '9'; --i) digits[i] = '0';
  ++digits[i];
  return Whole::of(digits, negative);
}

/// A number as it was written: digits × 10^exponent.
struct Written {
  bool negative = false;
  std::string digits;
  int64_t exponent = 0;
};

std::optional<Written> read_number(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  Written number{.negative = text.starts_with('-'), .digits = {}};
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  bool point = false;
  size_t i = 0;
  for (; i < text.size(); ++i) {
    if (is_digit(text[i])) {
      number.digits += text[i];
      if (point) --number.exponent;
    } else if (text[i] == '.' && !point) {
      point = true;
    } else {
      break;
    }
  }
  if (number.digits.empty()) return std::nullopt;
  if (i == text.size()) return number;
  if (text[i] != 'e' && text[i] != 'E') return std::nullopt;
  text.remove_prefix(i + 1);
  bool small = text.starts_with('-');
  if (text.starts_with('-') || text.starts_with('+')) text.remove_prefix(1);
  if (text.empty() || !std::ranges::all_of(text, is_digit)) return std::nullopt;
  constexpr int64_t kExponentMax = 1'000'000'000;  // Beyond every range, or next to zero.
  int64_t exponent = kExponentMax;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), exponent);
  if (read.ec != std::errc()) exponent = kExponentMax;
  exponent = std::min(exponent, kExponentMax);
  number.exponent += small ? -exponent : exponent;
  return number;
}

/// The number cut off after `scale` decimals and counted in units of the last one.
struct Cut {
  Whole units;
  bool rest = false;  ///< Something was cut off.
  bool huge = false;  ///< More than kDigitsMax digits; `units` is not filled.
};

Cut cut(const Written& number, size_t scale) {
  const Whole all = Whole::of(number.digits, number.negative);
  if (all.digits.empty()) return {};
  const int64_t shift = number.exponent + static_cast<int64_t>(scale);
  const int64_t length = static_cast<int64_t>(all.digits.size()) + shift;
  if (length > static_cast<int64_t>(kDigitsMax)) return {.units = {}, .huge = true};
  if (shift >= 0) {
    return {.units = {all.negative, all.digits + std::string(static_cast<size_t>(shift), '0')}};
  }
  const size_t kept = length > 0 ? static_cast<size_t>(length) : 0;
  return {.units = Whole::of(std::string_view(all.digits).substr(0, kept), all.negative),
          .rest = all.digits.find_first_not_of('0', kept) != std::string::npos};
}

size_t scale_of(const LogicalType& type) {
  return type.id() == LogicalTypeId::DECIMAL ? duckdb::DecimalType::GetScale(type) : 0;
}

std::string written(const Whole& units, size_t scale) {
  std::string digits = units.digits;
  if (digits.size() <= scale) digits.insert(0, scale + 1 - digits.size(), '0');
  if (scale > 0) digits.insert(digits.size() - scale, ".");
  return (units.negative ? "-" : "") + digits;
}

struct Range {
  Whole least;
  Whole most;
};

Range range_of(const LogicalType& type) {
  if (type.id() == LogicalTypeId::DECIMAL) {
    const std::string nines(duckdb::DecimalType::GetWidth(type), '9');
    return {{true, nines}, {false, nines}};
  }
  auto whole = [](const std::string& text) {
    const bool negative = text.starts_with('-');
    return Whole::of(std::string_view(text).substr(negative ? 1 : 0), negative);
  };
  return {whole(duckdb::Value::MinimumValue(type).ToString()),
          whole(duckdb::Value::MaximumValue(type).ToString())};
}

Error no_value(std::string_view text, const LogicalType& type) {
  return Error(Code::invalid_argument, "\"{}\" is no value of {}", text, type.ToString())
      .because(Cause::invalid_text);
}

/// A type that holds every value of `type` and what a text may say beyond it.
std::optional<LogicalType> finer_type(const LogicalType& type) {
  switch (type.id()) {
    case LogicalTypeId::DATE:
      return LogicalType::TIMESTAMP;
    case LogicalTypeId::TIMESTAMP_SEC:
    case LogicalTypeId::TIMESTAMP_MS:
    case LogicalTypeId::TIMESTAMP:
      return LogicalType::TIMESTAMP_NS;
    default:
      return std::nullopt;
  }
}

/// A time of which the type would keep a part only is refused.
Status check_time(const std::string& text, const LogicalType& type) {
  const auto finer = finer_type(type);
  if (!finer) return {};
  const bool fits = TRY(duck::guarded([&] {
    duckdb::Value cast;
    duckdb::Value fine;
    duckdb::Value back;
    std::string ignored;
    const duckdb::Value given(text);
    if (!given.DefaultTryCastAs(type, cast, &ignored)) return true;  // Refused where it is bound.
    if (!given.DefaultTryCastAs(*finer, fine, &ignored)) return true;
    return !cast.DefaultTryCastAs(*finer, back, &ignored) || back == fine;
  }));
  if (fits) return {};
  return Error(Code::invalid_argument, "\"{}\" says more than a {} holds", text, type.ToString())
      .because(Cause::invalid_datetime)
      .with_hint("cut it to the column's type, and use lt or gte for what lies between");
}

void set_value(Filter& filter, std::string op, const std::optional<std::string>& value) {
  filter.op = value ? std::move(op) : std::string(kNever);
  filter.values.clear();
  if (value) filter.values.push_back(*value);
}

}  // namespace

Result<NumberPlace> place_number(std::string_view text, const LogicalType& type) {
  auto number = read_number(text);
  if (!number) return no_value(text, type);
  const size_t scale = scale_of(type);
  const Range range = range_of(type);
  const Cut at = cut(*number, scale);
  const bool above = at.huge && !number->negative;
  const bool below = at.huge && number->negative;
  Whole least = at.units;  // Of those that are not below the number.
  Whole most = at.units;   // Of those that are not above it.
  if (at.rest && number->negative) most = further(at.units, true);
  if (at.rest && !number->negative) least = further(at.units, false);
  NumberPlace place;
  if (!below && (above || compare(most, range.least) >= 0)) {
    place.at_most = written(above || compare(most, range.most) > 0 ? range.most : most, scale);
  }
  if (!above && (below || compare(least, range.most) <= 0)) {
    place.at_least = written(below || compare(least, range.least) < 0 ? range.least : least, scale);
  }
  return place;
}

Result<bool> fit_value(Filter& filter, size_t index, const LogicalType& type) {
  std::string& value = filter.values[index];
  if (!type.IsIntegral() && type.id() != LogicalTypeId::DECIMAL) {
    TRY(check_time(value, type));
    return false;
  }
  const NumberPlace place = TRY(place_number(value, type));
  if (place.exact()) {
    value = *place.at_most;
  } else if (filter.op == "IN") {
    filter.values.erase(filter.values.begin() + static_cast<ptrdiff_t>(index));
    if (filter.values.empty()) filter.op = kNever;
    return true;
  } else if (filter.op == "<" || filter.op == "<=") {
    set_value(filter, "<=", place.at_most);
    return true;
  } else if (filter.op == ">" || filter.op == ">=") {
    set_value(filter, ">=", place.at_least);
    return true;
  } else if (filter.op == "=" || filter.op == "<>") {
    filter.op = filter.op == "=" ? kNever : kAlways;
    filter.values.clear();
    return true;
  }
  return false;
}

std::optional<std::string> blob_bytes(std::string_view text) {
  if (!text.starts_with("\\x") || text.size() % 2 != 0) return std::nullopt;
  std::string bytes;
  for (size_t i = 2; i < text.size(); i += 2) {
    uint8_t byte = 0;
    const auto read = std::from_chars(text.data() + i, text.data() + i + 2, byte, 16);
    if (read.ec != std::errc() || read.ptr != text.data() + i + 2) return std::nullopt;
    bytes.push_back(static_cast<char>(byte));
  }
  return bytes;
}

}  // namespace ziwa::protocol::http
