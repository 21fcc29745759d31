#include "base/settings.h"

#include <fmt/format.h>
#include <yaml-cpp/yaml.h>

#include <cctype>
#include <charconv>

namespace ziwa {
namespace {

struct Unit {
  std::string_view name;
  int64_t factor;
};

constexpr Unit kByteUnits[] = {
    {"", 1},           {"B", 1}, {"KiB", 1LL << 10}, {"MiB", 1LL << 20}, {"GiB", 1LL << 30},
    {"TiB", 1LL << 40}};
constexpr Unit kDurationUnits[] = {{"ms", 1},
                                   {"s", 1000},
                                   {"min", 60'000},
                                   {"minutes", 60'000},
                                   {"minute", 60'000},
                                   {"h", 3'600'000},
                                   {"hours", 3'600'000},
                                   {"hour", 3'600'000},
                                   {"days", 86'400'000},
                                   {"day", 86'400'000},
                                   {"d", 86'400'000}};

std::string_view trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())))
    text.remove_prefix(1);
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())))
    text.remove_suffix(1);
  return text;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

Result<int64_t> parse_with_unit(std::string_view whole, std::span<const Unit> units,
                                std::string_view accepted) {
  std::string_view text = trim(whole);
  int64_t number = 0;
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  std::string_view unit = trim(text.substr(static_cast<size_t>(end - text.data())));
  if (problem == std::errc()) {
    if (number == 0 && unit.empty()) return 0;
    for (const auto& known : units) {
      if (!equal_ignoring_case(unit, known.name)) continue;
      int64_t value = 0;
      if (!__builtin_mul_overflow(number, known.factor, &value)) return value;
    }
  }
  return Error(Code::invalid_argument, "\"{}\" is not {}", whole, accepted);
}

Result<int64_t> parse_integer(std::string_view whole) {
  std::string_view text = trim(whole);
  int64_t number = 0;
  auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (problem != std::errc() || end != text.data() + text.size()) {
    return Error(Code::invalid_argument, "\"{}\" is not a whole number", whole);
  }
  return number;
}

Result<int64_t> parse_boolean(std::string_view text) {
  for (std::string_view yes : {"true", "on", "yes", "1"}) {
    if (equal_ignoring_case(trim(text), yes)) return 1;
  }
  for (std::string_view no : {"false", "off", "no", "0"}) {
    if (equal_ignoring_case(trim(text), no)) return 0;
  }
  return Error(Code::invalid_argument, "\"{}\" is not true or false", text);
}

Result<int64_t> parse_choice(const SettingSpec& spec, std::string_view text) {
  for (size_t i = 0; i < spec.choices.size(); ++i) {
    if (spec.choices[i] == trim(text)) return static_cast<int64_t>(i);
  }
  return Error(Code::invalid_argument, "\"{}\" is not one of {}", text,
               fmt::join(spec.choices, ", "));
}

Result<int64_t> parse_number(const SettingSpec& spec, std::string_view text) {
  switch (spec.type) {
    case SettingType::integer:
      return parse_integer(text);
    case SettingType::bytes:
      return parse_bytes(text);
    case SettingType::duration_ms:
      return parse_duration_ms(text);
    case SettingType::boolean:
      return parse_boolean(text);
    case SettingType::choice:
      return parse_choice(spec, text);
    case SettingType::text:
      return 0;
  }
  return 0;
}

bool has_limits(SettingType type) {
  return type == SettingType::integer || type == SettingType::bytes ||
         type == SettingType::duration_ms;
}

std::string_view unit_name(SettingType type) {
  if (type == SettingType::bytes) return " bytes";
  if (type == SettingType::duration_ms) return " ms";
  return "";
}

Result<int64_t> parse_value(const SettingSpec& spec, std::string_view text) {
  int64_t number = TRY(parse_number(spec, text));
  if (!has_limits(spec.type)) return number;
  if (number < spec.minimum) {
    return Error(Code::invalid_argument, "\"{}\" is below the least of {}{}", text, spec.minimum,
                 unit_name(spec.type));
  }
  if (number > spec.maximum) {
    return Error(Code::invalid_argument, "\"{}\" is above the most of {}{}", text, spec.maximum,
                 unit_name(spec.type));
  }
  return number;
}

const SettingSpec* find_spec(std::string_view name) {
  for (const auto& spec : Settings::specs()) {
    if (spec.name == name) return &spec;
  }
  return nullptr;
}

std::string environment_name(std::string_view name) {
  std::string upper = "ZIWA_";
  for (char c : name) upper += c == '.' ? '_' : static_cast<char>(std::toupper(c));
  return upper;
}

Error unknown(std::string_view what, std::string_view name, const std::vector<std::string>& known) {
  Error error(Code::invalid_argument, "unknown {} \"{}\"", what, name);
  std::string nearest = nearest_name(name, known);
  if (nearest.empty()) return error;
  return std::move(error).with_hint(fmt::format("did you mean \"{}\"?", nearest));
}

/// A map that holds no setting is a wrong name. So is one that holds itself (an anchor of YAML
/// can), whose names would never end.
Status check_group(const std::string& name) {
  std::vector<std::string> known;
  for (const auto& spec : Settings::specs()) {
    if (spec.name.starts_with(name + ".")) return {};
    for (size_t dot = spec.name.find('.'); dot != std::string::npos;
         dot = spec.name.find('.', dot + 1)) {
      known.push_back(spec.name.substr(0, dot));
    }
  }
  return unknown("setting", name, known);
}

