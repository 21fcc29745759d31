#include "duck/planner.h"

#include "duck/aggregate.h"
#include "duck/instance.h"

#include <duckdb/function/function_binder.hpp>
#include <duckdb/optimizer/column_lifetime_analyzer.hpp>
#include <duckdb/optimizer/common_aggregate_optimizer.hpp>
#include <duckdb/optimizer/cte_inlining.hpp>
#include <duckdb/optimizer/deliminator.hpp>
#include <duckdb/optimizer/filter_pullup.hpp>
#include <duckdb/optimizer/filter_pushdown.hpp>
#include <duckdb/optimizer/join_order/join_order_optimizer.hpp>
#include <duckdb/optimizer/optimizer.hpp>
#include <duckdb/optimizer/remove_duplicate_groups.hpp>
#include <duckdb/optimizer/remove_unused_columns.hpp>
#include <duckdb/optimizer/topn_optimizer.hpp>
#include <duckdb/optimizer/unnest_rewriter.hpp>
#include <duckdb/parser/parser.hpp>
#include <duckdb/planner/expression/bound_aggregate_expression.hpp>
#include <duckdb/planner/expression/bound_function_expression.hpp>
#include <duckdb/planner/expression/bound_window_expression.hpp>
#include <duckdb/planner/expression_iterator.hpp>
#include <duckdb/planner/operator/logical_get.hpp>
#include <duckdb/planner/planner.hpp>

#include <algorithm>
#include <set>

