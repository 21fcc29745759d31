#pragma once

#include "base/result.h"
#include "protocol/http/rest_query.h"

#include <string_view>

namespace ziwa::protocol::http {

/// Reads the body of POST /v1/sql, {"sql":"...","parameters":[...]}: one statement, and a text for
/// each parameter (what is not a string is its JSON, numbers with all their digits). Errors:
/// invalid_argument, also for members that are not known, and when the JSON nests deeper than
/// kJsonDepthMax.
Result<RestSql> parse_sql_request(std::string_view body);

}  // namespace ziwa::protocol::http
