#include "stream/dataflow.h"

#include "stream/aggregate.h"
#include "stream/join.h"
#include "stream/over.h"
#include "stream/session.h"
#include "stream/set_operation.h"
#include "stream/stateless.h"
#include "stream/top_n.h"
#include "stream/window.h"

#include <fmt/format.h>

#include <set>

namespace ziwa::stream {
namespace {

/// A column that a window gave: when its window ends, and by whose watermark.
struct WindowColumn {
  ObjectId topic;
  int64_t add_us = 0;  ///< Column value plus this is the window's end.
  int64_t lateness_us = 0;
};

}  // namespace

/// What is known of a node that was built.
struct Dataflow::Built {
  Stage* op = nullptr;
  const Node* node = nullptr;
  bool append_only = false;
  bool endless = false;  ///< Rows come for ever.
  /// The one topic whose records the rows still are.
  std::optional<ObjectId> topic;
  std::map<uint32_t, WindowColumn> windows;  ///< By column id.
};

class Dataflow::Builder {
 public:
  Builder(const Plan& plan, StageContext& context, const Resolve& resolve, Dataflow& out)
      : plan_(plan), context_(context), resolve_(resolve), out_(out) {}

  Status build() {
    for (const auto& node : plan_.nodes) {
      Built built{.node = &node};
      for (size_t i = 0; i < node.inputs.size(); ++i)
        built.endless = built.endless || input(node, i).endless;
      TRY(std::visit([&](const auto& op) { return make(op, node, built); }, node.op));
      out_.by_id_[node.id] = built.op;
      for (size_t i = 0; i < node.inputs.size(); ++i) {
        built_.at(node.inputs[i]).op->add_target(built.op, i);
      }
      built_[node.id] = std::move(built);
    }
    const Built& root = built_.at(plan_.root().id);
    out_.root_ = root.op;
    out_.append_only_ = root.append_only;
    out_.types_ = TRY(parse_types(plan_.root().output));
    if (auto normalize = Normalize::create(out_.types_)) {
      root.op->add_target(normalize.get(), 0);
      out_.root_ = normalize.get();
      out_.normalize_ = std::move(normalize);
    }
    return {};
  }

 private:
  const Built& input(const Node& node, size_t index = 0) { return built_.at(node.inputs[index]); }

  /// Warns of an operator that reads what never ends.
  void grows(const Node& node, const Built& built, std::string why) {
    if (built.endless) out_.grows_[node.id] = std::move(why);
  }

  template <typename Op>
  void own(std::unique_ptr<Op> op, const Node& node, Built& built) {
    built.op = op.get();
    out_.operators_.emplace_back(node.id, std::move(op));
  }

  Status make(const SourceNode& op, const Node& node, Built& built) {
    auto object = TRY(resolve_(op.object));
    auto source = TRY(Source::create(op, node.output, object.schema, object.topic));
    out_.sources_.push_back(source.get());
    built.append_only = object.append_only;
    built.endless = object.endless;
    if (object.topic) built.topic = op.object;
    own(std::move(source), node, built);
    return {};
  }

  Status make(const FilterNode& op, const Node& node, Built& built) {
    const Built& from = input(node);
    built.append_only = from.append_only;
    built.topic = from.topic;
    // A filter passes its columns on; the plan may give them new ids.
    for (size_t i = 0; i < node.output.size() && i < from.node->output.size(); ++i) {
      auto window = from.windows.find(from.node->output[i].id);
      if (window != from.windows.end()) built.windows[node.output[i].id] = window->second;
    }
    own(TRY(Filter::create(context_, node.id, op, from.node->output)), node, built);
    return {};
  }

  Status make(const ProjectNode& op, const Node& node, Built& built) {
    const Built& from = input(node);
    built.append_only = from.append_only;
    built.topic = from.topic;
    for (size_t i = 0; i < op.expressions.size(); ++i) {
      auto window = window_of(from, op.expressions[i]);
      if (window) built.windows[node.output[i].id] = *window;
    }
    own(TRY(Project::create(context_, node.id, op, from.node->output, node.output)), node, built);
    return {};
  }

  Status make(const WindowNode& op, const Node& node, Built& built) {
    const Built& from = input(node);
    built.append_only = from.append_only;
    built.topic = from.topic;
    built.windows = from.windows;
    if (from.topic && from.append_only) {
      size_t start = node.output.size() - 2;
      built.windows[node.output[start].id] = {
          .topic = *from.topic, .add_us = op.shape.size_us, .lateness_us = op.lateness_us};
      built.windows[node.output[start + 1].id] = {
          .topic = *from.topic, .add_us = 0, .lateness_us = op.lateness_us};
    }
    own(TRY(Window::create(context_, node.id, op, from.node->output, node.output)), node, built);
    return {};
  }

