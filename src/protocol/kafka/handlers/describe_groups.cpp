#include "protocol/kafka/messages/describe_groups.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {
namespace {

using DescribedGroup = DescribeGroupsResponse::DescribedGroup;

Bytes owned_bytes(std::string_view text) {
  ByteView view = as_bytes(text);
  return Bytes(view.begin(), view.end());
}

DescribedGroup translate(groups::GroupDescription group) {
  DescribedGroup result;
  result.group_id = std::move(group.group_id);
  result.group_state = groups::state_name(group.state);
  result.protocol_type = std::move(group.protocol_type);
  result.protocol_data = std::move(group.protocol_name);
  for (auto& member : group.members) {
    result.members.push_back({.member_id = std::move(member.member_id),
                              .group_instance_id = std::move(member.instance_id),
                              .client_id = std::move(member.client_id),
                              .client_host = std::move(member.client_host),
                              .member_metadata = owned_bytes(member.metadata),
                              .member_assignment = owned_bytes(member.assignment)});
  }
  return result;
}

}  // namespace

void handle_describe_groups(Broker& broker,
                            CallPtr<DescribeGroupsRequest, DescribeGroupsResponse> call) {
  DescribeGroupsResponse response;
  for (std::string_view id : call->request.groups) {
    auto& group =
        response.groups.emplace_back(translate(broker.groups().describe(std::string(id))));
    // Older versions show a group that does not exist as a dead one (KIP-1043).
    if (group.group_state != groups::state_name(groups::GroupState::dead) || call->version() < 6)
      continue;
    group.error_code = wire(ErrorCode::group_id_not_found);
    group.error_message = fmt::format("no group \"{}\"", id);
  }
  call->reply(response);
}

}  // namespace ziwa::kafka
