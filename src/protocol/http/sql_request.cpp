#include "protocol/http/sql_request.h"

#include "base/json_depth.h"
#include "sql/tokenizer.h"

#include <nlohmann/json.hpp>

namespace ziwa::protocol::http {

Result<RestSql> parse_sql_request(std::string_view body) {
  if (json_nests_deeper(body)) {
    return Error(Code::invalid_argument, "the body nests deeper than {} levels", kJsonDepthMax)
        .with_hint("send nested values as texts and cast them in the statement");
  }
  auto request = nlohmann::json::parse(body, nullptr, false);
  if (!request.is_object() || !request.contains("sql") || !request["sql"].is_string()) {
    return Error(Code::invalid_argument, "the body is {{\"sql\":\"...\",\"parameters\":[...]}}");
  }
  const auto& text = request["sql"].get_ref<const std::string&>();
  auto statements = sql::split_statements(text);
  if (statements.size() != 1) {
    return Error(Code::invalid_argument, "the body holds one statement, not {}", statements.size());
  }
  RestSql sql;
  sql.text = text.substr(statements[0].begin, statements[0].end - statements[0].begin);
  auto parameters = request.find("parameters");
  if (parameters == request.end()) return sql;
  if (!parameters->is_array()) return Error(Code::invalid_argument, "parameters is a list");
  for (const auto& parameter : *parameters) {
    if (parameter.is_null()) {
      sql.parameters.emplace_back();
    } else {
      sql.parameters.emplace_back(parameter.is_string() ? parameter.get<std::string>()
                                                        : parameter.dump());
    }
  }
  return sql;
}

}  // namespace ziwa::protocol::http
