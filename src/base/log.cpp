#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <set>
#include <string>

namespace ziwa {
namespace {

constexpr const char* kTextPattern = "%Y-%m-%dT%H:%M:%S.%eZ %l %v";
constexpr const char* kJsonPattern = "{\"time\":\"%Y-%m-%dT%H:%M:%S.%eZ\",\"level\":\"%l\",%v}";

std::atomic<LogLevel> g_level{LogLevel::info};
std::atomic<bool> g_json{false};

spdlog::level::level_enum to_spdlog(LogLevel level) {
  switch (level) {
    case LogLevel::debug:
      return spdlog::level::debug;
    case LogLevel::info:
      return spdlog::level::info;
    case LogLevel::warn:
      return spdlog::level::warn;
    case LogLevel::error:
    case LogLevel::off:
      return spdlog::level::err;
  }
  return spdlog::level::err;
}

spdlog::logger& logger() {
  static std::shared_ptr<spdlog::logger> instance = [] {
    auto created =
        std::make_shared<spdlog::logger>("ziwa", std::make_shared<spdlog::sinks::stderr_sink_mt>());
    created->set_level(spdlog::level::debug);
    created->set_pattern(kTextPattern, spdlog::pattern_time_type::utc);
    created->flush_on(spdlog::level::debug);
    return created;
  }();
  return *instance;
}

/// The length of the UTF-8 character that `text` begins with; 0 when it begins with none.
size_t character_length(std::string_view text) {
  const auto first = static_cast<unsigned char>(text[0]);
  if (first < 0x80) return 1;
  const size_t length = first < 0xC2   ? 0
                        : first < 0xE0 ? 2
                        : first < 0xF0 ? 3
                        : first < 0xF5 ? 4
                                       : 0;
  if (length == 0 || text.size() < length) return 0;
  for (size_t i = 1; i < length; ++i) {
    if ((static_cast<unsigned char>(text[i]) & 0xC0) != 0x80) return 0;
  }
  const auto second = static_cast<unsigned char>(text[1]);
  const bool overlong = (first == 0xE0 && second < 0xA0) || (first == 0xF0 && second < 0x90);
  const bool beyond = (first == 0xED && second > 0x9F) || (first == 0xF4 && second > 0x8F);
  return overlong || beyond ? 0 : length;
}

/// `text` as a JSON string. A byte that is no UTF-8 becomes U+FFFD: names of files and what clients
/// send need not be text.
std::string json_string(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const char c = text[0];
    const size_t length = character_length(text);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    } else if (length == 0) {
      out += "\xEF\xBF\xBD";
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(std::max<size_t>(length, 1));
  }
  return out + "\"";
}

/// The length of `name` where `text` begins with `name=`; 0 where it does not.
size_t name_length(std::string_view text) {
  size_t length = 0;
  while (length < text.size() &&
         ((text[length] >= 'a' && text[length] <= 'z') || text[length] == '_'))
    ++length;
  return length < text.size() && text[length] == '=' ? length : 0;
}

/// `name=value other=more` as members of a JSON object, each after a comma. A value goes on to the
/// next ` name=`; a name that was there belongs to the value before it, as a part of its text, so
/// that what a client sent cannot say twice who the peer was.
std::string json_members(std::string_view values) {
  std::set<std::string, std::less<>> seen = {"time", "level", "module", "message", "values"};
  std::string out;
  std::string name = "values";  // Of a text without one.
  size_t begin = 0;
  bool named = false;
  auto add = [&](size_t end) {
    if (named || end > begin)
      out += fmt::format(",\"{}\":{}", name, json_string(values.substr(begin, end - begin)));
  };
  for (size_t at = 0; at < values.size(); ++at) {
    if (at > 0 && values[at - 1] != ' ') continue;
    const size_t length = name_length(values.substr(at));
    if (length == 0) continue;
    const std::string_view found = values.substr(at, length);
    const bool ours =
        found == "time" || found == "level" || found == "module" || found == "message";
    std::string member = ours ? fmt::format("value_{}", found) : std::string(found);
    if (!seen.insert(member).second) continue;
    add(at > 0 ? at - 1 : 0);
    name = std::move(member);
    named = true;
    begin = at + length + 1;
    at = begin - 1;
  }
  add(values.size());
  return out;
}

}  // namespace

void init_logging(LogLevel level, bool json) {
  g_level = level;
  g_json = json;
  logger().set_pattern(json ? kJsonPattern : kTextPattern, spdlog::pattern_time_type::utc);
}

void set_log_level(LogLevel level) { g_level = level; }
bool log_enabled(LogLevel level) { return level >= g_level.load(std::memory_order_relaxed); }

void log_line(LogLevel level, std::string_view module, std::string_view message,
              std::string_view values) {
  if (g_json) {
    logger().log(to_spdlog(level), "\"module\":{},\"message\":{}{}", json_string(module),
                 json_string(message), json_members(values));
  } else {
    logger().log(to_spdlog(level), "{}: {}{}{}", module, message, values.empty() ? "" : " ",
                 values);
  }
}

}  // namespace ziwa
