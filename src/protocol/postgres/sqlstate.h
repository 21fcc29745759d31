#pragma once

#include "base/result.h"
#include "protocol/postgres/messages.h"

#include <optional>
#include <span>
#include <string_view>

namespace ziwa::protocol::postgres {

// SQLSTATEs that the door gives by itself; those of our codes stand in schemas/errors.yaml.
inline constexpr std::string_view kProtocolViolation = "08P01";
inline constexpr std::string_view kInTransaction = "25001";
inline constexpr std::string_view kNoSuchStatement = "26000";
inline constexpr std::string_view kNoSuchPortal = "34000";
inline constexpr std::string_view kDuplicateStatement = "42P05";
inline constexpr std::string_view kDuplicatePortal = "42P03";
inline constexpr std::string_view kTooManyConnections = "53300";
inline constexpr std::string_view kAdminShutdown = "57P01";

/// One line of the table.
struct SqlState {
  std::string_view sqlstate;
  Code code;
};
/// Every SQLSTATE that the door gives, once each; of a code's lines the first is its general one.
std::span<const SqlState> sqlstates();
/// Postgres's five-character code for one of ours.
std::string_view sqlstate_of(Code code);
std::string_view sqlstate_of(Cause cause);
/// Of the error's cause, or of its code where it carries none.
std::string_view sqlstate_of(const Error& error);
/// The way back, for our own clients: the code of a SQLSTATE, by its class when the table lacks it.
Code code_of_sqlstate(std::string_view sqlstate);
/// The cause that has this SQLSTATE, if one has.
std::optional<Cause> cause_of_sqlstate(std::string_view sqlstate);
/// What the client is told. `statement` is where the error's position points into: Postgres counts
/// characters from 1, we bytes from 0; `offset` is where that statement begins in the text the
/// client sent.
Report report_of(const Error& error, std::string_view statement = {}, size_t offset = 0,
                 std::string_view text = {});

}  // namespace ziwa::protocol::postgres
