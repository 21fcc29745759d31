#include "sql/translate.h"

#include "sql/render.h"

#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

namespace ziwa::sql {
namespace {

using duckdb::ColumnBinding;
using duckdb::Expression;
using duckdb::ExpressionClass;
using duckdb::ExpressionType;
using duckdb::LogicalOperator;
using duckdb::LogicalOperatorType;

struct BindingLess {
  bool operator()(const ColumnBinding& a, const ColumnBinding& b) const {
    return std::pair(a.table_index, a.column_index) < std::pair(b.table_index, b.column_index);
  }
};

/// A translated operator: its node, and which DuckDB binding each of its columns answers to.
struct Part {
  uint32_t node = 0;
  std::vector<stream::PlanColumn> columns;
  std::vector<ColumnBinding> bindings;  ///< As `columns`.
  std::set<uint32_t> key;  ///< Column ids that identify a row, empty if none are known.
};

Error cannot(std::string_view what, std::string hint = {}) {
  auto error = Error(Code::unsupported, "a materialized view cannot keep {} yet", what);
  return hint.empty() ? std::move(error) : std::move(error).with_hint(std::move(hint));
}

std::optional<size_t> position_of(const Expression& expression) {
  auto location = expression.GetQueryLocation();
  return location.IsValid() ? std::optional<size_t>(location.GetIndex()) : std::nullopt;
}

/// A join that is not kept, in the words that ask for one, and where they stand.
struct JoinWords {
  std::string_view what;
  std::string_view hint;
  std::vector<std::string_view> keywords;
};

JoinWords words_of(duckdb::JoinType type) {
  using duckdb::JoinType;
  constexpr std::string_view kInner = "inner joins are kept";
  constexpr std::string_view kExists = "a join with (SELECT DISTINCT ...) keeps the same rows";
  switch (type) {
    case JoinType::LEFT:
      return {"a LEFT join", kInner, {"LEFT"}};
    case JoinType::RIGHT:
      return {"a RIGHT join", kInner, {"RIGHT"}};
    case JoinType::OUTER:
      return {"a FULL join", kInner, {"FULL"}};
    case JoinType::SEMI:
    case JoinType::RIGHT_SEMI:
      return {"IN (SELECT ...), EXISTS or a SEMI join", kExists, {"SEMI", "EXISTS", "IN"}};
    case JoinType::ANTI:
    case JoinType::RIGHT_ANTI:
      return {"NOT IN (SELECT ...), NOT EXISTS or an ANTI join", kInner, {"ANTI", "EXISTS", "IN"}};
    case JoinType::MARK:
      return {"[NOT] IN (SELECT ...) or EXISTS", kInner, {"EXISTS", "IN"}};
    case JoinType::SINGLE:
      return {"a subquery that stands for one value", "write it as a join with an aggregate", {}};
    default:
      return {"this join", kInner, {"JOIN"}};
  }
}

class Translator {
 public:
  Translator(const ResolveScan& resolve, const QueryWords& words)
      : resolve_(resolve), words_(words) {}

  Result<stream::Plan> run(LogicalOperator& root, const std::vector<std::string>& names);

 private:
  Result<Part> visit(LogicalOperator& op);
  /// Why an operator without a visit of its own is not kept.
  Error refuse(const LogicalOperator& op) const;
  Result<Part> visit_get(duckdb::LogicalGet& get);
  Result<Part> visit_filter(duckdb::LogicalFilter& filter);
  Result<Part> visit_ranked_filter(duckdb::LogicalFilter& filter, duckdb::LogicalWindow& window);
  Result<Part> visit_projection(duckdb::LogicalProjection& projection);
  Result<Part> visit_aggregate(duckdb::LogicalAggregate& aggregate);
  Result<Part> visit_join(duckdb::LogicalComparisonJoin& join);
  Result<Part> visit_top_n(duckdb::LogicalTopN& top_n);
  Result<Part> visit_distinct(duckdb::LogicalDistinct& distinct);
  Result<Part> visit_union(duckdb::LogicalSetOperation& operation);

