#include "app/command.h"
#include "protocol/rows/scalar_text.h"

#include <cstdio>

namespace ziwa::app {

int report_error(const Error& error, bool json) {
  if (json) {
    std::string out = "{\"event\":\"error\",\"code\":";
    protocol::append_json_string(out, code_name(error.code()));
    if (error.cause()) {
      out += ",\"cause\":";
      protocol::append_json_string(out, cause_name(*error.cause()));
    }
    out += ",\"message\":";
    protocol::append_json_string(out, error.message());
    out += ",\"hint\":";
    protocol::append_json_string(out, error.hint());
    if (error.position()) out += fmt::format(",\"position\":{}", *error.position());
    fmt::print(stderr, "{}}}\n", out);
  } else {
    fmt::print(stderr, "ziwa: {}\n", error.message());
    if (!error.hint().empty()) fmt::print(stderr, "hint: {}\n", error.hint());
  }
  return error.code() == Code::unavailable ? kExitUnreachable : kExitFailed;
}

}  // namespace ziwa::app
