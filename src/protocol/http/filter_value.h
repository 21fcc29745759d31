#pragma once

#include "base/result.h"
#include "duck/duckdb.h"
#include "protocol/http/rest_query.h"

#include <optional>
#include <string>
#include <string_view>

namespace ziwa::protocol::http {

/// Where a number stands among the values of an integer or DECIMAL type: both are that number where
/// the type has it, and else its neighbours; nullopt beyond the end of the type's range.
struct NumberPlace {
  std::optional<std::string> at_most;   ///< The largest value that is not above it.
  std::optional<std::string> at_least;  ///< The least value that is not below it.
  bool exact() const { return at_most && at_least && *at_most == *at_least; }
};

/// Places `text`, an optional sign, digits with or without a point, and perhaps an exponent. `type`
/// must be an integer or DECIMAL type. Errors: invalid_argument (no number).
Result<NumberPlace> place_number(std::string_view text, const duckdb::LogicalType& type);

/// Makes the filter's value number `index` one of `type` without changing which rows the filter
/// means: `a > 1.5` becomes `a >= 2` for a BIGINT, `a = 1.5` a filter that no row passes. Returns
/// whether the filter is another one now, so that its values have changed places. Errors:
/// invalid_argument when the text is no value of the type, or a time that is finer than the type.
Result<bool> fit_value(Filter& filter, size_t index, const duckdb::LogicalType& type);

/// The bytes of `\x00ff`, as answers write a BLOB; nullopt when `text` is not of that form.
std::optional<std::string> blob_bytes(std::string_view text);

}  // namespace ziwa::protocol::http
