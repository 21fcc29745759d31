#pragma once

#include "protocol/kafka/call.h"

// One function for each API, in a file of the same name. A handler gets a decoded request of a
// version that is served, and answers its call once, now or later. Loop thread. `ZIWA_KAFKA_API`
// keeps this list short.
namespace ziwa::kafka {

#define ZIWA_KAFKA_API(function, Name) \
  struct Name##Request;                \
  struct Name##Response;               \
  void function(Broker& broker, CallPtr<Name##Request, Name##Response> call)

ZIWA_KAFKA_API(handle_produce, Produce);
ZIWA_KAFKA_API(handle_fetch, Fetch);
ZIWA_KAFKA_API(handle_list_offsets, ListOffsets);
ZIWA_KAFKA_API(handle_metadata, Metadata);
ZIWA_KAFKA_API(handle_offset_commit, OffsetCommit);
ZIWA_KAFKA_API(handle_offset_fetch, OffsetFetch);
ZIWA_KAFKA_API(handle_find_coordinator, FindCoordinator);
ZIWA_KAFKA_API(handle_join_group, JoinGroup);
ZIWA_KAFKA_API(handle_heartbeat, Heartbeat);
ZIWA_KAFKA_API(handle_leave_group, LeaveGroup);
ZIWA_KAFKA_API(handle_sync_group, SyncGroup);
ZIWA_KAFKA_API(handle_describe_groups, DescribeGroups);
ZIWA_KAFKA_API(handle_list_groups, ListGroups);
ZIWA_KAFKA_API(handle_api_versions, ApiVersions);
ZIWA_KAFKA_API(handle_create_topics, CreateTopics);
ZIWA_KAFKA_API(handle_delete_topics, DeleteTopics);
ZIWA_KAFKA_API(handle_delete_records, DeleteRecords);
ZIWA_KAFKA_API(handle_init_producer_id, InitProducerId);
ZIWA_KAFKA_API(handle_offset_for_leader_epoch, OffsetForLeaderEpoch);
ZIWA_KAFKA_API(handle_describe_configs, DescribeConfigs);
ZIWA_KAFKA_API(handle_create_partitions, CreatePartitions);
ZIWA_KAFKA_API(handle_delete_groups, DeleteGroups);
ZIWA_KAFKA_API(handle_offset_delete, OffsetDelete);
ZIWA_KAFKA_API(handle_describe_cluster, DescribeCluster);

#undef ZIWA_KAFKA_API

/// Answers an ApiVersions request of a version that is not known: version 0 of the answer, with
/// error 35 and all APIs.
void handle_api_versions_of_another_version(Broker& broker,
                                            CallPtr<ApiVersionsRequest, ApiVersionsResponse> call);

}  // namespace ziwa::kafka
