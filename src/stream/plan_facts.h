#pragma once

#include "stream/plan.h"

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

namespace ziwa::stream {

/// How watermarks bound the changes to come of a TIMESTAMP column: after a step, every later change
/// of a row has there a value with value + add_us > the watermark of one of the terms' topics. NULL
/// and infinite values are not bounded.
class TimeBound {
 public:
  using Watermark = std::function<int64_t(ObjectId)>;
  struct Term {
    ObjectId topic;
    int64_t add_us = 0;
  };
  TimeBound(ObjectId topic, int64_t add_us, int64_t lateness_us = 0)
      : terms_{{topic, add_us + lateness_us}}, lateness_us_(lateness_us) {}

  /// Changes come by either bound.
  void join(const TimeBound& other);
  /// The bound of the column's value plus `us`.
  TimeBound moved(int64_t us) const;
  /// What is to be added to a value before it is compared with reached().
  int64_t add_us() const { return terms_.front().add_us; }
  /// How much of that is the view's allowed lateness.
  int64_t lateness_us() const { return lateness_us_; }
  /// A row whose value + add_us() <= this does not change any more. kNoWatermark: none is so.
  int64_t reached(const Watermark& watermark) const;
  /// The topic that holds reached() back.
  const Term& slowest(const Watermark& watermark) const;

 private:
  std::vector<Term> terms_;  ///< Each topic once.
  int64_t lateness_us_ = 0;
};
using TimeBounds = std::map<uint32_t, TimeBound>;  ///< By column id.

/// A column that is bounded.
struct BoundColumn {
  size_t position = 0;
  TimeBound bound;
};

/// When a row of one side of a join goes: all of its deadlines have passed.
struct Deadline {
  Expression time;      ///< Over the side's columns; a TIMESTAMP.
  int64_t plus_us = 0;  ///< `time` plus this is the value that is bounded.
  TimeBound bound;
};
/// Empty: the side keeps its rows.
using Deadlines = std::vector<Deadline>;

/// What watermarks say of an ASOF join's state.
struct AsofBounds {
  /// Of the right side's times, if rows of the left side go by it.
  std::optional<TimeBound> left_rows;
  /// Of the times of both sides: versions go that a later one replaces up to it.
  std::optional<TimeBound> right_rows;
};

/// What is known of an operator's rows without running it.
struct NodeFacts {
  const Node* node = nullptr;
  bool append_only = false;  ///< Rows are never taken back.
  bool endless = false;      ///< Rows come for ever.
  /// The one topic whose records the rows still are, if it has a WATERMARK.
  std::optional<ObjectId> topic;
  TimeBounds bounds;
  /// Rows come once their windows have closed; only late ones, within the lateness that is allowed,
  /// change them then.
  bool closed = false;
  /// Of closed rows: those that are equal in any of these columns come in one step.
  std::set<uint32_t> together;
  /// Columns whose value names a window, and which node's.
  std::map<uint32_t, uint32_t> windows;
};

/// What a plan's source is.
struct SourceFacts {
  bool timed = false;        ///< Records of a topic with a WATERMARK.
  bool append_only = false;  ///< Rows are never taken back.
  bool endless = false;      ///< Rows come for ever: a topic, or a view that follows one.
};

/// Facts of a plan's nodes, found from the sources up. `nodes` are kept by reference.
class PlanFacts {
 public:
  /// A source. Nodes are added once, inputs first.
  void add(const Node& node, const SourceFacts& source);
  void add(const Node& node);
  const NodeFacts& of(uint32_t node) const { return facts_.at(node); }
  const NodeFacts& input(const Node& node, size_t index = 0) const {
    return of(node.inputs[index]);
  }
  /// Of a join that was not added yet: when rows of a side go.
  Deadlines deadlines(const Node& node, const JoinNode& join, size_t side) const;
  AsofBounds asof_bounds(const Node& node, const AsofNode& asof) const;
  /// The bound of an expression that passes a column on; null: it has none.
  static const TimeBound* bound_of(const NodeFacts& from, const Expression& expression);
  static const TimeBound* bound_of(const NodeFacts& from, uint32_t column);

 private:
  void find(const SourceNode& op, const Node& node, NodeFacts& facts) const;
  void find(const FilterNode& op, const Node& node, NodeFacts& facts) const;
  void find(const OnTimeNode& op, const Node& node, NodeFacts& facts) const;
  void find(const ProjectNode& op, const Node& node, NodeFacts& facts) const;
  void find(const WindowNode& op, const Node& node, NodeFacts& facts) const;
  void find(const SessionNode& op, const Node& node, NodeFacts& facts) const;
  void find(const AggregateNode& op, const Node& node, NodeFacts& facts) const;
  void find(const JoinNode& op, const Node& node, NodeFacts& facts) const;
  void find(const AsofNode& op, const Node& node, NodeFacts& facts) const;
  void find(const TopNNode& op, const Node& node, NodeFacts& facts) const;
  void find(const OverNode& op, const Node& node, NodeFacts& facts) const;
  void find(const UnionAllNode& op, const Node& node, NodeFacts& facts) const;
  void find(const SetOperationNode& op, const Node& node, NodeFacts& facts) const;
  void find(const UnnestNode& op, const Node& node, NodeFacts& facts) const;
  void find(const DistinctNode& op, const Node& node, NodeFacts& facts) const;
  void pass_column(uint32_t from_id, uint32_t id, const NodeFacts& from, NodeFacts& facts) const;
  void pass_rows(const Node& node, NodeFacts& facts) const;
  void pass_columns(const Node& node, NodeFacts& facts) const;
  void pass_partition(const std::vector<Expression>& partition_by, const Node& node,
                      NodeFacts& facts) const;
  void merge_columns(const Node& node, NodeFacts& facts) const;

  std::map<uint32_t, NodeFacts> facts_;
};

/// The expression, by position, whose bound says when what is grouped by all of them is final.
std::optional<BoundColumn> closing_column(const NodeFacts& from, const std::vector<Expression>& by);
/// The same for rows as a whole.
std::optional<BoundColumn> closing_column(const NodeFacts& of);

}  // namespace ziwa::stream
