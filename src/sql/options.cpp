#include "sql/options.h"

#include "base/settings.h"

#include <charconv>

namespace ziwa::sql {

Status apply_options(const std::vector<Option>& options, const std::vector<OptionSpec>& specs,
                     std::string_view kind) {
  for (const Option& option : options) {
    const OptionSpec* spec = nullptr;
    std::vector<std::string> names;
    for (const OptionSpec& candidate : specs) {
      names.push_back(candidate.name);
      if (candidate.name == option.name) spec = &candidate;
    }
    if (!spec) {
      std::string nearest = nearest_name(option.name, names);
      std::string known;
      for (const std::string& name : names) known += (known.empty() ? "" : ", ") + name;
      return Error(Code::invalid_argument, "a {} has no option \"{}\"", kind, option.name)
          .because(Cause::invalid_value)
          .with_hint(nearest.empty() ? "options are " + known : "did you mean " + nearest + "?")
          .at(option.position);
    }
    if (Status status = spec->apply(option.value); !status) {
      Error error = std::move(status.error()).context("option " + option.name).at(option.position);
      if (error.code() == Code::invalid_argument && !error.cause()) {
        error = std::move(error).because(Cause::invalid_value);
      }
      return error;
    }
  }
  return {};
}

Result<int64_t> option_integer(const std::string& value, int64_t minimum, int64_t maximum) {
  int64_t number = 0;
  auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size() || number < minimum ||
      number > maximum) {
    return Error(Code::invalid_argument, "\"{}\" is not a whole number from {} to {}", value,
                 minimum, maximum);
  }
  return number;
}

constexpr int64_t kDurationMaxMs = int64_t{365'250} * 24 * 3'600 * 1'000;

Result<int64_t> option_duration_ms(const std::string& value, int64_t minimum_ms) {
  size_t split = value.find_first_not_of("0123456789.");
  size_t unit = value.find_first_not_of(' ', split);
  // As SQL spells intervals ('5 seconds'), or as settings do ('5 s').
  auto us = split == std::string::npos || unit == std::string::npos
                ? Result<int64_t>(Error(Code::invalid_argument, "no unit"))
                : interval_us(std::string_view(value).substr(0, split),
                              std::string_view(value).substr(unit));
  if (us && *us % 1000 != 0)
    return Error(Code::invalid_argument, "\"{}\" is no whole number of milliseconds", value);
  int64_t ms = us ? *us / 1000 : TRY(parse_duration_ms(value));
  // Whoever reckons with it does so in microseconds.
  if (ms > kDurationMaxMs)
    return Error(Code::invalid_argument, "\"{}\" is longer than 1000 years", value);
  if (ms < minimum_ms)
    return Error(Code::invalid_argument, "\"{}\" is shorter than {} ms", value, minimum_ms);
  return ms;
}

Result<int64_t> option_bytes(const std::string& value, int64_t minimum) {
  int64_t bytes = TRY(parse_bytes(value));
  if (bytes < minimum)
    return Error(Code::invalid_argument, "\"{}\" is less than {} bytes", value, minimum);
  return bytes;
}

}  // namespace ziwa::sql
