#include "protocol/kafka/messages/delete_records.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {
namespace {

using DeleteCall = Call<DeleteRecordsRequest, DeleteRecordsResponse>;

constexpr int64_t kUpToEnd = -1;

Result<Offset> delete_before(log::Log& log, PartitionId id, int64_t offset) {
  const log::PartitionInfo info = TRY(log.info(id));
  const Offset before = offset == kUpToEnd ? info.high_watermark : Offset(offset);
  if (before.value < 0 || before > info.high_watermark) {
    return Error(Code::invalid_argument, "offset {} is not between 0 and {}", before,
                 info.high_watermark);
  }
  return log.delete_records(id, before);
}

DeleteRecordsResponse delete_all(Broker& broker, const DeleteCall& call) {
  DeleteRecordsResponse response;
  const Status settled = broker.settle_readers();
  auto snapshot = broker.catalog().snapshot();
  for (const auto& topic : call.request.topics) {
    auto object = find_topic(*snapshot, topic.name);
    auto& out = response.topics.emplace_back();
    out.name = topic.name;
    for (const auto& asked : topic.partitions) {
      auto& partition = out.partitions.emplace_back();
      partition.partition_index = asked.partition_index;
      partition.low_watermark = -1;
      if (!object) {
        partition.error_code = wire(ErrorCode::unknown_topic_or_partition);
        continue;
      }
      if (!settled) {
        partition.error_code = wire(error_code_of(settled.error()));
        continue;
      }
      auto start = delete_before(
          broker.log(), {.topic = object->id, .partition = asked.partition_index}, asked.offset);
      if (start) {
        partition.low_watermark = start->value;
      } else {
        const bool range = start.error().code() == Code::invalid_argument;
        partition.error_code =
            wire(range ? ErrorCode::offset_out_of_range : error_code_of(start.error()));
      }
    }
  }
  return response;
}

}  // namespace

void handle_delete_records(Broker& broker, std::shared_ptr<DeleteCall> call) {
  broker.offload([&broker, call] { return delete_all(broker, *call); },
                 [call](const DeleteRecordsResponse& response) { call->reply(response); });
}

}  // namespace ziwa::kafka
