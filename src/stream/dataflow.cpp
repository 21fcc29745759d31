#include "stream/dataflow.h"

#include "stream/aggregate.h"
#include "stream/asof_join.h"
#include "stream/first_rows.h"
#include "stream/join.h"
#include "stream/over.h"
#include "stream/plan_facts.h"
#include "stream/session.h"
#include "stream/set_operation.h"
#include "stream/stateless.h"
#include "stream/top_n.h"
#include "stream/window.h"

#include <fmt/format.h>

#include <set>

namespace ziwa::stream {

class Dataflow::Builder {
 public:
  Builder(const Plan& plan, StageContext& context, const Resolve& resolve, Dataflow& out)
      : plan_(plan), context_(context), resolve_(resolve), out_(out) {}

  Status build() {
    for (const auto& node : plan_.nodes) {
      if (!std::holds_alternative<SourceNode>(node.op)) facts_.add(node);
      auto op = TRY(std::visit(
          [&](const auto& op) -> Result<std::unique_ptr<Stage>> { return make(op, node); },
          node.op));
      out_.by_id_[node.id] = op.get();
      for (size_t i = 0; i < node.inputs.size(); ++i)
        out_.by_id_.at(node.inputs[i])->add_target(op.get(), i);
      out_.operators_.emplace_back(node.id, std::move(op));
    }
    const NodeFacts& root = facts_.of(plan_.root().id);
    out_.root_ = out_.by_id_.at(plan_.root().id);
    out_.append_only_ = root.append_only;
    out_.types_ = TRY(parse_types(plan_.root().output));
    if (auto normalize = Normalize::create(out_.types_)) {
      out_.root_->add_target(normalize.get(), 0);
      out_.root_ = normalize.get();
      out_.normalize_ = std::move(normalize);
    }
    return {};
  }

 private:
  const NodeFacts& input(const Node& node, size_t index = 0) const {
    return facts_.input(node, index);
  }
  const std::vector<PlanColumn>& columns(const Node& node, size_t index = 0) const {
    return input(node, index).node->output;
  }

  /// Warns of an operator that reads what never ends.
  void grows(const Node& node, std::string why) {
    if (facts_.of(node.id).endless) out_.grows_[node.id] = std::move(why);
  }

  Result<std::unique_ptr<Stage>> make(const SourceNode& op, const Node& node) {
    auto object = TRY(resolve_(op.object));
    facts_.add(
        node,
        {.timed = object.timed, .append_only = object.append_only, .endless = object.endless});
    auto source = TRY(Source::create(op, node.output, object.schema, object.topic));
    out_.sources_.push_back(source.get());
    return source;
  }

  Result<std::unique_ptr<Stage>> make(const FilterNode& op, const Node& node) {
    return Filter::create(context_, node.id, op, columns(node));
  }

  Result<std::unique_ptr<Stage>> make(const OnTimeNode& op, const Node& node) {
    return OnTime::create(context_, node.id, op, columns(node));
  }

  Result<std::unique_ptr<Stage>> make(const ProjectNode& op, const Node& node) {
    return Project::create(context_, node.id, op, columns(node), node.output);
  }

  Result<std::unique_ptr<Stage>> make(const WindowNode& op, const Node& node) {
    return Window::create(context_, node.id, op, columns(node), node.output);
  }

  Result<std::unique_ptr<Stage>> make(const SessionNode& op, const Node& node) {
    const NodeFacts& from = input(node);
    const auto topic = from.append_only ? from.topic : std::nullopt;
    if (!topic) grows(node, "keeps every row: no watermark closes its sessions");
    return Session::create(context_, node.id, op, columns(node), node.output, topic);
  }

  Result<std::unique_ptr<Stage>> make(const AggregateNode& op, const Node& node) {
    const NodeFacts& from = input(node);
    Aggregate::Options options{.append_only = from.append_only};
    options.key_is_view_key = key_is_groups(node);
    options.closing = closing_column(from, op.groups);
    if (op.on_close) {
      if (!options.closing)
        return Error(Code::unsupported, "groups that are given when they close, without windows");
      options.on_close = true;
    }
    if (!options.closing && !op.groups.empty()) {
      grows(node, "keeps each of its groups for ever: none of them is a window");
    }
    return Aggregate::create(context_, node.id, op, columns(node), node.output, options);
  }

  Result<std::unique_ptr<Stage>> make(const JoinNode& op, const Node& node) {
    std::array<Deadlines, 2> deadlines;
    std::vector<std::string_view> kept;
    for (size_t side = 0; side < 2; ++side) {
      deadlines[side] = facts_.deadlines(node, op, side);
      if (input(node, side).endless && deadlines[side].empty())
        kept.emplace_back(side == 0 ? "its left side" : "its right side");
    }
    if (kept.size() == 1) grows(node, fmt::format("keeps every row of {}", kept[0]));
    if (kept.size() == 2) grows(node, "keeps every row of both sides");
    return Join::create(context_, node.id, op, columns(node, 0), columns(node, 1), node.output,
                        deadlines);
  }

  Result<std::unique_ptr<Stage>> make(const AsofNode& op, const Node& node) {
    auto bounds = facts_.asof_bounds(node, op);
    if (!bounds.left_rows) {
      grows(node, bounds.right_rows ? "keeps every row of its left side"
                                    : "keeps every row of both sides");
    } else if (!bounds.right_rows) {
      grows(node, "keeps every row of its right side");
    }
    return AsofJoin::create(context_, node.id, op, columns(node, 0), columns(node, 1), node.output,
                            std::move(bounds));
  }

