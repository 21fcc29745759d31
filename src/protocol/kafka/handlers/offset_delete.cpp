#include "protocol/kafka/messages/offset_delete.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {

void handle_offset_delete(Broker& broker, CallPtr<OffsetDeleteRequest, OffsetDeleteResponse> call) {
  OffsetDeleteResponse response;
  std::vector<PartitionId> partitions;
  auto snapshot = broker.catalog().snapshot();
  for (const auto& topic : call->request.topics) {
    auto object = find_topic(*snapshot, topic.name);
    auto& out = response.topics.emplace_back();
    out.name = topic.name;
    for (const auto& asked : topic.partitions) {
      auto& partition = out.partitions.emplace_back();
      partition.partition_index = asked.partition_index;
      if (object) {
        partitions.push_back({.topic = object->id, .partition = asked.partition_index});
      } else {
        partition.error_code = wire(ErrorCode::unknown_topic_or_partition);
      }
    }
  }
  broker.groups().forget(std::string(call->request.group_id), partitions,
                         [call, response = std::move(response)](groups::GroupError error) mutable {
                           response.error_code = wire(error_code_of(error));
                           if (error != groups::GroupError::none) response.topics.clear();
                           call->reply(response);
                         });
}

}  // namespace ziwa::kafka
