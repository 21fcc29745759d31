#include "protocol/kafka/messages/create_partitions.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {

void handle_create_partitions(Broker& broker,
                              CallPtr<CreatePartitionsRequest, CreatePartitionsResponse> call) {
  CreatePartitionsResponse response;
  auto snapshot = broker.catalog().snapshot();
  for (const auto& topic : call->request.topics) {
    const bool exists = find_topic(*snapshot, topic.name) != nullptr;
    response.results.push_back(
        {.name = std::string(topic.name),
         .error_code =
             wire(exists ? ErrorCode::policy_violation : ErrorCode::unknown_topic_or_partition),
         .error_message = exists ? "the number of partitions is fixed when a topic is created"
                                 : "no such topic"});
  }
  call->reply(response);
}

}  // namespace ziwa::kafka