  Result<std::string> text(const Expression& expression, const Part& input) const;
  Result<stream::AggregateNode::Call> aggregate_call(const Expression& expression,
                                                     const Part& input) const;
  Result<std::vector<stream::TopNNode::Order>> order(
      const duckdb::vector<duckdb::BoundOrderByNode>& nodes, const Part& input) const;
  /// Puts a tumble node below an operator whose expressions use the window start, and names its
  /// result.
  Result<Part> with_windows(Part input, const std::vector<const Expression*>& expressions);
  Part keep(Part part, const duckdb::vector<ColumnBinding>& wanted);

  uint32_t add_node(std::vector<uint32_t> inputs, const std::vector<stream::PlanColumn>& output,
                    stream::Operator op);
  stream::PlanColumn new_column(std::string name, const duckdb::LogicalType& type);

  /// As cannot(), at the only word of the query that asks for it.
  Error cannot_at(const std::vector<std::string_view>& keywords, std::string_view what,
                  std::string hint = {}) const {
    return at_position(cannot(what, std::move(hint)), words_.only(keywords));
  }
  /// As cannot(), at the only call of the aggregate: DuckDB drops where aggregates stood.
  Error cannot_call(const duckdb::BoundAggregateExpression& call, std::string_view what,
                    std::string hint = {}) const {
    return at_position(cannot(what, std::move(hint)), words_.only_call(call.function.name));
  }

