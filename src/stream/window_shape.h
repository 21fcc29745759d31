#pragma once

#include "base/result.h"

#include <cstdint>
#include <string_view>

namespace ziwa::stream {

/// Which windows [start, end) a time belongs to. Microseconds; windows are counted from 1970-01-01
/// plus `offset_us`, also those before it.
struct WindowShape {
  enum class Kind : uint8_t {
    tumble,    ///< One of `size_us` after the other.
    hop,       ///< One of `size_us` begins every `step_us`: a time is in size / step of them.
    cumulate,  ///< They begin every `size_us` and end `step_us`, 2 `step_us`, ... after it.
  };
  Kind kind = Kind::tumble;
  int64_t size_us = 0;  ///< Of cumulate: of the longest.
  int64_t step_us = 0;  ///< Of tumble: 0.
  int64_t offset_us = 0;
  bool operator==(const WindowShape&) const = default;
};

/// "hop", as plans and SQL spell it.
std::string_view name_of(WindowShape::Kind kind);

/// How many windows hold one time at most.
inline constexpr int64_t kWindowsMax = 10'000;

/// Errors: invalid_argument: a size or step that is not positive, a size that is no multiple of the
/// step, or of more than kWindowsMax of them.
Status check(const WindowShape& shape);

/// The start of the stretch of `length_us` that holds `time_us`; false when it is no int64.
inline bool floor_to(int64_t time_us, int64_t length_us, int64_t offset_us, int64_t& start_us) {
  const auto shifted = static_cast<__int128>(time_us) - offset_us;
  auto into = shifted % length_us;
  if (into < 0) into += length_us;
  return !__builtin_sub_overflow(time_us, static_cast<int64_t>(into), &start_us);
}

/// Calls `visit(start_us, end_us)` for each window of a good shape that holds the time, the oldest
/// start and the nearest end first. False, without any call: one begins or ends outside int64.
template <typename Visit>
bool each_window(const WindowShape& shape, int64_t time_us, Visit visit) {
  const bool hop = shape.kind == WindowShape::Kind::hop;
  const bool tumble = shape.kind == WindowShape::Kind::tumble;
  int64_t last = 0;   // The newest start.
  int64_t first = 0;  // The oldest one.
  int64_t end = 0;    // Of the newest window.
  if (!floor_to(time_us, hop ? shape.step_us : shape.size_us, shape.offset_us, last) ||
      __builtin_add_overflow(last, shape.size_us, &end) ||
      __builtin_sub_overflow(last, hop ? shape.size_us - shape.step_us : 0, &first)) {
    return false;
  }
  if (tumble) {
    visit(last, end);
  } else if (hop) {
    for (int64_t start = first; start <= last; start += shape.step_us) {
      visit(start, start + shape.size_us);
      if (start == last) break;
    }
  } else {
    const int64_t passed = (time_us - last) / shape.step_us;  // Windows that ended before.
    for (int64_t i = passed + 1; i <= shape.size_us / shape.step_us; ++i)
      visit(last, last + i * shape.step_us);
  }
  return true;
}

}  // namespace ziwa::stream
