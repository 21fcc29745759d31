#include "duck/aggregate.h"
#include "sql/event_windows.h"
#include "sql/translator.h"

namespace ziwa::sql {

Result<std::string> Translator::text(const Expression& expression, const Part& input) const {
  NameColumn name = [&](const ColumnBinding& binding) -> Result<std::string> {
    for (size_t i = 0; i < input.bindings.size(); ++i) {
      if (input.bindings[i] == binding) return column_text(input.columns[i].id);
    }
    return Error(Code::internal, "column {}.{} is not in the operator's input", binding.table_index,
                 binding.column_index);
  };
  std::string rendered = TRY(render_expression(expression, name));
  for (const auto& [call, column] : window_bounds_) {
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
    case LogicalOperatorType::LOGICAL_EXCEPT:
    case LogicalOperatorType::LOGICAL_INTERSECT:
      return visit_set_operation(op.Cast<duckdb::LogicalSetOperation>());
    case LogicalOperatorType::LOGICAL_DELIM_JOIN:
      return visit_delim_join(op.Cast<duckdb::LogicalComparisonJoin>());
    case LogicalOperatorType::LOGICAL_DELIM_GET:
      return visit_delim_get(op.Cast<duckdb::LogicalDelimGet>());
    case LogicalOperatorType::LOGICAL_ANY_JOIN:
      return visit_any_join(op.Cast<duckdb::LogicalAnyJoin>());
    case LogicalOperatorType::LOGICAL_ASOF_JOIN:
      return visit_asof(op.Cast<duckdb::LogicalComparisonJoin>());
    case LogicalOperatorType::LOGICAL_CROSS_PRODUCT:
      return visit_cross_product(op);
    case LogicalOperatorType::LOGICAL_MATERIALIZED_CTE:
      return visit_cte(op.Cast<duckdb::LogicalMaterializedCTE>());
    case LogicalOperatorType::LOGICAL_CTE_REF:
      return visit_cte_ref(op.Cast<duckdb::LogicalCTERef>());
    case LogicalOperatorType::LOGICAL_WINDOW:
      return visit_window(op.Cast<duckdb::LogicalWindow>());
    case LogicalOperatorType::LOGICAL_UNNEST:
      return visit_unnest(op.Cast<duckdb::LogicalUnnest>());
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
    case LogicalOperatorType::LOGICAL_POSITIONAL_JOIN:
      return cannot_at({"POSITIONAL"}, "a POSITIONAL join", "join ON a = b");
    case LogicalOperatorType::LOGICAL_DEPENDENT_JOIN:
      return cannot("a correlated subquery", "write it as a join with an aggregate");
    case LogicalOperatorType::LOGICAL_RECURSIVE_CTE:
      return cannot_at(
          {"RECURSIVE"}, "WITH RECURSIVE",
          "write a fixed number of steps as joins, or recurse in the queries of a view");
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
  kept.single = part.single;
  kept.node = add_node({part.node}, kept.columns, std::move(project));
  return kept;
}

namespace {

/// Columns that are only there to be sorted: DuckDB makes list(x ORDER BY x) a list_sort(list(x)).
void find_sorted_lists(const Expression& expression, std::vector<ColumnBinding>& sorted,
                       std::vector<ColumnBinding>& other) {
  static const std::set<std::string_view> kSorts = {"list_sort", "array_sort", "list_reverse_sort",
                                                    "array_reverse_sort"};
  if (expression.GetExpressionClass() == ExpressionClass::BOUND_COLUMN_REF) {
    other.push_back(expression.Cast<duckdb::BoundColumnRefExpression>().binding);
    return;
  }
  const Expression* sorted_list = nullptr;
  if (expression.GetExpressionClass() == ExpressionClass::BOUND_FUNCTION) {
    const auto& call = expression.Cast<duckdb::BoundFunctionExpression>();
    if (kSorts.contains(call.function.name)) sorted_list = call.children.at(0).get();
  }
  duckdb::ExpressionIterator::EnumerateChildren(expression, [&](const Expression& child) {
    const bool column = child.GetExpressionClass() == ExpressionClass::BOUND_COLUMN_REF;
    if (&child == sorted_list && column) {
      sorted.push_back(child.Cast<duckdb::BoundColumnRefExpression>().binding);
    } else {
      find_sorted_lists(child, sorted, other);
    }
  });
}

}  // namespace

Result<Part> Translator::visit_filter(duckdb::LogicalFilter& filter) {
  LogicalOperator& child = *filter.children.at(0);
  std::vector<ColumnBinding> read;
  for (const auto& expression : filter.expressions) find_sorted_lists(*expression, read, read);
  std::erase_if(sorted_lists_,
                [&](const auto& list) { return std::ranges::find(read, list) != read.end(); });
  auto ranked = child.type == LogicalOperatorType::LOGICAL_WINDOW
                    ? ranked_by(filter, child.Cast<duckdb::LogicalWindow>())
                    : std::nullopt;
  Part part =
      ranked ? TRY(visit_ranked(child.Cast<duckdb::LogicalWindow>(), *ranked)) : TRY(visit(child));
  std::string predicate;
  for (const auto& expression : filter.expressions) {
    if (!predicate.empty()) predicate += " AND ";
    predicate += TRY(text(*expression, part));
  }
  // DuckDB leaves a filter without a condition where a join took it.
  if (!predicate.empty()) {
    part.node = add_node({part.node}, part.columns, stream::FilterNode{predicate});
  }
  return keep(std::move(part), filter.GetColumnBindings());
}

namespace {

using WindowCalls = std::vector<const duckdb::BoundFunctionExpression*>;

/// The call of one of our window functions that an expression is.
const duckdb::BoundFunctionExpression* window_call(const Expression& expression) {
  if (expression.GetExpressionClass() != ExpressionClass::BOUND_FUNCTION) return nullptr;
  const auto& call = expression.Cast<duckdb::BoundFunctionExpression>();
  return window_function_of(call.function.name) ? &call : nullptr;
}

void find_window_calls(const Expression& expression, WindowCalls& out) {
  if (const auto* call = window_call(expression)) {
    out.push_back(call);
    return;
  }
  duckdb::ExpressionIterator::EnumerateChildren(
      expression, [&](const Expression& child) { find_window_calls(child, out); });
}

}  // namespace

Result<stream::WindowNode> Translator::window_node(const duckdb::BoundFunctionExpression& call,
                                                   const Part& input) const {
  std::vector<duckdb::interval_t> intervals;
  for (size_t i = 1; i < call.children.size(); ++i) {
    const Expression& argument = *call.children[i];
    if (argument.GetExpressionClass() != ExpressionClass::BOUND_CONSTANT ||
        argument.Cast<duckdb::BoundConstantExpression>().value.IsNull()) {
      return at_position(cannot("a window of changing size"), position_of(argument));
    }
    intervals.push_back(
        argument.Cast<duckdb::BoundConstantExpression>().value.GetValue<duckdb::interval_t>());
  }
  auto shape = shape_of(window_function_of(call.function.name)->kind, intervals);
  if (!shape) return at_position(std::move(shape).error(), position_of(call));
  return stream::WindowNode{.time = TRY(text(*call.children.at(0), input)), .shape = *shape};
}

/// Adds a node with two columns that no binding of DuckDB names.
Translator::Bounds Translator::add_bounds(Part& part, stream::Operator op) {
  Bounds bounds{new_column("window_start", duckdb::LogicalType::TIMESTAMP),
                new_column("window_end", duckdb::LogicalType::TIMESTAMP)};
  for (const auto& column : {bounds.start, bounds.end}) {
    part.columns.push_back(column);
    part.bindings.emplace_back(duckdb::DConstants::INVALID_INDEX, column.id);
  }
  part.node = add_node({part.node}, part.columns, std::move(op));
  return bounds;
}

Result<Part> Translator::with_windows(Part input,
                                      const std::vector<const Expression*>& expressions) {
  window_bounds_.clear();
  WindowCalls calls;
  for (const auto* expression : expressions) find_window_calls(*expression, calls);
  std::vector<std::pair<stream::WindowNode, Bounds>> added;
  for (const auto* call : calls) {
    if (call->return_type.id() == duckdb::LogicalTypeId::LIST)
      return at_position(cannot("the windows of a row as a list"), position_of(*call));
    std::string rendered = TRY(text(*call, input));
    if (rendered.starts_with('c')) continue;  // The same bound, already named.
    auto node = TRY(window_node(*call, input));
    auto found = std::ranges::find_if(added, [&](const auto& other) {
      return other.first.time == node.time && other.first.shape == node.shape;
    });
    if (found == added.end()) {
      auto bounds = add_bounds(input, node);
      found = added.insert(found, {std::move(node), bounds});
    }
    const bool ends = window_function_of(call->function.name)->ends;
    window_bounds_[rendered] = column_text(ends ? found->second.end.id : found->second.start.id);
  }
  return input;
}

Result<Part> Translator::visit_projection(duckdb::LogicalProjection& projection) {
  std::vector<ColumnBinding> read;
  sorted_lists_.clear();
  for (const auto& expression : projection.expressions) {
    find_sorted_lists(*expression, sorted_lists_, read);
  }
  std::erase_if(sorted_lists_,
                [&](const auto& list) { return std::ranges::find(read, list) != read.end(); });
  Part input = TRY(visit(*projection.children.at(0)));
  std::vector<const Expression*> all;
  for (const auto& expression : projection.expressions) all.push_back(expression.get());
  input = TRY(with_windows(std::move(input), all));

  Part part;
  part.single = input.single;
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
  window_bounds_.clear();
  part.node = add_node({input.node}, part.columns, std::move(node));
  return part;
}

bool collated(const duckdb::LogicalType& type) {
  return type.id() == duckdb::LogicalTypeId::VARCHAR &&
         !duckdb::StringType::GetCollation(type).empty();
}

Result<stream::AggregateNode::Call> Translator::aggregate_call(
    const Expression& expression, const Part& input, bool sorted,
    const std::vector<std::string>& groups) const {
  const auto& call = expression.Cast<duckdb::BoundAggregateExpression>();
  stream::AggregateNode::Call out{.function =
                                      call.function.name == "mean" ? "avg" : call.function.name};
  // DuckDB writes first() where a subquery stands for one value.
  if (out.function == "first" && input.single) out.function = "max";
  if (stream::never_defined(out.function)) {
    return cannot_call(call, fmt::format("the aggregate {}()", out.function),
                       "its answer is not decided by the rows alone");
  }
  out.distinct = call.IsDistinct();
  for (const auto& child : call.children) {
    if (out.distinct && collated(child->return_type)) {
      return cannot_call(
          call, fmt::format("{}(DISTINCT ...) over a column with a collation", out.function),
          "take lower(...) or another text that is equal by itself");
    }
    out.arguments.push_back(TRY(text(*child, input)));
  }
  // All rows of a group say the same, in any order: DuckDB leaves out an ORDER BY by a group.
  const bool same =
      !out.arguments.empty() && std::ranges::all_of(out.arguments, [&](const auto& x) {
        return std::ranges::find(groups, x) != groups.end();
      });
  const bool ordered = call.order_bys && !call.order_bys->orders.empty();
  const bool orders = !ordered && stream::needs_order(out.function, out.distinct);
  if (orders && !sorted && !same) {
    return cannot_call(
        call, fmt::format("{}() without ORDER BY, which has no defined answer", out.function),
        fmt::format("write {0}(... ORDER BY ...) by columns that are not those of GROUP BY",
                    out.function));
  }
  for (const auto& constant : duck::constants_of(call)) {
    out.constants.push_back(render_constant(constant));
  }
  if (ordered) out.order_by = TRY(order(call.order_bys->orders, input));
  if (orders) out.order_by.push_back({.expression = out.arguments.at(0)});
  if (call.filter) out.filter = TRY(text(*call.filter, input));
  return out;
}

namespace {

/// count(*) of the first rows: how DuckDB asks whether a subquery has any. The limit, if it is
/// that.
std::optional<uint64_t> counted_limit(const duckdb::LogicalAggregate& aggregate) {
  const LogicalOperator& child = *aggregate.children.at(0);
  if (child.type != LogicalOperatorType::LOGICAL_LIMIT || !aggregate.groups.empty() ||
      aggregate.grouping_sets.size() > 1 || !aggregate.grouping_functions.empty()) {
    return std::nullopt;
  }
  for (const auto& expression : aggregate.expressions) {
    const auto& call = expression->Cast<duckdb::BoundAggregateExpression>();
    if (call.function.name != "count_star" || call.filter) return std::nullopt;
  }
  const auto& limit = child.Cast<duckdb::LogicalLimit>();
  const bool plain = limit.limit_val.Type() == duckdb::LimitNodeType::CONSTANT_VALUE &&
                     limit.offset_val.Type() == duckdb::LimitNodeType::UNSET;
  return plain ? std::optional<uint64_t>(limit.limit_val.GetConstantValue()) : std::nullopt;
}

}  // namespace

Result<Part> Translator::visit_counted_limit(duckdb::LogicalAggregate& aggregate, uint64_t limit) {
  Part input = TRY(visit(*aggregate.children.at(0)->children.at(0)));
  Part counted;
  counted.single = true;
  counted.columns.push_back(new_column("count_star()", duckdb::LogicalType::BIGINT));
  counted.node =
      add_node({input.node}, counted.columns,
               stream::AggregateNode{.groups = {}, .calls = {{.function = "count_star"}}});
  std::vector<Given> given;
  for (const auto& expression : aggregate.expressions) {
    given.push_back(
        {fmt::format("least({}, CAST({} AS BIGINT))", column_text(counted.columns[0].id), limit),
         expression->GetName(), expression->return_type});
  }
  Part part = project(counted, given);
  for (size_t i = 0; i < given.size(); ++i) {
    part.bindings.emplace_back(aggregate.aggregate_index, i);
  }
  return part;
}

Result<Part> Translator::visit_aggregate(duckdb::LogicalAggregate& aggregate) {
  if (auto limit = counted_limit(aggregate)) return visit_counted_limit(aggregate, *limit);
  std::vector<bool> sorted;
  for (size_t i = 0; i < aggregate.expressions.size(); ++i) {
    const auto& name =
        aggregate.expressions[i]->Cast<duckdb::BoundAggregateExpression>().function.name;
    sorted.push_back((name == "list" || name == "array_agg") &&
                     std::ranges::find(sorted_lists_, ColumnBinding(aggregate.aggregate_index,
                                                                    i)) != sorted_lists_.end());
  }
  Part input = TRY(visit(*aggregate.children.at(0)));
  std::vector<const Expression*> groups;
  for (const auto& group : aggregate.groups) groups.push_back(group.get());
  input = TRY(with_windows(std::move(input), groups));
  if (aggregate.grouping_sets.size() > 1 || !aggregate.grouping_functions.empty()) {
    return visit_grouping_sets(aggregate, std::move(input), sorted);
  }

  Part part;
  part.single = aggregate.groups.empty();
  stream::AggregateNode node;
  for (size_t i = 0; i < aggregate.groups.size(); ++i) {
    node.groups.push_back(TRY(text(*aggregate.groups[i], input)));
    part.columns.push_back(
        new_column(aggregate.groups[i]->GetName(), aggregate.groups[i]->return_type));
    part.bindings.emplace_back(aggregate.group_index, i);
    part.key.insert(part.columns.back().id);
  }
  for (size_t i = 0; i < aggregate.expressions.size(); ++i) {
    node.calls.push_back(
        TRY(aggregate_call(*aggregate.expressions[i], input, sorted[i], node.groups)));
    part.columns.push_back(
        new_column(aggregate.expressions[i]->GetName(), aggregate.expressions[i]->return_type));
    part.bindings.emplace_back(aggregate.aggregate_index, i);
  }
  window_bounds_.clear();
  part.node = add_node({input.node}, part.columns, std::move(node));
  return part;
}

/// One aggregate per grouping set, their rows put together: a group that a set does not have is
/// NULL.
Result<Part> Translator::visit_grouping_sets(duckdb::LogicalAggregate& aggregate, Part input,
                                             const std::vector<bool>& sorted) {
  Part part;
  std::vector<uint32_t> parts;
  for (const auto& set : aggregate.grouping_sets) {
    stream::AggregateNode node;
    std::vector<stream::PlanColumn> columns;
    std::vector<Given> given;
    for (size_t i = 0; i < aggregate.groups.size(); ++i) {
      const auto& group = *aggregate.groups[i];
      if (set.contains(i)) {
        node.groups.push_back(TRY(text(group, input)));
        columns.push_back(new_column(group.GetName(), group.return_type));
      }
      given.push_back({set.contains(i) ? column_text(columns.back().id)
                                       : render_constant(duckdb::Value(group.return_type)),
                       group.GetName(), group.return_type});
    }
    for (size_t i = 0; i < aggregate.expressions.size(); ++i) {
      const auto& call = *aggregate.expressions[i];
      node.calls.push_back(TRY(aggregate_call(call, input, sorted[i], node.groups)));
      columns.push_back(new_column(call.GetName(), call.return_type));
      given.push_back({column_text(columns.back().id), call.GetName(), call.return_type});
    }
    if (columns.empty()) {  // The row of all, when nothing of it is asked for.
      node.calls.push_back({.function = "count_star"});
      columns.push_back(new_column("count_star()", duckdb::LogicalType::BIGINT));
    }
    for (const auto& function : aggregate.grouping_functions) {
      int64_t mask = 0;
      for (auto group : function) mask = mask * 2 + (set.contains(group) ? 0 : 1);
      given.push_back(
          {render_constant(duckdb::Value::BIGINT(mask)), "grouping", duckdb::LogicalType::BIGINT});
    }
    Part grouped;
    grouped.node = add_node({input.node}, columns, std::move(node));
    Part whole = project(grouped, given);
    parts.push_back(whole.node);
    if (part.columns.empty()) part.columns = whole.columns;
  }
  window_bounds_.clear();
  for (auto& column : part.columns) column.id = next_column_++;
  for (size_t i = 0; i < aggregate.groups.size(); ++i) {
    part.bindings.emplace_back(aggregate.group_index, i);
  }
  for (size_t i = 0; i < aggregate.expressions.size(); ++i) {
    part.bindings.emplace_back(aggregate.aggregate_index, i);
  }
  for (size_t i = 0; i < aggregate.grouping_functions.size(); ++i) {
    part.bindings.emplace_back(aggregate.groupings_index, i);
  }
  part.node = add_node(std::move(parts), part.columns, stream::UnionAllNode{});
  return part;
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

namespace {

Status check_collations(const duckdb::vector<duckdb::LogicalType>& types) {
  for (const auto& type : types) {
    if (collated(type)) {
      return cannot("DISTINCT or UNION over a column with a collation",
                    "select lower(...) or another text that is equal by itself");
    }
  }
  return {};
}

}  // namespace

Result<Part> Translator::visit_distinct(duckdb::LogicalDistinct& distinct) {
  if (distinct.distinct_type != duckdb::DistinctType::DISTINCT) {
    if (!distinct.order_by || distinct.order_by->orders.empty()) {
      return cannot_at({"DISTINCT"}, "DISTINCT ON without ORDER BY, which has no defined answer",
                       "add ORDER BY");
    }
    Part part = TRY(visit(*distinct.children.at(0)));
    stream::TopNNode node{.partition_by = {},
                          .order = TRY(order(distinct.order_by->orders, part)),
                          .limit = 1,
                          .offset = 0,
                          .with_rank = false};
    for (const auto& target : distinct.distinct_targets) {
      node.partition_by.push_back(TRY(text(*target, part)));
    }
    part.node = add_node({part.node}, part.columns, std::move(node));
    return part;
  }
  TRY(check_collations(distinct.types));
  Part part = TRY(visit(*distinct.children.at(0)));
  const auto& last = plan_.nodes.back();
  if (last.id == part.node && std::holds_alternative<stream::DistinctNode>(last.op)) return part;
  part.key.clear();
  for (const auto& column : part.columns) part.key.insert(column.id);
  part.node = add_node({part.node}, part.columns, stream::DistinctNode{});
  return part;
}

Result<Part> Translator::visit_set_operation(duckdb::LogicalSetOperation& operation) {
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
  const bool is_union = operation.type == LogicalOperatorType::LOGICAL_UNION;
  if (!is_union || !operation.setop_all) TRY(check_collations(operation.types));
  if (!operation.setop_all) {
    for (const auto& column : part.columns) part.key.insert(column.id);
  }
  if (is_union) {
    part.node = add_node(std::move(inputs), part.columns, stream::UnionAllNode{});
    if (!operation.setop_all) {
      part.node = add_node({part.node}, part.columns, stream::DistinctNode{});
    }
    return part;
  }
  const stream::SetOperationNode node{
      .intersect = operation.type == LogicalOperatorType::LOGICAL_INTERSECT,
      .all = operation.setop_all};
  uint32_t left = inputs.at(0);
  for (size_t i = 1; i < inputs.size(); ++i) left = add_node({left, inputs[i]}, part.columns, node);
  part.node = left;
  return part;
}

Result<Part> Translator::visit_cte(duckdb::LogicalMaterializedCTE& cte) {
  shared_[cte.table_index] = TRY(visit(*cte.children.at(0)));
  return visit(*cte.children.at(1));
}

Result<Part> Translator::visit_cte_ref(const duckdb::LogicalCTERef& ref) {
  auto found = shared_.find(ref.cte_index);
  if (found == shared_.end()) return Error(Code::internal, "a CTE without its query");
  return renamed(found->second, ref.table_index);
}

Result<Part> Translator::visit_unnest(duckdb::LogicalUnnest& unnest) {
  Part part = TRY(visit(*unnest.children.at(0)));
  part.key.clear();
  part.single = false;
  WindowCalls calls;
  for (const auto& expression : unnest.expressions) {
    const auto& call = expression->Cast<duckdb::BoundUnnestExpression>();
    if (const auto* window = window_call(*call.child)) calls.push_back(window);
    if (call.child->return_type.id() != duckdb::LogicalTypeId::LIST) {
      return cannot_at({"UNNEST"}, "UNNEST of a " + call.child->return_type.ToString(),
                       "cast it to a list");
    }
  }
  if (!calls.empty() && calls.size() == unnest.expressions.size())
    return unnest_windows(std::move(part), unnest.unnest_index, calls);
  stream::UnnestNode node;
  for (const auto& expression : unnest.expressions) {
    const auto& call = expression->Cast<duckdb::BoundUnnestExpression>();
    node.lists.push_back(TRY(text(*call.child, part)));
  }
  for (size_t i = 0; i < unnest.expressions.size(); ++i) {
    part.columns.push_back(
        new_column(unnest.expressions[i]->GetName(), unnest.expressions[i]->return_type));
    part.bindings.emplace_back(unnest.unnest_index, i);
  }
  part.node = add_node({part.node}, part.columns, std::move(node));
  return part;
}

/// hop() and cumulate(): the starts and the ends of a row's windows, side by side.
Result<Part> Translator::unnest_windows(
    Part part, duckdb::idx_t index,
    const std::vector<const duckdb::BoundFunctionExpression*>& calls) {
  auto node = TRY(window_node(*calls.front(), part));
  for (const auto* call : calls) {
    auto other = TRY(window_node(*call, part));
    if (other.time != node.time || other.shape != node.shape)
      return cannot("two kinds of windows side by side", "nest them: tumble(hop(...), ...)");
  }
  add_bounds(part, std::move(node));
  const size_t start = part.columns.size() - 2;
  for (size_t i = 0; i < calls.size(); ++i) {
    const bool ends = window_function_of(calls[i]->function.name)->ends;
    auto& binding = part.bindings[ends ? start + 1 : start];
    if (binding.table_index == index) return cannot("the same bound of a window twice");
    binding = ColumnBinding(index, i);
  }
  return part;
}

Part Translator::project(const Part& input, const std::vector<Given>& columns) {
  Part part;
  stream::ProjectNode node;
  for (const auto& column : columns) {
    node.expressions.push_back(column.expression);
    part.columns.push_back(new_column(column.name, column.type));
  }
  part.single = input.single;
  part.node = add_node({input.node}, part.columns, std::move(node));
  return part;
}

Part Translator::distinct(const Part& input) {
  Part part = input;
  for (const auto& column : part.columns) part.key.insert(column.id);
  part.node = add_node({input.node}, part.columns, stream::DistinctNode{});
  return part;
}

Part Translator::renamed(const Part& part, duckdb::idx_t table_index) {
  Part out;
  stream::ProjectNode node;
  for (size_t i = 0; i < part.columns.size(); ++i) {
    node.expressions.push_back(column_text(part.columns[i].id));
    stream::PlanColumn column = part.columns[i];
    column.id = next_column_++;
    if (part.key.contains(part.columns[i].id)) out.key.insert(column.id);
    out.columns.push_back(std::move(column));
    out.bindings.emplace_back(table_index, i);
  }
  out.single = part.single;
  out.node = add_node({part.node}, out.columns, std::move(node));
  return out;
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

Result<stream::Plan> translate(LogicalOperator& root, const std::vector<std::string>& names,
                               const ResolveScan& resolve, const QueryWords& words) {
  return Translator(resolve, words).run(root, names);
}

}  // namespace ziwa::sql
