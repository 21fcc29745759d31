#pragma once

#include "base/result.h"
#include "protocol/http/target.h"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa::protocol::http {

inline constexpr uint64_t kLimitDefault = 1'000;
inline constexpr int64_t kWaitMsDefault = 5'000;
inline constexpr int64_t kWaitMsMax = 60'000;
inline constexpr size_t kListItemsMax = 1'000;

/// Conditions that no row passes, and every row: but NULL stays neither.
inline constexpr std::string_view kNever = "never";
inline constexpr std::string_view kAlways = "always";

/// One condition on a column.
struct Filter {
  std::string column;
  /// =, <>, <, <=, >, >=, LIKE, ILIKE, IN, IS NULL, IS NOT NULL, IS TRUE, IS FALSE, kNever, kAlways
  std::string op;
  bool negated = false;
  std::vector<std::string> values;  ///< One, several for IN, none for IS, kNever and kAlways.
};

/// One column of `order=`.
struct OrderBy {
  std::string column;
  bool descending = false;
  bool nulls_first = false;
};

/// What a GET of a relation asks for.
struct RestQuery {
  std::vector<std::string> select;  ///< Empty: every column.
  std::vector<Filter> filters;
  std::vector<OrderBy> order;
  uint64_t limit = kLimitDefault;
  uint64_t offset = 0;
  /// Values of the order columns of the last row that was seen; null where it was NULL.
  std::optional<std::vector<std::optional<std::string>>> after;
  std::optional<uint64_t> min_epoch;
  int64_t wait_ms = kWaitMsDefault;
};

/// Reads select, order, limit, offset, after, min_epoch and wait; every other parameter is a
/// filter: `col=value`, `col=op.value` with op eq, neq, gt, gte, lt, lte, like, ilike, in.(a,b) and
/// is.null|not_null|true|false, each perhaps after `not.`. Without a limit it is
/// kLimitDefault, or `limit_max` when that is less. Errors: invalid_argument (also a limit above
/// `limit_max`).
Result<RestQuery> parse_rest_query(const Target& target, uint64_t limit_max);

/// The relation as the SQL is built for it.
struct Relation {
  std::string schema;
  std::string name;
  /// Columns that may be named (without regard to case); empty: not known here, the database
  /// decides.
  std::vector<std::string> columns;
  /// Columns that identify a row, for a stable order and cursors; empty: none known.
  std::vector<std::string> key;
};

/// A statement with `$1`, `$2` ... and the texts to bind to them, each read as the type the
/// statement expects.
struct RestSql {
  std::string text;
  std::vector<std::optional<std::string>> parameters;
  /// The first parameters are the filters' values, in their order; the others a cursor's.
  size_t filter_values = 0;
  std::set<size_t> numbers;  ///< Which of them are numbers where the statement leaves it open.
  /// Rows to show; one more may come, which says that there are more. Empty: all that come.
  std::optional<uint64_t> rows_shown;
  size_t hidden_columns =
      0;  ///< The last columns of the answer: the cursor's values, not to be shown.
};

/// Every name is quoted and every value a parameter. A relation without a key has no cursors, so
/// that the statement asks for one row more than the limit. Errors: invalid_argument (unknown
/// column, with a suggestion; a cursor that does not fit the order).
Result<RestSql> build_rest_sql(const Relation& relation, const RestQuery& query);

/// `after` of a row whose order columns have these texts.
std::string encode_cursor(const std::vector<std::optional<std::string>>& values);

}  // namespace ziwa::protocol::http
