#include "duck/aggregate.h"
#include "sql/event_windows.h"
#include "sql/translator.h"

// Window functions, and the first rows of each partition.
namespace ziwa::sql {
namespace {

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
    bound = std::max<int64_t>(bound, 1) - 1;
  else if (comparison.GetExpressionType() != ExpressionType::COMPARE_LESSTHANOREQUALTO &&
           comparison.GetExpressionType() != ExpressionType::COMPARE_EQUAL) {
    return std::nullopt;
  }
  return bound < 0 ? 0 : static_cast<uint64_t>(bound);
}

std::string_view function_of(const duckdb::BoundWindowExpression& call) {
  switch (call.GetExpressionType()) {
    case ExpressionType::WINDOW_AGGREGATE:
      return call.aggregate->name;
    case ExpressionType::WINDOW_ROW_NUMBER:
      return "row_number";
    case ExpressionType::WINDOW_RANK:
      return "rank";
    case ExpressionType::WINDOW_RANK_DENSE:
      return "dense_rank";
    case ExpressionType::WINDOW_PERCENT_RANK:
      return "percent_rank";
    case ExpressionType::WINDOW_CUME_DIST:
      return "cume_dist";
    case ExpressionType::WINDOW_NTILE:
      return "ntile";
    case ExpressionType::WINDOW_LAG:
      return "lag";
    case ExpressionType::WINDOW_LEAD:
      return "lead";
    case ExpressionType::WINDOW_FIRST_VALUE:
      return "first_value";
    case ExpressionType::WINDOW_LAST_VALUE:
      return "last_value";
    case ExpressionType::WINDOW_NTH_VALUE:
      return "nth_value";
    default:
      return {};
  }
}

std::optional<stream::WindowFrame::Unit> unit_of(duckdb::WindowBoundary boundary) {
  using duckdb::WindowBoundary;
  switch (boundary) {
    case WindowBoundary::CURRENT_ROW_ROWS:
    case WindowBoundary::EXPR_PRECEDING_ROWS:
    case WindowBoundary::EXPR_FOLLOWING_ROWS:
      return stream::WindowFrame::Unit::rows;
    case WindowBoundary::CURRENT_ROW_RANGE:
    case WindowBoundary::EXPR_PRECEDING_RANGE:
    case WindowBoundary::EXPR_FOLLOWING_RANGE:
      return stream::WindowFrame::Unit::range;
    case WindowBoundary::CURRENT_ROW_GROUPS:
    case WindowBoundary::EXPR_PRECEDING_GROUPS:
    case WindowBoundary::EXPR_FOLLOWING_GROUPS:
      return stream::WindowFrame::Unit::groups;
    default:
      return std::nullopt;
  }
}

stream::WindowFrame::Kind kind_of(duckdb::WindowBoundary boundary) {
  using duckdb::WindowBoundary;
  using Kind = stream::WindowFrame::Kind;
  switch (boundary) {
    case WindowBoundary::EXPR_PRECEDING_ROWS:
    case WindowBoundary::EXPR_PRECEDING_RANGE:
    case WindowBoundary::EXPR_PRECEDING_GROUPS:
      return Kind::preceding;
    case WindowBoundary::EXPR_FOLLOWING_ROWS:
    case WindowBoundary::EXPR_FOLLOWING_RANGE:
    case WindowBoundary::EXPR_FOLLOWING_GROUPS:
      return Kind::following;
    case WindowBoundary::UNBOUNDED_PRECEDING:
    case WindowBoundary::UNBOUNDED_FOLLOWING:
      return Kind::unbounded;
    default:
      return Kind::current_row;
  }
}

/// Of RANGE, DuckDB's binder has put the order in front of the offset: order - offset.
const Expression* offset_of(const Expression& boundary, stream::WindowFrame::Unit unit) {
  if (unit != stream::WindowFrame::Unit::range) return &boundary;
  const Expression* at = &boundary;
  while (at->GetExpressionClass() == ExpressionClass::BOUND_CAST) {
    at = at->Cast<duckdb::BoundCastExpression>().child.get();
  }
  if (at->GetExpressionClass() != ExpressionClass::BOUND_FUNCTION) return nullptr;
  const auto& moved = at->Cast<duckdb::BoundFunctionExpression>();
  const bool known =
      (moved.function.name == "+" || moved.function.name == "-") && moved.children.size() == 2;
  return known ? moved.children[1].get() : nullptr;
}

}  // namespace

