#include "sql/on_time.h"

#include "stream/plan_facts.h"
#include "stream/stage.h"

#include <algorithm>
#include <map>
#include <utility>

namespace ziwa::sql {
namespace {

using stream::JoinLimit;
using stream::JoinNode;
using stream::Node;
using stream::PlanFacts;

class Keeper {
 public:
  Keeper(stream::Plan& plan, int64_t lateness_us,
         const std::function<const catalog::Object&(ObjectId)>& source)
      : plan_(plan), lateness_us_(lateness_us), source_(source) {
    for (const Node& node : plan.nodes) next_id_ = std::max(next_id_, node.id + 1);
  }

  void run() {
    std::vector<Node> nodes = std::exchange(plan_.nodes, {});
    plan_.nodes.reserve(nodes.size() * 3);  // Facts refer to them; each may get two below it.
    for (Node& node : nodes) {
      if (auto* join = std::get_if<JoinNode>(&node.op)) keep(node, *join);
      if (const auto* asof = std::get_if<stream::AsofNode>(&node.op)) keep(node, *asof);
      add(std::move(node));
    }
  }

 private:
  /// Puts a node behind those before it.
  void add(Node node) {
    plan_.nodes.push_back(std::move(node));
    const Node& added = plan_.nodes.back();
    const auto* from = std::get_if<stream::SourceNode>(&added.op);
    if (from == nullptr) {
      facts_.add(added);
      return;
    }
    facts_.add(added, source_facts(source_(from->object)));
  }

  void keep(Node& node, JoinNode& join) {
    for (size_t side = 0; side < 2; ++side) {
      auto& limits = side == 0 ? join.left_limits : join.right_limits;
      // Equal times, such as those of windows, say it without them.
      JoinNode by_keys = join;
      by_keys.left_limits.clear();
      by_keys.right_limits.clear();
      if (!facts_.deadlines(node, by_keys, side).empty()) limits.clear();
      std::erase_if(limits, [&](const JoinLimit& limit) {
        const auto& own = facts_.input(node, side);
        return (!own.append_only && own.bounds.empty()) ||
               !bound(node.inputs[1 - side], limit.column);
      });
    }
  }

  /// Rows of the left side go by the times of the right one, versions by those of both.
  void keep(Node& node, const stream::AsofNode& asof) {
    auto left = stream::plain_column(asof.left_time);
    auto right = stream::plain_column(asof.right_time);
    const bool goes = facts_.input(node).append_only ||
                      (left && PlanFacts::bound_of(facts_.input(node), *left) != nullptr);
    if (asof.after || !left || !right || !goes) return;
    if (bound(node.inputs[1], *right)) bound(node.inputs[0], *left);
  }

  /// Whether a column of a node has a bound, which it gets if it is the time of a topic's records.
  /// `input` becomes the node that has it.
  bool bound(uint32_t& input, uint32_t column) {
    const auto& from = facts_.of(input);
    if (PlanFacts::bound_of(from, column) != nullptr) return true;
    if (!from.topic || !is_event_time(input, column)) return false;
    Node on_time{
        .id = next_id_++,
        .inputs = {input},
        .output = from.node->output,
        .op = stream::OnTimeNode{.time = fmt::format("c{}", column), .lateness_us = lateness_us_}};
    input = on_time.id;
    add(std::move(on_time));
    return true;
  }

  /// Whether a column is passed on from the one that the topic's WATERMARK is for.
  bool is_event_time(uint32_t id, uint32_t column) const {
    const Node& node = *facts_.of(id).node;
    const auto at = std::ranges::find(node.output, column, &stream::PlanColumn::id);
    if (at == node.output.end()) return false;
    const auto position = static_cast<size_t>(at - node.output.begin());
    if (const auto* from = std::get_if<stream::SourceNode>(&node.op)) {
      return from->columns[position] == source_(from->object).topic().watermark->column;
    }
    if (const auto* project = std::get_if<stream::ProjectNode>(&node.op)) {
      auto passed = stream::plain_column(project->expressions[position]);
      return passed && is_event_time(node.inputs[0], *passed);
    }
    if (std::holds_alternative<stream::UnionAllNode>(node.op)) {
      return std::ranges::all_of(node.inputs, [&](uint32_t input) {
        return is_event_time(input, facts_.of(input).node->output[position].id);
      });
    }
    const auto& from = facts_.input(node).node->output;
    return position < from.size() && is_event_time(node.inputs[0], from[position].id);
  }

  stream::Plan& plan_;
  int64_t lateness_us_;
  const std::function<const catalog::Object&(ObjectId)>& source_;
  PlanFacts facts_;
  uint32_t next_id_ = 1;
};

}  // namespace

stream::SourceFacts source_facts(const catalog::Object& object) {
  const bool topic = object.kind() == catalog::Kind::topic;
  return {.timed = topic && object.topic().watermark.has_value(), .append_only = topic};
}

void keep_on_time(stream::Plan& plan, int64_t lateness_us,
                  const std::function<const catalog::Object&(ObjectId)>& source) {
  Keeper(plan, lateness_us, source).run();
}

}  // namespace ziwa::sql