namespace ziwa::duck {
namespace {

using duckdb::LogicalOperator;

/// Scans answer only the columns they are asked for; every filter stays an operator of its own.
void keep_filters_out_of_scans(LogicalOperator& op) {
  if (op.type == duckdb::LogicalOperatorType::LOGICAL_GET) {
    auto& function = op.Cast<duckdb::LogicalGet>().function;
    function.filter_pushdown = false;
    function.pushdown_complex_filter = nullptr;
  }
  for (auto& child : op.children) keep_filters_out_of_scans(*child);
}

void collect_unstable(LogicalOperator& op, std::vector<std::string>& names) {
  duckdb::LogicalOperatorVisitor::EnumerateExpressions(
      op, [&](duckdb::unique_ptr<duckdb::Expression>* expression) {
        collect_unstable_functions(**expression, names);
      });
  for (auto& child : op.children) collect_unstable(*child, names);
}

/// DuckDB's own order of passes, less those that depend on data or only help its physical
/// operators.
void optimize(duckdb::Optimizer& optimizer, duckdb::unique_ptr<LogicalOperator>& plan) {
  auto& context = optimizer.context;
  optimizer.rewriter.VisitOperator(*plan);
  plan = duckdb::CTEInlining(optimizer).Optimize(std::move(plan));
  plan = duckdb::FilterPullup().Rewrite(std::move(plan));
  duckdb::FilterPushdown pushdown(optimizer);
  duckdb::unordered_set<duckdb::idx_t> top_bindings;
  pushdown.CheckMarkToSemi(*plan, top_bindings);
  plan = pushdown.Rewrite(std::move(plan));
  plan = duckdb::Deliminator().Optimize(std::move(plan));
  plan = duckdb::CTEInlining(optimizer).Optimize(std::move(plan));
  plan = duckdb::JoinOrderOptimizer(context).Optimize(std::move(plan));
  plan = duckdb::UnnestRewriter().Optimize(std::move(plan));
  duckdb::RemoveUnusedColumns(optimizer).VisitOperator(*plan);
  duckdb::RemoveDuplicateGroups().VisitOperator(*plan);
  plan = duckdb::TopN(context).Optimize(std::move(plan));
  duckdb::CommonAggregateOptimizer().VisitOperator(*plan);
  duckdb::ColumnLifetimeAnalyzer(optimizer, *plan, true).VisitOperator(*plan);
}

duckdb::unique_ptr<duckdb::SQLStatement> parse_select(duckdb::ClientContext& context,
                                                      const std::string& sql) {
  duckdb::Parser parser(context.GetParserOptions());
  parser.ParseQuery(sql);
  if (parser.statements.size() != 1 ||
      parser.statements[0]->type != duckdb::StatementType::SELECT_STATEMENT) {
    throw duckdb::NotImplementedException("one SELECT is expected here");
  }
  if (!parser.statements[0]->named_param_map.empty()) {
    throw duckdb::NotImplementedException("parameters are not possible here");
  }
  return std::move(parser.statements[0]);
}

/// DuckDB calls some functions consistent that ask the clock or the session.
bool is_unstable(const duckdb::BoundFunctionExpression& call) {
  static const std::set<std::string_view> kAskElsewhere = {
      "current_localtime", "current_localtimestamp", "current_setting", "getvariable"};
  return call.function.GetStability() != duckdb::FunctionStability::CONSISTENT ||
         kAskElsewhere.contains(call.function.name) ||
         (call.function.name == "age" && call.children.size() == 1);
}

/// Whether the call, bound again from its own arguments, is the same call. Some functions move
/// arguments into their bind data, or read names that only the first binding knew.
bool text_says_all(duckdb::ClientContext& context, const duckdb::BoundFunctionExpression& call) {
  if (!call.bind_info || call.is_operator) return true;
  duckdb::vector<duckdb::unique_ptr<duckdb::Expression>> children;
  for (const auto& child : call.children) {
    children.push_back(child->Copy());
    // The names of a struct's members are in its type, too.
    if (call.function.name != kStructPack) children.back()->SetAlias("");
  }
  bool same = false;
  Status bound = guarded([&] {
    duckdb::ErrorData error;
    duckdb::FunctionBinder binder(context);
    auto again =
        binder.BindScalarFunction(DEFAULT_SCHEMA, call.function.name, std::move(children), error);
    if (!again || again->GetExpressionClass() != duckdb::ExpressionClass::BOUND_FUNCTION) return;
    const auto& other = again->Cast<duckdb::BoundFunctionExpression>();
    same = other.return_type == call.return_type && other.bind_info &&
           other.bind_info->Equals(*call.bind_info);
  });
  return bound && same;
}

void collect_untold(duckdb::ClientContext& context, const duckdb::Expression& expression,
                    std::vector<std::string>& names) {
  if (expression.GetExpressionClass() == duckdb::ExpressionClass::BOUND_FUNCTION) {
    const auto& call = expression.Cast<duckdb::BoundFunctionExpression>();
    if (!text_says_all(context, call)) names.push_back(call.function.name);
  } else if (expression.GetExpressionClass() == duckdb::ExpressionClass::BOUND_AGGREGATE) {
    const auto& call = expression.Cast<duckdb::BoundAggregateExpression>();
    if (!call_says_all(context, call)) names.push_back(call.function.name);
  } else if (expression.GetExpressionClass() == duckdb::ExpressionClass::BOUND_WINDOW) {
    const auto& call = expression.Cast<duckdb::BoundWindowExpression>();
    if (!call_says_all(context, call)) names.push_back(call.aggregate->name);
  }
  duckdb::ExpressionIterator::EnumerateChildren(
      expression, [&](const duckdb::Expression& child) { collect_untold(context, child, names); });
}

void collect_untold(duckdb::ClientContext& context, LogicalOperator& op,
                    std::vector<std::string>& names) {
  duckdb::LogicalOperatorVisitor::EnumerateExpressions(
      op, [&](duckdb::unique_ptr<duckdb::Expression>* expression) {
        collect_untold(context, **expression, names);
      });
  for (auto& child : op.children) collect_untold(context, *child, names);
}

}  // namespace

void collect_unstable_functions(const duckdb::Expression& expression,
                                std::vector<std::string>& names) {
  auto add = [&](const std::string& name) {
    if (name == "error") return;  // volatile only so that it is not folded
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  if (expression.GetExpressionClass() == duckdb::ExpressionClass::BOUND_FUNCTION) {
    const auto& call = expression.Cast<duckdb::BoundFunctionExpression>();
    if (is_unstable(call)) add(call.function.name);
  } else if (expression.GetExpressionClass() == duckdb::ExpressionClass::BOUND_AGGREGATE) {
    const auto& call = expression.Cast<duckdb::BoundAggregateExpression>();
    if (call.function.GetStability() != duckdb::FunctionStability::CONSISTENT)
      add(call.function.name);
  } else if (expression.GetExpressionClass() == duckdb::ExpressionClass::BOUND_WINDOW) {
    const auto& call = expression.Cast<duckdb::BoundWindowExpression>();
    if (call.aggregate && call.aggregate->GetStability() != duckdb::FunctionStability::CONSISTENT) {
      add(call.aggregate->name);
    }
  }
  duckdb::ExpressionIterator::EnumerateChildren(expression, [&](const duckdb::Expression& child) {
    collect_unstable_functions(child, names);
  });
}

Result<PlannedQuery> plan_query(duckdb::Connection& connection, const std::string& sql) {
  return guarded([&] {
    auto& context = *connection.context;
    duckdb::Planner planner(context);
    planner.CreatePlan(parse_select(context, sql));
    PlannedQuery query;
    query.binder = planner.binder;
    query.plan = std::move(planner.plan);
    query.names = planner.names;
    query.types = planner.types;
    collect_unstable(*query.plan, query.unstable_functions);
    keep_filters_out_of_scans(*query.plan);
    duckdb::Optimizer optimizer(*query.binder, context);
    optimize(optimizer, query.plan);
    query.plan->ResolveOperatorTypes();
    collect_untold(context, *query.plan, query.untold_functions);
    return query;
  });
}

}  // namespace ziwa::duck
