#include "protocol/postgres/sqlstate.h"

#include <algorithm>

namespace ziwa::protocol::postgres {
namespace {

constexpr SqlState kTable[] = {
#define ZIWA_CODE(name, http, sqlstate, kafka) {sqlstate, Code::name},
#define ZIWA_CAUSE(name, code, sqlstate) {sqlstate, Code::code},
#include "base/error_table.inc"
#undef ZIWA_CODE
#undef ZIWA_CAUSE
    // What only this door says.
    {kAdminShutdown, Code::unavailable},
    {kTooManyConnections, Code::exhausted},
    {kProtocolViolation, Code::invalid_argument},
    {kNoSuchStatement, Code::not_found},
    {kNoSuchPortal, Code::not_found},
    {kDuplicateStatement, Code::already_exists},
    {kDuplicatePortal, Code::already_exists},
};

/// How messages of DuckDB and of ours begin or what they hold; the first line that fits counts.
struct Phrase {
  Code code;
  std::string_view begin;
  std::string_view part;
  std::string_view sqlstate;
};
constexpr Phrase kPhrases[] = {
    {Code::invalid_argument, "syntax error", "", "42601"},
    {Code::invalid_argument, "expected ", ", found ", "42601"},
    {Code::invalid_argument, "the statement ends where", "", "42601"},
    {Code::invalid_argument, "", " is never closed", "42601"},
    {Code::invalid_argument, "table ", " values were supplied", "42601"},
    {Code::invalid_argument, "Set operations can only apply", "", "42601"},
    {Code::invalid_argument, "Referenced column ", "", "42703"},
    {Code::invalid_argument, "", " does not have a column ", "42703"},
    {Code::invalid_argument, "Ambiguous reference", "", "42702"},
    {Code::invalid_argument, "No function matches", "", "42883"},
    {Code::invalid_argument, "", " Function with name ", "42883"},
    {Code::invalid_argument, "Type with name ", "", "42704"},
    {Code::invalid_argument, "Collation with name ", "", "42704"},
    {Code::invalid_argument, "column ", " must appear in the GROUP BY clause", "42803"},
    {Code::invalid_argument, "", " cannot contain aggregates", "42803"},
    {Code::invalid_argument, "aggregate function calls cannot", "", "42803"},
    {Code::invalid_argument, "Values were not provided for", "", "42P02"},
    {Code::invalid_argument, "the statement has ", " values were given", "42P02"},
    {Code::invalid_argument, "Cannot compare values of type", "", "42804"},
    {Code::invalid_argument, "Unimplemented type for cast", "", "42846"},
    {Code::invalid_argument, "parameter $", "out of range", "22003"},
    {Code::invalid_argument, "parameter $", "", "22P02"},
    {Code::invalid_argument, "Type ", " out of range for the destination type", "22003"},
    {Code::invalid_argument, "Could not convert string", " out of range", "22003"},
    {Code::invalid_argument, "Could not convert string", "", "22P02"},
    {Code::invalid_argument, "Malformed JSON", "", "22P02"},
    {Code::invalid_argument, "invalid ", " field format", "22007"},
    {Code::invalid_argument, "date field value out of range", "", "22007"},
    {Code::invalid_argument, "Could not parse string", "", "22007"},
    {Code::invalid_argument, "Overflow in ", "", "22003"},
    {Code::invalid_argument, "Value out of range", "", "22003"},
    {Code::invalid_argument, "Could not cast value", "", "22003"},
    {Code::invalid_argument, "Casting value", " failed", "22003"},
    {Code::invalid_argument, "", "ivision by zero", "22012"},
    {Code::invalid_argument, "cannot take ", "", "22023"},
    {Code::invalid_argument, "extract specifier ", "", "22023"},
    {Code::invalid_argument, "Invalid UTF8", "", "22023"},
    {Code::invalid_argument, "NOT NULL constraint failed", "", "23502"},
    {Code::invalid_argument, "NULL in column ", ", which is NOT NULL", "23502"},
    {Code::exhausted, "", "No space left on device", "53100"},
    {Code::exhausted, "out of memory", "", "53200"},
    {Code::exhausted, "", " allocate ", "53200"},
};

int32_t characters(std::string_view text) {
  return static_cast<int32_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::span<const SqlState> sqlstates() { return kTable; }

std::string_view sqlstate_of(Code code) {
  auto general = std::ranges::find(kTable, code, &SqlState::code);
  return general == std::end(kTable) ? "XX000" : general->sqlstate;
}

std::string_view sqlstate_of(const Error& error) {
  auto fits = [&](const Phrase& phrase) {
    return phrase.code == error.code() && error.message().starts_with(phrase.begin) &&
           error.message().find(phrase.part) != std::string::npos;
  };
  auto phrase = std::ranges::find_if(kPhrases, fits);
  return phrase == std::end(kPhrases) ? sqlstate_of(error.code()) : phrase->sqlstate;
}

Code code_of_sqlstate(std::string_view sqlstate) {
  auto known = std::ranges::find(kTable, sqlstate, &SqlState::sqlstate);
  if (known != std::end(kTable)) return known->code;
  constexpr std::pair<std::string_view, Code> kClasses[] = {
      {"08", Code::unavailable},      {"0A", Code::unsupported},
      {"22", Code::invalid_argument}, {"23", Code::invalid_argument},
      {"28", Code::permission},       {"40", Code::conflict},
      {"42", Code::invalid_argument}, {"53", Code::exhausted},
      {"57", Code::unavailable},      {"58", Code::io},
  };
  for (auto [prefix, code] : kClasses) {
    if (sqlstate.starts_with(prefix)) return code;
  }
  return Code::internal;
}

Report report_of(const Error& error, std::string_view statement, size_t offset,
                 std::string_view text) {
  Report report{.sqlstate = std::string(sqlstate_of(error)),
                .message = error.message(),
                .hint = error.hint()};
  if (error.position() && *error.position() <= statement.size()) {
    report.position =
        characters(text.substr(0, offset)) + characters(statement.substr(0, *error.position())) + 1;
  }
  return report;
}

}  // namespace ziwa::protocol::postgres
