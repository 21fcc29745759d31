#include "protocol/http/errors.h"

#include "protocol/rows/scalar_text.h"

namespace ziwa::protocol::http {

unsigned status_of(Code code) {
  switch (code) {
#define ZIWA_CODE(name, http, sqlstate, kafka) \
  case Code::name:                             \
    return http;
#define ZIWA_CAUSE(name, code, sqlstate)
#include "base/error_table.inc"
#undef ZIWA_CODE
#undef ZIWA_CAUSE
  }
  return 500;
}

std::string error_json(const Error& error, std::optional<size_t> position) {
  std::string out = "{\"code\":";
  append_json_string(out, code_name(error.code()));
  if (error.cause()) {
    out += ",\"cause\":";
    append_json_string(out, cause_name(*error.cause()));
  }
  out += ",\"message\":";
  append_json_string(out, error.message());
  if (!error.hint().empty()) {
    out += ",\"hint\":";
    append_json_string(out, error.hint());
  }
  if (position) out += fmt::format(",\"position\":{}", *position);
  return out + "}\n";
}

}  // namespace ziwa::protocol::http
