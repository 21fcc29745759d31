#include "protocol/kafka/messages/offset_for_leader_epoch.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {

// There is one leader epoch for ever, so it ends where the partition ends.
void handle_offset_for_leader_epoch(
    Broker& broker, CallPtr<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse> call) {
  OffsetForLeaderEpochResponse response;
  auto snapshot = broker.catalog().snapshot();
  for (const auto& topic : call->request.topics) {
    auto object = find_topic(*snapshot, topic.topic);
    auto& out = response.topics.emplace_back();
    out.topic = topic.topic;
    for (const auto& asked : topic.partitions) {
      auto& partition = out.partitions.emplace_back();
      partition.partition = asked.partition;
      auto info = object ? broker.log().info({.topic = object->id, .partition = asked.partition})
                         : Result<log::PartitionInfo>(Error(Code::not_found, "no such topic"));
      if (!info) {
        partition.error_code = wire(error_code_of(info.error()));
      } else if (asked.leader_epoch >= Broker::kLeaderEpoch) {
        partition.leader_epoch = Broker::kLeaderEpoch;
        partition.end_offset = info->high_watermark.value;
      }
    }
  }
  call->reply(response);
}

}  // namespace ziwa::kafka
