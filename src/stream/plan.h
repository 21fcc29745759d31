#pragma once

#include "base/ids.h"
#include "base/result.h"
#include "stream/window_shape.h"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace ziwa::stream {

/// A column of an operator's output. Ids are unique in a plan and are what expressions name: column
/// 7 is `c7`.
struct PlanColumn {
  uint32_t id = 0;
  std::string name;
  std::string type;  ///< DuckDB's spelling.
};

/// A scalar SQL expression over columns c<id> of the inputs, in DuckDB's dialect, all types
/// explicit by casts.
using Expression = std::string;

/// Reads columns of a topic, table or view.
struct SourceNode {
  ObjectId object;                   ///< Topic, table or view.
  std::vector<std::string> columns;  ///< Of the object, one per output column; also _offset,
                                     ///< _partition, _timestamp, _entry, _key.
};
/// Keeps the rows for which the predicate is true.
struct FilterNode {
  Expression predicate;
};
/// Computes each output column.
struct ProjectNode {
  std::vector<Expression> expressions;  ///< One per output column.
};
/// Gives each row once per window that holds its `time`; a window that had closed (its end plus
/// `lateness_us` <= the watermark before the row's journal entry) does not get it, and the view's
/// late rows do. Output: the input's columns, then window_start, window_end.
struct WindowNode {
  Expression time;  ///< TIMESTAMP
  WindowShape shape;
  int64_t lateness_us = 0;
};
/// Keeps the rows that are not late: whose `time` plus `lateness_us` >= the watermark before their
/// journal entry. The others are the view's late rows. NULL is never late.
struct OnTimeNode {
  Expression time;  ///< TIMESTAMP
  int64_t lateness_us = 0;
};
/// Gives each row the session that it is in: rows of a partition whose times lie `gap_us` apart at
/// most, one to the next, are in one, which ends `gap_us` after the last. Lateness as of
/// WindowNode. Output: the input's columns, then window_start, window_end.
struct SessionNode {
  std::vector<Expression> partition_by;
  Expression time;  ///< TIMESTAMP
  int64_t gap_us = 0;
  int64_t lateness_us = 0;
};
/// The longest gap of a session: 1,000 years.
inline constexpr int64_t kGapMaxUs = int64_t{365'250} * 24 * 3'600 * 1'000'000;
/// One expression of an ORDER BY.
struct SortOrder {
  Expression expression;
  bool descending = false;
  bool nulls_first = false;
  bool operator==(const SortOrder&) const = default;
};
struct AggregateNode {
  struct Call {
    std::string function;  ///< DuckDB's name of an aggregate, e.g. count_star, sum, quantile_cont.
    std::vector<Expression> arguments;
    std::vector<Expression> constants;  ///< Those after the arguments that DuckDB binds into the
                                        ///< function: a quantile's fraction, a separator.
    std::optional<Expression> filter;
    std::vector<SortOrder> order_by;  ///< Inside the call.
    bool distinct = false;
  };
  std::vector<Expression> groups;  ///< The first output columns.
  std::vector<Call> calls;         ///< The rest.
  bool on_close = false;           ///< Gives a group only once its window is closed.
};
/// Whether DuckDB's answer depends on the order in which rows come, so that it is only defined with
/// an ORDER BY inside the call: first, list, string_agg, mode (which of equals), ... A list of
/// DISTINCT values is kept in their order: DuckDB sorts it outside the call.
bool needs_order(std::string_view function, bool distinct);
/// Whether it cannot be defined at all: samples, and what asks for statistics of a table.
bool never_defined(std::string_view function);
/// Which rows a join gives: pairs that match and, but for inner, rows of one or both sides that
/// match nothing, with NULLs; or rows of the left side that do or do not match.
enum class JoinKind : uint8_t { inner, left, right, full, semi, anti };
/// Whether rows of a side (0: left) also come out by themselves, by what they match.
bool shows_alone(JoinKind kind, size_t side);
/// What the residual says of the times of two rows that match: the other side's column `column` is
/// <= `until` + `plus_us`, so that watermarks can tell when a row has no matches to come.
struct JoinLimit {
  Expression until;  ///< Over the side's own columns; a TIMESTAMP.
  int64_t plus_us = 0;
  uint32_t column = 0;
};
/// Output: the left columns, then, unless the kind is semi or anti, the right ones.
struct JoinNode {
  JoinKind kind = JoinKind::inner;
  std::vector<Expression> left_keys;
  std::vector<Expression> right_keys;
  std::vector<bool> null_safe;         ///< IS NOT DISTINCT FROM, one per key.
  std::optional<Expression> residual;  ///< Over both sides.
  std::vector<JoinLimit> left_limits;
  std::vector<JoinLimit> right_limits;
};
/// Each left row with the one right row that has equal keys and the greatest time <= its own (or <,
/// if `strict`; or, if `after`, the least >= or > it). Output: the left columns, then the right
/// ones.
struct AsofNode {
  bool keep_left = false;             ///< Left rows without a match come out with NULLs.
  std::vector<Expression> left_keys;  ///< May be none. NULL is equal to nothing.
  std::vector<Expression> right_keys;
  Expression left_time;  ///< Any type that has an order; NULL is before and after nothing.
  Expression right_time;
  bool after = false;
  bool strict = false;
};
/// First `limit` rows after `offset` per partition, by `order`, ties broken by all columns. Output:
/// the input's columns, then, if `with_rank`, row_number() (BIGINT).
struct TopNNode {
  using Order = SortOrder;
  std::vector<Expression> partition_by;
  std::vector<Order> order;
  uint64_t limit = 0;
  uint64_t offset = 0;
  bool with_rank = false;
};
/// Which rows around its own a window function sees.
struct WindowFrame {
  enum class Unit : uint8_t { rows, range, groups };
  enum class Kind : uint8_t { unbounded, preceding, current_row, following };
  enum class Exclude : uint8_t { none, current_row, group, ties };
  struct Bound {
    Kind kind = Kind::unbounded;
    Expression offset;  ///< Of preceding and following.
  };
  Unit unit = Unit::range;
  Bound start;
  Bound end{.kind = Kind::current_row, .offset = {}};
  Exclude exclude = Exclude::none;
};
/// Window functions: per row an answer from the rows of its partition, in an order. Rows that are
/// equal in that order are put in one that is fixed but says nothing. Output: the input's columns,
/// then one per call.
struct OverNode {
  struct Call {
    AggregateNode::Call call;  ///< DuckDB's name of a window function or an aggregate.
    bool ignore_nulls = false;
    WindowFrame frame;
  };
  std::vector<Expression> partition_by;
  std::vector<SortOrder> order;
  std::vector<Call> calls;
};
/// Functions that only windows have: whether DuckDB looks at their frame, and whether rows that are
/// equal in the order have the same answer.
struct WindowFunction {
  bool has_frame = false;
  bool of_peers = false;
};
/// Null for aggregates.
const WindowFunction* window_function(std::string_view name);
/// Whether the frame counts rows, not values.
inline bool by_rows(const WindowFrame& frame) { return frame.unit == WindowFrame::Unit::rows; }
/// Whether the answer depends on which of several rows that are in the frame comes first.
bool needs_row_order(const OverNode::Call& call);
/// Errors: unsupported when the rows alone do not decide the answer.
Status check_over(const OverNode& node, const OverNode::Call& call);
/// "ROWS BETWEEN c3 PRECEDING AND CURRENT ROW", as SQL.
std::string frame_text(const WindowFrame& frame);
struct UnionAllNode {};
/// EXCEPT and INTERSECT of two inputs with the same types. `all`: of bags, else of sets.
struct SetOperationNode {
  bool intersect = false;
  bool all = false;
};
/// Each row once per element of the lists that the expressions give, side by side: NULL where one
/// is shorter. Output: the input's columns, then one column per list.
struct UnnestNode {
  std::vector<Expression> lists;
};
/// Each row once, whatever its weight.
struct DistinctNode {};

using Operator = std::variant<SourceNode, FilterNode, OnTimeNode, ProjectNode, WindowNode,
                              SessionNode, AggregateNode, JoinNode, AsofNode, TopNNode, OverNode,
                              UnionAllNode, SetOperationNode, UnnestNode, DistinctNode>;

/// One operator of a plan.
struct Node {
  uint32_t id = 0;               ///< Names the operator's state for ever.
  std::vector<uint32_t> inputs;  ///< Ids of nodes before this one.
  std::vector<PlanColumn> output;
  Operator op;
};

/// What a view computes, independent of DuckDB's version: nodes in topological order, the last one
/// is the view.
struct Plan {
  static constexpr int kVersion = 1;
  int version = kVersion;
  std::vector<Node> nodes;
  /// Output columns (positions) that identify a row, e.g. the groups of an aggregate; empty: the
  /// whole row.
  std::vector<uint32_t> key;
  /// Time zone that expressions were bound with.
  std::string time_zone = "UTC";
  /// The view fails at the first row on which an operator fails.
  bool stop_on_error = false;

  const Node& root() const { return nodes.back(); }
};

/// "left", as plans spell it.
std::string_view name_of(JoinKind kind);
/// Whether a join of this kind gives the columns of its right side.
inline bool gives_right_columns(JoinKind kind) {
  return kind != JoinKind::semi && kind != JoinKind::anti;
}

/// JSON text, stable across versions; docs/formats/plan.md.
std::string encode_plan(const Plan& plan);
/// Errors: corrupt; unsupported (newer version).
Result<Plan> decode_plan(std::string_view text);
/// "filter #3": names an operator of a plan.
std::string node_label(const Node& node);
/// A window that is not closed yet: its topic's watermark has to reach `closes_us`.
struct OpenWindow {
  ObjectId topic;
  int64_t closes_us = 0;
};
/// One operator of a plan, as EXPLAIN STREAM tells of it.
struct OperatorReport {
  uint32_t node = 0;
  size_t state_bytes = 0;
  std::string grows;               ///< Why its state can grow for ever; empty: it cannot.
  std::optional<OpenWindow> open;  ///< The first that closes.
};
/// The plan as an indented tree for EXPLAIN STREAM, then a warning per operator whose state grows.
/// `running`: with the state that there is.
std::string explain_plan(const Plan& plan, const std::vector<OperatorReport>& operators = {},
                         bool running = false);

}  // namespace ziwa::stream
