#include "stream/plan_facts.h"

#include "stream/delta.h"
#include "stream/stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace ziwa::stream {
namespace {

int64_t saturating_subtract(int64_t a, int64_t b) {
  int64_t result = 0;
  if (!__builtin_sub_overflow(a, b, &result)) return result;
  return b > 0 ? kNoWatermark : std::numeric_limits<int64_t>::max();
}

/// Whether matches of a join are counted per key, not per row, for what `side` shows of itself.
bool shown_by_keys(const JoinNode& join, size_t side) {
  return !join.residual && shows_alone(join.kind, side);
}

}  // namespace

void TimeBound::join(const TimeBound& other) {
  for (const Term& term : other.terms_) {
    auto same = std::ranges::find(terms_, term.topic, &Term::topic);
    if (same == terms_.end()) {
      terms_.push_back(term);
    } else {
      same->add_us = std::max(same->add_us, term.add_us);
    }
  }
  lateness_us_ = std::max(lateness_us_, other.lateness_us_);
}

TimeBound TimeBound::moved(int64_t us) const {
  TimeBound moved = *this;
  for (Term& term : moved.terms_) term.add_us = saturating_subtract(term.add_us, us);
  return moved;
}

const TimeBound::Term& TimeBound::slowest(const Watermark& watermark) const {
  const Term* slowest = &terms_.front();
  int64_t least = saturating_subtract(watermark(slowest->topic), slowest->add_us);
  for (const Term& term : terms_) {
    const int64_t final_us = saturating_subtract(watermark(term.topic), term.add_us);
    if (final_us >= least) continue;
    least = final_us;
    slowest = &term;
  }
  return *slowest;
}

int64_t TimeBound::reached(const Watermark& watermark) const {
  const Term& term = slowest(watermark);
  const int64_t at = watermark(term.topic);
  if (at == kNoWatermark) return kNoWatermark;
  return saturating_subtract(at, saturating_subtract(term.add_us, add_us()));
}

void PlanFacts::add(const Node& node, const SourceFacts& source) {
  NodeFacts facts{.node = &node,
                  .append_only = source.append_only,
                  .endless = source.endless,
                  .topic = std::nullopt,
                  .bounds = {}};
  if (source.timed) facts.topic = std::get<SourceNode>(node.op).object;
  facts_[node.id] = std::move(facts);
}

void PlanFacts::add(const Node& node) {
  NodeFacts facts{.node = &node};
  for (size_t i = 0; i < node.inputs.size(); ++i)
    facts.endless = facts.endless || input(node, i).endless;
  std::visit([&](const auto& op) { find(op, node, facts); }, node.op);
  facts_[node.id] = std::move(facts);
}

const TimeBound* PlanFacts::bound_of(const NodeFacts& from, uint32_t column) {
  auto at = from.bounds.find(column);
  return at == from.bounds.end() ? nullptr : &at->second;
}

const TimeBound* PlanFacts::bound_of(const NodeFacts& from, const Expression& expression) {
  auto column = plain_column(expression);
  return column ? bound_of(from, *column) : nullptr;
}

/// What a column says of windows, which it goes on to say under its new id.
void PlanFacts::pass_column(uint32_t from_id, uint32_t id, const NodeFacts& from,
                            NodeFacts& facts) const {
  if (from.together.contains(from_id)) facts.together.insert(id);
  auto window = from.windows.find(from_id);
  if (window != from.windows.end()) facts.windows.emplace(id, window->second);
}

/// Each row stays the row that it is; the input's columns come first.
void PlanFacts::pass_rows(const Node& node, NodeFacts& facts) const {
  const NodeFacts& from = input(node);
  facts.closed = from.closed;
  for (size_t i = 0; i < node.output.size() && i < from.node->output.size(); ++i) {
    pass_column(from.node->output[i].id, node.output[i].id, from, facts);
  }
}

/// The input's columns come first, perhaps under new ids.
void PlanFacts::pass_columns(const Node& node, NodeFacts& facts) const {
  const NodeFacts& from = input(node);
  for (size_t i = 0; i < node.output.size() && i < from.node->output.size(); ++i) {
    const TimeBound* bound = bound_of(from, from.node->output[i].id);
    if (bound != nullptr) facts.bounds.emplace(node.output[i].id, *bound);
  }
}

