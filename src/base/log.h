#pragma once

#include <fmt/core.h>

#include <string>
#include <string_view>

namespace ziwa {

/// How much a line matters; ERROR means that a person must act.
/// `off` is for tests alone.
enum class LogLevel : unsigned char { debug, info, warn, error, off };

/// Where lines go (stderr, one line each) and from which level; call once at start. `json` writes
/// one JSON object a line.
void init_logging(LogLevel level, bool json);
void set_log_level(LogLevel level);
bool log_enabled(LogLevel level);
/// Writes one line. Static text first, values last: `log_info("log", "partition opened", "topic={}
/// partition={}", ...)`. ERROR means that a person must act.
void log_line(LogLevel level, std::string_view module, std::string_view message,
              std::string_view values);

/// Formats the values only when the level is on. Use log_info() and its like.
template <typename... Args>
void log_at(LogLevel level, std::string_view module, std::string_view message,
            fmt::format_string<Args...> values, Args&&... args) {
  if (log_enabled(level))
    log_line(level, module, message, fmt::format(values, std::forward<Args>(args)...));
}

#define ZIWA_LOG_LEVEL_FUNCTION(name, level)                                                       \
  inline void name(std::string_view module, std::string_view message) {                            \
    if (log_enabled(level)) log_line(level, module, message, {});                                  \
  }                                                                                                \
  template <typename... Args>                                                                      \
  void name(std::string_view module, std::string_view message, fmt::format_string<Args...> values, \
            Args&&... args) {                                                                      \
    log_at(level, module, message, values, std::forward<Args>(args)...);                           \
  }
ZIWA_LOG_LEVEL_FUNCTION(log_debug, LogLevel::debug)
ZIWA_LOG_LEVEL_FUNCTION(log_info, LogLevel::info)
ZIWA_LOG_LEVEL_FUNCTION(log_warn, LogLevel::warn)
ZIWA_LOG_LEVEL_FUNCTION(log_error, LogLevel::error)
#undef ZIWA_LOG_LEVEL_FUNCTION

}  // namespace ziwa
