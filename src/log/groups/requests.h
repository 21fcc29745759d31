#pragma once

#include "base/ids.h"

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

// What is asked of a consumer group and what it answers, without any wire format.
namespace ziwa::groups {

/// Why a group refuses. The door maps each to a code of its own.
enum class GroupError : unsigned char {
  none,
  invalid_group_id,
  invalid_session_timeout,
  inconsistent_protocol,  ///< The member and the group have no protocol in common.
  member_id_required,     ///< Join again with the member id of this answer.
  unknown_member,
  fenced_instance,  ///< Another process took over this instance id.
  illegal_generation,
  rebalance_in_progress,
  group_full,
  too_many_groups,
  group_not_found,
  group_not_empty,
  storage_failed,  ///< The change could not be made durable; try again.
};

/// One way of sharing partitions that a member can take part in, e.g. "range", with the member's
/// own metadata.
struct GroupProtocol {
  std::string name;
  std::string metadata;
  friend bool operator==(const GroupProtocol&, const GroupProtocol&) = default;
};

/// A consumer asks to take part.
struct JoinRequest {
  std::string group_id;
  std::string member_id;                   ///< Empty at the first join.
  std::optional<std::string> instance_id;  ///< Set by static members (KIP-345).
  bool require_member_id = false;    ///< Answer a first join with member_id_required (KIP-394).
  bool can_skip_assignment = false;  ///< The client knows JoinResult::skip_assignment (KIP-814).
  std::string client_id;
  std::string client_host;
  int32_t session_timeout_ms = 0;
  int32_t rebalance_timeout_ms = 0;
  std::string protocol_type;  ///< "consumer", "connect" ...
  std::vector<GroupProtocol> protocols;
};

/// The generation it takes part in, or why not.
struct JoinResult {
  GroupError error = GroupError::none;
  int32_t generation = -1;
  std::string protocol_type;
  std::string protocol_name;
  std::string leader_id;
  std::string member_id;
  bool skip_assignment = false;
  struct Member {
    std::string member_id;
    std::optional<std::string> instance_id;
    std::string metadata;
  };
  std::vector<Member> members;  ///< For the leader only.
};

/// A member as it names itself in every request after its join.
struct MemberClaim {
  std::string group_id;
  int32_t generation = -1;
  std::string member_id;
  std::optional<std::string> instance_id;
};

/// A member of the generation asks for its partitions; the leader brings everybody's.
struct SyncRequest {
  MemberClaim claim;
  std::optional<std::string> protocol_type;
  std::optional<std::string> protocol_name;
  struct Assignment {
    std::string member_id;
    std::string assignment;
  };
  std::vector<Assignment> assignments;  ///< From the leader only.
};

/// What the leader assigned to the member; the bytes are the client's own.
struct SyncResult {
  GroupError error = GroupError::none;
  std::string protocol_type;
  std::string protocol_name;
  std::string assignment;
};

/// Named by member id, by instance id, or by both, which must then agree.
struct LeavingMember {
  std::string member_id;
  std::optional<std::string> instance_id;
};

/// Where a group stands in one partition: the next offset to read.
struct GroupOffset {
  PartitionId partition;
  Offset offset;
  int32_t leader_epoch = -1;
  std::string metadata;
  TimestampMs committed;
};

/// Where a group stands in its rebalance; dead: it does not exist.
enum class GroupState : unsigned char {
  empty,
  preparing_rebalance,
  completing_rebalance,
  stable,
  dead
};

/// "Empty", "PreparingRebalance", "CompletingRebalance", "Stable", "Dead".
std::string_view state_name(GroupState state);

/// What an administrator sees of a group.
struct GroupDescription {
  std::string group_id;
  GroupState state = GroupState::dead;
  std::string protocol_type;
  std::string protocol_name;  ///< Empty unless stable.
  int32_t generation = 0;
  struct Member {
    std::string member_id;
    std::optional<std::string> instance_id;
    std::string client_id;
    std::string client_host;
    std::string metadata;
    std::string assignment;
  };
  std::vector<Member> members;
};

using JoinDone = std::move_only_function<void(JoinResult)>;
using SyncDone = std::move_only_function<void(SyncResult)>;

}  // namespace ziwa::groups