std::optional<Translator::Ranked> Translator::ranked_by(const duckdb::LogicalFilter& filter,
                                                        const duckdb::LogicalWindow& window) {
  if (window.expressions.size() != 1 ||
      window.expressions[0]->GetExpressionType() != ExpressionType::WINDOW_ROW_NUMBER) {
    return std::nullopt;
  }
  const auto& call = window.expressions[0]->Cast<duckdb::BoundWindowExpression>();
  if (call.orders.empty() || !call.arg_orders.empty()) return std::nullopt;
  Ranked ranked{.rank = ColumnBinding(window.window_index, 0), .limit = std::nullopt};
  for (const auto& expression : filter.expressions) {
    if (auto bound = rank_bound(*expression, ranked.rank)) {
      ranked.limit = ranked.limit ? std::min(*ranked.limit, *bound) : *bound;
    }
  }
  return ranked.limit ? std::optional(ranked) : std::nullopt;
}

Result<Part> Translator::visit_ranked(duckdb::LogicalWindow& window, const Ranked& ranked) {
  const auto& call = window.expressions[0]->Cast<duckdb::BoundWindowExpression>();
  Part part = TRY(visit(*window.children.at(0)));
  stream::TopNNode node{.partition_by = {},
                        .order = TRY(order(call.orders, part)),
                        .limit = *ranked.limit,
                        .offset = 0,
                        .with_rank = true};
  for (const auto& expression : call.partitions)
    node.partition_by.push_back(TRY(text(*expression, part)));
  part.columns.push_back(new_column("row_number", duckdb::LogicalType::BIGINT));
  part.bindings.push_back(ranked.rank);
  part.node = add_node({part.node}, part.columns, std::move(node));
  return part;
}

Result<stream::WindowFrame> Translator::frame(const duckdb::BoundWindowExpression& call,
                                              const Part& input) const {
  using duckdb::WindowBoundary;
  if (call.start == WindowBoundary::UNBOUNDED_FOLLOWING ||
      call.end == WindowBoundary::UNBOUNDED_PRECEDING) {
    return cannot_at({"OVER"}, "a window frame that is always empty");
  }
  stream::WindowFrame frame;
  for (auto boundary : {call.start, call.end}) frame.unit = unit_of(boundary).value_or(frame.unit);
  auto bound = [&](WindowBoundary boundary,
                   const Expression* expression) -> Result<stream::WindowFrame::Bound> {
    stream::WindowFrame::Bound out{.kind = kind_of(boundary), .offset = {}};
    if (expression == nullptr) return out;
    const Expression* offset = offset_of(*expression, frame.unit);
    if (offset == nullptr) return cannot_at({"OVER"}, "this window frame");
    out.offset = TRY(text(*offset, input));
    return out;
  };
  frame.start = TRY(bound(call.start, call.start_expr.get()));
  frame.end = TRY(bound(call.end, call.end_expr.get()));
  frame.exclude = static_cast<stream::WindowFrame::Exclude>(call.exclude_clause);
  return frame;
}

Result<stream::OverNode::Call> Translator::over_call(const duckdb::BoundWindowExpression& call,
                                                     const Part& input) const {
  stream::OverNode::Call out;
  out.call.function = function_of(call);
  if (out.call.function.empty()) {
    return cannot_at({"OVER"}, fmt::format("the window function {}", call.GetName()));
  }
  for (const auto& child : call.children) {
    if (call.distinct && collated(child->return_type)) {
      return cannot_at({"DISTINCT"}, "DISTINCT over a column with a collation",
                       "take lower(...) or another text that is equal by itself");
    }
    out.call.arguments.push_back(TRY(text(*child, input)));
  }
  if (call.default_expr && !call.offset_expr) out.call.arguments.emplace_back("CAST(1 AS BIGINT)");
  if (call.offset_expr) out.call.arguments.push_back(TRY(text(*call.offset_expr, input)));
  if (call.default_expr) out.call.arguments.push_back(TRY(text(*call.default_expr, input)));
  for (const auto& constant : duck::constants_of(call)) {
    out.call.constants.push_back(render_constant(constant));
  }
  const auto* function = stream::window_function(out.call.function);
  if (function != nullptr && !function->has_frame && !call.arg_orders.empty()) {
    return cannot_at({"OVER"}, fmt::format("ORDER BY inside {}()", out.call.function),
                     "order the window");
  }
  out.call.order_by = TRY(order(call.arg_orders, input));
  if (call.filter_expr) out.call.filter = TRY(text(*call.filter_expr, input));
  out.call.distinct = call.distinct;
  out.ignore_nulls = call.ignore_nulls;
  out.frame = TRY(frame(call, input));
  return out;
}

