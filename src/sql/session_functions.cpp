#include "sql/session_functions.h"

#include "duck/catalog_api.h"
#include "duck/system_catalog.h"
#include "sql/render.h"
#include "sql/session_state.h"

namespace ziwa::sql {
namespace {

constexpr const char* kUserFunction = "ziwa_session_user";

void session_user(duckdb::DataChunk&, duckdb::ExpressionState& state, duckdb::Vector& result) {
  auto session = SessionState::of(state.GetContext());
  result.Reference(duckdb::Value(session ? session->user : std::string()));
}

}  // namespace

Status register_session_functions(duck::Instance& instance, const std::string& version) {
  duckdb::ScalarFunction user(kUserFunction, {}, duckdb::LogicalType::VARCHAR, session_user);
  user.SetStability(duckdb::FunctionStability::CONSISTENT_WITHIN_QUERY);
  TRY(duck::define_system_function(instance, std::move(user)));
  duckdb::ScalarFunction version_text(
      "version", {}, duckdb::LogicalType::VARCHAR,
      [version](duckdb::DataChunk&, duckdb::ExpressionState&, duckdb::Vector& result) {
        result.Reference(duckdb::Value(version));
      });
  TRY(duck::define_system_function(instance, std::move(version_text)));
  std::vector<duck::SystemMacro> macros;
  for (const char* name : {"current_user", "session_user", "user"}) {
    macros.push_back({DEFAULT_SCHEMA, name, {}, fmt::format("{}()", kUserFunction)});
  }
  return duck::define_system_macros(instance, macros);
}

}  // namespace ziwa::sql
