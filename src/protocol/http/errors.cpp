#include "protocol/http/errors.h"

#include "protocol/rows/scalar_text.h"

namespace ziwa::protocol::http {

unsigned status_of(Code code) {
  switch (code) {
    case Code::invalid_argument:
      return 400;
    case Code::not_found:
      return 404;
    case Code::already_exists:
      return 409;
    case Code::conflict:
      return 409;
    case Code::unsupported:
      return 501;
    case Code::permission:
      return 403;
    case Code::unavailable:
      return 503;
    case Code::exhausted:
      return 429;
    case Code::maybe_applied:
      return 500;
    case Code::corrupt:
      return 500;
    case Code::cancelled:
      return 503;
    case Code::io:
      return 500;
    case Code::internal:
      return 500;
  }
  return 500;
}

std::string error_json(const Error& error) {
  std::string out = "{\"code\":";
  append_json_string(out, code_name(error.code()));
  out += ",\"message\":";
  append_json_string(out, error.message());
  if (!error.hint().empty()) {
    out += ",\"hint\":";
    append_json_string(out, error.hint());
  }
  return out + "}\n";
}

}  // namespace ziwa::protocol::http
