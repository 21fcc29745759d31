#include "protocol/kafka/messages/metadata.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"
#include "protocol/kafka/topic_admin.h"

namespace ziwa::kafka {
namespace {

using MetadataCall = Call<MetadataRequest, MetadataResponse>;
using Topic = MetadataResponse::MetadataResponseTopic;

Topic describe(const Broker& broker, const catalog::Object& object, std::string name) {
  Topic topic;
  topic.name = std::move(name);
  topic.topic_id = broker.topic_ids().of(object.id);
  for (int32_t i = 0; i < object.topic().partitions; ++i) {
    topic.partitions.push_back({.partition_index = i,
                                .leader_id = Broker::kNodeId,
                                .leader_epoch = Broker::kLeaderEpoch,
                                .replica_nodes = {Broker::kNodeId},
                                .isr_nodes = {Broker::kNodeId}});
  }
  return topic;
}

Topic unknown(ErrorCode code, std::optional<std::string_view> name, const Uuid& id) {
  Topic topic;
  topic.error_code = wire(code);
  topic.name = std::optional<std::string>(name);
  topic.topic_id = id;
  return topic;
}

MetadataResponse cluster(const Broker& broker) {
  MetadataResponse response;
  response.brokers.push_back(
      {.node_id = Broker::kNodeId, .host = broker.options().host, .port = broker.options().port});
  response.cluster_id = broker.options().cluster_id;
  response.controller_id = Broker::kNodeId;
  return response;
}

/// In version 0 an empty list asks for all topics; later null does, and an empty list for none.
bool wants_all(const MetadataCall& call) {
  return !call.request.topics || (call.version() == 0 && call.request.topics->empty());
}

MetadataResponse answer(const Broker& broker, const catalog::Snapshot& snapshot,
                        const MetadataCall& call) {
  MetadataResponse response = cluster(broker);
  if (wants_all(call)) {
    for (const auto& object : snapshot.all()) {
      if (object->kind() == catalog::Kind::topic)
        response.topics.push_back(describe(broker, *object, topic_name(*object)));
    }
    return response;
  }
  for (const auto& asked : *call.request.topics) {
    auto object = asked.name ? find_topic(snapshot, *asked.name)
                             : broker.topic_ids().find(snapshot, asked.topic_id);
    if (object) {
      response.topics.push_back(
          describe(broker, *object, asked.name ? std::string(*asked.name) : topic_name(*object)));
    } else {
      const ErrorCode code =
          asked.name ? ErrorCode::unknown_topic_or_partition : ErrorCode::unknown_topic_id;
      response.topics.push_back(unknown(code, asked.name, asked.topic_id));
    }
  }
  return response;
}

/// Topics to be made before answering: the setting and the client must both want it.
std::vector<std::string> to_create(const Broker& broker, const catalog::Snapshot& snapshot,
                                   const MetadataCall& call) {
  std::vector<std::string> names;
  const bool client_wants = call.version() < 4 || call.request.allow_auto_topic_creation;
  if (!broker.options().auto_create_topics || !client_wants || wants_all(call)) return names;
  for (const auto& asked : *call.request.topics) {
    if (asked.name && !find_topic(snapshot, *asked.name)) names.emplace_back(*asked.name);
  }
  return names;
}

}  // namespace

void handle_metadata(Broker& broker, std::shared_ptr<MetadataCall> call) {
  auto snapshot = broker.catalog().snapshot();
  auto names = to_create(broker, *snapshot, *call);
  if (names.empty()) return call->reply(answer(broker, *snapshot, *call));
  broker.offload(
      [&broker, call, names = std::move(names)] {
        // A name that cannot be made stays unknown, which the answer says.
        for (const auto& name : names)
          create_topic(broker, {.name = name}, /*validate_only=*/false);
        return answer(broker, *broker.catalog().snapshot(), *call);
      },
      [call](const MetadataResponse& response) { call->reply(response); });
}

}  // namespace ziwa::kafka