/// A change may change other rows of its partition, so only what the partition says is bounded.
void PlanFacts::pass_partition(const std::vector<Expression>& partition_by, const Node& node,
                               NodeFacts& facts) const {
  const NodeFacts& from = input(node);
  pass_rows(node, facts);
  // A partition that comes in one step is ranked once.
  facts.closed = from.closed && std::ranges::any_of(partition_by, [&](const Expression& by) {
                   auto column = plain_column(by);
                   return column && from.together.contains(*column);
                 });
  facts.append_only = facts.closed && from.append_only;
  if (!facts.closed) facts.together.clear();
  for (size_t i = 0; i < node.output.size() && i < from.node->output.size(); ++i) {
    const uint32_t id = from.node->output[i].id;
    const TimeBound* bound = bound_of(from, id);
    const bool parts = std::ranges::any_of(
        partition_by, [&](const Expression& by) { return plain_column(by) == id; });
    if (bound != nullptr && parts) facts.bounds.emplace(node.output[i].id, *bound);
  }
}

/// Columns that are bounded in each input, by position.
void PlanFacts::merge_columns(const Node& node, NodeFacts& facts) const {
  for (size_t column = 0; column < node.output.size(); ++column) {
    std::optional<TimeBound> merged;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const NodeFacts& from = input(node, i);
      const TimeBound* bound = column < from.node->output.size()
                                   ? bound_of(from, from.node->output[column].id)
                                   : nullptr;
      if (bound == nullptr) {
        merged.reset();
        break;
      }
      if (merged) {
        merged->join(*bound);
      } else {
        merged = *bound;
      }
    }
    if (merged) facts.bounds.emplace(node.output[column].id, *merged);
  }
}

void PlanFacts::find(const SourceNode&, const Node&, NodeFacts&) const {}

void PlanFacts::find(const FilterNode&, const Node& node, NodeFacts& facts) const {
  facts.append_only = input(node).append_only;
  facts.topic = input(node).topic;
  pass_columns(node, facts);
  pass_rows(node, facts);
}

void PlanFacts::find(const OnTimeNode& op, const Node& node, NodeFacts& facts) const {
  const NodeFacts& from = input(node);
  facts.append_only = from.append_only;
  facts.topic = from.topic;
  pass_columns(node, facts);
  auto time = plain_column(op.time);
  if (!from.topic || !time) return;
  for (size_t i = 0; i < node.output.size() && i < from.node->output.size(); ++i) {
    if (from.node->output[i].id != *time) continue;
    // A row is on time when its time is equal to the watermark.
    facts.bounds.insert_or_assign(node.output[i].id, TimeBound(*from.topic, 1, op.lateness_us));
  }
}

void PlanFacts::find(const ProjectNode& op, const Node& node, NodeFacts& facts) const {
  const NodeFacts& from = input(node);
  facts.append_only = from.append_only;
  facts.topic = from.topic;
  facts.closed = from.closed;
  for (size_t i = 0; i < op.expressions.size(); ++i) {
    const TimeBound* bound = bound_of(from, op.expressions[i]);
    if (bound != nullptr) facts.bounds.emplace(node.output[i].id, *bound);
    auto column = plain_column(op.expressions[i]);
    if (column) pass_column(*column, node.output[i].id, from, facts);
  }
}

void PlanFacts::find(const WindowNode& op, const Node& node, NodeFacts& facts) const {
  const NodeFacts& from = input(node);
  facts.append_only = from.append_only;
  facts.topic = from.topic;
  pass_columns(node, facts);
  pass_rows(node, facts);
  const size_t start = node.output.size() - 2;
  // Cumulating windows begin together.
  if (op.shape.kind != WindowShape::Kind::cumulate) facts.windows[node.output[start].id] = node.id;
  facts.windows[node.output[start + 1].id] = node.id;
  std::optional<TimeBound> end;
  if (from.topic && from.append_only) {
    end = TimeBound(*from.topic, 0, op.lateness_us);
  } else if (const TimeBound* time = bound_of(from, op.time)) {
    end = *time;  // A window ends after the times that are in it.
  }
  if (!end) return;
  facts.bounds.insert_or_assign(node.output[start].id, end->moved(-op.shape.size_us));
  facts.bounds.insert_or_assign(node.output[start + 1].id, *end);
}

