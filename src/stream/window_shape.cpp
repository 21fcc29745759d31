#include "stream/window_shape.h"

namespace ziwa::stream {

std::string_view name_of(WindowShape::Kind kind) {
  switch (kind) {
    case WindowShape::Kind::tumble:
      return "tumble";
    case WindowShape::Kind::hop:
      return "hop";
    case WindowShape::Kind::cumulate:
      return "cumulate";
  }
  return "";
}

Status check(const WindowShape& shape) {
  if (shape.size_us <= 0) {
    return Error(Code::invalid_argument, "the size of a window must be positive");
  }
  if (shape.kind == WindowShape::Kind::tumble) return {};
  if (shape.step_us <= 0) {
    return Error(Code::invalid_argument, "the step of {}() must be positive", name_of(shape.kind));
  }
  if (shape.size_us % shape.step_us != 0) {
    return Error(Code::invalid_argument, "the size of {}() must be a multiple of its step",
                 name_of(shape.kind))
        .with_hint("the step comes first: hop(t, ts, INTERVAL 1 MINUTE, INTERVAL 5 MINUTES)");
  }
  if (shape.size_us / shape.step_us > kWindowsMax) {
    return Error(Code::invalid_argument, "each row would be in {} windows, at most {} are possible",
                 shape.size_us / shape.step_us, kWindowsMax)
        .with_hint("take a longer step");
  }
  return {};
}

}  // namespace ziwa::stream