namespace {

/// Whether an expression is a bound of session().
bool is_session(const Expression& expression) {
  const auto& call = expression.Cast<duckdb::BoundWindowExpression>();
  return call.aggregate &&
         (call.aggregate->name == kSessionStart || call.aggregate->name == kSessionEnd);
}

}  // namespace

/// session(): its two bounds, or the one that is read.
Result<Part> Translator::visit_session(duckdb::LogicalWindow& window) {
  Part part = TRY(visit(*window.children.at(0)));
  std::optional<stream::SessionNode> node;
  for (const auto& expression : window.expressions) {
    const auto& call = expression->Cast<duckdb::BoundWindowExpression>();
    if (!is_session(call)) return cannot_at({"OVER"}, "window functions beside session()");
    stream::SessionNode session{.time = TRY(text(*call.children.at(0), part))};
    for (const auto& key : call.partitions) {
      if (collated(key->return_type)) {
        return cannot("sessions by a column with a collation",
                      "take lower(...) or another text that is equal by itself");
      }
      session.partition_by.push_back(TRY(text(*key, part)));
    }
    const Expression& gap = *call.children.at(1);
    if (gap.GetExpressionClass() != ExpressionClass::BOUND_CONSTANT ||
        gap.Cast<duckdb::BoundConstantExpression>().value.IsNull()) {
      return at_position(cannot("a gap of changing size"), position_of(gap));
    }
    auto size =
        gap_of(gap.Cast<duckdb::BoundConstantExpression>().value.GetValue<duckdb::interval_t>());
    if (!size) return at_position(std::move(size).error(), position_of(gap));
    session.gap_us = *size;
    const bool same = !node || (node->time == session.time && node->gap_us == session.gap_us &&
                                node->partition_by == session.partition_by);
    if (!same) return cannot("two kinds of sessions side by side");
    node = std::move(session);
  }
  part.key.clear();
  add_bounds(part, std::move(*node));
  const size_t start = part.columns.size() - 2;
  for (size_t i = 0; i < window.expressions.size(); ++i) {
    const auto& call = window.expressions[i]->Cast<duckdb::BoundWindowExpression>();
    part.bindings[call.aggregate->name == kSessionEnd ? start + 1 : start] =
        ColumnBinding(window.window_index, i);
  }
  return part;
}

/// One node per partition and order.
Result<Part> Translator::visit_window(duckdb::LogicalWindow& window) {
  if (std::ranges::any_of(window.expressions, [](const auto& call) { return is_session(*call); }))
    return visit_session(window);
  Part part = TRY(visit(*window.children.at(0)));
  std::vector<const Expression*> all;
  for (const auto& expression : window.expressions) all.push_back(expression.get());
  part = TRY(with_windows(std::move(part), all));
  struct Group {
    stream::OverNode node;
    std::vector<stream::PlanColumn> columns;
    std::vector<ColumnBinding> bindings;
  };
  std::vector<Group> groups;
  for (size_t i = 0; i < window.expressions.size(); ++i) {
    const auto& call = window.expressions[i]->Cast<duckdb::BoundWindowExpression>();
    Group group;
    for (const auto& expression : call.partitions) {
      group.node.partition_by.push_back(TRY(text(*expression, part)));
    }
    group.node.order = TRY(order(call.orders, part));
    auto at = std::ranges::find_if(groups, [&](const Group& other) {
      return other.node.partition_by == group.node.partition_by &&
             other.node.order == group.node.order;
    });
    if (at == groups.end()) at = groups.insert(at, std::move(group));
    auto over = TRY(over_call(call, part));
    if (auto defined = stream::check_over(at->node, over); !defined) {
      return at_position(std::move(defined.error()), words_.only({"OVER"}));
    }
    at->node.calls.push_back(std::move(over));
    at->columns.push_back(new_column(call.GetName(), call.return_type));
    at->bindings.emplace_back(window.window_index, i);
  }
  window_bounds_.clear();
  for (auto& group : groups) {
    part.columns.insert(part.columns.end(), group.columns.begin(), group.columns.end());
    part.bindings.insert(part.bindings.end(), group.bindings.begin(), group.bindings.end());
    part.node = add_node({part.node}, part.columns, std::move(group.node));
  }
  return part;
}

}  // namespace ziwa::sql
