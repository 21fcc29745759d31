#pragma once

#include "base/result.h"
#include "log/groups/requests.h"
#include "log/log.h"

#include <cstdint>
#include <string>

namespace ziwa::kafka {

/// Error codes of the protocol that this server gives. Source:
/// kafka.apache.org/protocol#protocol_error_codes.
enum class ErrorCode : int16_t {
  unknown_server_error = -1,
  none = 0,
  offset_out_of_range = 1,
  corrupt_message = 2,
  unknown_topic_or_partition = 3,
  not_leader_or_follower = 6,
  request_timed_out = 7,
  message_too_large = 10,
  offset_metadata_too_large = 12,
  coordinator_not_available = 15,
  invalid_topic_exception = 17,
  invalid_required_acks = 21,
  illegal_generation = 22,
  inconsistent_group_protocol = 23,
  invalid_group_id = 24,
  unknown_member_id = 25,
  invalid_session_timeout = 26,
  rebalance_in_progress = 27,
  unsupported_version = 35,
  topic_already_exists = 36,
  invalid_partitions = 37,
  invalid_replication_factor = 38,
  invalid_replica_assignment = 39,
  invalid_config = 40,
  invalid_request = 42,
  policy_violation = 44,
  out_of_order_sequence_number = 45,
  invalid_producer_epoch = 47,
  transactional_id_authorization_failed = 53,
  kafka_storage_error = 56,
  unknown_producer_id = 59,
  non_empty_group = 68,
  group_id_not_found = 69,
  fetch_session_id_not_found = 70,
  unknown_leader_epoch = 75,
  member_id_required = 79,
  group_max_size_reached = 81,
  fenced_instance_id = 82,
  invalid_record = 87,
  unknown_topic_id = 100,
};

/// The code for an error of ours where the API gives it no special meaning.
ErrorCode error_code_of(const Error& error);
ErrorCode error_code_of(groups::GroupError error);
/// The code for a batch that the log refused.
ErrorCode error_code_of(const Error& error, log::AppendRefusal refusal);

/// For an error_code field.
constexpr int16_t wire(ErrorCode code) { return static_cast<int16_t>(code); }
/// Message and hint of an error, for an error_message field.
std::string error_text(const Error& error);

}  // namespace ziwa::kafka