  Result<std::unique_ptr<Stage>> make(const TopNNode& op, const Node& node) {
    const NodeFacts& from = input(node);
    const auto closing = closing_column(from, op.partition_by);
    if (from.append_only) {
      if (!closing && !op.partition_by.empty())
        grows(node, "keeps the first rows of each partition for ever");
    } else if (!closing) {
      grows(node, "keeps every row: one that is taken back lets another in");
    }
    auto rows = TRY(TopNRows::create(context_, node.id, op, columns(node), node.output, closing));
    if (from.append_only) return std::make_unique<FirstRows>(std::move(rows));
    return std::make_unique<TopN>(std::move(rows));
  }

  Result<std::unique_ptr<Stage>> make(const OverNode& op, const Node& node) {
    auto closing = closing_column(input(node), op.partition_by);
    if (!closing) grows(node, "keeps every row of its partitions");
    return Over::create(context_, node.id, op, columns(node), node.output, std::move(closing));
  }

  Result<std::unique_ptr<Stage>> make(const UnionAllNode&, const Node& node) {
    const auto wanted = TRY(parse_types(node.output));
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (TRY(parse_types(columns(node, i))) == wanted) continue;
      return Error(Code::invalid_argument, "the parts of a union have different columns");
    }
    return std::make_unique<UnionAll>();
  }

  Result<std::unique_ptr<Stage>> make(const DistinctNode&, const Node& node) {
    return make_set(SetOperation::Rule::distinct, node);
  }

  Result<std::unique_ptr<Stage>> make(const SetOperationNode& op, const Node& node) {
    const auto wanted = TRY(parse_types(node.output));
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (TRY(parse_types(columns(node, i))) == wanted) continue;
      return Error(Code::invalid_argument, "the two sides of a set operation differ in columns");
    }
    return make_set(SetOperation::rule_of(op), node);
  }

  Result<std::unique_ptr<Stage>> make_set(SetOperation::Rule rule, const Node& node) {
    auto closing = closing_column(facts_.of(node.id));
    if (!closing) grows(node, "keeps every different row");
    return SetOperation::create(context_, rule, node.output, closing);
  }

  Result<std::unique_ptr<Stage>> make(const UnnestNode& op, const Node& node) {
    return Unnest::create(context_, node.id, op, columns(node), node.output);
  }

  /// Whether the view's key is exactly the groups of this aggregate, passed on by projections.
  bool key_is_groups(const Node& aggregate) const {
    std::map<uint32_t, uint32_t> group_of;  // Column id -> group column id.
    const auto& groups = std::get<AggregateNode>(aggregate.op).groups;
    for (size_t i = 0; i < groups.size(); ++i) {
      group_of[aggregate.output[i].id] = aggregate.output[i].id;
    }
    uint32_t at = aggregate.id;
    for (const auto& node : plan_.nodes) {
      bool reads = std::find(node.inputs.begin(), node.inputs.end(), at) != node.inputs.end();
      if (!reads) continue;
      const auto* project = std::get_if<ProjectNode>(&node.op);
      if (project == nullptr) return false;
      for (size_t i = 0; i < project->expressions.size(); ++i) {
        auto passed = plain_column(project->expressions[i]);
        if (passed && group_of.contains(*passed)) group_of[node.output[i].id] = group_of[*passed];
      }
      at = node.id;
    }
    if (at != plan_.root().id || plan_.key.size() != groups.size()) return false;
    std::set<uint32_t> keys;
    for (uint32_t position : plan_.key) {
      auto group = group_of.find(plan_.root().output[position].id);
      if (group != group_of.end()) keys.insert(group->second);
    }
    return keys.size() == groups.size() && !groups.empty();
  }

  const Plan& plan_;
  StageContext& context_;
  const Resolve& resolve_;
  Dataflow& out_;
  PlanFacts facts_;
};

Result<std::unique_ptr<Dataflow>> Dataflow::compile(const Plan& plan, StageContext& context,
                                                    const Resolve& resolve) {
  std::unique_ptr<Dataflow> dataflow(new Dataflow());
  TRY(Builder(plan, context, resolve, *dataflow).build());
  return dataflow;
}

Status Dataflow::finish() {
  for (const auto& [id, op] : operators_) TRY(op->finish());
  return {};
}

Status Dataflow::save(state::WriteBatch& batch, state::TableId table, const std::string& prefix) {
  for (const auto& [id, op] : operators_) {
    char node[4];
    store_be<uint32_t>(node, id);
    StateWriter writer(batch, table, prefix + std::string(node, sizeof node));
    TRY(op->save(writer));
  }
  return {};
}

Status Dataflow::load(std::string_view key, std::string_view value) {
  if (key.size() < 5) return Error(Code::corrupt, "a state key is too short");
  auto at = by_id_.find(load_be<uint32_t>(key.data()));
  if (at == by_id_.end())
    return Error(Code::corrupt, "state of a node that the plan does not have");
  return at->second->load(key[4], key.substr(5), value);
}

std::vector<OperatorReport> Dataflow::report() const {
  std::vector<OperatorReport> reports;
  for (const auto& [id, op] : operators_) {
    OperatorReport report{.node = id, .state_bytes = op->state_bytes(), .open = op->open_window()};
    if (auto at = grows_.find(id); at != grows_.end()) report.grows = at->second;
    reports.push_back(std::move(report));
  }
  return reports;
}

size_t Dataflow::state_bytes() const {
  size_t bytes = 0;
  for (const auto& [id, op] : operators_) bytes += op->state_bytes();
  return bytes;
}

}  // namespace ziwa::stream
