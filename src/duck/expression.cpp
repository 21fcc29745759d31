#include "duck/expression.h"

#include "duck/planner.h"

#include <duckdb/execution/expression_executor.hpp>
#include <duckdb/optimizer/cse_optimizer.hpp>
#include <duckdb/optimizer/optimizer.hpp>
#include <duckdb/parser/parser.hpp>
#include <duckdb/planner/binder.hpp>
#include <duckdb/planner/expression/bound_columnref_expression.hpp>
#include <duckdb/planner/expression/bound_reference_expression.hpp>
#include <duckdb/planner/expression_binder/where_binder.hpp>
#include <duckdb/planner/expression_iterator.hpp>
#include <duckdb/planner/operator/logical_dummy_scan.hpp>
#include <duckdb/planner/operator/logical_projection.hpp>

namespace ziwa::duck {
namespace {

using duckdb::idx_t;

using Expressions = duckdb::vector<duckdb::unique_ptr<duckdb::Expression>>;

/// One projection: common subexpressions are computed by a stage of their own before those that use
/// them.
struct Stage {
  Stage(duckdb::ClientContext& context, Expressions list)
      : expressions(std::move(list)), executor(context) {
    for (auto& expression : expressions) {
      executor.AddExpression(*expression);
      types.push_back(expression->return_type);
    }
    output.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  }
  Expressions expressions;
  duckdb::ExpressionExecutor executor;
  duckdb::vector<duckdb::LogicalType> types;
  duckdb::DataChunk output;  ///< Used by all stages but the last.
};

duckdb::unique_ptr<duckdb::Expression> bind_one(duckdb::Binder& binder,
                                                duckdb::ClientContext& context,
                                                const std::string& text) {
  auto parsed = duckdb::Parser::ParseExpressionList(text, context.GetParserOptions());
  if (parsed.size() != 1) throw duckdb::BinderException("\"%s\" is not one expression", text);
  if (parsed[0]->HasSubquery())
    throw duckdb::NotImplementedException("a subquery is not possible in \"%s\"", text);
  if (parsed[0]->HasParameter())
    throw duckdb::NotImplementedException("a parameter is not possible in \"%s\"", text);
  duckdb::WhereBinder expression_binder(binder, context);
  expression_binder.target_type = duckdb::LogicalType::INVALID;  // any type, not only BOOLEAN
  auto bound = expression_binder.Bind(parsed[0]);
  std::vector<std::string> unstable;
  collect_unstable_functions(*bound, unstable);
  if (!unstable.empty()) {
    throw duckdb::NotImplementedException(
        "%s() gives another answer each time, so \"%s\" cannot be stored", unstable.front(), text);
  }
  return bound;
}

/// Bindings of the child stage become positions in its chunk.
void resolve(duckdb::unique_ptr<duckdb::Expression>& expression) {
  if (expression->GetExpressionClass() == duckdb::ExpressionClass::BOUND_COLUMN_REF) {
    auto& column = expression->Cast<duckdb::BoundColumnRefExpression>();
    if (column.depth != 0)
      throw duckdb::InternalException("a correlated column in a scalar expression");
    expression = duckdb::make_uniq<duckdb::BoundReferenceExpression>(
        column.GetAlias(), column.return_type, column.binding.column_index);
    return;
  }
  duckdb::ExpressionIterator::EnumerateChildren(
      *expression, [](duckdb::unique_ptr<duckdb::Expression>& child) { resolve(child); });
}

/// Simplifies, and splits common subexpressions off; the last list is the one that answers.
std::vector<Expressions> plan_stages(duckdb::Binder& binder, duckdb::ClientContext& context,
                                     Expressions bound) {
  auto projection =
      duckdb::make_uniq<duckdb::LogicalProjection>(binder.GenerateTableIndex(), std::move(bound));
  projection->children.push_back(
      duckdb::make_uniq<duckdb::LogicalDummyScan>(binder.GenerateTableIndex()));
  duckdb::Optimizer optimizer(binder, context);
  optimizer.rewriter.VisitOperator(*projection);
  duckdb::CommonSubExpressionOptimizer(binder).VisitOperator(*projection);
  std::vector<Expressions> stages;
  for (duckdb::LogicalOperator* op = projection.get();
       op->type == duckdb::LogicalOperatorType::LOGICAL_PROJECTION; op = op->children[0].get()) {
    for (auto& expression : op->expressions) resolve(expression);
    stages.insert(stages.begin(), std::move(op->expressions));
  }
  return stages;
}

}  // namespace

struct ExpressionProgram::State {
  std::unique_ptr<duckdb::Connection>
      connection;  ///< Before the stages: they refer to its context.
  std::vector<std::unique_ptr<Stage>> stages;
  duckdb::DataChunk slice;
  duckdb::DataChunk part;  ///< Results of some rows, for execute_rows.

