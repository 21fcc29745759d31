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

/// What a line's end means to who reads the text.
enum class JsonLines : unsigned char {
  /// Values go on over lines. No string does: one that is open at the end of a line is not JSON.
  go_on,
  /// Each line is a value of its own, whatever the lines before were.
  are_values,
};

/// The same for text that comes in pieces, from its beginning. About 1 ns a byte. One thread.
class JsonDepthCounter {
 public:
  JsonDepthCounter(size_t depth_max, JsonLines lines) : depth_max_(depth_max), lines_(lines) {}
  /// Takes the next piece. True: somewhere up to its end the text nests deeper; what comes after
  /// that does not matter.
  bool nests_deeper(std::string_view piece);

 private:
  const char* skip_string(const char* at, const char* end);

  size_t depth_max_;
  JsonLines lines_;
  size_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;  ///< The last piece ended with the backslash of an escape.
};

}  // namespace ziwa
