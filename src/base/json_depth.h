#pragma once

#include <cstddef>
#include <string_view>

namespace ziwa {

/// Arrays and objects inside each other that JSON text from outside may have where our own code
/// reads it into a tree: libraries copy, print and free such trees by recursion.
inline constexpr size_t kJsonDepthMax = 64;

/// Do arrays and objects nest deeper than `depth_max`? Looks at brackets outside of strings only,
/// so the text need not be valid; as long as it is not deeper, no reader of it recurses deeper.
bool json_nests_deeper(std::string_view text, size_t depth_max = kJsonDepthMax);

}  // namespace ziwa
