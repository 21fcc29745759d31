#include "duck/window.h"

#include <duckdb/common/types/column/column_data_collection.hpp>
#include <duckdb/main/client_config.hpp>
#include <duckdb/main/prepared_statement.hpp>
#include <duckdb/parser/parser.hpp>
#include <duckdb/parser/query_node/select_node.hpp>
#include <duckdb/parser/statement/select_statement.hpp>
#include <duckdb/parser/tableref/column_data_ref.hpp>
#include <fmt/format.h>

namespace ziwa::duck {
namespace {

using duckdb::ColumnDataCollection;

duckdb::unique_ptr<duckdb::SQLStatement> select_from(ColumnDataCollection& rows,
                                                     const std::vector<std::string>& calls) {
  std::string text = "SELECT number";
  for (const auto& call : calls) text += fmt::format(", {}", call);
  duckdb::Parser parser;
  parser.ParseQuery(text + " FROM rows");
  if (parser.statements.size() != 1 ||
      parser.statements[0]->type != duckdb::StatementType::SELECT_STATEMENT) {
    throw duckdb::ParserException("\"%s\" is not a list of calls", text);
  }
  duckdb::vector<std::string> names;
  for (size_t i = 0; i + 1 < rows.ColumnCount(); ++i) names.push_back(fmt::format("c{}", i));
  names.emplace_back("number");
  auto& select = parser.statements[0]->Cast<duckdb::SelectStatement>();
  select.node->Cast<duckdb::SelectNode>().from_table =
      duckdb::make_uniq<duckdb::ColumnDataRef>(rows, std::move(names));
  select.node->Cast<duckdb::SelectNode>().from_table->alias = "rows";
  return std::move(parser.statements[0]);
}

}  // namespace

struct WindowProgram::State {
  std::unique_ptr<duckdb::Connection> connection;  ///< First: the others refer to its context.
  std::unique_ptr<ColumnDataCollection> rows;
  duckdb::unique_ptr<duckdb::PreparedStatement> statement;
  duckdb::vector<duckdb::LogicalType> result_types;
  duckdb::DataChunk numbered;  ///< What was given, and the number of each row.
};

WindowProgram::WindowProgram() : state_(std::make_unique<State>()) {}
WindowProgram::~WindowProgram() = default;

Result<std::unique_ptr<WindowProgram>> WindowProgram::create(
    Instance& instance, const duckdb::vector<duckdb::LogicalType>& columns,
    const std::vector<std::string>& calls) {
  return guarded_result([&]() -> Result<std::unique_ptr<WindowProgram>> {
    std::unique_ptr<WindowProgram> program(new WindowProgram());
    State& state = *program->state_;
    state.connection = instance.connect();
    auto& context = *state.connection->context;
    // What the optimiser knows of today's rows does not hold for tomorrow's.
    duckdb::ClientConfig::GetConfig(context).enable_optimizer = false;
    auto types = columns;
    types.push_back(duckdb::LogicalType::BIGINT);
    state.rows =
        std::make_unique<ColumnDataCollection>(duckdb::Allocator::DefaultAllocator(), types);
    state.numbered.InitializeEmpty(types);
    state.numbered.data.back().Initialize();
    state.statement = state.connection->Prepare(select_from(*state.rows, calls));
    if (state.statement->HasError()) return to_error(state.statement->error);
    const auto& given = state.statement->GetTypes();
    state.result_types.assign(given.begin() + 1, given.end());
    return program;
  });
}

const duckdb::vector<duckdb::LogicalType>& WindowProgram::result_types() const {
  return state_->result_types;
}

size_t WindowProgram::size() const { return state_->rows->Count(); }

Status WindowProgram::add(duckdb::DataChunk& rows) {
  return guarded([&] {
    auto& numbered = state_->numbered;
    for (size_t i = 0; i < rows.ColumnCount(); ++i) numbered.data[i].Reference(rows.data[i]);
    auto* numbers = duckdb::FlatVector::GetData<int64_t>(numbered.data.back());
    for (size_t row = 0; row < rows.size(); ++row) {
      numbers[row] = static_cast<int64_t>(size() + row);
    }
    numbered.SetCardinality(rows.size());
    state_->rows->Append(numbered);
  });
}

Status WindowProgram::run(const std::function<Status(duckdb::DataChunk&)>& take) {
  auto done = guarded_result([&]() -> Status {
    duckdb::vector<duckdb::Value> no_parameters;
    auto result = state_->statement->Execute(no_parameters, true);
    if (result->HasError()) return to_error(result->GetErrorObject());
    while (auto chunk = result->Fetch()) {
      if (chunk->size() == 0) break;
      chunk->Flatten();
      TRY(take(*chunk));
    }
    // A streamed result says only here that it broke off.
    return result->HasError() ? Status(to_error(result->GetErrorObject())) : Status();
  });
  state_->rows->Reset();
  return done;
}

}  // namespace ziwa::duck
