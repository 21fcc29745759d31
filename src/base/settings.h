#pragma once

#include "base/result.h"

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa {

/// What values a setting takes.
enum class SettingType : unsigned char { integer, bytes, duration_ms, boolean, text, choice };

/// One line of schemas/settings.yaml.
struct SettingSpec {
  std::string name;  ///< Dotted: "doors.kafka.port".
  SettingType type = SettingType::text;
  std::string default_value;
  std::string help;
  std::vector<std::string> choices;
  int64_t minimum = 0;
  int64_t maximum = 0;
};

/// Every setting of a server: value and where it came from. Built once at start from, weakest
/// first: defaults, `server.yaml`, environment (`ZIWA_DOORS_KAFKA_PORT`), `--set name=value`.
/// Unknown names are errors that suggest the nearest known one. Sizes take KiB/MiB/GiB, durations
/// ms/s/min/h/days.
class Settings {
 public:
  Settings();  ///< All defaults.

  static const std::vector<SettingSpec>& specs();
  /// Errors: invalid_argument naming the file and line.
  Status load_yaml(std::string_view text, std::string_view file_name);
  Status load_environment(const std::map<std::string, std::string>& environment);
  /// `source` is what a person sees in ziwa.settings ("--set", "server.yaml").
  Status set(std::string_view name, std::string_view value, std::string_view source);

  int64_t integer(std::string_view name)
      const;  ///< Also bytes (bytes) and durations (ms). The name must exist.
  bool boolean(std::string_view name) const;
  const std::string& text(std::string_view name) const;  ///< Also choices.
  const std::string& source(std::string_view name) const;

 private:
  struct Value {
    std::string text;
    int64_t number = 0;
    std::string source;
  };
  const Value& get(std::string_view name) const;
  std::map<std::string, Value, std::less<>> values_;
};

/// The candidate nearest to `word` within an edit distance of a third of its length, or empty.
std::string nearest_name(std::string_view word, const std::vector<std::string>& candidates);
/// "10 MiB" -> 10485760, "7 days" -> 604800000. Errors: invalid_argument saying what is accepted.
Result<int64_t> parse_bytes(std::string_view text);
Result<int64_t> parse_duration_ms(std::string_view text);

}  // namespace ziwa
