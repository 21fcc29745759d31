#include "base/json_depth.h"

#include <algorithm>

namespace ziwa {

bool json_nests_deeper(std::string_view text, size_t depth_max) {
  // Most texts have too few brackets to be deep, which is much faster to see.
  const auto opens = std::ranges::count_if(text, [](char c) { return c == '[' || c == '{'; });
  if (static_cast<size_t>(opens) <= depth_max) return false;
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    switch (text[i]) {
      case '\\':
        if (in_string) ++i;
        break;
      case '"':
        in_string = !in_string;
        break;
      case '[':
      case '{':
        if (!in_string && ++depth > depth_max) return true;
        break;
      case ']':
      case '}':
        if (!in_string && depth > 0) --depth;
        break;
      default:
        break;
    }
  }
  return false;
}

}  // namespace ziwa
