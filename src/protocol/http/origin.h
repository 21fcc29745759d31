#pragma once

#include "base/result.h"

#include <optional>
#include <string_view>

namespace ziwa::protocol::http {

/// Refuses what a foreign web page could make a browser send to this machine: a Host that is not
/// localhost, 127.0.0.1 or
/// [::1] (DNS rebinding) and an Origin that is none of them (cross-site requests). Errors:
/// invalid_argument (no Host), permission.
Status check_origin(std::optional<std::string_view> host, std::optional<std::string_view> origin);

}  // namespace ziwa::protocol::http
