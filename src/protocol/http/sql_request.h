#pragma once

#include "base/result.h"
#include "protocol/http/rest_query.h"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace ziwa::protocol::http {

/// The statement of one POST /v1/sql.
struct SqlRequest {
  RestSql sql;
  std::string text;  ///< As the client sent it.
  size_t begin = 0;  ///< Where the statement begins in it.

  /// The character of `text`, from 0, at which the error of the statement begins, if it says one.
  std::optional<size_t> character_of(const Error& error) const;
};

/// Reads the body of POST /v1/sql, {"sql":"...","parameters":[...]}: one statement, and a text for
/// each parameter (what is not a string is its JSON, numbers with all their digits). Errors:
/// invalid_argument, also for members that are not known, and when the JSON nests deeper than
/// kJsonDepthMax.
Result<SqlRequest> parse_sql_request(std::string_view body);

}  // namespace ziwa::protocol::http
