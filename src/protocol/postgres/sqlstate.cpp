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

std::string_view sqlstate_of(Cause cause) {
  switch (cause) {
#define ZIWA_CODE(name, http, sqlstate, kafka)
#define ZIWA_CAUSE(name, code, sqlstate) \
  case Cause::name:                      \
    return sqlstate;
#include "base/error_table.inc"
#undef ZIWA_CODE
#undef ZIWA_CAUSE
  }
  return "XX000";
}

std::string_view sqlstate_of(const Error& error) {
  return error.cause() ? sqlstate_of(*error.cause()) : sqlstate_of(error.code());
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

std::optional<Cause> cause_of_sqlstate(std::string_view sqlstate) {
#define ZIWA_CODE(name, http, sqlstate, kafka)
#define ZIWA_CAUSE(name, code, state) \
  if (sqlstate == (state)) return Cause::name;
#include "base/error_table.inc"
#undef ZIWA_CODE
#undef ZIWA_CAUSE
  return std::nullopt;
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
