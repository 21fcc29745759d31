#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>

namespace ziwa::app {

/// The body of http://host:port/path, which must answer 200. Blocks for at most ten seconds.
/// Errors: unavailable.
Result<std::string> http_get(const std::string& host, uint16_t port, const std::string& path);

}  // namespace ziwa::app
