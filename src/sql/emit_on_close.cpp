#include "sql/emit_on_close.h"

#include <algorithm>

namespace ziwa::sql {
namespace {

using stream::AggregateNode;
using stream::Node;

Error refused(std::string_view why) {
  return Error(Code::unsupported, "EMIT ON WINDOW CLOSE {}", why)
      .with_hint(
          "GROUP BY window_start, window_end of windows over topics that have a WATERMARK, or over "
          "joins whose condition bounds their times; above it WHERE, expressions, UNION ALL, inner "
          "joins of such groups, and first rows with PARTITION BY window_end");
}

}  // namespace

Status emit_on_close(stream::Plan& plan,
                     const std::function<stream::SourceFacts(ObjectId)>& facts_of) {
  stream::PlanFacts facts;
  for (Node& node : plan.nodes) {
    if (const auto* source = std::get_if<stream::SourceNode>(&node.op)) {
      facts.add(node, facts_of(source->object));
      continue;
    }
    if (auto* aggregate = std::get_if<AggregateNode>(&node.op)) {
      const auto& from = facts.input(node);
      aggregate->on_close = stream::closing_column(from, aggregate->groups).has_value();
      if (from.closed && !aggregate->on_close)
        return refused("cannot have a GROUP BY over groups that are closed: it would change again");
    }
    facts.add(node);
    const bool ranks = std::holds_alternative<stream::TopNNode>(node.op) ||
                       std::holds_alternative<stream::OverNode>(node.op);
    if (ranks && facts.input(node).closed && !facts.of(node.id).closed)
      return refused("cannot rank rows of several windows: a later window would change it");
  }
  if (facts.of(plan.root().id).closed) return {};
  return refused("is for groups of windows that close: no other row is ever complete");
}

}  // namespace ziwa::sql
