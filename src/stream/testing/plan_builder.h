#pragma once

#include "stream/plan.h"

#include <string>
#include <utility>
#include <vector>

namespace ziwa::stream::testing {

/// Builds plans by hand: columns get the ids 1, 2, 3 ... in the order in which they are made.
class PlanBuilder {
 public:
  using Columns = std::vector<std::pair<std::string, std::string>>;  ///< Name and type.

  uint32_t source(ObjectId object, const Columns& columns) {
    SourceNode node{.object = object, .columns = {}};
    for (const auto& [name, type] : columns) node.columns.push_back(name);
    return add({}, make(columns), node);
  }
  uint32_t filter(uint32_t input, const Expression& predicate) {
    return add({input}, node(input).output, FilterNode{predicate});
  }
  uint32_t on_time(uint32_t input, const Expression& time) {
    return add({input}, node(input).output, OnTimeNode{.time = time});
  }
  uint32_t project(uint32_t input, const std::vector<Expression>& expressions,
                   const Columns& columns) {
    return add({input}, make(columns), ProjectNode{expressions});
  }
  uint32_t tumble(uint32_t input, const Expression& time, int64_t size_us) {
    auto output = node(input).output;
    for (auto& column : make({{"window_start", "TIMESTAMP"}, {"window_end", "TIMESTAMP"}})) {
      output.push_back(column);
    }
    return add({input}, output, WindowNode{.time = time, .shape = {.size_us = size_us}});
  }
  uint32_t aggregate(uint32_t input, const std::vector<Expression>& groups,
                     const std::vector<AggregateNode::Call>& calls, const Columns& columns) {
    plan_.key.clear();
    for (uint32_t i = 0; i < groups.size(); ++i) plan_.key.push_back(i);
    return add({input}, make(columns), AggregateNode{groups, calls});
  }
  uint32_t join(uint32_t left, uint32_t right, const JoinNode& join) {
    auto output = node(left).output;
    if (gives_right_columns(join.kind)) {
      for (const auto& column : node(right).output) output.push_back(column);
    }
    return add({left, right}, output, join);
  }
  uint32_t asof(uint32_t left, uint32_t right, const AsofNode& asof) {
    auto output = node(left).output;
    for (const auto& column : node(right).output) output.push_back(column);
    return add({left, right}, output, asof);
  }
  uint32_t set_operation(uint32_t left, uint32_t right, const SetOperationNode& operation,
                         const Columns& columns) {
    return add({left, right}, make(columns), operation);
  }
  uint32_t unnest(uint32_t input, const std::vector<Expression>& lists, const Columns& columns) {
    auto output = node(input).output;
    for (auto& column : make(columns)) output.push_back(column);
    return add({input}, output, UnnestNode{lists});
  }
  uint32_t top_n(uint32_t input, const TopNNode& top) {
    auto output = node(input).output;
    if (top.with_rank) output.push_back(make({{"rank", "BIGINT"}})[0]);
    return add({input}, output, top);
  }
  uint32_t over(uint32_t input, const OverNode& over, const Columns& columns) {
    auto output = node(input).output;
    for (auto& column : make(columns)) output.push_back(column);
    return add({input}, output, over);
  }
  uint32_t union_all(const std::vector<uint32_t>& inputs, const Columns& columns) {
    return add(inputs, make(columns), UnionAllNode{});
  }
  uint32_t distinct(uint32_t input) { return add({input}, node(input).output, DistinctNode{}); }

  uint32_t column_id(uint32_t id, size_t index) const { return node(id).output[index].id; }
  /// Text of the `index`-th output column of a node: "c7".
  std::string column(uint32_t id, size_t index) const {
    return "c" + std::to_string(column_id(id, index));
  }
  Plan build(std::vector<uint32_t> key = {}) {
    plan_.key = std::move(key);
    return plan_;
  }

 private:
  const Node& node(uint32_t id) const { return plan_.nodes[id - 1]; }
  std::vector<PlanColumn> make(const Columns& columns) {
    std::vector<PlanColumn> made;
    for (const auto& [name, type] : columns) made.push_back({next_++, name, type});
    return made;
  }
  uint32_t add(std::vector<uint32_t> inputs, std::vector<PlanColumn> output, Operator op) {
    auto id = static_cast<uint32_t>(plan_.nodes.size() + 1);
    plan_.nodes.push_back({id, std::move(inputs), std::move(output), std::move(op)});
    return id;
  }
  Plan plan_;
  uint32_t next_ = 1;
};

}  // namespace ziwa::stream::testing
