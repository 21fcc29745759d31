#include "sql/emit_on_close.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

namespace ziwa::sql {
namespace {

using stream::AggregateNode;
using stream::Node;

/// What is known of a node's rows.
enum class Rows : uint8_t {
  records,   ///< Each is a record of a topic with a WATERMARK; they may have windows.
  closed,    ///< Of windows that have ended: they stay.
  changing,  ///< Others.
};

Error refused(std::string_view why) {
  return Error(Code::unsupported, "EMIT ON WINDOW CLOSE {}", why)
      .with_hint(
          "GROUP BY window_start, window_end of a tumble(), hop(), cumulate() or session() over a "
          "topic that has a WATERMARK, with only WHERE, expressions and UNION ALL around");
}

class Marker {
 public:
  Marker(stream::Plan& plan, const std::function<SourceKind(ObjectId)>& kind_of)
      : plan_(plan), kind_of_(kind_of) {}

  Status run() {
    for (auto& node : plan_.nodes) rows_[node.id] = TRY(mark(node));
    if (rows_[plan_.root().id] == Rows::closed) return {};
    return refused("is for groups of windows: no other row is ever complete");
  }

 private:
  Result<Rows> mark(Node& node) {
    if (const auto* source = std::get_if<stream::SourceNode>(&node.op)) {
      return kind_of_(source->object) == SourceKind::timed ? Rows::records : Rows::changing;
    }
    const size_t columns = node.output.size();
    const Rows from = rows_of_inputs(node);
    if (std::holds_alternative<stream::FilterNode>(node.op)) return from;
    if (const auto* project = std::get_if<stream::ProjectNode>(&node.op)) {
      for (size_t i = 0; i < columns; ++i) {
        if (is_bound(project->expressions[i])) bounds_.insert(node.output[i].id);
      }
      return from;
    }
    if (std::holds_alternative<stream::WindowNode>(node.op)) {
      if (from == Rows::closed) return refused("does not keep windows of windows");
      bounds_.insert({node.output[columns - 2].id, node.output[columns - 1].id});
      return from;
    }
    if (std::holds_alternative<stream::SessionNode>(node.op)) {
      if (from == Rows::closed) return refused("does not keep windows of windows");
      // A session may begin earlier than it seems.
      bounds_.insert(node.output[columns - 1].id);
      return from;
    }
    if (auto* aggregate = std::get_if<AggregateNode>(&node.op)) return mark(*aggregate, from);
    const bool by_rows = std::holds_alternative<stream::UnionAllNode>(node.op) ||
                         std::holds_alternative<stream::UnnestNode>(node.op) ||
                         std::holds_alternative<stream::DistinctNode>(node.op);
    return by_rows && from == Rows::closed ? Rows::closed : Rows::changing;
  }

  Result<Rows> mark(AggregateNode& aggregate, Rows from) const {
    const bool windows =
        std::ranges::any_of(aggregate.groups, [&](const auto& group) { return is_bound(group); });
    if (from == Rows::closed)
      return refused("cannot have a GROUP BY over groups that are closed: it would change again");
    if (from != Rows::records || !windows) return Rows::changing;
    aggregate.on_close = true;
    return Rows::closed;
  }

  /// What all inputs are; changing if they differ.
  Rows rows_of_inputs(const Node& node) const {
    const Rows first = rows_.at(node.inputs.front());
    const bool same =
        std::ranges::all_of(node.inputs, [&](uint32_t input) { return rows_.at(input) == first; });
    return same ? first : Rows::changing;
  }

  bool is_bound(const stream::Expression& expression) const {
    return std::ranges::any_of(bounds_,
                               [&](uint32_t id) { return expression == fmt::format("c{}", id); });
  }

  stream::Plan& plan_;
  const std::function<SourceKind(ObjectId)>& kind_of_;
  std::map<uint32_t, Rows> rows_;
  std::set<uint32_t> bounds_;  ///< Columns that say when a window ends.
};

}  // namespace

Status emit_on_close(stream::Plan& plan, const std::function<SourceKind(ObjectId)>& kind_of) {
  return Marker(plan, kind_of).run();
}

}  // namespace ziwa::sql