void PlanFacts::find(const SessionNode& op, const Node& node, NodeFacts& facts) const {
  // Its rows change their session, so other columns than the end are not bounded.
  const NodeFacts& from = input(node);
  if (!from.append_only || !from.topic) return;
  facts.windows[node.output.back().id] = node.id;
  facts.bounds.emplace(node.output.back().id, TimeBound(*from.topic, 0, op.lateness_us));
}

void PlanFacts::find(const AggregateNode& op, const Node& node, NodeFacts& facts) const {
  const NodeFacts& from = input(node);
  facts.append_only = op.on_close;
  facts.closed = op.on_close;
  for (size_t i = 0; i < op.groups.size(); ++i) {
    auto column = plain_column(op.groups[i]);
    auto window = column ? from.windows.find(*column) : from.windows.end();
    if (window != from.windows.end()) facts.windows.emplace(node.output[i].id, window->second);
    const TimeBound* bound = bound_of(from, op.groups[i]);
    if (bound == nullptr) continue;
    facts.bounds.emplace(node.output[i].id, *bound);
    if (bound->lateness_us() > 0) facts.append_only = false;
  }
  auto closing = op.on_close ? closing_column(from, op.groups) : std::nullopt;
  if (!closing) return;
  const uint32_t closes = node.output[closing->position].id;
  facts.together.insert(closes);
  for (const auto& [column, window] : facts.windows) {
    if (facts.windows.contains(closes) && facts.windows.at(closes) == window)
      facts.together.insert(column);
  }
}

Deadlines PlanFacts::deadlines(const Node& node, const JoinNode& join, size_t side) const {
  const NodeFacts& own = input(node, side);
  const NodeFacts& other = input(node, 1 - side);
  const auto& keys = side == 0 ? join.left_keys : join.right_keys;
  const auto& other_keys = side == 0 ? join.right_keys : join.left_keys;
  const bool by_keys = shown_by_keys(join, 1 - side);
  for (size_t i = 0; i < keys.size(); ++i) {
    const TimeBound* bound = bound_of(other, other_keys[i]);
    if (bound == nullptr) continue;
    Deadlines found = {{.time = keys[i], .bound = *bound}};
    // All rows of a key go at once if both bounds are of the key.
    const TimeBound* of_key = bound_of(own, keys[i]);
    if (of_key != nullptr) {
      found.push_back({.time = keys[i], .bound = *of_key});
      return found;
    }
    if (own.append_only && !by_keys) return found;
  }
  if (by_keys) return {};
  for (const JoinLimit& limit : side == 0 ? join.left_limits : join.right_limits) {
    const TimeBound* bound = bound_of(other, limit.column);
    if (bound == nullptr) continue;
    Deadlines found = {{.time = limit.until, .plus_us = limit.plus_us, .bound = *bound}};
    if (own.append_only) return found;
    if (own.bounds.empty()) continue;
    const auto& [column, of_own] = *own.bounds.begin();
    found.push_back({.time = fmt::format("c{}", column), .bound = of_own});
    return found;
  }
  return {};
}

void PlanFacts::find(const JoinNode& op, const Node& node, NodeFacts& facts) const {
  const NodeFacts& left = input(node, 0);
  const NodeFacts& right = input(node, 1);
  // A row that once matched goes on matching when nothing is taken back.
  facts.append_only = left.append_only && right.append_only &&
                      (op.kind == JoinKind::inner || op.kind == JoinKind::semi);
  facts.closed =
      left.closed && right.closed && (op.kind == JoinKind::inner || op.kind == JoinKind::semi);
  facts.windows = left.windows;
  if (gives_right_columns(op.kind))
    facts.windows.insert(right.windows.begin(), right.windows.end());
  // A change of the other side meets rows that its time may be compared with.
  const size_t sides = gives_right_columns(op.kind) ? 2 : 1;
  for (size_t side = 0; side < sides; ++side) {
    const NodeFacts& own = input(node, side);
    const NodeFacts& other = input(node, 1 - side);
    const auto& keys = side == 0 ? op.left_keys : op.right_keys;
    const auto& other_keys = side == 0 ? op.right_keys : op.left_keys;
    const auto& limits = side == 0 ? op.left_limits : op.right_limits;
    for (const auto& [column, bound] : own.bounds) {
      std::optional<TimeBound> met;
      for (size_t i = 0; i < keys.size() && !met; ++i) {
        const TimeBound* of_key = bound_of(other, other_keys[i]);
        if (plain_column(keys[i]) == column && of_key != nullptr) met = *of_key;
      }
      for (const JoinLimit& limit : limits) {
        const TimeBound* of_other = bound_of(other, limit.column);
        if (met || plain_column(limit.until) != column || of_other == nullptr) continue;
        met = of_other->moved(-limit.plus_us);
      }
      if (!met) continue;
      met->join(bound);
      facts.bounds.emplace(column, *met);
    }
  }
  // Joins give new ids to no column; should one do so, it is not bounded.
}

