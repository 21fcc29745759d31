#include "protocol/postgres/sqlstate.h"

#include <algorithm>

namespace ziwa::protocol::postgres {
namespace {

constexpr SqlState kTable[] = {
    {"XX000", Code::internal},             // internal_error
    {"42000", Code::invalid_argument},     // syntax_error_or_access_rule...
    {"42P01", Code::not_found},            // undefined_table
    {"42P07", Code::already_exists},       // duplicate_table
    {"40001", Code::conflict},             // serialization_failure
    {kFailedTransaction, Code::conflict},  // in_failed_sql_transaction
    {"0A000", Code::unsupported},          // feature_not_supported
    {"42501", Code::permission},           // insufficient_privilege
    {"57P03", Code::unavailable},          // cannot_connect_now
    {kAdminShutdown, Code::unavailable},   // admin_shutdown
    {"53000", Code::exhausted},            // insufficient_resources
    {kTooManyConnections, Code::exhausted},
    {"40003", Code::maybe_applied},                // statement_completion_unknown
    {"XX001", Code::corrupt},                      // data_corrupted
    {"57014", Code::cancelled},                    // query_canceled
    {"58030", Code::io},                           // io_error
    {kProtocolViolation, Code::invalid_argument},  // protocol_violation
    {kNoSuchStatement, Code::not_found},           // invalid_sql_statement_name
    {kNoSuchPortal, Code::not_found},              // invalid_cursor_name
    {kDuplicateStatement, Code::already_exists},   // duplicate_prepared_statement
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
  return general == std::end(kTable) ? kTable[0].sqlstate : general->sqlstate;
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
  Report report{.sqlstate = std::string(sqlstate_of(error.code())),
                .message = error.message(),
                .hint = error.hint()};
  if (error.position() && *error.position() <= statement.size()) {
    report.position =
        characters(text.substr(0, offset)) + characters(statement.substr(0, *error.position())) + 1;
  }
  return report;
}

}  // namespace ziwa::protocol::postgres
