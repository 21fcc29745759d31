#include "protocol/kafka/messages/list_offsets.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {
namespace {

using ListCall = Call<ListOffsetsRequest, ListOffsetsResponse>;
using Partition = ListOffsetsResponse::ListOffsetsTopicResponse::ListOffsetsPartitionResponse;

// Timestamps with a meaning of their own.
constexpr int64_t kLatest = -1;
constexpr int64_t kEarliest = -2;
constexpr int64_t kMaxTimestamp = -3;
constexpr int64_t kEarliestLocal = -4;  ///< Everything is local here.
constexpr int64_t kTieredFirst =
    -6;  ///< -5 and -6 ask about remote storage, which there is none of.

/// The record with the greatest timestamp: the log finds the first record at or after a time, so
/// halve the times for which it finds one.
Result<std::optional<log::OffsetAndTime>> greatest_time(log::Log& log, PartitionId id) {
  std::optional<log::OffsetAndTime> best = TRY(log.offset_for_time(id, TimestampMs(0)));
  if (!best) return best;
  int64_t step = 1;
  while (step > 0) {  // Reach beyond the greatest, then close in on it.
    auto later = TRY(log.offset_for_time(id, TimestampMs(best->timestamp.value + step)));
    if (later) best = later;
    if (later && step < (int64_t{1} << 50)) {
      step *= 2;
    } else if (!later) {
      step /= 2;
    }
  }
  return best;
}

Status fill(log::Log& log, PartitionId id, int64_t timestamp, bool committed, Partition& out) {
  const log::PartitionInfo info = TRY(log.info(id));
  out.leader_epoch = Broker::kLeaderEpoch;
  switch (timestamp) {
    case kLatest:
      out.offset = (committed ? info.last_stable_offset : info.high_watermark).value;
      return {};
    case kEarliest:
    case kEarliestLocal:
      out.offset = info.log_start.value;
      return {};
    default:
      break;
  }
  if (timestamp <= kEarliestLocal && timestamp >= kTieredFirst) return {};
  auto found = timestamp == kMaxTimestamp ? TRY(greatest_time(log, id))
                                          : TRY(log.offset_for_time(id, TimestampMs(timestamp)));
  if (!found) return {};
  out.offset = found->offset.value;
  out.timestamp = found->timestamp.value;
  return {};
}

ListOffsetsResponse list(Broker& broker, const ListCall& call) {
  ListOffsetsResponse response;
  auto snapshot = broker.catalog().snapshot();
  for (const auto& topic : call.request.topics) {
    auto& out = response.topics.emplace_back();
    out.name = topic.name;
    auto object = find_topic(*snapshot, topic.name);
    for (const auto& asked : topic.partitions) {
      auto& partition = out.partitions.emplace_back();
      partition.partition_index = asked.partition_index;
      if (!object || asked.partition_index < 0 ||
          asked.partition_index >= object->topic().partitions) {
        partition.error_code = wire(ErrorCode::unknown_topic_or_partition);
        continue;
      }
      const PartitionId id{.topic = object->id, .partition = asked.partition_index};
      Status filled =
          fill(broker.log(), id, asked.timestamp, call.request.isolation_level == 1, partition);
      if (!filled) partition.error_code = wire(error_code_of(filled.error()));
    }
  }
  return response;
}

}  // namespace

void handle_list_offsets(Broker& broker, std::shared_ptr<ListCall> call) {
  broker.offload([&broker, call] { return list(broker, *call); },
                 [call](const ListOffsetsResponse& response) { call->reply(response); });
}

}  // namespace ziwa::kafka
