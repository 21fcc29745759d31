#include "sql/insert_operator.h"

#include "duck/file_system.h"
#include "sql/attached_catalog.h"
#include "sql/entries.h"
#include "sql/row_writer.h"
#include "sql/session_state.h"

namespace ziwa::sql {
namespace {

struct InsertState final : duckdb::GlobalSinkState {
  RowWriter* writer = nullptr;
  std::unique_ptr<RowWriter>
      own;  ///< Null inside BEGIN ... COMMIT, where the transaction holds the writer.
  uint64_t rows = 0;
};

/// Takes the rows of its child into a RowWriter; gives one row, the count.
class InsertOperator final : public duckdb::PhysicalOperator {
 public:
  InsertOperator(duckdb::PhysicalPlan& plan, duckdb::vector<duckdb::LogicalType> types,
                 duckdb::idx_t cardinality, std::shared_ptr<Core> core, catalog::ObjectPtr object)
      : duckdb::PhysicalOperator(plan, duckdb::PhysicalOperatorType::EXTENSION, std::move(types),
                                 cardinality),
        core_(std::move(core)),
        object_(std::move(object)) {}

  std::string GetName() const override { return "ZIWA_INSERT"; }
  bool IsSink() const override { return true; }
  bool IsSource() const override { return true; }
  bool SinkOrderDependent() const override { return true; }

  duckdb::unique_ptr<duckdb::GlobalSinkState> GetGlobalSinkState(
      duckdb::ClientContext& context) const override {
    auto state = duckdb::make_uniq<InsertState>();
    Status opened = open(context, *state);
    if (!opened) duck::throw_error(opened.error());
    return state;
  }

  duckdb::SinkResultType Sink(duckdb::ExecutionContext&, duckdb::DataChunk& chunk,
                              duckdb::OperatorSinkInput& input) const override {
    auto& state = input.global_state.Cast<InsertState>();
    if (Status status = state.writer->write(chunk); !status) duck::throw_error(status.error());
    state.rows += chunk.size();
    return duckdb::SinkResultType::NEED_MORE_INPUT;
  }

  duckdb::SinkFinalizeType Finalize(duckdb::Pipeline&, duckdb::Event&,
                                    duckdb::ClientContext& context,
                                    duckdb::OperatorSinkFinalizeInput& input) const override {
    auto& state = input.global_state.Cast<InsertState>();
    if (!state.own) return duckdb::SinkFinalizeType::READY;
    auto entry = state.own->finish();
    if (!entry) duck::throw_error(entry.error());
    if (auto session = SessionState::of(context)) session->outcome->written = entry->value;
    return duckdb::SinkFinalizeType::READY;
  }

 protected:
  duckdb::SourceResultType GetDataInternal(duckdb::ExecutionContext&, duckdb::DataChunk& chunk,
                                           duckdb::OperatorSourceInput&) const override {
    chunk.SetCardinality(1);
    chunk.SetValue(
        0, 0, duckdb::Value::BIGINT(static_cast<int64_t>(sink_state->Cast<InsertState>().rows)));
    return duckdb::SourceResultType::FINISHED;
  }

 private:
  Status open(duckdb::ClientContext& context, InsertState& state) const {
    if (context.transaction.IsAutoCommit()) {
      state.own = TRY(make_row_writer(*core_, object_, AppendWhen::full));
      state.writer = state.own.get();
    } else {
      auto& catalog = duckdb::Catalog::GetCatalog(context, std::string(kDatabaseName));
      state.writer = TRY(PinnedTransaction::of(context, catalog).held_writer(object_));
    }
    return {};
  }

  std::shared_ptr<Core> core_;
  catalog::ObjectPtr object_;
};

Status check_insert(const duckdb::LogicalInsert& op, const catalog::ObjectPtr& object) {
  if (!object)
    return Error(Code::permission, "\"{}\" is a system table; it cannot be written", op.table.name);
  if (object->kind() == catalog::Kind::view) {
    return Error(Code::unsupported, "\"{}\" is a materialized view; its rows follow from its query",
                 object->name)
        .with_hint("write into the topics and tables it reads");
  }
  if (op.return_chunk) return Error(Code::unsupported, "INSERT ... RETURNING is not built");
  return {};
}

}  // namespace

duckdb::PhysicalOperator& plan_insert(duckdb::ClientContext& context,
                                      duckdb::PhysicalPlanGenerator& planner,
                                      duckdb::LogicalInsert& op,
                                      duckdb::optional_ptr<duckdb::PhysicalOperator> plan) {
  auto& entry = static_cast<TableEntry&>(op.table);
  catalog::ObjectPtr object = entry.object();
  if (Status status = check_insert(op, object); !status) duck::throw_error(status.error());
  if (!plan)
    duck::throw_error(Error(Code::unsupported, "this form of INSERT is not built")
                          .with_hint("INSERT ... VALUES or SELECT"));
  if (!op.column_index_map.empty()) plan = planner.ResolveDefaultsProjection(op, *plan);
  auto& core = PinnedTransaction::of(context, entry.catalog).shared_core();
  auto& insert =
      planner.Make<InsertOperator>(op.types, op.estimated_cardinality, core, std::move(object));
  insert.children.push_back(*plan);
  return insert;
}

}  // namespace ziwa::sql
