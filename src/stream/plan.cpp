#include "stream/plan.h"

#include "base/overloaded.h"
#include "catalog/stored_json.h"

#include <fmt/format.h>

#include <set>

// The text form is described in docs/formats/plan.md.
namespace ziwa::stream {
namespace {

using Json = nlohmann::ordered_json;

Json encode_call(const AggregateNode::Call& call) {
  Json json = {{"function", call.function}};
  if (call.argument) json["argument"] = *call.argument;
  if (call.filter) json["filter"] = *call.filter;
  if (call.distinct) json["distinct"] = true;
  return json;
}

Json encode_order(const TopNNode::Order& order) {
  return {{"expression", order.expression},
          {"descending", order.descending},
          {"nulls_first", order.nulls_first}};
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
                 [&](const ProjectNode& node) {
                   json["op"] = "project";
                   json["expressions"] = node.expressions;
                 },
                 [&](const TumbleNode& node) {
                   json["op"] = "tumble";
                   json["time"] = node.time;
                   json["size_us"] = node.size_us;
                   json["offset_us"] = node.offset_us;
                 },
                 [&](const AggregateNode& node) {
                   json["op"] = "aggregate";
                   json["groups"] = node.groups;
                   json["calls"] = Json::array();
                   for (const auto& call : node.calls) json["calls"].push_back(encode_call(call));
                 },
                 [&](const JoinNode& node) {
                   json["op"] = "join";
                   json["left_keys"] = node.left_keys;
                   json["right_keys"] = node.right_keys;
                   json["null_safe"] = node.null_safe;
                   if (node.residual) json["residual"] = *node.residual;
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
                 [&](const UnionAllNode&) { json["op"] = "union_all"; },
                 [&](const DistinctNode&) { json["op"] = "distinct"; },
             },
             op);
}

std::optional<Expression> optional_text(const Json& json, const char* name) {
  if (!json.contains(name)) return std::nullopt;
  return json.at(name).get<std::string>();
}

AggregateNode decode_aggregate(const Json& json) {
  AggregateNode node;
  node.groups = json.at("groups").get<std::vector<std::string>>();
  for (const auto& call : json.at("calls")) {
    node.calls.push_back({.function = call.at("function").get<std::string>(),
                          .argument = optional_text(call, "argument"),
                          .filter = optional_text(call, "filter"),
                          .distinct = call.value("distinct", false)});
  }
  return node;
}

TopNNode decode_top_n(const Json& json) {
  TopNNode node;
  node.partition_by = json.at("partition_by").get<std::vector<std::string>>();
  for (const auto& order : json.at("order")) {
    node.order.push_back({.expression = order.at("expression").get<std::string>(),
                          .descending = order.at("descending").get<bool>(),
                          .nulls_first = order.at("nulls_first").get<bool>()});
  }
  node.limit = json.at("limit").get<uint64_t>();
  node.offset = json.at("offset").get<uint64_t>();
  node.with_rank = json.at("with_rank").get<bool>();
  return node;
}

Result<Operator> decode_operator(const Json& json) {
  auto op = json.at("op").get<std::string>();
  if (op == "source") {
    return SourceNode{.object = ObjectId(json.at("object").get<uint64_t>()),
                      .columns = json.at("columns").get<std::vector<std::string>>()};
  }
  if (op == "filter") return FilterNode{.predicate = json.at("predicate").get<std::string>()};
  if (op == "project") {
    return ProjectNode{.expressions = json.at("expressions").get<std::vector<std::string>>()};
  }
  if (op == "tumble") {
    return TumbleNode{.time = json.at("time").get<std::string>(),
                      .size_us = json.at("size_us").get<int64_t>(),
                      .offset_us = json.at("offset_us").get<int64_t>()};
  }
  if (op == "aggregate") return decode_aggregate(json);
  if (op == "join") {
    return JoinNode{.left_keys = json.at("left_keys").get<std::vector<std::string>>(),
                    .right_keys = json.at("right_keys").get<std::vector<std::string>>(),
                    .null_safe = json.at("null_safe").get<std::vector<bool>>(),
                    .residual = optional_text(json, "residual")};
  }
  if (op == "top_n") return decode_top_n(json);
  if (op == "union_all") return UnionAllNode{};
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
  if (const auto* tumble = std::get_if<TumbleNode>(&node.op);
      tumble != nullptr && tumble->size_us <= 0) {
    return wrong("a window without a size");
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

std::string explain_calls(const AggregateNode& node) {
  std::string text;
  for (const auto& call : node.calls) {
    if (!text.empty()) text += ", ";
    text += call.function;
    if (call.argument)
      text += fmt::format("({}{})", call.distinct ? "DISTINCT " : "", *call.argument);
    if (call.filter) text += fmt::format(" FILTER ({})", *call.filter);
  }
  return text;
}

std::string explain_join(const JoinNode& node) {
  std::string text;
  for (size_t i = 0; i < node.left_keys.size(); ++i) {
    if (i > 0) text += " AND ";
    text += fmt::format("{} {} {}", node.left_keys[i],
                        node.null_safe[i] ? "IS NOT DISTINCT FROM" : "=", node.right_keys[i]);
  }
  if (node.residual) text += " AND " + *node.residual;
  return text;
}

std::string explain_top_n(const TopNNode& node) {
  std::string text = fmt::format("first {}", node.limit);
  if (node.offset > 0) text += fmt::format(" after {}", node.offset);
  if (!node.partition_by.empty())
    text += fmt::format(" per {}", fmt::join(node.partition_by, ", "));
  for (size_t i = 0; i < node.order.size(); ++i) {
    const auto& order = node.order[i];
    text += fmt::format("{}{}{}{}", i == 0 ? " by " : ", ", order.expression,
                        order.descending ? " DESC" : "", order.nulls_first ? " NULLS FIRST" : "");
  }
  return text + (node.with_rank ? " with rank" : "");
}

std::string explain_operator(const Operator& op) {
  return std::visit(Overloaded{
                        [](const SourceNode& node) {
                          return fmt::format("source object {}: {}", node.object,
                                             fmt::join(node.columns, ", "));
                        },
                        [](const FilterNode& node) { return "filter " + node.predicate; },
                        [](const ProjectNode& node) {
                          return fmt::format("project {}", fmt::join(node.expressions, ", "));
                        },
                        [](const TumbleNode& node) {
                          return fmt::format("tumble {} by {} s", node.time,
                                             static_cast<double>(node.size_us) / 1e6);
                        },
                        [](const AggregateNode& node) {
                          return fmt::format("aggregate {} by {}", explain_calls(node),
                                             fmt::join(node.groups, ", "));
                        },
                        [](const JoinNode& node) { return "join on " + explain_join(node); },
                        [](const TopNNode& node) { return "top " + explain_top_n(node); },
                        [](const UnionAllNode&) { return std::string("union all"); },
                        [](const DistinctNode&) { return std::string("distinct"); },
                    },
                    op);
}

/// A node that several read is drawn once, or the text would double with each of them.
void explain_node(const Plan& plan, uint32_t id, size_t depth, std::set<uint32_t>& drawn,
                  std::string& out) {
  for (const auto& node : plan.nodes) {
    if (node.id != id) continue;
    out.append(depth * 2, ' ');
    if (!drawn.insert(id).second) {
      out += fmt::format("node {}, as above\n", id);
      continue;
    }
    out += explain_operator(node.op) + "  ->";
    for (const auto& column : node.output) out += fmt::format(" c{}:{}", column.id, column.name);
    out += '\n';
    for (uint32_t input : node.inputs) explain_node(plan, input, depth + 1, drawn, out);
  }
}

}  // namespace

std::string encode_plan(const Plan& plan) {
  Json json = {{"version", plan.version},
               {"time_zone", plan.time_zone},
               {"key", plan.key},
               {"nodes", Json::array()}};
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

std::string explain_plan(const Plan& plan) {
  std::string out;
  std::set<uint32_t> drawn;
  if (!plan.nodes.empty()) explain_node(plan, plan.root().id, 0, drawn, out);
  return out;
}

}  // namespace ziwa::stream
