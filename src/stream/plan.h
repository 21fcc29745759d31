#pragma once

#include "base/ids.h"
#include "base/result.h"

#include <cstdint>
#include <optional>
#include <string>
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
/// Assigns a tumbling window [start, start + size) by `time`; rows whose window had closed (window
/// end <= the watermark before the row's journal entry) leave the stream into the view's late rows.
/// Output: the input's columns, then window_start, window_end.
struct TumbleNode {
  Expression time;  ///< TIMESTAMP
  int64_t size_us = 0;
  int64_t offset_us = 0;
};
struct AggregateNode {
  struct Call {
    std::string function;  ///< count_star, count, sum, avg, min, max
    std::optional<Expression> argument;
    std::optional<Expression> filter;
    bool distinct = false;
  };
  std::vector<Expression> groups;  ///< The first output columns.
  std::vector<Call> calls;         ///< The rest.
};
struct JoinNode {  ///< Inner.
  std::vector<Expression> left_keys;
  std::vector<Expression> right_keys;
  std::vector<bool> null_safe;         ///< IS NOT DISTINCT FROM, one per key.
  std::optional<Expression> residual;  ///< Over both sides.
};
/// First `limit` rows after `offset` per partition, by `order`, ties broken by all columns. Output:
/// the input's columns, then, if `with_rank`, row_number() (BIGINT).
struct TopNNode {
  struct Order {
    Expression expression;
    bool descending = false;
    bool nulls_first = false;
  };
  std::vector<Expression> partition_by;
  std::vector<Order> order;
  uint64_t limit = 0;
  uint64_t offset = 0;
  bool with_rank = false;
};
struct UnionAllNode {};
/// Each row once, whatever its weight.
struct DistinctNode {};

using Operator = std::variant<SourceNode, FilterNode, ProjectNode, TumbleNode, AggregateNode,
                              JoinNode, TopNNode, UnionAllNode, DistinctNode>;

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

  const Node& root() const { return nodes.back(); }
};

/// JSON text, stable across versions; docs/formats/plan.md.
std::string encode_plan(const Plan& plan);
/// Errors: corrupt; unsupported (newer version).
Result<Plan> decode_plan(std::string_view text);
/// The plan as an indented tree for EXPLAIN STREAM.
std::string explain_plan(const Plan& plan);

}  // namespace ziwa::stream
