#pragma once

#include "base/result.h"

#include <cstddef>
#include <optional>
#include <string>

namespace ziwa::protocol::http {

/// The HTTP status for one of our codes.
unsigned status_of(Code code);
/// {"code":"invalid_argument","cause":"syntax_error","message":"...","hint":"...","position":7} and
/// a line end; cause and hint only when there is one. `position` counts characters of the text that
/// the client sent, from 0; the error's own may be one in a text of ours, and is not shown.
std::string error_json(const Error& error, std::optional<size_t> position = {});

}  // namespace ziwa::protocol::http