AsofBounds PlanFacts::asof_bounds(const Node& node, const AsofNode& asof) const {
  // The row that comes after may be in the future for ever.
  if (asof.after) return {};
  const NodeFacts& left = input(node, 0);
  const TimeBound* of_right = bound_of(input(node, 1), asof.right_time);
  const TimeBound* of_left = bound_of(left, asof.left_time);
  AsofBounds bounds;
  if (of_right == nullptr) return bounds;
  if (of_left != nullptr) {
    // What is compared with it may still come to either side.
    TimeBound both = *of_right;
    both.join(*of_left);
    bounds.right_rows = both;
    bounds.left_rows = both;
  }
  if (left.append_only) bounds.left_rows = *of_right;
  return bounds;
}

void PlanFacts::find(const AsofNode& op, const Node& node, NodeFacts& facts) const {
  auto column = plain_column(op.left_time);
  const AsofBounds bounds = asof_bounds(node, op);
  // A version changes left rows that come after it.
  if (column && bounds.right_rows) facts.bounds.emplace(*column, *bounds.right_rows);
}

void PlanFacts::find(const TopNNode& op, const Node& node, NodeFacts& facts) const {
  pass_partition(op.partition_by, node, facts);
}

void PlanFacts::find(const OverNode& op, const Node& node, NodeFacts& facts) const {
  pass_partition(op.partition_by, node, facts);
}

void PlanFacts::find(const UnionAllNode&, const Node& node, NodeFacts& facts) const {
  facts.append_only = true;
  facts.closed = true;
  facts.topic = input(node).topic;
  for (size_t i = 0; i < node.inputs.size(); ++i) {
    facts.append_only = facts.append_only && input(node, i).append_only;
    facts.closed = facts.closed && input(node, i).closed;
    if (input(node, i).topic != facts.topic) facts.topic = std::nullopt;
  }
  merge_columns(node, facts);
}

void PlanFacts::find(const SetOperationNode& op, const Node& node, NodeFacts& facts) const {
  facts.append_only = op.intersect && input(node, 0).append_only && input(node, 1).append_only;
  facts.closed = op.intersect && input(node, 0).closed && input(node, 1).closed;
  merge_columns(node, facts);
}

void PlanFacts::find(const UnnestNode&, const Node& node, NodeFacts& facts) const {
  facts.append_only = input(node).append_only;
  pass_columns(node, facts);
  pass_rows(node, facts);
}

void PlanFacts::find(const DistinctNode&, const Node& node, NodeFacts& facts) const {
  facts.append_only = input(node).append_only;
  merge_columns(node, facts);
  pass_rows(node, facts);
}

std::optional<BoundColumn> closing_column(const NodeFacts& from,
                                          const std::vector<Expression>& by) {
  std::optional<BoundColumn> closing;
  for (size_t i = 0; i < by.size(); ++i) {
    const TimeBound* bound = PlanFacts::bound_of(from, by[i]);
    // By the end of a window if there is one: the start of a cumulating one closes later.
    if (bound == nullptr || (closing && bound->add_us() >= closing->bound.add_us())) continue;
    closing = {.position = i, .bound = *bound};
  }
  return closing;
}

std::optional<BoundColumn> closing_column(const NodeFacts& of) {
  std::vector<Expression> columns;
  for (const auto& column : of.node->output) columns.push_back(fmt::format("c{}", column.id));
  return closing_column(of, columns);
}

}  // namespace ziwa::stream
