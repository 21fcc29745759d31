#include "protocol/http/sql_request.h"

#include <nlohmann/json.hpp>

#include <cstddef>
#include <cstdint>

/// Any bytes as the body of POST /v1/sql: what is read, written as a body, is read as the same.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ziwa::protocol::http;
  auto sql = parse_sql_request({reinterpret_cast<const char*>(data), size});
  if (!sql) return 0;
  auto parameters = nlohmann::json::array();
  for (const auto& parameter : sql->sql.parameters) {
    parameters.push_back(parameter ? nlohmann::json(*parameter) : nlohmann::json());
  }
  nlohmann::json body = {{"sql", sql->sql.text}, {"parameters", std::move(parameters)}};
  auto again = parse_sql_request(body.dump());
  CHECK(again, "{}", again.error().message());
  CHECK(again->sql.text == sql->sql.text && again->sql.parameters == sql->sql.parameters, "{}",
        body.dump());
  return 0;
}
