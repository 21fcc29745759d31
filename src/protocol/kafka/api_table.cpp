#include "protocol/kafka/api_table.h"

#include "protocol/kafka/handlers/handlers.h"
#include "protocol/kafka/messages/api_versions.h"
#include "protocol/kafka/messages/create_partitions.h"
#include "protocol/kafka/messages/create_topics.h"
#include "protocol/kafka/messages/delete_groups.h"
#include "protocol/kafka/messages/delete_records.h"
#include "protocol/kafka/messages/delete_topics.h"
#include "protocol/kafka/messages/describe_cluster.h"
#include "protocol/kafka/messages/describe_configs.h"
#include "protocol/kafka/messages/describe_groups.h"
#include "protocol/kafka/messages/fetch.h"
#include "protocol/kafka/messages/find_coordinator.h"
#include "protocol/kafka/messages/heartbeat.h"
#include "protocol/kafka/messages/init_producer_id.h"
#include "protocol/kafka/messages/join_group.h"
#include "protocol/kafka/messages/leave_group.h"
#include "protocol/kafka/messages/list_groups.h"
#include "protocol/kafka/messages/list_offsets.h"
#include "protocol/kafka/messages/metadata.h"
#include "protocol/kafka/messages/offset_commit.h"
#include "protocol/kafka/messages/offset_delete.h"
#include "protocol/kafka/messages/offset_fetch.h"
#include "protocol/kafka/messages/offset_for_leader_epoch.h"
#include "protocol/kafka/messages/produce.h"
#include "protocol/kafka/messages/sync_group.h"

#include <algorithm>
#include <array>

namespace ziwa::kafka {
namespace {

template <typename RequestMessage, typename ResponseMessage,
          void (*Handler)(Broker&, CallPtr<RequestMessage, ResponseMessage>)>
void decode_and_handle(Broker& broker, Request request, std::string client_host, Respond respond) {
  auto call = std::make_shared<Call<RequestMessage, ResponseMessage>>(
      std::move(request), std::move(client_host), std::move(respond));
  if (Status decoded = call->decode(); !decoded) return call->close(decoded.error().message());
  Handler(broker, std::move(call));
}

template <typename RequestMessage>
Status check(ByteView body, int16_t version) {
  Decoder in(body, version >= RequestMessage::kFlexibleFrom);
  RequestMessage request;
  request.decode(in, version);
  return in.status(RequestMessage::kName);
}

void handle_any_api_versions(Broker& broker, Request request, std::string client_host,
                             Respond respond) {
  if (request.header.api_version >= ApiVersionsRequest::kVersionMin &&
      request.header.api_version <= ApiVersionsRequest::kVersionMax) {
    return decode_and_handle<ApiVersionsRequest, ApiVersionsResponse, handle_api_versions>(
        broker, std::move(request), std::move(client_host), std::move(respond));
  }
  request.header.api_version = 0;
  request.body = {};
  decode_and_handle<ApiVersionsRequest, ApiVersionsResponse,
                    handle_api_versions_of_another_version>(
      broker, std::move(request), std::move(client_host), std::move(respond));
}

template <typename RequestMessage, typename ResponseMessage,
          void (*Handler)(Broker&, CallPtr<RequestMessage, ResponseMessage>)>
constexpr Api api() {
  return {.key = RequestMessage::kApiKey,
          .name = RequestMessage::kName,
          .advertised_min = RequestMessage::kVersionMin,
          .version_min = RequestMessage::kVersionMin,
          .version_max = RequestMessage::kVersionMax,
          .flexible_from = RequestMessage::kFlexibleFrom,
          .handle = decode_and_handle<RequestMessage, ResponseMessage, Handler>,
          .check = check<RequestMessage>};
}

/// Produce is advertised from 0 as Kafka 4 does, though 0 to 2 are not served: older librdkafka
/// switches compression off without them (KAFKA-18659).
constexpr Api produce() {
  Api result = api<ProduceRequest, ProduceResponse, handle_produce>();
  result.advertised_min = 0;
  return result;
}

/// An unknown version must be answered, not refused (KIP-511).
constexpr Api api_versions() {
  Api result = api<ApiVersionsRequest, ApiVersionsResponse, handle_api_versions>();
  result.handle = handle_any_api_versions;
  return result;
}

constexpr std::array kApis = {
    produce(),
    api<FetchRequest, FetchResponse, handle_fetch>(),
    api<ListOffsetsRequest, ListOffsetsResponse, handle_list_offsets>(),
    api<MetadataRequest, MetadataResponse, handle_metadata>(),
    api<OffsetCommitRequest, OffsetCommitResponse, handle_offset_commit>(),
    api<OffsetFetchRequest, OffsetFetchResponse, handle_offset_fetch>(),
    api<FindCoordinatorRequest, FindCoordinatorResponse, handle_find_coordinator>(),
    api<JoinGroupRequest, JoinGroupResponse, handle_join_group>(),
    api<HeartbeatRequest, HeartbeatResponse, handle_heartbeat>(),
    api<LeaveGroupRequest, LeaveGroupResponse, handle_leave_group>(),
    api<SyncGroupRequest, SyncGroupResponse, handle_sync_group>(),
    api<DescribeGroupsRequest, DescribeGroupsResponse, handle_describe_groups>(),
    api<ListGroupsRequest, ListGroupsResponse, handle_list_groups>(),
    api_versions(),
    api<CreateTopicsRequest, CreateTopicsResponse, handle_create_topics>(),
    api<DeleteTopicsRequest, DeleteTopicsResponse, handle_delete_topics>(),
    api<DeleteRecordsRequest, DeleteRecordsResponse, handle_delete_records>(),
    api<InitProducerIdRequest, InitProducerIdResponse, handle_init_producer_id>(),
    api<OffsetForLeaderEpochRequest, OffsetForLeaderEpochResponse,
        handle_offset_for_leader_epoch>(),
    api<DescribeConfigsRequest, DescribeConfigsResponse, handle_describe_configs>(),
    api<CreatePartitionsRequest, CreatePartitionsResponse, handle_create_partitions>(),
    api<DeleteGroupsRequest, DeleteGroupsResponse, handle_delete_groups>(),
    api<OffsetDeleteRequest, OffsetDeleteResponse, handle_offset_delete>(),
    api<DescribeClusterRequest, DescribeClusterResponse, handle_describe_cluster>(),
};
static_assert(std::ranges::is_sorted(kApis, {}, &Api::key));

}  // namespace

std::span<const Api> api_table() { return kApis; }

const Api* find_api(int16_t key) {
  auto it = std::ranges::lower_bound(kApis, key, {}, &Api::key);
  return it != kApis.end() && it->key == key ? &*it : nullptr;
}

bool is_flexible(int16_t key, int16_t version) {
  const Api* api = find_api(key);
  return api != nullptr && version >= api->flexible_from;
}

}  // namespace ziwa::kafka