  const ResolveScan& resolve_;
  const QueryWords& words_;
  stream::Plan plan_;
  uint32_t next_column_ = 1;
  std::map<std::string, std::string>
      window_starts_;  ///< Rendered call -> column text, for the operator being visited.
};

std::string column_text(uint32_t id) { return fmt::format("c{}", id); }

Result<std::string> Translator::text(const Expression& expression, const Part& input) const {
  NameColumn name = [&](const ColumnBinding& binding) -> Result<std::string> {
    for (size_t i = 0; i < input.bindings.size(); ++i) {
      if (input.bindings[i] == binding) return column_text(input.columns[i].id);
    }
    return Error(Code::internal, "column {}.{} is not in the operator's input", binding.table_index,
                 binding.column_index);
  };
  std::string rendered = TRY(render_expression(expression, name));
  for (const auto& [call, column] : window_starts_) {
    for (size_t at = rendered.find(call); at != std::string::npos;
         at = rendered.find(call, at + column.size())) {
      rendered.replace(at, call.size(), column);
    }
  }
  return rendered;
}

stream::PlanColumn Translator::new_column(std::string name, const duckdb::LogicalType& type) {
  return {.id = next_column_++, .name = std::move(name), .type = type.ToString()};
}

uint32_t Translator::add_node(std::vector<uint32_t> inputs,
                              const std::vector<stream::PlanColumn>& output, stream::Operator op) {
  auto id = static_cast<uint32_t>(plan_.nodes.size() + 1);
  plan_.nodes.push_back(
      {.id = id, .inputs = std::move(inputs), .output = output, .op = std::move(op)});
  return id;
}

Result<Part> Translator::visit(LogicalOperator& op) {
  switch (op.type) {
    case LogicalOperatorType::LOGICAL_GET:
      return visit_get(op.Cast<duckdb::LogicalGet>());
    case LogicalOperatorType::LOGICAL_FILTER:
      return visit_filter(op.Cast<duckdb::LogicalFilter>());
    case LogicalOperatorType::LOGICAL_PROJECTION:
      return visit_projection(op.Cast<duckdb::LogicalProjection>());
    case LogicalOperatorType::LOGICAL_AGGREGATE_AND_GROUP_BY:
      return visit_aggregate(op.Cast<duckdb::LogicalAggregate>());
    case LogicalOperatorType::LOGICAL_COMPARISON_JOIN:
      return visit_join(op.Cast<duckdb::LogicalComparisonJoin>());
    case LogicalOperatorType::LOGICAL_TOP_N:
      return visit_top_n(op.Cast<duckdb::LogicalTopN>());
    case LogicalOperatorType::LOGICAL_DISTINCT:
      return visit_distinct(op.Cast<duckdb::LogicalDistinct>());
    case LogicalOperatorType::LOGICAL_UNION:
      return visit_union(op.Cast<duckdb::LogicalSetOperation>());
    case LogicalOperatorType::LOGICAL_ORDER_BY:
      return visit(*op.children.at(0));  // a set has no order
    default:
      return refuse(op);
  }
}

Error Translator::refuse(const LogicalOperator& op) const {
  switch (op.type) {
    case LogicalOperatorType::LOGICAL_LIMIT:
      if (op.Cast<duckdb::LogicalLimit>().limit_val.Type() ==
          duckdb::LimitNodeType::CONSTANT_PERCENTAGE) {
        return cannot_at({"LIMIT", "FETCH"}, "LIMIT with a percentage", "give a number of rows");
      }
      return cannot_at({"LIMIT", "FETCH", "OFFSET"},
                       "LIMIT without ORDER BY, which has no defined answer", "add ORDER BY");
    case LogicalOperatorType::LOGICAL_WINDOW:
      return cannot_at({"OVER"}, "OVER (...)",
                       "row_number() OVER (...) <= k in WHERE or QUALIFY is kept");
    case LogicalOperatorType::LOGICAL_ANY_JOIN:
    case LogicalOperatorType::LOGICAL_CROSS_PRODUCT:
      return cannot_at({"CROSS", "JOIN"}, "a join without an equality", "join ON a = b");
    case LogicalOperatorType::LOGICAL_ASOF_JOIN:
      return cannot_at({"ASOF"}, "an ASOF join", "join ON a = b");
    case LogicalOperatorType::LOGICAL_POSITIONAL_JOIN:
      return cannot_at({"POSITIONAL"}, "a POSITIONAL join", "join ON a = b");
    case LogicalOperatorType::LOGICAL_DELIM_JOIN:
    case LogicalOperatorType::LOGICAL_DEPENDENT_JOIN:
      return cannot("a correlated subquery", "write it as a join with an aggregate");
    case LogicalOperatorType::LOGICAL_EXCEPT:
      return cannot_at({"EXCEPT"}, "EXCEPT");
    case LogicalOperatorType::LOGICAL_INTERSECT:
      return cannot_at({"INTERSECT"}, "INTERSECT",
                       "join ON a IS NOT DISTINCT FROM b, then select DISTINCT");
    case LogicalOperatorType::LOGICAL_UNNEST:
      return cannot_at({"UNNEST"}, "UNNEST");
    case LogicalOperatorType::LOGICAL_RECURSIVE_CTE:
      return cannot_at(
          {"RECURSIVE"}, "WITH RECURSIVE",
          "write a fixed number of steps as joins, or recurse in the queries of a view");
    case LogicalOperatorType::LOGICAL_MATERIALIZED_CTE:
    case LogicalOperatorType::LOGICAL_CTE_REF:
      return cannot_at({"WITH"}, "a CTE that is used more than once", "make it a view of its own");
    case LogicalOperatorType::LOGICAL_SAMPLE:
      return cannot_at({"TABLESAMPLE", "SAMPLE"}, "a sample of rows");
    case LogicalOperatorType::LOGICAL_EMPTY_RESULT:
      return cannot("a query that is always empty");
    case LogicalOperatorType::LOGICAL_DUMMY_SCAN:
    case LogicalOperatorType::LOGICAL_EXPRESSION_GET:
      return cannot_at({"VALUES"}, "constant rows", "select from a topic, a table or a view");
    default:
      return cannot("this form of query",
                    "filters, joins with an equality, GROUP BY, DISTINCT, UNION and the first rows "
                    "of an order are kept");
  }
}

Result<Part> Translator::visit_get(duckdb::LogicalGet& get) {
  catalog::ObjectPtr object = TRY(resolve_(get));
  if (!get.table_filters.filters.empty()) {
    return Error(Code::internal, "DuckDB pushed a filter into the scan of {}", object->name);
  }
  std::vector<size_t> wanted;  // positions in GetColumnIds()
  if (get.projection_ids.empty()) {
    for (size_t i = 0; i < get.GetColumnIds().size(); ++i) wanted.push_back(i);
  } else {
    wanted.assign(get.projection_ids.begin(), get.projection_ids.end());
  }
  Part part;
  stream::SourceNode source{.object = object->id, .columns = {}};
  for (size_t position : wanted) {
    const auto& index = get.GetColumnIds().at(position);
    bool countable_only =
        index.IsRowIdColumn() || index.IsEmptyColumn();  // COUNT(*) reads no column: carry any
    std::string name = countable_only ? get.names.at(0) : get.GetColumnName(index);
    const auto& type = countable_only ? get.returned_types.at(0) : get.GetColumnType(index);
    source.columns.push_back(name);
    part.columns.push_back(new_column(name, type));
    part.bindings.emplace_back(get.table_index, position);
  }
  part.node = add_node({}, part.columns, std::move(source));
  return part;
}

Part Translator::keep(Part part, const duckdb::vector<ColumnBinding>& wanted) {
  Part kept;
  stream::ProjectNode project;
  for (const auto& binding : wanted) {
    for (size_t i = 0; i < part.bindings.size(); ++i) {
      if (part.bindings[i] != binding) continue;
      kept.columns.push_back(part.columns[i]);
      kept.bindings.push_back(binding);
      break;
    }
  }
  if (kept.columns.size() == part.columns.size() && kept.bindings == part.bindings) return part;
  for (auto& column : kept.columns) {
    uint32_t from = column.id;
    project.expressions.push_back(column_text(from));
    column.id = next_column_++;
    if (part.key.contains(from)) kept.key.insert(column.id);
  }
  if (kept.key.size() != part.key.size()) kept.key.clear();
  kept.node = add_node({part.node}, kept.columns, std::move(project));
  return kept;
}

Result<Part> Translator::visit_filter(duckdb::LogicalFilter& filter) {
  LogicalOperator& child = *filter.children.at(0);
  if (child.type == LogicalOperatorType::LOGICAL_WINDOW) {
    return visit_ranked_filter(filter, child.Cast<duckdb::LogicalWindow>());
  }
  Part part = TRY(visit(child));
  std::string predicate;
  for (const auto& expression : filter.expressions) {
    if (!predicate.empty()) predicate += " AND ";
    predicate += TRY(text(*expression, part));
  }
  part.node = add_node({part.node}, part.columns, stream::FilterNode{predicate});
  return keep(std::move(part), filter.GetColumnBindings());
}

/// The k of `column <= k`, `column < k` or `column = k` for the given column; nullopt for anything
/// else.
std::optional<uint64_t> rank_bound(const Expression& expression, const ColumnBinding& rank) {
  if (expression.GetExpressionClass() != ExpressionClass::BOUND_COMPARISON) return std::nullopt;
  const auto& comparison = expression.Cast<duckdb::BoundComparisonExpression>();
  if (comparison.left->GetExpressionClass() != ExpressionClass::BOUND_COLUMN_REF ||
      comparison.right->GetExpressionClass() != ExpressionClass::BOUND_CONSTANT ||
      comparison.left->Cast<duckdb::BoundColumnRefExpression>().binding != rank) {
    return std::nullopt;
  }
  const auto& value = comparison.right->Cast<duckdb::BoundConstantExpression>().value;
  if (value.IsNull() || !value.type().IsIntegral()) return std::nullopt;
  auto bound = value.GetValue<int64_t>();
  if (comparison.GetExpressionType() == ExpressionType::COMPARE_LESSTHAN)
    --bound;
  else if (comparison.GetExpressionType() != ExpressionType::COMPARE_LESSTHANOREQUALTO &&
           comparison.GetExpressionType() != ExpressionType::COMPARE_EQUAL) {
    return std::nullopt;
  }
  return bound < 0 ? 0 : static_cast<uint64_t>(bound);
}

Result<Part> Translator::visit_ranked_filter(duckdb::LogicalFilter& filter,
                                             duckdb::LogicalWindow& window) {
  constexpr std::string_view kHint =
      "row_number() OVER (PARTITION BY ... ORDER BY ...) <= k is kept";
  if (window.expressions.size() != 1 ||
      window.expressions[0]->GetExpressionType() != ExpressionType::WINDOW_ROW_NUMBER) {
    return cannot_at({"OVER"}, "this window function", std::string(kHint));
  }
  const auto& call = window.expressions[0]->Cast<duckdb::BoundWindowExpression>();
  ColumnBinding rank(window.window_index, 0);
  std::optional<uint64_t> limit;
  for (const auto& expression : filter.expressions) {
    if (auto bound = rank_bound(*expression, rank))
      limit = limit ? std::min(*limit, *bound) : *bound;
  }
  if (!limit) return cannot_at({"OVER"}, "row_number() without a bound", std::string(kHint));
  if (call.orders.empty()) {
    return cannot_at({"OVER"}, "row_number() without ORDER BY, which has no defined answer",
                     "add ORDER BY");
  }

  Part part = TRY(visit(*window.children.at(0)));
  stream::TopNNode node{.partition_by = {},
                        .order = TRY(order(call.orders, part)),
                        .limit = *limit,
                        .offset = 0,
                        .with_rank = true};
  for (const auto& expression : call.partitions)
    node.partition_by.push_back(TRY(text(*expression, part)));
  part.columns.push_back(new_column("row_number", duckdb::LogicalType::BIGINT));
  part.bindings.push_back(rank);
  part.node = add_node({part.node}, part.columns, std::move(node));

  std::string predicate;
  for (const auto& expression : filter.expressions) {
    if (!predicate.empty()) predicate += " AND ";
    predicate += TRY(text(*expression, part));
  }
  part.node = add_node({part.node}, part.columns, stream::FilterNode{predicate});
  return keep(std::move(part), filter.GetColumnBindings());
}

void find_window_calls(const Expression& expression,
                       std::vector<const duckdb::BoundFunctionExpression*>& out) {
  if (expression.GetExpressionClass() == ExpressionClass::BOUND_FUNCTION) {
    const auto& call = expression.Cast<duckdb::BoundFunctionExpression>();
    if (call.function.name == kTumbleStart) {
      out.push_back(&call);
      return;
    }
  }
  duckdb::ExpressionIterator::EnumerateChildren(
      expression, [&](const Expression& child) { find_window_calls(child, out); });
}

Result<Part> Translator::with_windows(Part input,
                                      const std::vector<const Expression*>& expressions) {
  window_starts_.clear();
  std::vector<const duckdb::BoundFunctionExpression*> calls;
  for (const auto* expression : expressions) find_window_calls(*expression, calls);
  for (const auto* call : calls) {
    std::string rendered = TRY(text(*call, input));
    if (rendered.starts_with('c')) continue;  // the same window, already named
    const Expression& size = *call->children.at(1);
    if (size.GetExpressionClass() != ExpressionClass::BOUND_CONSTANT)
      return at_position(cannot("a window of changing size"), position_of(size));
    auto interval =
        size.Cast<duckdb::BoundConstantExpression>().value.GetValue<duckdb::interval_t>();
    if (interval.months != 0) return cannot("a window of months", "use days");
    int64_t size_us = interval.days * duckdb::Interval::MICROS_PER_DAY + interval.micros;
    if (size_us <= 0) return Error(Code::invalid_argument, "the size of a window must be positive");
    stream::TumbleNode node{.time = TRY(text(*call->children.at(0), input)), .size_us = size_us};
    auto start = new_column("window_start", duckdb::LogicalType::TIMESTAMP);
    auto end = new_column("window_end", duckdb::LogicalType::TIMESTAMP);
    input.columns.push_back(start);
    input.columns.push_back(end);
    input.bindings.emplace_back(duckdb::DConstants::INVALID_INDEX,
                                start.id);  // named by text, not by a binding
    input.bindings.emplace_back(duckdb::DConstants::INVALID_INDEX, end.id);
    input.node = add_node({input.node}, input.columns, std::move(node));
    window_starts_[rendered] = column_text(start.id);
  }
  return input;
}

Result<Part> Translator::visit_projection(duckdb::LogicalProjection& projection) {
  Part input = TRY(visit(*projection.children.at(0)));
  std::vector<const Expression*> all;
  for (const auto& expression : projection.expressions) all.push_back(expression.get());
  input = TRY(with_windows(std::move(input), all));

  Part part;
  stream::ProjectNode node;
  std::set<uint32_t> key_seen;
  for (size_t i = 0; i < projection.expressions.size(); ++i) {
    const Expression& expression = *projection.expressions[i];
    node.expressions.push_back(TRY(text(expression, input)));
    part.columns.push_back(new_column(expression.GetName(), expression.return_type));
    part.bindings.emplace_back(projection.table_index, i);
    for (uint32_t id : input.key) {
      if (node.expressions.back() == column_text(id) && key_seen.insert(id).second)
        part.key.insert(part.columns.back().id);
    }
  }
  if (key_seen.size() != input.key.size()) part.key.clear();
  window_starts_.clear();
  part.node = add_node({input.node}, part.columns, std::move(node));
  return part;
}

Result<stream::AggregateNode::Call> Translator::aggregate_call(const Expression& expression,
                                                               const Part& input) const {
  static const std::set<std::string> kKnown = {"count_star", "count", "sum", "avg", "min", "max"};
  const auto& call = expression.Cast<duckdb::BoundAggregateExpression>();
  std::string function = call.function.name == "mean" ? "avg" : call.function.name;
  if (!kKnown.contains(function)) {
    return cannot_call(call, fmt::format("the aggregate {}()", function),
                       "count, sum, avg, min and max are kept");
  }
  if (call.IsDistinct() && function != "min" && function != "max") {
    return cannot_call(call, fmt::format("{}(DISTINCT ...)", function),
                       "select DISTINCT in a subquery, then aggregate");
  }
  if (call.order_bys && !call.order_bys->orders.empty())
    return cannot_call(call, "ORDER BY inside an aggregate");
  if (call.children.size() > 1)
    return cannot_call(call, fmt::format("{}() with {} arguments", function, call.children.size()));
  stream::AggregateNode::Call out{
      .function = function, .argument = {}, .filter = {}, .distinct = false};
  if (!call.children.empty()) out.argument = TRY(text(*call.children[0], input));
  if (call.filter) out.filter = TRY(text(*call.filter, input));
  return out;
}

Result<Part> Translator::visit_aggregate(duckdb::LogicalAggregate& aggregate) {
  if (aggregate.grouping_sets.size() > 1 || !aggregate.grouping_functions.empty()) {
    return cannot_at({"ROLLUP", "CUBE", "GROUPING"}, "GROUPING SETS, ROLLUP or CUBE",
                     "make one view per grouping");
  }
  Part input = TRY(visit(*aggregate.children.at(0)));
  std::vector<const Expression*> groups;
  for (const auto& group : aggregate.groups) groups.push_back(group.get());
  input = TRY(with_windows(std::move(input), groups));

  Part part;
  stream::AggregateNode node;
  for (size_t i = 0; i < aggregate.groups.size(); ++i) {
    node.groups.push_back(TRY(text(*aggregate.groups[i], input)));
    part.columns.push_back(
        new_column(aggregate.groups[i]->GetName(), aggregate.groups[i]->return_type));
    part.bindings.emplace_back(aggregate.group_index, i);
    part.key.insert(part.columns.back().id);
  }
  for (size_t i = 0; i < aggregate.expressions.size(); ++i) {
    node.calls.push_back(TRY(aggregate_call(*aggregate.expressions[i], input)));
    part.columns.push_back(
        new_column(aggregate.expressions[i]->GetName(), aggregate.expressions[i]->return_type));
    part.bindings.emplace_back(aggregate.aggregate_index, i);
  }
  window_starts_.clear();
  part.node = add_node({input.node}, part.columns, std::move(node));
  return part;
}

Result<Part> Translator::visit_join(duckdb::LogicalComparisonJoin& join) {
  if (join.join_type != duckdb::JoinType::INNER) {
    const JoinWords words = words_of(join.join_type);
    return cannot_at(words.keywords, words.what, std::string(words.hint));
  }
  Part left = TRY(visit(*join.children.at(0)));
  Part right = TRY(visit(*join.children.at(1)));
  Part part;
  part.columns = left.columns;
  part.columns.insert(part.columns.end(), right.columns.begin(), right.columns.end());
  part.bindings = left.bindings;
  part.bindings.insert(part.bindings.end(), right.bindings.begin(), right.bindings.end());
  if (!left.key.empty() && !right.key.empty()) {
    part.key = left.key;
    part.key.insert(right.key.begin(), right.key.end());
  }

  stream::JoinNode node;
  std::string residual;
  auto and_also = [&](std::string predicate) {
    residual += residual.empty() ? std::move(predicate) : " AND " + std::move(predicate);
  };
  for (const auto& condition : join.conditions) {
    std::string left_key = TRY(text(*condition.left, left));
    std::string right_key = TRY(text(*condition.right, right));
    bool null_safe = condition.comparison == ExpressionType::COMPARE_NOT_DISTINCT_FROM;
    if (condition.comparison == ExpressionType::COMPARE_EQUAL || null_safe) {
      node.left_keys.push_back(std::move(left_key));
      node.right_keys.push_back(std::move(right_key));
      node.null_safe.push_back(null_safe);
      continue;
    }
    and_also(fmt::format("({} {} {})", left_key,
                         duckdb::ExpressionTypeToOperator(condition.comparison), right_key));
  }
  if (join.predicate) and_also(TRY(text(*join.predicate, part)));
  if (node.left_keys.empty())
    return cannot_at({"CROSS", "JOIN"}, "a join without an equality", "join ON a = b");
  if (!residual.empty()) node.residual = residual;
  part.node = add_node({left.node, right.node}, part.columns, std::move(node));
  return keep(std::move(part), join.GetColumnBindings());
}

Result<std::vector<stream::TopNNode::Order>> Translator::order(
    const duckdb::vector<duckdb::BoundOrderByNode>& nodes, const Part& input) const {
  std::vector<stream::TopNNode::Order> out;
  for (const auto& node : nodes) {
    out.push_back({.expression = TRY(text(*node.expression, input)),
                   .descending = node.type == duckdb::OrderType::DESCENDING,
                   .nulls_first = node.null_order == duckdb::OrderByNullType::NULLS_FIRST});
  }
  return out;
}

Result<Part> Translator::visit_top_n(duckdb::LogicalTopN& top_n) {
  Part part = TRY(visit(*top_n.children.at(0)));
  stream::TopNNode node{.partition_by = {},
                        .order = TRY(order(top_n.orders, part)),
                        .limit = top_n.limit,
                        .offset = top_n.offset,
                        .with_rank = false};
  part.node = add_node({part.node}, part.columns, std::move(node));
  return part;
}

/// Columns that are equal in another way than byte by byte.
Status check_collations(const duckdb::vector<duckdb::LogicalType>& types) {
  for (const auto& type : types) {
    if (type.id() == duckdb::LogicalTypeId::VARCHAR &&
        !duckdb::StringType::GetCollation(type).empty()) {
      return cannot("DISTINCT or UNION over a column with a collation",
                    "select lower(...) or another text that is equal by itself");
    }
  }
  return {};
}

Result<Part> Translator::visit_distinct(duckdb::LogicalDistinct& distinct) {
  if (distinct.distinct_type != duckdb::DistinctType::DISTINCT) {
    return cannot_at({"DISTINCT"}, "DISTINCT ON",
                     "row_number() OVER (PARTITION BY ... ORDER BY ...) = 1 is kept");
  }
  TRY(check_collations(distinct.types));
  Part part = TRY(visit(*distinct.children.at(0)));
  if (std::holds_alternative<stream::DistinctNode>(plan_.nodes.back().op)) return part;  // UNION
  part.key.clear();
  for (const auto& column : part.columns) part.key.insert(column.id);
  part.node = add_node({part.node}, part.columns, stream::DistinctNode{});
  return part;
}

Result<Part> Translator::visit_union(duckdb::LogicalSetOperation& operation) {
  Part part;
  std::vector<uint32_t> inputs;
  for (auto& child : operation.children) {
    Part input = TRY(visit(*child));
    if (inputs.empty()) {
      for (size_t i = 0; i < input.columns.size(); ++i) {
        stream::PlanColumn column = input.columns[i];
        column.id = next_column_++;
        part.columns.push_back(std::move(column));
        part.bindings.emplace_back(operation.table_index, i);
      }
    }
    inputs.push_back(input.node);
  }
  part.node = add_node(std::move(inputs), part.columns, stream::UnionAllNode{});
  if (operation.setop_all) return part;
  TRY(check_collations(operation.types));
  for (const auto& column : part.columns) part.key.insert(column.id);
  part.node = add_node({part.node}, part.columns, stream::DistinctNode{});
  return part;
}

Result<stream::Plan> Translator::run(LogicalOperator& root, const std::vector<std::string>& names) {
  auto wanted = root.GetColumnBindings();
  Part part = keep(TRY(visit(root)), wanted);
  if (part.columns.size() != names.size()) {
    return Error(Code::internal, "the plan has {} columns, the query {}", part.columns.size(),
                 names.size());
  }
  auto& output = plan_.nodes.back().output;
  for (size_t i = 0; i < names.size(); ++i) {
    output[i].name = names[i];
    if (part.key.contains(output[i].id)) plan_.key.push_back(static_cast<uint32_t>(i));
  }
  return std::move(plan_);
}

}  // namespace

Result<stream::Plan> translate(LogicalOperator& root, const std::vector<std::string>& names,
                               const ResolveScan& resolve, const QueryWords& words) {
  return Translator(resolve, words).run(root, names);
}

}  // namespace ziwa::sql