/// Names are dotted paths; a list is written with commas.
Status flatten(const YAML::Node& node, const std::string& prefix, Settings& settings,
               std::string_view file_name) {
  auto here = [&](const YAML::Node& at) {
    return fmt::format("{}:{}", file_name, at.Mark().line + 1);
  };
  if (node.IsMap()) {
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) {
        return Error(Code::invalid_argument, "{}: a key must be a word", here(entry.first));
      }
      std::string name =
          prefix.empty() ? entry.first.Scalar() : prefix + "." + entry.first.Scalar();
      if (entry.second.IsMap()) {
        Status group = check_group(name);
        if (!group) return std::move(group).error().context(here(entry.first));
        TRY(flatten(entry.second, name, settings, file_name));
        continue;
      }
      std::string text;
      if (entry.second.IsScalar()) text = entry.second.Scalar();
      for (const auto& item : entry.second) {
        if (!item.IsScalar()) {
          return Error(Code::invalid_argument, "{}: {} takes a list of plain values", here(item),
                       name);
        }
        text += (text.empty() ? "" : ",") + item.Scalar();
      }
      if (find_spec(name) != nullptr && settings.source(name) == file_name) {
        return Error(Code::invalid_argument, "{}: {} is given twice", here(entry.first), name);
      }
      Status set = settings.set(name, text, file_name);
      if (!set) return std::move(set).error().context(here(entry.first));
    }
    return {};
  }
  if (node.IsNull()) return {};
  return Error(Code::invalid_argument, "{}: expected settings as \"name: value\"", here(node));
}

}  // namespace

const std::vector<SettingSpec>& Settings::specs() {
  static const std::vector<SettingSpec> table = {
#include "base/settings_table.inc"
  };
  return table;
}

Settings::Settings() {
  for (const auto& spec : specs()) {
    auto number = parse_value(spec, spec.default_value);
    CHECK(number.has_value(), "default of {} in schemas/settings.yaml", spec.name);
    values_[spec.name] = {spec.default_value, *number, "default"};
  }
}

Status Settings::load_yaml(std::string_view text, std::string_view file_name) {
  try {
    return flatten(YAML::Load(std::string(text)), "", *this, file_name);
  } catch (const YAML::Exception& problem) {
    return Error(Code::invalid_argument, "{}:{}: {}", file_name, problem.mark.line + 1,
                 problem.msg);
  }
}

Status Settings::load_environment(const std::map<std::string, std::string>& environment) {
  std::vector<std::string> known;
  for (const auto& spec : specs()) known.push_back(environment_name(spec.name));
  for (const auto& [variable, value] : environment) {
    if (!variable.starts_with("ZIWA_")) continue;
    auto at = std::ranges::find(known, variable);
    if (at == known.end()) return unknown("environment variable", variable, known);
    TRY(set(specs()[static_cast<size_t>(at - known.begin())].name, value, variable));
  }
  return {};
}

Status Settings::set(std::string_view name, std::string_view value, std::string_view source) {
  const SettingSpec* spec = find_spec(name);
  if (spec == nullptr) {
    std::vector<std::string> known;
    for (const auto& candidate : specs()) known.push_back(candidate.name);
    return unknown("setting", name, known);
  }
  auto number = parse_value(*spec, value);
  if (!number) return std::move(number).error().context(name);
  values_[spec->name] = {std::string(trim(value)), *number, std::string(source)};
  return {};
}

const Settings::Value& Settings::get(std::string_view name) const {
  auto at = values_.find(name);
  CHECK(at != values_.end(), "no setting {}", name);
  return at->second;
}

int64_t Settings::integer(std::string_view name) const { return get(name).number; }
bool Settings::boolean(std::string_view name) const { return get(name).number != 0; }
const std::string& Settings::text(std::string_view name) const { return get(name).text; }
const std::string& Settings::source(std::string_view name) const { return get(name).source; }

std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates) {
  std::string best;
  size_t best_distance = word.size() / 3 + 1;
  for (const auto& candidate : candidates) {
    // Levenshtein, one row at a time.
    std::vector<size_t> row(candidate.size() + 1);
    for (size_t j = 0; j <= candidate.size(); ++j) row[j] = j;
    for (size_t i = 1; i <= word.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i;
      for (size_t j = 1; j <= candidate.size(); ++j) {
        bool same = std::tolower(static_cast<unsigned char>(word[i - 1])) ==
                    std::tolower(static_cast<unsigned char>(candidate[j - 1]));
        size_t substituted = diagonal + (same ? 0 : 1);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, substituted});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

Result<int64_t> parse_bytes(std::string_view text) {
  return parse_with_unit(text, kByteUnits, "a size such as 1048576, 64 KiB, 10 MiB or 2 GiB");
}

Result<int64_t> parse_duration_ms(std::string_view text) {
  return parse_with_unit(text, kDurationUnits,
                         "a duration such as 500 ms, 10 s, 5 min, 2 h or 7 days");
}

}  // namespace ziwa
