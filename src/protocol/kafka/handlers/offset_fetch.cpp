#include "protocol/kafka/messages/offset_fetch.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

#include <map>

namespace ziwa::kafka {
namespace {

using FetchCall = Call<OffsetFetchRequest, OffsetFetchResponse>;
using OldTopic = OffsetFetchResponse::OffsetFetchResponseTopic;
using Group = OffsetFetchResponse::OffsetFetchResponseGroup;

template <typename Partition>
Partition partition_answer(int32_t index, const std::optional<groups::GroupOffset>& offset) {
  Partition result;
  result.partition_index = index;
  result.committed_offset = offset ? offset->offset.value : -1;
  result.committed_leader_epoch = offset ? offset->leader_epoch : -1;
  result.metadata = offset ? offset->metadata : "";
  return result;
}

/// Offsets of the asked partitions of one topic, `object` if it exists; a partition without one
/// answers -1.
template <typename Topic>
void fill_topic(Broker& broker, const std::string& group, const catalog::ObjectPtr& object,
                const std::vector<int32_t>& partitions, Topic& out) {
  using Partition = typename decltype(out.partitions)::value_type;
  for (int32_t index : partitions) {
    std::optional<groups::GroupOffset> offset;
    if (object) offset = broker.groups().offset(group, {.topic = object->id, .partition = index});
    out.partitions.push_back(partition_answer<Partition>(index, offset));
  }
}

/// All offsets of the group, by topic.
template <typename Topic>
std::vector<Topic> all_topics(Broker& broker, const std::string& group) {
  using Partition = typename decltype(Topic::partitions)::value_type;
  auto snapshot = broker.catalog().snapshot();
  std::map<ObjectId, Topic> topics;
  for (const auto& offset : broker.groups().offsets(group)) {
    auto object = snapshot->find(offset.partition.topic);
    if (!object) continue;
    Topic& topic = topics[object->id];
    topic.name = topic_name(*object);
    if constexpr (requires { topic.topic_id; }) topic.topic_id = broker.topic_ids().of(object->id);
    topic.partitions.push_back(partition_answer<Partition>(offset.partition.partition, offset));
  }
  std::vector<Topic> result;
  for (auto& [id, topic] : topics) result.push_back(std::move(topic));
  return result;
}

void answer_one_group(Broker& broker, const OffsetFetchRequest& request,
                      OffsetFetchResponse& response) {
  const std::string group(request.group_id);
  if (!request.topics) {
    response.topics = all_topics<OldTopic>(broker, group);
    return;
  }
  auto snapshot = broker.catalog().snapshot();
  for (const auto& topic : *request.topics) {
    auto& out = response.topics.emplace_back();
    out.name = topic.name;
    fill_topic(broker, group, find_topic(*snapshot, topic.name), topic.partition_indexes, out);
  }
}

Group answer_group(Broker& broker, const OffsetFetchRequest::OffsetFetchRequestGroup& request,
                   bool by_id) {
  Group result;
  result.group_id = request.group_id;
  if (!request.topics) {
    result.topics = all_topics<Group::OffsetFetchResponseTopics>(broker, result.group_id);
    return result;
  }
  auto snapshot = broker.catalog().snapshot();
  for (const auto& topic : *request.topics) {
    auto& out = result.topics.emplace_back();
    out.name = topic.name;
    out.topic_id = topic.topic_id;
    auto object = by_id ? broker.topic_ids().find(*snapshot, topic.topic_id)
                        : find_topic(*snapshot, topic.name);
    fill_topic(broker, result.group_id, object, topic.partition_indexes, out);
    if (object || !by_id) continue;
    for (auto& partition : out.partitions) partition.error_code = wire(ErrorCode::unknown_topic_id);
  }
  return result;
}

}  // namespace

void handle_offset_fetch(Broker& broker, std::shared_ptr<FetchCall> call) {
  OffsetFetchResponse response;
  if (call->version() < 8) {
    answer_one_group(broker, call->request, response);
  } else {
    for (const auto& group : call->request.groups) {
      response.groups.push_back(answer_group(broker, group, call->version() >= 10));
    }
  }
  call->reply(response);
}

}  // namespace ziwa::kafka
