#include "protocol/postgres/sqlstate.h"

#include <algorithm>

namespace ziwa::protocol::postgres {
namespace {

int32_t characters(std::string_view text) {
  return static_cast<int32_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

std::string_view sqlstate_of(Code code) {
  switch (code) {
    case Code::invalid_argument:
      return "42000";  // syntax_error_or_access_rule_violation
    case Code::not_found:
      return "42P01";  // undefined_table
    case Code::already_exists:
      return "42P07";  // duplicate_table
    case Code::conflict:
      return "40001";  // serialization_failure
    case Code::unsupported:
      return "0A000";  // feature_not_supported
    case Code::permission:
      return "42501";  // insufficient_privilege
    case Code::unavailable:
      return "57P03";  // cannot_connect_now
    case Code::exhausted:
      return "53000";  // insufficient_resources
    case Code::maybe_applied:
      return "40003";  // statement_completion_unknown
    case Code::corrupt:
      return "XX001";  // data_corrupted
    case Code::cancelled:
      return "57014";  // query_canceled
    case Code::io:
      return "58030";  // io_error
    case Code::internal:
      return "XX000";  // internal_error
  }
  return "XX000";
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
