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

/// Registers these functions.
Status register_window_functions(duck::Instance& instance);

}  // namespace ziwa::sql
