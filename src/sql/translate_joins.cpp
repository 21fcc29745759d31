#include "duck/expression.h"
#include "sql/translator.h"
#include "stream/stage.h"

#include <algorithm>

// Joins, and the subqueries that DuckDB makes into joins. Those that are no operator of ours are
// put together from others: [NOT] IN from outer joins with the distinct values and their counts.
namespace ziwa::sql {
namespace {

constexpr std::string_view kOneKey = "CAST(1 AS INTEGER)";

/// A join that is not kept, in the words that ask for one, and where they stand.
struct JoinWords {
  std::string_view what;
  std::string_view hint;
  std::vector<std::string_view> keywords;
};

std::optional<stream::JoinKind> kind_of(duckdb::JoinType type) {
  using duckdb::JoinType;
  switch (type) {
    case JoinType::INNER:
      return stream::JoinKind::inner;
    case JoinType::LEFT:
      return stream::JoinKind::left;
    case JoinType::RIGHT:
      return stream::JoinKind::right;
    case JoinType::OUTER:
      return stream::JoinKind::full;
    case JoinType::SEMI:
    case JoinType::RIGHT_SEMI:
      return stream::JoinKind::semi;
    case JoinType::ANTI:
    case JoinType::RIGHT_ANTI:
      return stream::JoinKind::anti;
    default:
      return std::nullopt;
  }
}

/// Whether a side has one row at most for each value of what it is joined by.
bool one_per_key(const Part& part, const std::vector<std::string>& keys) {
  if (part.single) return true;
  return !part.key.empty() && std::ranges::all_of(part.key, [&](uint32_t id) {
    return std::ranges::find(keys, column_text(id)) != keys.end();
  });
}

std::set<uint32_t> key_of(const stream::JoinNode& join, const Part& left, const Part& right) {
  using stream::JoinKind;
  if (!gives_right_columns(join.kind)) return left.key;
  // Of an outer join the columns of a side that may be missing are NULL, in more rows than one.
  if (join.kind == JoinKind::full) return {};
  const bool left_stays = join.kind != JoinKind::right;
  const bool right_stays = join.kind != JoinKind::left;
  if (left_stays && one_per_key(right, join.right_keys)) return left.key;
  if (right_stays && one_per_key(left, join.left_keys)) return right.key;
  if (left.key.empty() || right.key.empty()) return {};
  std::set<uint32_t> key = left.key;
  key.insert(right.key.begin(), right.key.end());
  return key;
}

std::string compared(const std::string& left, ExpressionType comparison, const std::string& right) {
  switch (comparison) {
    case ExpressionType::COMPARE_DISTINCT_FROM:
      return fmt::format("({} IS DISTINCT FROM {})", left, right);
    case ExpressionType::COMPARE_NOT_DISTINCT_FROM:
      return fmt::format("({} IS NOT DISTINCT FROM {})", left, right);
    default:
      return fmt::format("({} {} {})", left, duckdb::ExpressionTypeToOperator(comparison), right);
  }
}

/// A time without the fixed intervals that are added to it.
struct MovedTime {
  const Expression* time;
  int64_t us = 0;  ///< The sum of these.
};

/// The microseconds of a constant INTERVAL, if it is as long for each time that it is added to.
std::optional<int64_t> fixed_interval(const Expression& expression,
                                      const duckdb::LogicalType& time) {
  if (expression.GetExpressionType() != ExpressionType::VALUE_CONSTANT ||
      expression.return_type.id() != duckdb::LogicalTypeId::INTERVAL) {
    return std::nullopt;
  }
  const auto& value = expression.Cast<duckdb::BoundConstantExpression>().value;
  if (value.IsNull()) return std::nullopt;
  const auto interval = value.GetValue<duckdb::interval_t>();
  const bool days_vary = time.id() != duckdb::LogicalTypeId::TIMESTAMP;
  if (interval.months != 0 || (days_vary && interval.days != 0)) return std::nullopt;
  int64_t us = 0;
  if (__builtin_add_overflow(interval.days * duckdb::Interval::MICROS_PER_DAY, interval.micros,
                             &us)) {
    return std::nullopt;
  }
  return us;
}

MovedTime moved_time(const Expression& expression) {
  MovedTime moved{.time = &expression};
  while (moved.time->GetExpressionClass() == ExpressionClass::BOUND_FUNCTION) {
    const auto& call = moved.time->Cast<duckdb::BoundFunctionExpression>();
    const auto& name = call.function.name;
    if ((name != "+" && name != "-") || call.children.size() != 2) break;
    const bool interval_first =
        name == "+" && call.children[0]->return_type.id() == duckdb::LogicalTypeId::INTERVAL;
    const Expression& time = *call.children[interval_first ? 1 : 0];
    if (time.return_type != moved.time->return_type) break;
    auto us = fixed_interval(*call.children[interval_first ? 0 : 1], time.return_type);
    if (!us || (name == "-" && __builtin_sub_overflow(0, *us, &*us)) ||
        __builtin_add_overflow(moved.us, *us, &moved.us)) {
      break;
    }
    moved.time = &time;
  }
  return moved;
}

void split_conjunction(const Expression& expression, std::vector<const Expression*>& parts) {
  if (expression.GetExpressionType() != ExpressionType::CONJUNCTION_AND) {
    parts.push_back(&expression);
    return;
  }
  for (const auto& child : expression.Cast<duckdb::BoundConjunctionExpression>().children) {
    split_conjunction(*child, parts);
  }
}

}  // namespace

void Translator::Conditions::also(const std::string& predicate) {
  node.residual = node.residual ? *node.residual + " AND " + predicate : predicate;
}

Result<Translator::Conditions> Translator::conditions(const duckdb::LogicalComparisonJoin& join,
                                                      const Part& left, const Part& right) const {
  Conditions found;
  for (const auto& condition : join.conditions) {
    std::string left_key = TRY(text(*condition.left, left));
    std::string right_key = TRY(text(*condition.right, right));
    bool null_safe = condition.comparison == ExpressionType::COMPARE_NOT_DISTINCT_FROM;
    if (condition.comparison == ExpressionType::COMPARE_EQUAL || null_safe) {
      found.node.left_keys.push_back(std::move(left_key));
      found.node.right_keys.push_back(std::move(right_key));
      found.node.null_safe.push_back(null_safe);
      continue;
    }
    found.also(compared(left_key, condition.comparison, right_key));
    add_limit(*condition.left, condition.comparison, *condition.right, left, right, found);
  }
  if (join.predicate) {
    Part both = left;
    both.columns.insert(both.columns.end(), right.columns.begin(), right.columns.end());
    both.bindings.insert(both.bindings.end(), right.bindings.begin(), right.bindings.end());
    found.also(TRY(text(*join.predicate, both)));
  }
  return found;
}

Result<Part> Translator::add_join(stream::JoinNode node, const Part& left, const Part& right) {
  if (node.left_keys.empty()) {
    if (!left.single && !right.single) {
      return cannot_at({"CROSS", "JOIN"}, "a join without an equality", "join ON a = b");
    }
    node.left_keys.emplace_back(kOneKey);
    node.right_keys.emplace_back(kOneKey);
    node.null_safe.push_back(false);
  }
  Part part;
  part.columns = left.columns;
  part.bindings = left.bindings;
  if (gives_right_columns(node.kind)) {
    part.columns.insert(part.columns.end(), right.columns.begin(), right.columns.end());
    part.bindings.insert(part.bindings.end(), right.bindings.begin(), right.bindings.end());
  }
  part.key = key_of(node, left, right);
  part.single = left.single && (right.single || !gives_right_columns(node.kind)) &&
                node.kind != stream::JoinKind::full;
  part.node = add_node({left.node, right.node}, part.columns, std::move(node));
  return part;
}

Result<Part> Translator::visit_join(duckdb::LogicalComparisonJoin& join) {
  Part left = TRY(visit(*join.children.at(0)));
  Part right = TRY(visit(*join.children.at(1)));
  return join_parts(join, std::move(left), std::move(right));
}

Result<Part> Translator::join_parts(duckdb::LogicalComparisonJoin& join, Part left, Part right) {
  using duckdb::JoinType;
  if (join.join_type == JoinType::MARK) return mark_join(join, left, right);
  if (join.join_type == JoinType::SINGLE) return single_join(join, left, right);
  auto kind = kind_of(join.join_type);
  if (!kind) return cannot_at({"JOIN"}, "this join", "inner, outer, semi and anti joins are kept");
  Conditions found = TRY(conditions(join, left, right));
  found.node.kind = *kind;
  if (join.join_type == JoinType::RIGHT_SEMI || join.join_type == JoinType::RIGHT_ANTI) {
    std::swap(left, right);
    std::swap(found.node.left_keys, found.node.right_keys);
    std::swap(found.node.left_limits, found.node.right_limits);
  }
  Part part = TRY(add_join(std::move(found.node), left, right));
  return keep(std::move(part), join.GetColumnBindings());
}

/// A correlated subquery: the right side is asked for each distinct value of the left's columns.
Result<Part> Translator::visit_delim_join(duckdb::LogicalComparisonJoin& join) {
  const size_t asking = join.delim_flipped ? 1 : 0;
  Part outer = TRY(visit(*join.children.at(asking)));
  std::vector<Given> columns;
  for (const auto& column : join.duplicate_eliminated_columns) {
    columns.push_back({TRY(text(*column, outer)), column->GetName(), column->return_type});
  }
  delim_.push_back(distinct(project(outer, columns)));
  auto inner = visit(*join.children.at(1 - asking));
  delim_.pop_back();
  Part asked = TRY(std::move(inner));
  return asking == 0 ? join_parts(join, std::move(outer), std::move(asked))
                     : join_parts(join, std::move(asked), std::move(outer));
}

Result<Part> Translator::visit_delim_get(const duckdb::LogicalDelimGet& get) {
  if (delim_.empty()) return Error(Code::internal, "a correlated subquery without its outer query");
  return renamed(delim_.back(), get.table_index);
}

void Translator::add_limit(const Expression& left_time, ExpressionType comparison,
                           const Expression& right_time, const Part& left, const Part& right,
                           Conditions& found) const {
  const bool left_first = comparison == ExpressionType::COMPARE_LESSTHAN ||
                          comparison == ExpressionType::COMPARE_LESSTHANOREQUALTO;
  const bool right_first = comparison == ExpressionType::COMPARE_GREATERTHAN ||
                           comparison == ExpressionType::COMPARE_GREATERTHANOREQUALTO;
  if (!left_first && !right_first) return;
  if (left_time.return_type != right_time.return_type ||
      !stream::is_timestamp(left_time.return_type)) {
    return;
  }
  const MovedTime first = moved_time(left_first ? left_time : right_time);
  const MovedTime last = moved_time(left_first ? right_time : left_time);
  auto first_text = text(*first.time, left_first ? left : right);
  auto last_text = text(*last.time, left_first ? right : left);
  if (!first_text || !last_text) return;
  auto column = stream::plain_column(*first_text);
  stream::JoinLimit limit{.until = *last_text};
  if (!column || __builtin_sub_overflow(last.us, first.us, &limit.plus_us)) return;
  limit.column = *column;
  auto& limits = left_first ? found.node.right_limits : found.node.left_limits;
  limits.push_back(std::move(limit));
}

/// Adds `condition` to the keys if it compares the two sides for equality.
bool Translator::add_equality(const Expression& condition, const Part& left, const Part& right,
                              Conditions& found) const {
  const auto type = condition.GetExpressionType();
  const bool null_safe = type == ExpressionType::COMPARE_NOT_DISTINCT_FROM;
  if (type != ExpressionType::COMPARE_EQUAL && !null_safe) return false;
  const auto& comparison = condition.Cast<duckdb::BoundComparisonExpression>();
  for (auto [a, b] : {std::pair(comparison.left.get(), comparison.right.get()),
                      std::pair(comparison.right.get(), comparison.left.get())}) {
    if (a->IsFoldable() || b->IsFoldable()) continue;
    auto left_key = text(*a, left);
    auto right_key = text(*b, right);
    if (!left_key || !right_key) continue;
    found.node.left_keys.push_back(std::move(*left_key));
    found.node.right_keys.push_back(std::move(*right_key));
    found.node.null_safe.push_back(null_safe);
    return true;
  }
  return false;
}

Result<Part> Translator::visit_any_join(duckdb::LogicalAnyJoin& join) {
  auto kind = kind_of(join.join_type);
  const bool flipped = join.join_type == duckdb::JoinType::RIGHT_SEMI ||
                       join.join_type == duckdb::JoinType::RIGHT_ANTI;
  if (!kind || flipped) return cannot_at({"JOIN"}, "this join", "join ON a = b");
  Part left = TRY(visit(*join.children.at(0)));
  Part right = TRY(visit(*join.children.at(1)));
  Part both = left;
  both.columns.insert(both.columns.end(), right.columns.begin(), right.columns.end());
  both.bindings.insert(both.bindings.end(), right.bindings.begin(), right.bindings.end());
  // DuckDB makes one condition of all when a part of it is about one side alone.
  Conditions found;
  found.node.kind = *kind;
  std::vector<const Expression*> parts;
  split_conjunction(*join.condition, parts);
  for (const Expression* part : parts) {
    if (add_equality(*part, left, right, found)) continue;
    found.also(TRY(text(*part, both)));
    if (part->GetExpressionClass() != ExpressionClass::BOUND_COMPARISON) continue;
    const auto& comparison = part->Cast<duckdb::BoundComparisonExpression>();
    const auto type = comparison.GetExpressionType();
    add_limit(*comparison.left, type, *comparison.right, left, right, found);
    add_limit(*comparison.right, duckdb::FlipComparisonExpression(type), *comparison.left, left,
              right, found);
  }
  Part part = TRY(add_join(std::move(found.node), left, right));
  return keep(std::move(part), join.GetColumnBindings());
}

Result<Part> Translator::visit_asof(duckdb::LogicalComparisonJoin& join) {
  using duckdb::JoinType;
  if (join.join_type != JoinType::INNER && join.join_type != JoinType::LEFT) {
    return cannot_at({"ASOF"}, "this ASOF join", "ASOF JOIN and ASOF LEFT JOIN are kept");
  }
  if (join.predicate) return cannot_at({"ASOF"}, "such a condition in an ASOF join");
  Part left = TRY(visit(*join.children.at(0)));
  Part right = TRY(visit(*join.children.at(1)));
  stream::AsofNode node{.keep_left = join.join_type == JoinType::LEFT};
  for (const auto& condition : join.conditions) {
    std::string left_key = TRY(text(*condition.left, left));
    std::string right_key = TRY(text(*condition.right, right));
    const auto comparison = condition.comparison;
    if (comparison == ExpressionType::COMPARE_NOT_DISTINCT_FROM)
      return cannot_at({"ASOF"}, "IS NOT DISTINCT FROM in an ASOF join", "write =");
    if (comparison == ExpressionType::COMPARE_EQUAL) {
      node.left_keys.push_back(std::move(left_key));
      node.right_keys.push_back(std::move(right_key));
      continue;
    }
    node.left_time = std::move(left_key);
    node.right_time = std::move(right_key);
    node.strict = comparison == ExpressionType::COMPARE_LESSTHAN ||
                  comparison == ExpressionType::COMPARE_GREATERTHAN;
    node.after = comparison == ExpressionType::COMPARE_LESSTHAN ||
                 comparison == ExpressionType::COMPARE_LESSTHANOREQUALTO;
  }
  if (node.left_time.empty()) return cannot_at({"ASOF"}, "an ASOF join without an inequality");
  Part part = left;
  part.columns.insert(part.columns.end(), right.columns.begin(), right.columns.end());
  part.bindings.insert(part.bindings.end(), right.bindings.begin(), right.bindings.end());
  part.node = add_node({left.node, right.node}, part.columns, std::move(node));
  return keep(std::move(part), join.GetColumnBindings());
}

Result<Part> Translator::visit_cross_product(LogicalOperator& product) {
  Part left = TRY(visit(*product.children.at(0)));
  Part right = TRY(visit(*product.children.at(1)));
  return add_join({}, left, right);
}

/// x [NOT] IN (SELECT y ...) or [NOT] EXISTS as a value: true, false or NULL. The values of y are
/// joined once each; whether there are any, and any NULL, says what a miss means.
Result<Part> Translator::mark_join(const duckdb::LogicalComparisonJoin& join, const Part& left,
                                   const Part& right) {
  const std::vector<std::string_view> words = {"EXISTS", "IN", "ANY", "ALL"};
  stream::JoinNode match{.kind = stream::JoinKind::left};
  stream::JoinNode count{.kind = stream::JoinKind::left};
  std::vector<Given> values;
  std::vector<Given> groups;
  std::optional<std::pair<std::string, std::string>> value;  // x and y
  for (const auto& condition : join.conditions) {
    std::string x = TRY(text(*condition.left, left));
    Given y{TRY(text(*condition.right, right)), condition.right->GetName(),
            condition.right->return_type};
    const bool null_safe = condition.comparison == ExpressionType::COMPARE_NOT_DISTINCT_FROM;
    if (!null_safe && condition.comparison != ExpressionType::COMPARE_EQUAL) {
      return cannot_at(words, "a comparison with ANY or ALL of a subquery but =",
                       "compare with its min() or max()");
    }
    if (!null_safe && value) return cannot_at(words, "IN over several columns", "use EXISTS");
    match.left_keys.push_back(x);
    match.null_safe.push_back(null_safe);
    values.push_back(y);
    if (!null_safe) {
      value.emplace(x, y.expression);
      continue;
    }
    count.left_keys.push_back(x);
    count.null_safe.push_back(true);
    groups.push_back(y);
  }
  if (join.predicate) return cannot_at(words, "such a condition on a subquery");

  Part seen = distinct(project(right, values));
  std::vector<Given> flagged;
  for (size_t i = 0; i < values.size(); ++i) {
    flagged.push_back({column_text(seen.columns[i].id), values[i].name, values[i].type});
  }
  flagged.push_back({"CAST(true AS BOOLEAN)", "found", duckdb::LogicalType::BOOLEAN});
  Part found = project(seen, flagged);
  for (size_t i = 0; i < values.size(); ++i) {
    match.right_keys.push_back(column_text(found.columns[i].id));
  }
  if (values.empty()) found.single = true;
  Part part = TRY(add_join(std::move(match), left, found));
  std::string mark = fmt::format("({} IS NOT NULL)", column_text(found.columns.back().id));
  if (value) {
    Part counted;
    stream::AggregateNode aggregate;
    for (const auto& group : groups) {
      aggregate.groups.push_back(group.expression);
      counted.columns.push_back(new_column(group.name, group.type));
      count.right_keys.push_back(column_text(counted.columns.back().id));
    }
    aggregate.calls.push_back({.function = "count_star"});
    aggregate.calls.push_back({.function = "count", .arguments = {value->second}});
    counted.columns.push_back(new_column("rows", duckdb::LogicalType::BIGINT));
    counted.columns.push_back(new_column("values", duckdb::LogicalType::BIGINT));
    counted.single = groups.empty();
    counted.node = add_node({right.node}, counted.columns, std::move(aggregate));
    auto rows = column_text(counted.columns[groups.size()].id);
    auto not_null = column_text(counted.columns[groups.size() + 1].id);
    part = TRY(add_join(std::move(count), part, counted));
    mark = fmt::format(
        "CASE WHEN {0} THEN true WHEN coalesce({1}, 0) = 0 THEN false "
        "WHEN {2} IS NULL OR {3} < {1} THEN CAST(NULL AS BOOLEAN) ELSE false END",
        mark, rows, value->first, not_null);
  }
  std::vector<Given> out;
  for (const auto& column : left.columns) {
    out.push_back({column_text(column.id), column.name, TRY(duck::parse_type(column.type))});
  }
  out.push_back({mark, "mark", duckdb::LogicalType::BOOLEAN});
  Part marked = project(part, out);
  marked.bindings = left.bindings;
  marked.bindings.emplace_back(join.mark_index, 0);
  marked.single = left.single;
  for (size_t i = 0; i < left.columns.size(); ++i) {
    if (left.key.contains(left.columns[i].id)) marked.key.insert(marked.columns[i].id);
  }
  return marked;
}

/// A subquery that stands for one value: an outer join, if the other side has one row per key.
Result<Part> Translator::single_join(const duckdb::LogicalComparisonJoin& join, const Part& left,
                                     const Part& right) {
  Conditions found = TRY(conditions(join, left, right));
  found.node.kind = stream::JoinKind::left;
  if (!one_per_key(right, found.node.right_keys)) {
    return cannot("a subquery that stands for one value and may have several rows",
                  "make it an aggregate, or a join");
  }
  Part part = TRY(add_join(std::move(found.node), left, right));
  part.key = left.key;
  part.single = left.single;
  return part;
}

}  // namespace ziwa::sql
