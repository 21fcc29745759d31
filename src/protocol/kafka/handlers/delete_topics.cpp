#include "protocol/kafka/messages/delete_topics.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"
#include "protocol/kafka/topic_admin.h"

namespace ziwa::kafka {
namespace {

using DeleteCall = Call<DeleteTopicsRequest, DeleteTopicsResponse>;
using Result = DeleteTopicsResponse::DeletableTopicResult;

Result delete_one(Broker& broker, std::optional<std::string_view> name, const Uuid& id) {
  Result out;
  out.name = std::optional<std::string>(name);
  out.topic_id = id;
  auto snapshot = broker.catalog().snapshot();
  auto topic = name ? find_topic(*snapshot, *name) : broker.topic_ids().find(*snapshot, id);
  if (!topic) {
    out.error_code =
        wire(name ? ErrorCode::unknown_topic_or_partition : ErrorCode::unknown_topic_id);
    out.error_message = "no such topic";
    return out;
  }
  out.name = name ? std::string(*name) : topic_name(*topic);
  out.topic_id = broker.topic_ids().of(topic->id);
  if (auto refusal = drop_topic(broker, topic)) {
    out.error_code = wire(refusal->code);
    out.error_message = std::move(refusal->message);
  }
  return out;
}

DeleteTopicsResponse delete_all(Broker& broker, const DeleteCall& call) {
  DeleteTopicsResponse response;
  for (std::string_view name : call.request.topic_names)
    response.responses.push_back(delete_one(broker, name, {}));
  for (const auto& topic : call.request.topics) {
    response.responses.push_back(delete_one(broker, topic.name, topic.topic_id));
  }
  return response;
}

}  // namespace

void handle_delete_topics(Broker& broker, std::shared_ptr<DeleteCall> call) {
  broker.offload(
      [&broker, call] { return delete_all(broker, *call); },
      [&broker, call, keep = broker.shared_from_this()](const DeleteTopicsResponse& response) {
        auto snapshot = broker.catalog().snapshot();
        broker.groups().forget_topics(
            [&](ObjectId topic) { return snapshot->find(topic) != nullptr; });
        call->reply(response);
      });
}

}  // namespace ziwa::kafka
