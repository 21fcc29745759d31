#pragma once

#include "base/result.h"

#include <string>

namespace ziwa::protocol::http {

/// The HTTP status for one of our codes.
unsigned status_of(Code code);
/// {"code":"not_found","message":"...","hint":"..."} and a line end; hint only when there is one.
std::string error_json(const Error& error);

}  // namespace ziwa::protocol::http
