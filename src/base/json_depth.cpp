#include "base/json_depth.h"

#include <algorithm>
#include <array>

namespace ziwa {
namespace {

enum class Kind : unsigned char { plain, quote, open, close, line };

constexpr auto kKinds = [] {
  std::array<Kind, 256> kinds{};
  kinds['"'] = Kind::quote;
  kinds['['] = kinds['{'] = Kind::open;
  kinds[']'] = kinds['}'] = Kind::close;
  kinds['\n'] = Kind::line;
  return kinds;
}();

Kind kind_of(char c) { return kKinds[static_cast<unsigned char>(c)]; }

}  // namespace

/// Behind the string that `at` is in; at a line's end, which is not JSON, it is over too.
const char* JsonDepthCounter::skip_string(const char* at, const char* end) {
  while (at != end) {
    const char c = *at;
    if (c == '\n') {
      in_string_ = escaped_ = false;
      return at;
    }
    ++at;
    if (escaped_) {
      escaped_ = false;
    } else if (c == '"') {
      in_string_ = false;
      return at;
    } else if (c == '\\') {
      escaped_ = true;
    }
  }
  return at;
}

bool JsonDepthCounter::nests_deeper(std::string_view piece) {
  const char* at = piece.data();
  const char* const end = at + piece.size();
  if (in_string_) at = skip_string(at, end);
  while (at != end) {
    switch (kind_of(*at++)) {
      case Kind::quote:
        in_string_ = true;
        at = skip_string(at, end);
        break;
      case Kind::open:
        if (++depth_ > depth_max_) return true;
        break;
      case Kind::close:
        if (depth_ > 0) --depth_;
        break;
      case Kind::line:
        if (lines_ == JsonLines::are_values) depth_ = 0;
        break;
      case Kind::plain:
        break;
    }
  }
  return false;
}

bool json_nests_deeper(std::string_view text, size_t depth_max) {
  // Most texts have too few brackets to be deep, which is much faster to see.
  const auto opens = std::ranges::count_if(text, [](char c) { return c == '[' || c == '{'; });
  if (static_cast<size_t>(opens) <= depth_max) return false;
  return JsonDepthCounter(depth_max, JsonLines::go_on).nests_deeper(text);
}

}  // namespace ziwa
