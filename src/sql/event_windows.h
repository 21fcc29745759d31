#pragma once

#include "base/result.h"
#include "duck/instance.h"
#include "stream/window_shape.h"

#include <optional>
#include <string_view>

namespace ziwa::sql {

/// The table functions tumble(), hop() and cumulate() are rewritten to scalar functions of ours,
/// two of each: one gives the starts of the windows that hold a time, one their ends. Arguments:
/// the time (TIMESTAMP), the step (not of tumble), the size and, if wanted, the offset (INTERVALs).
/// tumble's give a TIMESTAMP, the others lists; what is NULL or infinite is in one window, itself.
struct WindowFunction {
  stream::WindowShape::Kind kind = stream::WindowShape::Kind::tumble;
  bool ends = false;
};
/// "ziwa_hop_starts"
std::string_view name_of(WindowFunction function);
/// Nothing for other names.
std::optional<WindowFunction> window_function_of(std::string_view name);
/// Errors: invalid_argument: check() of the shape; months, which are of no fixed length.
Result<stream::WindowShape> shape_of(stream::WindowShape::Kind kind,
                                     const std::vector<duckdb::interval_t>& intervals);

/// session() becomes two aggregates OVER the partition in a view, which the translation knows and
/// nobody runs, and in a query nested window functions with two scalar functions of ours:
/// kSessionBegins (time before, time, gap) is 1 where a session begins, else 0; kSessionStops (last
/// time, gap) is its end.
inline constexpr std::string_view kSessionStart = "ziwa_session_start";
inline constexpr std::string_view kSessionEnd = "ziwa_session_end";
inline constexpr std::string_view kSessionBegins = "ziwa_session_begins";
inline constexpr std::string_view kSessionStops = "ziwa_session_stops";
/// Errors: invalid_argument: months; a gap that is not positive or too long.
Result<int64_t> gap_of(duckdb::interval_t interval);

/// Registers all these functions.
Status register_window_functions(duck::Instance& instance);

}  // namespace ziwa::sql
