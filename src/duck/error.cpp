#include "duck/file_system.h"
#include "duck/instance.h"

#include <charconv>
#include <exception>
#include <new>

namespace ziwa::duck {
namespace {

constexpr const char* kCodeKey = "ziwa_code";
constexpr const char* kHintKey = "ziwa_hint";

std::optional<size_t> number(const duckdb::unordered_map<std::string, std::string>& info,
                             const char* key) {
  auto found = info.find(key);
  if (found == info.end()) return std::nullopt;
  size_t value = 0;
  const std::string& text = found->second;
  auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (failed != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

Code catalog_code(const duckdb::ErrorData& error) {
  auto subtype = error.ExtraInfo().find("error_subtype");
  if (subtype != error.ExtraInfo().end()) {
    if (subtype->second == "MISSING_ENTRY") {
      // Functions and types belong to the statement's language: without them it is wrong.
      auto type = error.ExtraInfo().find("type");
      bool language = type != error.ExtraInfo().end() &&
                      (type->second.ends_with("Function") || type->second == "Type" ||
                       type->second == "Collation");
      return language ? Code::invalid_argument : Code::not_found;
    }
    if (subtype->second == "ENTRY_ALREADY_EXISTS") return Code::already_exists;
  }
  if (error.RawMessage().find("does not exist") != std::string::npos) return Code::not_found;
  if (error.RawMessage().find("already exists") != std::string::npos) return Code::already_exists;
  return Code::invalid_argument;
}

Code code_of(const duckdb::ErrorData& error) {
  using enum duckdb::ExceptionType;
  if (auto code = number(error.ExtraInfo(), kCodeKey);
      code && *code <= static_cast<size_t>(Code::internal)) {
    return static_cast<Code>(*code);
  }
  switch (error.Type()) {
    case CATALOG:
      return catalog_code(error);
    case DEPENDENCY:
    case TRANSACTION:
      return Code::conflict;
    case NOT_IMPLEMENTED:
    case MISSING_EXTENSION:
    case AUTOLOAD:
      return Code::unsupported;
    case PERMISSION:
      return Code::permission;
    case OUT_OF_MEMORY:
    case OBJECT_SIZE:
      return Code::exhausted;
    case SERIALIZATION:
      return Code::corrupt;
    case INTERRUPT:
      return Code::cancelled;
    case IO:
    case HTTP:
    case NETWORK:
      return Code::io;
    case FATAL:
    case INTERNAL:
    case NULL_POINTER:
      return Code::internal;
    default:
      break;
  }
  if (error.RawMessage().find("the configuration has been locked") != std::string::npos)
    return Code::permission;
  return Code::invalid_argument;
}

/// The byte in `sql` that the caret of DuckDB's drawing ("LINE 2: ...text" over "    ^") stands
/// under.
std::optional<size_t> drawn_position(const std::string& message, std::string_view sql) {
  size_t label = message.rfind("\n\nLINE ");
  if (label == std::string::npos || sql.empty()) return std::nullopt;
  size_t text = message.find(": ", label);
  size_t text_end = text == std::string::npos ? text : message.find('\n', text);
  if (text_end == std::string::npos) return std::nullopt;
  size_t caret = message.find('^', text_end);
  if (caret == std::string::npos) return std::nullopt;
  const size_t line_number = std::strtoul(message.c_str() + label + 7, nullptr, 10);
  const std::string_view drawn = std::string_view(message).substr(label + 2, text_end - label - 2);
  // The caret counts characters; all before the text are one byte each.
  size_t bytes = 0;
  for (size_t left = caret - text_end - 1; left > 0 && bytes < drawn.size(); --left) {
    do {
      ++bytes;
    } while (bytes < drawn.size() && (static_cast<unsigned char>(drawn[bytes]) & 0xC0) == 0x80);
  }
  size_t line_start = 0;
  for (size_t line = 1; line < line_number; ++line) {
    line_start = sql.find('\n', line_start);
    if (line_start++ == std::string_view::npos) return std::nullopt;
  }
  std::string_view shown = drawn.substr(text - label);
  size_t cut = shown.starts_with("...") ? 3 : 0;
  if (shown.ends_with("...")) shown.remove_suffix(3);
  if (shown.size() < cut || bytes < text - label + cut) return std::nullopt;
  size_t found = sql.find(shown.substr(cut), line_start);
  if (found == std::string_view::npos) return std::nullopt;
  return found + bytes - (text - label) - cut;
}

/// Cuts what DuckDB adds for its own shell, the statement with a caret, and hands out its
/// suggestion apart.
std::string trim_message(std::string message, std::string& hint) {
  if (size_t line = message.find("\n\nLINE "); line != std::string::npos) message.resize(line);
  for (const char* start :
       {"\nDid you mean", "\nCandidate bindings", "\nCandidate functions", "\nHINT: "}) {
    size_t at = message.find(start);
    if (at == std::string::npos) continue;
    hint = message.substr(at + 1);
    message.resize(at);
    break;
  }
  // Settings of the engine are nobody's to set here.
  if (size_t advice = message.find("Use \"SET "); advice != std::string::npos) {
    message.resize(advice);
    if (message.find("expression depth") != std::string::npos)
      hint = "write it as several statements or with fewer parts: the limit is fixed";
  }
  while (!message.empty() && (message.back() == '\n' || message.back() == ' ')) message.pop_back();
  return message;
}

}  // namespace

Error to_error(const duckdb::ErrorData& error, std::string_view sql) {
  // Connections with errors_as_json wrap the whole error into the message of another one.
  if (error.RawMessage().starts_with("{\"exception_type\"")) {
    duckdb::ErrorData unwrapped(error.RawMessage());
    if (!unwrapped.RawMessage().starts_with('{')) return to_error(unwrapped, sql);
  }
  std::string hint;
  std::string message = trim_message(error.RawMessage(), hint);
  if (auto own = error.ExtraInfo().find(kHintKey); own != error.ExtraInfo().end())
    hint = own->second;
  Error out(code_of(error), "{}", message);
  if (!hint.empty()) out = std::move(out).with_hint(hint);
  auto position = number(error.ExtraInfo(), "position");
  if (!position) position = drawn_position(error.RawMessage(), sql);
  if (position) out = std::move(out).at(*position);
  return out;
}

void throw_error(const Error& error) {
  duckdb::unordered_map<std::string, std::string> info;
  info[kCodeKey] = std::to_string(static_cast<int>(error.code()));
  if (!error.hint().empty()) info[kHintKey] = error.hint();
  throw duckdb::IOException(info, error.message());
}

Error current_exception_to_error() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return Error(Code::exhausted, "out of memory");
  } catch (const std::exception& e) {
    return to_error(duckdb::ErrorData(e));
  } catch (...) {
    return Error(Code::internal, "an exception of an unknown type");
  }
}

}  // namespace ziwa::duck
