#pragma once

#include "base/result.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ziwa::protocol::http {

inline constexpr size_t kTargetBytesMax = 8'192;
inline constexpr size_t kParametersMax = 64;

/// A request target, decoded: "/v1/a%20b?x=1&y=" is {"v1", "a b"} and {("x","1"), ("y","")}.
struct Target {
  std::vector<std::string> path;
  std::vector<std::pair<std::string, std::string>> parameters;  ///< In the order they came.
};

/// Splits and decodes a target in origin form. "+" in the query is a space. Errors:
/// invalid_argument (not a path, a bad escape, bytes that are not UTF-8), exhausted (longer than 8
/// KiB, more than 64 parameters).
Result<Target> parse_target(std::string_view target);

/// %-encodes all but unreserved characters.
std::string encode_component(std::string_view text);

/// Whether If-None-Match names a tag: "*", or a list of tags, each perhaps weak.
bool names_etag(std::string_view header, std::string_view etag);

/// URL-safe base64 without padding, for cursors.
std::string encode_base64(std::string_view bytes);
/// Errors: invalid_argument.
Result<std::string> decode_base64(std::string_view text);

}  // namespace ziwa::protocol::http
