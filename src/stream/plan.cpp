#include "stream/plan.h"

#include "base/overloaded.h"
#include "catalog/stored_json.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>

// The text form is described in docs/formats/plan.md.
namespace ziwa::stream {
namespace {

using Json = nlohmann::ordered_json;

Json encode_order(const SortOrder& order) {
  return {{"expression", order.expression},
          {"descending", order.descending},
          {"nulls_first", order.nulls_first}};
}

SortOrder decode_order(const Json& json) {
  return {.expression = json.at("expression").get<std::string>(),
          .descending = json.at("descending").get<bool>(),
          .nulls_first = json.at("nulls_first").get<bool>()};
}

/// A call of one argument is written as it was before there were several.
Json encode_call(const AggregateNode::Call& call) {
  Json json = {{"function", call.function}};
  if (call.arguments.size() == 1) json["argument"] = call.arguments[0];
  if (call.arguments.size() > 1) json["arguments"] = call.arguments;
  if (!call.constants.empty()) json["constants"] = call.constants;
  if (call.filter) json["filter"] = *call.filter;
  for (const auto& order : call.order_by) json["order_by"].push_back(encode_order(order));
  if (call.distinct) json["distinct"] = true;
  return json;
}

constexpr std::string_view kUnits[] = {"rows", "range", "groups"};
constexpr std::string_view kBounds[] = {"unbounded", "preceding", "current_row", "following"};
constexpr std::string_view kExcludes[] = {"none", "current_row", "group", "ties"};

template <typename Enum, size_t Count>
std::string_view name_in(const std::string_view (&names)[Count], Enum value) {
  return names[static_cast<size_t>(value)];
}

template <typename Enum, size_t Count>
Enum value_in(const std::string_view (&names)[Count], const std::string& name) {
  const auto* at = std::ranges::find(names, name);
  if (at == std::end(names)) throw std::invalid_argument("it has an unknown \"" + name + "\"");
  return static_cast<Enum>(at - std::begin(names));
}

Json encode_bound(const WindowFrame::Bound& bound) {
  Json json = {{"kind", name_in(kBounds, bound.kind)}};
  if (!bound.offset.empty()) json["offset"] = bound.offset;
  return json;
}

WindowFrame::Bound decode_bound(const Json& json) {
  return {.kind = value_in<WindowFrame::Kind>(kBounds, json.at("kind").get<std::string>()),
          .offset = json.value("offset", "")};
}

Json encode_over_call(const OverNode::Call& call) {
  Json json = encode_call(call.call);
  if (call.ignore_nulls) json["ignore_nulls"] = true;
  json["frame"] = {{"unit", name_in(kUnits, call.frame.unit)},
                   {"start", encode_bound(call.frame.start)},
                   {"end", encode_bound(call.frame.end)},
                   {"exclude", name_in(kExcludes, call.frame.exclude)}};
  return json;
}

constexpr WindowShape::Kind kWindowKinds[] = {WindowShape::Kind::tumble, WindowShape::Kind::hop,
                                              WindowShape::Kind::cumulate};

void encode_window(const WindowNode& node, Json& json) {
  json["op"] = name_of(node.shape.kind);
  json["time"] = node.time;
  json["size_us"] = node.shape.size_us;
  if (node.shape.kind != WindowShape::Kind::tumble) json["step_us"] = node.shape.step_us;
  json["offset_us"] = node.shape.offset_us;
  if (node.lateness_us != 0) json["lateness_us"] = node.lateness_us;
}

void encode_limits(const char* name, const std::vector<JoinLimit>& limits, Json& json) {
  for (const auto& limit : limits) {
    Json item = {{"until", limit.until}, {"column", limit.column}};
    if (limit.plus_us != 0) item["plus_us"] = limit.plus_us;
    json[name].push_back(std::move(item));
  }
}

std::vector<JoinLimit> decode_limits(const char* name, const Json& json) {
  std::vector<JoinLimit> limits;
  if (!json.contains(name)) return limits;
  for (const auto& item : json.at(name)) {
    limits.push_back({.until = item.at("until").get<std::string>(),
                      .plus_us = item.value("plus_us", int64_t{0}),
                      .column = item.at("column").get<uint32_t>()});
  }
  return limits;
}

void encode_operator(const Operator& op, Json& json) {
  std::visit(Overloaded{
                 [&](const SourceNode& node) {
                   json["op"] = "source";
                   json["object"] = node.object.value;
                   json["columns"] = node.columns;
                 },
                 [&](const FilterNode& node) {
                   json["op"] = "filter";
                   json["predicate"] = node.predicate;
                 },
                 [&](const OnTimeNode& node) {
                   json["op"] = "on_time";
                   json["time"] = node.time;
                   if (node.lateness_us != 0) json["lateness_us"] = node.lateness_us;
                 },
                 [&](const ProjectNode& node) {
                   json["op"] = "project";
                   json["expressions"] = node.expressions;
                 },
                 [&](const WindowNode& node) { encode_window(node, json); },
                 [&](const SessionNode& node) {
                   json["op"] = "session";
                   json["partition_by"] = node.partition_by;
                   json["time"] = node.time;
                   json["gap_us"] = node.gap_us;
                   if (node.lateness_us != 0) json["lateness_us"] = node.lateness_us;
                 },
                 [&](const AggregateNode& node) {
                   json["op"] = "aggregate";
                   json["groups"] = node.groups;
                   json["calls"] = Json::array();
                   for (const auto& call : node.calls) json["calls"].push_back(encode_call(call));
                   if (node.on_close) json["on_close"] = true;
                 },
                 [&](const JoinNode& node) {
                   json["op"] = "join";
                   if (node.kind != JoinKind::inner) json["kind"] = name_of(node.kind);
                   json["left_keys"] = node.left_keys;
                   json["right_keys"] = node.right_keys;
                   json["null_safe"] = node.null_safe;
                   if (node.residual) json["residual"] = *node.residual;
                   encode_limits("left_limits", node.left_limits, json);
                   encode_limits("right_limits", node.right_limits, json);
                 },
                 [&](const AsofNode& node) {
                   json["op"] = "asof_join";
                   if (node.keep_left) json["keep_left"] = true;
                   json["left_keys"] = node.left_keys;
                   json["right_keys"] = node.right_keys;
                   json["left_time"] = node.left_time;
                   json["right_time"] = node.right_time;
                   if (node.after) json["after"] = true;
                   if (node.strict) json["strict"] = true;
                 },
                 [&](const TopNNode& node) {
                   json["op"] = "top_n";
                   json["partition_by"] = node.partition_by;
                   json["order"] = Json::array();
                   for (const auto& order : node.order)
                     json["order"].push_back(encode_order(order));
                   json["limit"] = node.limit;
                   json["offset"] = node.offset;
                   json["with_rank"] = node.with_rank;
                 },
                 [&](const OverNode& node) {
                   json["op"] = "over";
                   json["partition_by"] = node.partition_by;
                   json["order"] = Json::array();
                   for (const auto& order : node.order)
                     json["order"].push_back(encode_order(order));
                   json["calls"] = Json::array();
                   for (const auto& call : node.calls)
                     json["calls"].push_back(encode_over_call(call));
                 },
                 [&](const UnionAllNode&) { json["op"] = "union_all"; },
                 [&](const SetOperationNode& node) {
                   json["op"] = node.intersect ? "intersect" : "except";
                   json["all"] = node.all;
                 },
                 [&](const UnnestNode& node) {
                   json["op"] = "unnest";
                   json["lists"] = node.lists;
                 },
                 [&](const DistinctNode&) { json["op"] = "distinct"; },
             },
             op);
}

std::optional<Expression> optional_text(const Json& json, const char* name) {
  if (!json.contains(name)) return std::nullopt;
  return json.at(name).get<std::string>();
}

constexpr std::string_view kJoinKinds[] = {"inner", "left", "right", "full", "semi", "anti"};

Result<JoinNode> decode_join(const Json& json) {
  auto kind = optional_text(json, "kind").value_or("inner");
  const auto* known = std::ranges::find(kJoinKinds, kind);
  if (known == std::end(kJoinKinds)) {
    return Error(Code::unsupported,
                 "a plan has a join of the kind \"{}\", which this version "
                 "does not know",
                 kind);
  }
  return JoinNode{.kind = static_cast<JoinKind>(known - std::begin(kJoinKinds)),
                  .left_keys = json.at("left_keys").get<std::vector<std::string>>(),
                  .right_keys = json.at("right_keys").get<std::vector<std::string>>(),
                  .null_safe = json.at("null_safe").get<std::vector<bool>>(),
                  .residual = optional_text(json, "residual"),
                  .left_limits = decode_limits("left_limits", json),
                  .right_limits = decode_limits("right_limits", json)};
}

AsofNode decode_asof(const Json& json) {
  return {.keep_left = json.value("keep_left", false),
          .left_keys = json.at("left_keys").get<std::vector<std::string>>(),
          .right_keys = json.at("right_keys").get<std::vector<std::string>>(),
          .left_time = json.at("left_time").get<std::string>(),
          .right_time = json.at("right_time").get<std::string>(),
          .after = json.value("after", false),
          .strict = json.value("strict", false)};
}

std::vector<std::string> optional_texts(const Json& json, const char* name) {
  if (!json.contains(name)) return {};
  return json.at(name).get<std::vector<std::string>>();
}

AggregateNode::Call decode_call(const Json& json) {
  AggregateNode::Call call{.function = json.at("function").get<std::string>(),
                           .arguments = optional_texts(json, "arguments"),
                           .constants = optional_texts(json, "constants"),
                           .filter = optional_text(json, "filter"),
                           .order_by = {},
                           .distinct = json.value("distinct", false)};
  if (auto only = optional_text(json, "argument"))
    call.arguments.insert(call.arguments.begin(), *only);
  if (json.contains("order_by")) {
    for (const auto& order : json.at("order_by")) call.order_by.push_back(decode_order(order));
  }
  return call;
}

AggregateNode decode_aggregate(const Json& json) {
  AggregateNode node;
  node.groups = json.at("groups").get<std::vector<std::string>>();
  for (const auto& call : json.at("calls")) node.calls.push_back(decode_call(call));
  node.on_close = json.value("on_close", false);
  return node;
}

TopNNode decode_top_n(const Json& json) {
  TopNNode node;
  node.partition_by = json.at("partition_by").get<std::vector<std::string>>();
  for (const auto& order : json.at("order")) node.order.push_back(decode_order(order));
  node.limit = json.at("limit").get<uint64_t>();
  node.offset = json.at("offset").get<uint64_t>();
  node.with_rank = json.at("with_rank").get<bool>();
  return node;
}

OverNode::Call decode_over_call(const Json& json) {
  const Json& frame = json.at("frame");
  return {.call = decode_call(json),
          .ignore_nulls = json.value("ignore_nulls", false),
          .frame = {.unit = value_in<WindowFrame::Unit>(kUnits, frame.at("unit")),
                    .start = decode_bound(frame.at("start")),
                    .end = decode_bound(frame.at("end")),
                    .exclude = value_in<WindowFrame::Exclude>(kExcludes, frame.at("exclude"))}};
}

OverNode decode_over(const Json& json) {
  OverNode node;
  node.partition_by = json.at("partition_by").get<std::vector<std::string>>();
  for (const auto& order : json.at("order")) node.order.push_back(decode_order(order));
  for (const auto& call : json.at("calls")) node.calls.push_back(decode_over_call(call));
  return node;
}

WindowNode decode_window(WindowShape::Kind kind, const Json& json) {
  const bool steps = kind != WindowShape::Kind::tumble;
  return {.time = json.at("time").get<std::string>(),
          .shape = {.kind = kind,
                    .size_us = json.at("size_us").get<int64_t>(),
                    .step_us = steps ? json.at("step_us").get<int64_t>() : 0,
                    .offset_us = json.at("offset_us").get<int64_t>()},
          .lateness_us = json.value("lateness_us", int64_t{0})};
}

Result<Operator> decode_operator(const Json& json) {
  auto op = json.at("op").get<std::string>();
  if (op == "source") {
    return SourceNode{.object = ObjectId(json.at("object").get<uint64_t>()),
                      .columns = json.at("columns").get<std::vector<std::string>>()};
  }
  if (op == "filter") return FilterNode{.predicate = json.at("predicate").get<std::string>()};
  if (op == "on_time") {
    return OnTimeNode{.time = json.at("time").get<std::string>(),
                      .lateness_us = json.value("lateness_us", int64_t{0})};
  }
  if (op == "project") {
    return ProjectNode{.expressions = json.at("expressions").get<std::vector<std::string>>()};
  }
  for (auto kind : kWindowKinds) {
    if (op == name_of(kind)) return decode_window(kind, json);
  }
  if (op == "session") {
    return SessionNode{.partition_by = json.at("partition_by").get<std::vector<std::string>>(),
                       .time = json.at("time").get<std::string>(),
                       .gap_us = json.at("gap_us").get<int64_t>(),
                       .lateness_us = json.value("lateness_us", int64_t{0})};
  }
  if (op == "aggregate") return decode_aggregate(json);
  if (op == "join") return TRY(decode_join(json));
  if (op == "asof_join") return decode_asof(json);
  if (op == "top_n") return decode_top_n(json);
  if (op == "over") return decode_over(json);
  if (op == "union_all") return UnionAllNode{};
  if (op == "except" || op == "intersect") {
    return SetOperationNode{.intersect = op == "intersect", .all = json.at("all").get<bool>()};
  }
  if (op == "unnest") {
    return UnnestNode{.lists = json.at("lists").get<std::vector<std::string>>()};
  }
  if (op == "distinct") return DistinctNode{};
  return Error(Code::unsupported,
               "a plan has the operator \"{}\", which this version does not know", op);
}

/// What must hold of a node by itself: how many inputs, and how many output columns.
Status check_shape(const Node& node) {
  auto wrong = [&](std::string_view what) {
    return Error(Code::corrupt, "plan node {} has {}", node.id, what);
  };
  size_t inputs_min = 1;
  size_t inputs_max = 1;
  std::optional<size_t> outputs;
  std::visit(Overloaded{
                 [&](const SourceNode& source) {
                   inputs_min = inputs_max = 0;
                   outputs = source.columns.size();
                 },
                 [&](const ProjectNode& project) { outputs = project.expressions.size(); },
                 [&](const AggregateNode& aggregate) {
                   outputs = aggregate.groups.size() + aggregate.calls.size();
                 },
                 [&](const JoinNode&) { inputs_min = inputs_max = 2; },
                 [&](const AsofNode&) { inputs_min = inputs_max = 2; },
                 [&](const SetOperationNode&) { inputs_min = inputs_max = 2; },
                 [&](const UnionAllNode&) { inputs_max = SIZE_MAX; },
                 [&](const auto&) {},
             },
             node.op);
  if (node.inputs.size() < inputs_min || node.inputs.size() > inputs_max)
    return wrong("the wrong number of inputs");
  if (outputs && *outputs != node.output.size()) return wrong("the wrong number of output columns");
  if (node.output.empty()) return wrong("no output columns");
  if (const auto* join = std::get_if<JoinNode>(&node.op)) {
    if (join->left_keys.empty() || join->left_keys.size() != join->right_keys.size() ||
        join->left_keys.size() != join->null_safe.size()) {
      return wrong("join keys that do not pair up");
    }
  }
  if (const auto* asof = std::get_if<AsofNode>(&node.op)) {
    if (asof->left_keys.size() != asof->right_keys.size()) {
      return wrong("join keys that do not pair up");
    }
  }
  if (const auto* window = std::get_if<WindowNode>(&node.op)) {
    if (auto good = check(window->shape); !good) return wrong(good.error().message());
    if (window->lateness_us < 0) return wrong("a negative lateness");
  }
  if (const auto* on_time = std::get_if<OnTimeNode>(&node.op);
      on_time != nullptr && on_time->lateness_us < 0) {
    return wrong("a negative lateness");
  }
  if (const auto* session = std::get_if<SessionNode>(&node.op);
      session != nullptr &&
      (session->gap_us <= 0 || session->gap_us > kGapMaxUs || session->lateness_us < 0)) {
    return wrong("a session without a gap");
  }
  return {};
}

Status check_plan(const Plan& plan) {
  if (plan.nodes.empty()) return Error(Code::corrupt, "a plan has no nodes");
  std::set<uint32_t> seen;
  for (const auto& node : plan.nodes) {
    TRY(check_shape(node));
    for (uint32_t input : node.inputs) {
      if (!seen.contains(input))
        return Error(Code::corrupt, "plan node {} reads node {} before it", node.id, input);
    }
    if (!seen.insert(node.id).second)
      return Error(Code::corrupt, "plan node {} is there twice", node.id);
  }
  for (uint32_t position : plan.key) {
    if (position >= plan.root().output.size())
      return Error(Code::corrupt, "a plan's key names column {}", position);
  }
  return {};
}

Result<Plan> decode_json(const Json& json) {
  Plan plan;
  plan.version = json.at("version").get<int>();
  if (plan.version != Plan::kVersion) {
    return Error(Code::unsupported, "a plan has version {}; this program knows version {}",
                 plan.version, Plan::kVersion);
  }
  plan.time_zone = json.at("time_zone").get<std::string>();
  plan.key = json.at("key").get<std::vector<uint32_t>>();
  plan.stop_on_error = json.value("stop_on_error", false);
  for (const auto& item : json.at("nodes")) {
    Node node;
    node.id = item.at("id").get<uint32_t>();
    node.inputs = item.at("inputs").get<std::vector<uint32_t>>();
    for (const auto& column : item.at("output")) {
      node.output.push_back({.id = column.at("id").get<uint32_t>(),
                             .name = column.at("name").get<std::string>(),
                             .type = column.at("type").get<std::string>()});
    }
    node.op = TRY(decode_operator(item));
    plan.nodes.push_back(std::move(node));
  }
  TRY(check_plan(plan));
  return plan;
}

std::string explain_order(const std::vector<SortOrder>& orders) {
  std::string text;
  for (const auto& order : orders) {
    text += fmt::format("{}{}{}{}", text.empty() ? "" : ", ", order.expression,
                        order.descending ? " DESC" : "", order.nulls_first ? " NULLS FIRST" : "");
  }
  return text;
}

std::string explain_call(const AggregateNode::Call& call) {
  std::string text = call.function;
  auto arguments = call.arguments;
  arguments.insert(arguments.end(), call.constants.begin(), call.constants.end());
  if (!arguments.empty()) {
    text += fmt::format("({}{}{}{})", call.distinct ? "DISTINCT " : "", fmt::join(arguments, ", "),
                        call.order_by.empty() ? "" : " ORDER BY ", explain_order(call.order_by));
  }
  if (call.filter) text += fmt::format(" FILTER ({})", *call.filter);
  return text;
}

std::string explain_calls(const AggregateNode& node) {
  std::string text;
  for (const auto& call : node.calls) text += (text.empty() ? "" : ", ") + explain_call(call);
  return text;
}

double seconds(int64_t us) { return static_cast<double>(us) / 1e6; }

std::string explain_join(const JoinNode& node) {
  std::string text = node.kind == JoinKind::inner ? "" : fmt::format("{} ", name_of(node.kind));
  text += "join on ";
  for (size_t i = 0; i < node.left_keys.size(); ++i) {
    if (i > 0) text += " AND ";
    text += fmt::format("{} {} {}", node.left_keys[i],
                        node.null_safe[i] ? "IS NOT DISTINCT FROM" : "=", node.right_keys[i]);
  }
  if (node.residual) text += " AND " + *node.residual;
  return text;
}

std::string explain_asof(const AsofNode& node) {
  std::string text = fmt::format("asof {}join on ", node.keep_left ? "left " : "");
  for (size_t i = 0; i < node.left_keys.size(); ++i)
    text += fmt::format("{} = {} AND ", node.left_keys[i], node.right_keys[i]);
  return text + fmt::format("{} {}{} {}", node.left_time, node.after ? '<' : '>',
                            node.strict ? "" : "=", node.right_time);
}

std::string explain_on_time(const OnTimeNode& node) {
  std::string text = "on time by " + node.time;
  if (node.lateness_us != 0) text += fmt::format(", or {} s late", seconds(node.lateness_us));
  return text;
}

std::string explain_top_n(const TopNNode& node) {
  std::string text = fmt::format("first {}", node.limit);
  if (node.offset > 0) text += fmt::format(" after {}", node.offset);
  if (!node.partition_by.empty())
    text += fmt::format(" per {}", fmt::join(node.partition_by, ", "));
  if (!node.order.empty()) text += " by " + explain_order(node.order);
  return text + (node.with_rank ? " with rank" : "");
}

std::string explain_bound(const WindowFrame::Bound& bound, std::string_view unbounded) {
  switch (bound.kind) {
    case WindowFrame::Kind::unbounded:
      return fmt::format("UNBOUNDED {}", unbounded);
    case WindowFrame::Kind::current_row:
      return "CURRENT ROW";
    case WindowFrame::Kind::preceding:
      return bound.offset + " PRECEDING";
    case WindowFrame::Kind::following:
      return bound.offset + " FOLLOWING";
  }
  return {};
}

std::string explain_over(const OverNode& node) {
  std::string text;
  for (const auto& call : node.calls) {
    text += fmt::format("{}{}", text.empty() ? "" : ", ", explain_call(call.call));
    if (call.ignore_nulls) text += " IGNORE NULLS";
    const auto* function = window_function(call.call.function);
    if (function == nullptr || function->has_frame) text += " " + frame_text(call.frame);
  }
  text += " over";
  if (!node.partition_by.empty())
    text += fmt::format(" each {}", fmt::join(node.partition_by, ", "));
  if (!node.order.empty()) text += " by " + explain_order(node.order);
  return text;
}

std::string explain_session(const SessionNode& node) {
  std::string text = fmt::format("session {} with gaps of {} s", node.time, seconds(node.gap_us));
  if (!node.partition_by.empty())
    text += fmt::format(" each {}", fmt::join(node.partition_by, ", "));
  if (node.lateness_us != 0) text += fmt::format(", open for {} s more", seconds(node.lateness_us));
  return text;
}

std::string explain_window(const WindowNode& node) {
  std::string text = fmt::format("{} {} by {} s", name_of(node.shape.kind), node.time,
                                 seconds(node.shape.size_us));
  if (node.shape.step_us != 0)
    text += fmt::format(" in steps of {} s", seconds(node.shape.step_us));
  if (node.shape.offset_us != 0)
    text += fmt::format(" from {} s on", seconds(node.shape.offset_us));
  if (node.lateness_us != 0) text += fmt::format(", open for {} s more", seconds(node.lateness_us));
  return text;
}

std::string explain_operator(const Operator& op) {
  return std::visit(
      Overloaded{
          [](const SourceNode& node) {
            return fmt::format("source object {}: {}", node.object, fmt::join(node.columns, ", "));
          },
          [](const FilterNode& node) { return "filter " + node.predicate; },
          [](const OnTimeNode& node) { return explain_on_time(node); },
          [](const ProjectNode& node) {
            return fmt::format("project {}", fmt::join(node.expressions, ", "));
          },
          [](const WindowNode& node) { return explain_window(node); },
          [](const SessionNode& node) { return explain_session(node); },
          [](const AggregateNode& node) {
            return fmt::format("aggregate {} by {}{}", explain_calls(node),
                               fmt::join(node.groups, ", "), node.on_close ? " when closed" : "");
          },
          [](const JoinNode& node) { return explain_join(node); },
          [](const AsofNode& node) { return explain_asof(node); },
          [](const TopNNode& node) { return "top " + explain_top_n(node); },
          [](const OverNode& node) { return explain_over(node); },
          [](const UnionAllNode&) { return std::string("union all"); },
          [](const SetOperationNode& node) {
            return fmt::format("{}{}", node.intersect ? "intersect" : "except",
                               node.all ? " all" : "");
          },
          [](const UnnestNode& node) {
            return fmt::format("unnest {}", fmt::join(node.lists, ", "));
          },
          [](const DistinctNode&) { return std::string("distinct"); },
      },
      op);
}

/// A node that several read is drawn once, or the text would double with each of them.
void explain_node(const Plan& plan, uint32_t id, size_t depth,
                  const std::map<uint32_t, size_t>& bytes, std::set<uint32_t>& drawn,
                  std::string& out) {
  for (const auto& node : plan.nodes) {
    if (node.id != id) continue;
    out.append(depth * 2, ' ');
    out += fmt::format("#{} ", id);
    if (!drawn.insert(id).second) {
      out += "as above\n";
      continue;
    }
    out += explain_operator(node.op) + "  ->";
    for (const auto& column : node.output) out += fmt::format(" c{}:{}", column.id, column.name);
    if (auto state = bytes.find(id); state != bytes.end() && state->second > 0)
      out += fmt::format("  [{} KiB]", (state->second + 1023) / 1024);
    out += '\n';
    for (uint32_t input : node.inputs) explain_node(plan, input, depth + 1, bytes, drawn, out);
  }
}

}  // namespace

bool shows_alone(JoinKind kind, size_t side) {
  switch (kind) {
    case JoinKind::inner:
      return false;
    case JoinKind::right:
      return side == 1;
    case JoinKind::full:
      return true;
    default:
      return side == 0;
  }
}

std::string_view name_of(JoinKind kind) { return kJoinKinds[static_cast<size_t>(kind)]; }

bool needs_order(std::string_view function, bool distinct) {
  if (distinct && (function == "list" || function == "array_agg")) return false;
  static const std::set<std::string_view> kNames = {
      "first",     "last",       "any_value",    "arbitrary", "list",
      "array_agg", "string_agg", "group_concat", "listagg",   "mode"};
  return kNames.contains(function);
}

const WindowFunction* window_function(std::string_view name) {
  static const std::map<std::string_view, WindowFunction> kFunctions = {
      {"row_number", {}},
      {"ntile", {}},
      {"lag", {}},
      {"lead", {}},
      {"rank", {.of_peers = true}},
      {"dense_rank", {.of_peers = true}},
      {"percent_rank", {.of_peers = true}},
      {"cume_dist", {.of_peers = true}},
      {"first_value", {.has_frame = true}},
      {"last_value", {.has_frame = true}},
      {"nth_value", {.has_frame = true}},
  };
  auto found = kFunctions.find(name);
  return found == kFunctions.end() ? nullptr : &found->second;
}

bool needs_row_order(const OverNode::Call& call) {
  const auto* function = window_function(call.call.function);
  if (function == nullptr) return needs_order(call.call.function, call.call.distinct);
  return function->has_frame;
}

Status check_over(const OverNode& node, const OverNode::Call& call) {
  const auto& name = call.call.function;
  const auto& frame = call.frame;
  const auto* function = window_function(name);
  if (never_defined(name)) {
    return Error(Code::unsupported, "{}() has no defined answer", name);
  }
  const bool framed = function == nullptr || function->has_frame;
  const bool whole = frame.start.kind == WindowFrame::Kind::unbounded &&
                     frame.end.kind == WindowFrame::Kind::unbounded;
  const bool of_order =
      framed ? (needs_row_order(call) && call.call.order_by.empty()) || (by_rows(frame) && !whole)
             : !function->of_peers;
  if (of_order && node.order.empty()) {
    return Error(Code::unsupported, "{}() OVER rows without an order has no defined answer", name)
        .with_hint("add ORDER BY");
  }
  const bool of_equals =
      frame.exclude == WindowFrame::Exclude::group || frame.exclude == WindowFrame::Exclude::ties;
  if (framed && by_rows(frame) && of_equals) {
    return Error(Code::unsupported, "ROWS with EXCLUDE GROUP or TIES has no defined answer")
        .with_hint("write RANGE or GROUPS");
  }
  return {};
}

std::string frame_text(const WindowFrame& frame) {
  std::string text =
      fmt::format("{} BETWEEN {} AND {}",
                  frame.unit == WindowFrame::Unit::rows    ? "ROWS"
                  : frame.unit == WindowFrame::Unit::range ? "RANGE"
                                                           : "GROUPS",
                  explain_bound(frame.start, "PRECEDING"), explain_bound(frame.end, "FOLLOWING"));
  switch (frame.exclude) {
    case WindowFrame::Exclude::none:
      return text;
    case WindowFrame::Exclude::current_row:
      return text + " EXCLUDE CURRENT ROW";
    case WindowFrame::Exclude::group:
      return text + " EXCLUDE GROUP";
    case WindowFrame::Exclude::ties:
      return text + " EXCLUDE TIES";
  }
  return text;
}

bool never_defined(std::string_view function) {
  return function == "reservoir_quantile" || function == "bitstring_agg";
}

std::string encode_plan(const Plan& plan) {
  Json json = {{"version", plan.version},
               {"time_zone", plan.time_zone},
               {"key", plan.key},
               {"nodes", Json::array()}};
  if (plan.stop_on_error) json["stop_on_error"] = true;
  for (const auto& node : plan.nodes) {
    Json item = {{"id", node.id}, {"inputs", node.inputs}, {"output", Json::array()}};
    for (const auto& column : node.output) {
      item["output"].push_back({{"id", column.id}, {"name", column.name}, {"type", column.type}});
    }
    encode_operator(node.op, item);
    json["nodes"].push_back(std::move(item));
  }
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<Plan> decode_plan(std::string_view text) {
  try {
    return decode_json(catalog::parse_stored_json<Json>(text));
  } catch (const std::exception& error) {
    return Error(Code::corrupt, "a stored plan does not hold what it should: {}", error.what());
  }
}

std::string node_label(const Node& node) {
  Json item;
  encode_operator(node.op, item);
  return fmt::format("{} #{}", item.at("op").get<std::string>(), node.id);
}

std::string explain_plan(const Plan& plan, const std::vector<OperatorReport>& operators,
                         bool running) {
  std::string out;
  std::set<uint32_t> drawn;
  std::map<uint32_t, size_t> bytes;
  std::map<uint32_t, std::string> growing;
  for (const auto& report : operators) {
    if (running) bytes[report.node] = report.state_bytes;
    if (!report.grows.empty()) growing[report.node] = report.grows;
  }
  if (!plan.nodes.empty()) explain_node(plan, plan.root().id, 0, bytes, drawn, out);
  for (const auto& node : plan.nodes) {
    auto at = growing.find(node.id);
    if (at != growing.end()) out += fmt::format("warning: {} {}\n", node_label(node), at->second);
  }
  return out;
}

}  // namespace ziwa::stream
