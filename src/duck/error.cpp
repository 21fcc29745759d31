#include "duck/cause.h"
#include "duck/file_system.h"
#include "duck/instance.h"

#include <charconv>
#include <exception>
#include <new>

namespace ziwa::duck {
namespace {

constexpr const char* kCodeKey = "ziwa_code";
constexpr const char* kCauseKey = "ziwa_cause";
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

/// The code and cause of an error that went through DuckDB by throw_error().
std::optional<Error> own_error(const duckdb::ErrorData& error, const std::string& message) {
  auto code = number(error.ExtraInfo(), kCodeKey);
  if (!code || *code > static_cast<size_t>(Code::internal)) return std::nullopt;
  Error own(static_cast<Code>(*code), "{}", message);
  if (auto number_of_cause = number(error.ExtraInfo(), kCauseKey)) {
    auto cause = static_cast<Cause>(*number_of_cause);
    if (code_of(cause) == own.code()) own = std::move(own).because(cause);
  }
  return own;
}

/// `words` are DuckDB's message before anything is cut from it.
Error foreign_error(const duckdb::ErrorData& error, std::string_view words,
                    const std::string& message) {
  if (error.Type() == duckdb::ExceptionType::INTERRUPT) {
    return Error(Code::cancelled, "the statement was cancelled");  // "Interrupted!"
  }
  auto cause = cause_of(error, words);
  if (!cause) return Error(code_without_cause(error, words), "{}", message);
  return Error(code_of(*cause), "{}", message).because(*cause);
}

/// Connections with errors_as_json wrap the whole error into its message.
std::optional<std::string> wrapped_message(const duckdb::ErrorData& error) {
  if (!error.RawMessage().starts_with("{\"exception_type\"")) return std::nullopt;
  try {
    return duckdb::ErrorData(error.RawMessage()).RawMessage();
  } catch (const std::exception&) {  // Not theirs: the text of a user that looks like it.
    return std::nullopt;
  }
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
  const auto wrapped = wrapped_message(error);
  const std::string& raw = wrapped ? *wrapped : error.RawMessage();
  std::string_view words = raw;
  if (!wrapped) words = words.substr(0, words.rfind("\n\nLINE "));
  std::string hint;
  std::string message = trim_message(raw, hint);
  if (auto own = error.ExtraInfo().find(kHintKey); own != error.ExtraInfo().end())
    hint = own->second;
  auto own = own_error(error, message);
  Error out = own ? std::move(*own) : foreign_error(error, words, message);
  if (!hint.empty()) out = std::move(out).with_hint(hint);
  auto position = number(error.ExtraInfo(), "position");
  if (!position) position = drawn_position(raw, sql);
  if (position) out = std::move(out).at(*position);
  return out;
}

void throw_error(const Error& error) {
  duckdb::unordered_map<std::string, std::string> info;
  info[kCodeKey] = std::to_string(static_cast<int>(error.code()));
  if (error.cause()) info[kCauseKey] = std::to_string(static_cast<int>(*error.cause()));
  if (!error.hint().empty()) info[kHintKey] = error.hint();
  if (error.position()) info["position"] = std::to_string(*error.position());
  throw duckdb::IOException(info, error.message());
}

Error current_exception_to_error() {
  try {
    throw;
  } catch (const std::bad_alloc&) {
    return Error(Code::exhausted, "out of memory").because(Cause::out_of_memory);
  } catch (const std::exception& e) {
    return to_error(duckdb::ErrorData(e));
  } catch (...) {
    return Error(Code::internal, "an exception of an unknown type");
  }
}

}  // namespace ziwa::duck
