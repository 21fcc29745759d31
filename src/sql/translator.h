#pragma once

// The translator behind translate.h, in the files translate*.cpp.
#include "sql/render.h"
#include "sql/translate.h"

#include <fmt/format.h>

#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <vector>

namespace ziwa::sql {

using duckdb::ColumnBinding;
using duckdb::Expression;
using duckdb::ExpressionClass;
using duckdb::ExpressionType;
using duckdb::LogicalOperator;
using duckdb::LogicalOperatorType;

/// A translated operator: its node, and which DuckDB binding each of its columns answers to.
struct Part {
  uint32_t node = 0;
  std::vector<stream::PlanColumn> columns;
  std::vector<ColumnBinding> bindings;  ///< As `columns`.
  std::set<uint32_t> key;  ///< Column ids that identify a row, empty if none are known.
  bool single = false;     ///< There is one row at most.
};

/// What a view cannot keep, and what can be done instead.
inline Error cannot(std::string_view what, std::string hint = {}) {
  auto error = Error(Code::unsupported, "a materialized view cannot keep {} yet", what);
  return hint.empty() ? std::move(error) : std::move(error).with_hint(std::move(hint));
}

/// Byte position in the query.
inline std::optional<size_t> position_of(const Expression& expression) {
  auto location = expression.GetQueryLocation();
  return location.IsValid() ? std::optional<size_t>(location.GetIndex()) : std::nullopt;
}

/// One translation. One thread.
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
  /// A filter that leaves the first rows of each partition.
  struct Ranked {
    ColumnBinding rank;
    std::optional<uint64_t> limit;
  };
  static std::optional<Ranked> ranked_by(const duckdb::LogicalFilter& filter,
                                         const duckdb::LogicalWindow& window);
  Result<Part> visit_ranked(duckdb::LogicalWindow& window, const Ranked& ranked);
  Result<Part> visit_window(duckdb::LogicalWindow& window);
  Result<Part> visit_session(duckdb::LogicalWindow& window);
  Result<stream::OverNode::Call> over_call(const duckdb::BoundWindowExpression& call,
                                           const Part& input) const;
  Result<stream::WindowFrame> frame(const duckdb::BoundWindowExpression& call,
                                    const Part& input) const;
  Result<Part> visit_projection(duckdb::LogicalProjection& projection);
  Result<Part> visit_aggregate(duckdb::LogicalAggregate& aggregate);
  Result<Part> visit_counted_limit(duckdb::LogicalAggregate& aggregate, uint64_t limit);
  Result<Part> visit_join(duckdb::LogicalComparisonJoin& join);
  Result<Part> visit_delim_join(duckdb::LogicalComparisonJoin& join);
  Result<Part> visit_delim_get(const duckdb::LogicalDelimGet& get);
  Result<Part> visit_any_join(duckdb::LogicalAnyJoin& join);
  Result<Part> visit_asof(duckdb::LogicalComparisonJoin& join);
  Result<Part> visit_cross_product(LogicalOperator& product);
  Result<Part> visit_cte(duckdb::LogicalMaterializedCTE& cte);
  Result<Part> visit_cte_ref(const duckdb::LogicalCTERef& ref);
  Result<Part> visit_unnest(duckdb::LogicalUnnest& unnest);
  Result<Part> visit_grouping_sets(duckdb::LogicalAggregate& aggregate, Part input,
                                   const std::vector<bool>& sorted);
  Result<Part> visit_top_n(duckdb::LogicalTopN& top_n);
  Result<Part> visit_distinct(duckdb::LogicalDistinct& distinct);
  Result<Part> visit_set_operation(duckdb::LogicalSetOperation& operation);

  /// What a join compares, by the columns of its two sides.
  struct Conditions {
    stream::JoinNode node;
    void also(const std::string& predicate);  ///< Adds to the residual.
  };
  Result<Conditions> conditions(const duckdb::LogicalComparisonJoin& join, const Part& left,
                                const Part& right) const;
  /// What a comparison of times says of when rows of either side have no matches to come.
  void add_limit(const Expression& left_time, ExpressionType comparison,
                 const Expression& right_time, const Part& left, const Part& right,
                 Conditions& found) const;
  bool add_equality(const Expression& condition, const Part& left, const Part& right,
                    Conditions& found) const;
  Result<Part> join_parts(duckdb::LogicalComparisonJoin& join, Part left, Part right);
  /// Adds a join; without a key only if one side has one row at most.
  Result<Part> add_join(stream::JoinNode node, const Part& left, const Part& right);
  Result<Part> mark_join(const duckdb::LogicalComparisonJoin& join, const Part& left,
                         const Part& right);
  Result<Part> single_join(const duckdb::LogicalComparisonJoin& join, const Part& left,
                           const Part& right);

  /// A column that an expression over c<id> gives.
  struct Given {
    std::string expression;
    std::string name;
    duckdb::LogicalType type;
  };
  /// New columns from those of `input`; without bindings.
  Part project(const Part& input, const std::vector<Given>& columns);
  Part distinct(const Part& input);
  /// The columns of `part` once more, with ids of their own, bound as those of a table.
  Part renamed(const Part& part, duckdb::idx_t table_index);

  Result<std::string> text(const Expression& expression, const Part& input) const;
  /// `sorted`: the list that it gives is sorted by who reads it. `groups`: by what it is grouped.
  Result<stream::AggregateNode::Call> aggregate_call(const Expression& expression,
                                                     const Part& input, bool sorted,
                                                     const std::vector<std::string>& groups) const;
  Result<std::vector<stream::TopNNode::Order>> order(
      const duckdb::vector<duckdb::BoundOrderByNode>& nodes, const Part& input) const;
  /// The columns that a window node adds.
  struct Bounds {
    stream::PlanColumn start;
    stream::PlanColumn end;
  };
  Result<stream::WindowNode> window_node(const duckdb::BoundFunctionExpression& call,
                                         const Part& input) const;
  Bounds add_bounds(Part& part, stream::Operator op);
  Result<Part> unnest_windows(Part part, duckdb::idx_t index,
                              const std::vector<const duckdb::BoundFunctionExpression*>& calls);
  /// Puts window nodes below an operator whose expressions use their bounds, and names these.
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
  std::vector<Part> delim_;                  ///< What DELIM_GET gives, the innermost join last.
  std::map<duckdb::idx_t, Part> shared_;     ///< CTEs by their table index.
  std::vector<ColumnBinding> sorted_lists_;  ///< What the projection above sorts.
  std::map<std::string, std::string>
      window_bounds_;  ///< Rendered call -> column text, for the operator being visited.
};

/// Whether its texts are equal in another way than byte by byte.
bool collated(const duckdb::LogicalType& type);

/// "c7": as expressions name a column.
inline std::string column_text(uint32_t id) { return fmt::format("c{}", id); }

}  // namespace ziwa::sql
