#include "sql/session_state.h"

#include "duck/instance.h"
#include "sql/core.h"

namespace ziwa::sql {

Result<std::unique_ptr<duckdb::Connection>> open_connection(
    const duckdb::shared_ptr<SessionState>& state) {
  return duck::guarded([&] {
    auto& instance = state->core->deps.duck;
    auto connection =
        state->folder.empty() ? instance.connect_user() : instance.connect_within(state->folder);
    connection->context->registered_state->Insert(SessionState::kKey, state);
    // As text DuckDB puts the position into the message and forgets it.
    auto set = connection->Query("SET errors_as_json = true");
    if (set->HasError()) set->ThrowError();
    return connection;
  });
}

Error error_of(const duckdb::ErrorData& error) { return duck::to_error(error); }

}  // namespace ziwa::sql
