#include "protocol/kafka/messages/offset_commit.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {
namespace {

using CommitCall = Call<OffsetCommitRequest, OffsetCommitResponse>;

struct Plan {
  OffsetCommitResponse response;
  std::vector<groups::GroupOffset> offsets;
};

/// Sorts out what can be committed; the rest has its error in the response already.
Plan plan(const Broker& broker, const catalog::Snapshot& snapshot, const CommitCall& call) {
  Plan result;
  const bool by_id = call.version() >= 10;
  for (const auto& topic : call.request.topics) {
    auto object = by_id ? broker.topic_ids().find(snapshot, topic.topic_id)
                        : find_topic(snapshot, topic.name);
    auto& out = result.response.topics.emplace_back();
    out.name = topic.name;
    out.topic_id = topic.topic_id;
    for (const auto& asked : topic.partitions) {
      auto& partition = out.partitions.emplace_back();
      partition.partition_index = asked.partition_index;
      const std::string_view metadata = asked.committed_metadata.value_or("");
      if (!object) {
        partition.error_code =
            wire(by_id ? ErrorCode::unknown_topic_id : ErrorCode::unknown_topic_or_partition);
      } else if (asked.partition_index < 0 || asked.partition_index >= object->topic().partitions) {
        partition.error_code = wire(ErrorCode::unknown_topic_or_partition);
      } else if (metadata.size() > broker.options().offset_metadata_bytes_max) {
        partition.error_code = wire(ErrorCode::offset_metadata_too_large);
      } else {
        result.offsets.push_back(
            {.partition = {.topic = object->id, .partition = asked.partition_index},
             .offset = Offset(asked.committed_offset),
             .leader_epoch = asked.committed_leader_epoch,
             .metadata = std::string(metadata)});
      }
    }
  }
  return result;
}

}  // namespace

void handle_offset_commit(Broker& broker, std::shared_ptr<CommitCall> call) {
  const OffsetCommitRequest& request = call->request;
  Plan todo = plan(broker, *broker.catalog().snapshot(), *call);
  groups::MemberClaim claim{.group_id = std::string(request.group_id),
                            .generation = request.generation_id_or_member_epoch,
                            .member_id = std::string(request.member_id),
                            .instance_id = std::optional<std::string>(request.group_instance_id)};
  broker.groups().commit(
      claim, std::move(todo.offsets),
      [call, response = std::move(todo.response)](groups::GroupError error) mutable {
        for (auto& topic : response.topics) {
          for (auto& partition : topic.partitions) {
            if (partition.error_code == 0) partition.error_code = wire(error_code_of(error));
          }
        }
        call->reply(response);
      });
}

}  // namespace ziwa::kafka
