#include "duck/refused_functions.h"

#include "duck/system_functions.h"

#include <array>

namespace ziwa::duck {
namespace {

constexpr auto kRefused = std::to_array<const char*>(
    {"arrow_scan", "arrow_scan_dumb", "check_peg_parser", "checkpoint", "disable_logging",
     "disable_peg_parser", "disable_profiling", "enable_logging", "enable_peg_parser",
     "enable_profiling", "force_checkpoint", "read_duckdb", "seq_scan", "truncate_duckdb_logs",
     "write_log"});

/// Our catalog's transactions are not DuckDB's, whose numbers these give.
constexpr auto kNotHere = std::to_array<const char*>({"txid_current"});

duckdb::unique_ptr<duckdb::FunctionData> refuse(duckdb::ClientContext&,
                                                duckdb::TableFunctionBindInput& input,
                                                duckdb::vector<duckdb::LogicalType>&,
                                                duckdb::vector<std::string>&) {
  throw duckdb::PermissionException("%s is for the administrator", input.table_function.name);
}

duckdb::unique_ptr<duckdb::FunctionData> not_here(
    duckdb::ClientContext&, duckdb::ScalarFunction& function,
    duckdb::vector<duckdb::unique_ptr<duckdb::Expression>>&) {
  throw duckdb::NotImplementedException("%s() is not there: transactions have no numbers",
                                        function.name);
}

}  // namespace

std::span<const char* const> refused_table_functions() { return kRefused; }

void refuse_functions(duckdb::DatabaseInstance& database) {
  change_table_functions(database, kRefused, [](duckdb::TableFunction& function) {
    function.bind = refuse;
    function.bind_replace = nullptr;
    function.bind_operator = nullptr;
  });
  change_scalar_functions(database, kNotHere, [](duckdb::ScalarFunction& function) {
    function.SetBindCallback(not_here);
  });
}

}  // namespace ziwa::duck