  Stage& last() { return *stages.back(); }

  /// Runs all stages but the last; yields the chunk that the last one reads.
  duckdb::DataChunk& prepare(duckdb::DataChunk& in) {
    duckdb::DataChunk* input = &in;
    for (size_t i = 0; i + 1 < stages.size(); ++i) {
      Stage& stage = *stages[i];
      stage.output.Reset();
      stage.executor.Execute(*input, stage.output);
      input = &stage.output;
    }
    return *input;
  }

  void run(duckdb::DataChunk& in, duckdb::DataChunk& out) {
    duckdb::DataChunk& input = prepare(in);
    out.Reset();
    last().executor.Execute(input, out);
  }

  /// Runs rows [from, from + count), halving where it fails, and copies results to the same rows of
  /// `out`.
  void run_rows(duckdb::DataChunk& in, size_t from, size_t count, duckdb::DataChunk& out,
                std::vector<std::string>& failed) {
    duckdb::SelectionVector rows(count);
    for (size_t i = 0; i < count; ++i) rows.set_index(i, from + i);
    slice.Reset();
    slice.Slice(in, rows, count);
    Status done = guarded([&] { run(slice, part); });
    if (done.has_value()) {
      for (idx_t c = 0; c < out.ColumnCount(); ++c) {
        duckdb::VectorOperations::Copy(part.data[c], out.data[c], count, 0, from);
      }
    } else if (count == 1) {
      failed[from] = done.error().message();
      for (auto& column : out.data) duckdb::FlatVector::SetNull(column, from, true);
    } else {
      run_rows(in, from, count / 2, out, failed);
      run_rows(in, from + count / 2, count - count / 2, out, failed);
    }
  }
};

ExpressionProgram::ExpressionProgram() : state_(std::make_unique<State>()) {}
ExpressionProgram::~ExpressionProgram() = default;

Result<std::unique_ptr<ExpressionProgram>> ExpressionProgram::compile(
    Instance& instance, const std::vector<NamedType>& inputs,
    const std::vector<std::string>& expressions) {
  return guarded([&] {
    std::unique_ptr<ExpressionProgram> program(new ExpressionProgram());
    State& state = *program->state_;
    state.connection = instance.connect();
    auto& context = *state.connection->context;
    duckdb::vector<std::string> names;
    duckdb::vector<duckdb::LogicalType> types;
    for (const NamedType& input : inputs) {
      names.push_back(input.name);
      types.push_back(input.type);
    }
    std::vector<Expressions> stages;
    context.RunFunctionInTransaction([&] {
      auto binder = duckdb::Binder::CreateBinder(context);
      binder->bind_context.AddGenericBinding(binder->GenerateTableIndex(), "input", names, types);
      Expressions bound;
      for (const std::string& text : expressions) bound.push_back(bind_one(*binder, context, text));
      stages = plan_stages(*binder, context, std::move(bound));
    });
    for (Expressions& stage : stages)
      state.stages.push_back(std::make_unique<Stage>(context, std::move(stage)));
    state.slice.InitializeEmpty(types);
    state.part.Initialize(duckdb::Allocator::DefaultAllocator(), state.last().types);
    return program;
  });
}

const duckdb::vector<duckdb::LogicalType>& ExpressionProgram::output_types() const {
  return state_->last().types;
}

Status ExpressionProgram::execute(duckdb::DataChunk& in, duckdb::DataChunk& out) {
  return guarded([&] { state_->run(in, out); });
}

Status ExpressionProgram::execute_rows(duckdb::DataChunk& in, duckdb::DataChunk& out,
                                       std::vector<std::string>& failed) {
  failed.assign(in.size(), {});
  if (execute(in, out).has_value()) return {};
  return guarded([&] {
    out.Reset();
    if (in.size() > 0) state_->run_rows(in, 0, in.size(), out, failed);
    out.SetCardinality(in.size());
  });
}

Result<size_t> ExpressionProgram::select(duckdb::DataChunk& in,
                                         duckdb::SelectionVector& selection) {
  const auto& types = output_types();
  if (types.size() != 1 || types[0].id() != duckdb::LogicalTypeId::BOOLEAN) {
    return Error(Code::invalid_argument, "a filter must be one BOOLEAN expression, this is {}",
                 types.empty() ? "empty" : type_name(types[0]));
  }
  return guarded([&]() -> size_t {
    return state_->last().executor.SelectExpression(state_->prepare(in), selection);
  });
}

}  // namespace ziwa::duck