  Status make(const SessionNode& op, const Node& node, Built& built) {
    const Built& from = input(node);
    std::optional<ObjectId> topic = from.append_only ? from.topic : std::nullopt;
    if (!topic) grows(node, built, "keeps every row: no watermark closes its sessions");
    if (topic) {
      built.windows[node.output.back().id] = {
          .topic = *topic, .add_us = 0, .lateness_us = op.lateness_us};
    }
    own(TRY(Session::create(context_, node.id, op, from.node->output, node.output, topic)), node,
        built);
    return {};
  }

  Status make(const AggregateNode& op, const Node& node, Built& built) {
    const Built& from = input(node);
    Aggregate::Options options{.append_only = from.append_only};
    options.key_is_view_key = key_is_groups(node);
    for (size_t i = 0; i < op.groups.size(); ++i) {
      auto window = window_of(from, op.groups[i]);
      // By the end of a window if there is one: the start of a cumulating one closes later.
      if (window && (!options.closing || window->add_us < options.closing->add_us)) {
        options.closing = {.group = i,
                           .add_us = window->add_us,
                           .lateness_us = window->lateness_us,
                           .topic = window->topic};
      }
    }
    if (op.on_close) {
      if (!options.closing)
        return Error(Code::unsupported, "groups that are given when they close, without windows");
      options.on_close = true;
      built.append_only = options.closing->lateness_us == 0;
    }
    if (!options.closing && !op.groups.empty()) {
      grows(node, built, "keeps each of its groups for ever: none of them is a window");
    }
    own(TRY(Aggregate::create(context_, node.id, op, from.node->output, node.output, options)),
        node, built);
    return {};
  }

  Status make(const JoinNode& op, const Node& node, Built& built) {
    const Built& left = input(node, 0);
    const Built& right = input(node, 1);
    // A row that once matched goes on matching when nothing is taken back.
    built.append_only = left.append_only && right.append_only &&
                        (op.kind == JoinKind::inner || op.kind == JoinKind::semi);
    if (left.endless && right.endless) {
      grows(node, built, "keeps every row of both sides");
    } else {
      grows(node, built,
            fmt::format("keeps every row of its {} side", left.endless ? "left" : "right"));
    }
    own(TRY(Join::create(context_, node.id, op, left.node->output, right.node->output,
                         node.output)),
        node, built);
    return {};
  }

  Status make(const TopNNode& op, const Node& node, Built& built) {
    const Built& from = input(node);
    if (!from.append_only) {
      grows(node, built, "keeps every row: one that is taken back lets another in");
    } else if (!op.partition_by.empty()) {
      grows(node, built, "keeps the first rows of each partition for ever");
    }
    own(TRY(TopN::create(context_, node.id, op, from.node->output, node.output, from.append_only)),
        node, built);
    return {};
  }

  Status make(const OverNode& op, const Node& node, Built& built) {
    grows(node, built, "keeps every row of its partitions");
    own(TRY(Over::create(context_, node.id, op, input(node).node->output, node.output)), node,
        built);
    return {};
  }

  Status make(const UnionAllNode&, const Node& node, Built& built) {
    built.append_only = true;
    built.topic = input(node).topic;
    auto wanted = TRY(parse_types(node.output));
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const Built& from = input(node, i);
      built.append_only = built.append_only && from.append_only;
      if (from.topic != built.topic) built.topic = std::nullopt;
      if (TRY(parse_types(from.node->output)) != wanted) {
        return Error(Code::invalid_argument, "the parts of a union have different columns");
      }
    }
    own(std::make_unique<UnionAll>(), node, built);
    return {};
  }

  Status make(const DistinctNode&, const Node& node, Built& built) {
    grows(node, built, "keeps every different row");
    built.append_only = input(node).append_only;
    own(TRY(SetOperation::create(SetOperation::Rule::distinct, node.output)), node, built);
    return {};
  }

  Status make(const SetOperationNode& op, const Node& node, Built& built) {
    grows(node, built, "keeps every different row");
    auto wanted = TRY(parse_types(node.output));
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (TRY(parse_types(input(node, i).node->output)) == wanted) continue;
      return Error(Code::invalid_argument, "the two sides of a set operation differ in columns");
    }
    built.append_only = op.intersect && input(node, 0).append_only && input(node, 1).append_only;
    own(TRY(SetOperation::create(SetOperation::rule_of(op), node.output)), node, built);
    return {};
  }

  Status make(const UnnestNode& op, const Node& node, Built& built) {
    built.append_only = input(node).append_only;
    own(TRY(Unnest::create(context_, node.id, op, input(node).node->output, node.output)), node,
        built);
    return {};
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

  static std::optional<WindowColumn> window_of(const Built& from, const Expression& expression) {
    auto id = plain_column(expression);
    if (!id) return std::nullopt;
    auto window = from.windows.find(*id);
    if (window == from.windows.end()) return std::nullopt;
    return window->second;
  }

  const Plan& plan_;
  StageContext& context_;
  const Resolve& resolve_;
  Dataflow& out_;
  std::map<uint32_t, Built> built_;
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
