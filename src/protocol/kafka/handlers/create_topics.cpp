#include "protocol/kafka/messages/create_topics.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"
#include "protocol/kafka/topic_admin.h"

#include <algorithm>

namespace ziwa::kafka {
namespace {

using CreateCall = Call<CreateTopicsRequest, CreateTopicsResponse>;
using Result = CreateTopicsResponse::CreatableTopicResult;

constexpr int8_t kTopicConfig = 1;
constexpr int8_t kDefaultConfig = 5;

std::optional<TopicRefusal> check_assignments(const CreateTopicsRequest::CreatableTopic& topic) {
  if (topic.assignments.empty()) return std::nullopt;
  const bool here = std::ranges::all_of(topic.assignments, [](const auto& assignment) {
    return assignment.broker_ids.size() == 1 && assignment.broker_ids[0] == Broker::kNodeId;
  });
  if (here && topic.num_partitions == -1) return std::nullopt;
  return TopicRefusal{
      .code = ErrorCode::invalid_replica_assignment,
      .message = fmt::format("every partition is on broker {} alone", Broker::kNodeId)};
}

void describe(const Broker& broker, const catalog::Object& object, Result& out) {
  out.topic_id = broker.topic_ids().of(object.id);
  out.num_partitions = object.topic().partitions;
  out.replication_factor = 1;
  auto& configs = out.configs.emplace();
  for (auto& config : topic_configs(broker, object.topic())) {
    configs.push_back({.name = std::move(config.name),
                       .value = std::move(config.value),
                       .read_only = config.read_only,
                       .config_source = config.is_default ? kDefaultConfig : kTopicConfig});
  }
}

Result create_one(Broker& broker, const CreateTopicsRequest::CreatableTopic& asked,
                  bool validate_only) {
  Result out;
  out.name = asked.name;
  auto refuse = [&](TopicRefusal refusal) {
    out.error_code = wire(refusal.code);
    out.error_message = std::move(refusal.message);
  };
  if (auto refusal = check_assignments(asked)) {
    refuse(std::move(*refusal));
    return out;
  }
  NewTopic topic{.name = std::string(asked.name),
                 .partitions = asked.assignments.empty()
                                   ? asked.num_partitions
                                   : static_cast<int32_t>(asked.assignments.size()),
                 .replication_factor = asked.replication_factor};
  for (const auto& config : asked.configs)
    topic.configs[std::string(config.name)] = std::optional<std::string>(config.value);
  auto created = create_topic(broker, topic, validate_only);
  if (auto* refusal = std::get_if<TopicRefusal>(&created)) {
    refuse(std::move(*refusal));
  } else if (const auto& object = std::get<catalog::ObjectPtr>(created)) {
    describe(broker, *object, out);
  }
  return out;
}

/// A name that is asked for twice in one request is made for none of the two.
bool asked_twice(const CreateTopicsRequest& request, std::string_view name) {
  return std::ranges::count(request.topics, name, &CreateTopicsRequest::CreatableTopic::name) > 1;
}

CreateTopicsResponse create_all(Broker& broker, const CreateCall& call) {
  CreateTopicsResponse response;
  for (const auto& topic : call.request.topics) {
    if (asked_twice(call.request, topic.name)) {
      auto& out = response.topics.emplace_back();
      out.name = topic.name;
      out.error_code = wire(ErrorCode::invalid_request);
      out.error_message = "the request names this topic twice";
    } else {
      response.topics.push_back(create_one(broker, topic, call.request.validate_only));
    }
  }
  return response;
}

}  // namespace

void handle_create_topics(Broker& broker, std::shared_ptr<CreateCall> call) {
  broker.offload([&broker, call] { return create_all(broker, *call); },
                 [call](const CreateTopicsResponse& response) { call->reply(response); });
}

}  // namespace ziwa::kafka
