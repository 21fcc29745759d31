#include "protocol/kafka/messages/join_group.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {
namespace {

using JoinCall = Call<JoinGroupRequest, JoinGroupResponse>;

constexpr int16_t kMemberIdRequiredFrom = 4;  // KIP-394
constexpr int16_t kSkipAssignmentFrom = 9;    // KIP-814

groups::JoinRequest translate(const JoinCall& call) {
  const JoinGroupRequest& request = call.request;
  groups::JoinRequest join;
  join.group_id = request.group_id;
  join.member_id = request.member_id;
  join.instance_id = request.group_instance_id;
  join.require_member_id = call.version() >= kMemberIdRequiredFrom;
  join.can_skip_assignment = call.version() >= kSkipAssignmentFrom;
  join.client_id = call.client_id();
  join.client_host = call.client_host();
  join.session_timeout_ms = request.session_timeout_ms;
  // Version 0 has one time-out for both.
  join.rebalance_timeout_ms =
      request.rebalance_timeout_ms < 0 ? request.session_timeout_ms : request.rebalance_timeout_ms;
  join.protocol_type = request.protocol_type;
  for (const auto& protocol : request.protocols) {
    join.protocols.push_back({.name = std::string(protocol.name),
                              .metadata = std::string(as_text(protocol.metadata.bytes))});
  }
  return join;
}

JoinGroupResponse translate(groups::JoinResult result) {
  JoinGroupResponse response;
  response.error_code = wire(error_code_of(result.error));
  response.generation_id = result.generation;
  response.member_id = std::move(result.member_id);
  if (result.error != groups::GroupError::none) {
    response.protocol_name = "";
    return response;
  }
  response.protocol_type = std::move(result.protocol_type);
  response.protocol_name = std::move(result.protocol_name);
  response.leader = std::move(result.leader_id);
  response.skip_assignment = result.skip_assignment;
  for (auto& member : result.members) {
    ByteView metadata = as_bytes(member.metadata);
    response.members.push_back({.member_id = std::move(member.member_id),
                                .group_instance_id = std::move(member.instance_id),
                                .metadata = Bytes(metadata.begin(), metadata.end())});
  }
  return response;
}

}  // namespace

void handle_join_group(Broker& broker, std::shared_ptr<JoinCall> call) {
  broker.groups().join(translate(*call), [call](groups::JoinResult result) {
    call->reply(translate(std::move(result)));
  });
  broker.keep_ticking();
}

}  // namespace ziwa::kafka
