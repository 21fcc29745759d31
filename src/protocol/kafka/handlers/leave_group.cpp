#include "protocol/kafka/messages/leave_group.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {

void handle_leave_group(Broker& broker, CallPtr<LeaveGroupRequest, LeaveGroupResponse> call) {
  const LeaveGroupRequest& request = call->request;
  std::vector<groups::LeavingMember> leaving;
  if (call->version() >= 3) {
    for (const auto& member : request.members) {
      leaving.push_back({.member_id = std::string(member.member_id),
                         .instance_id = std::optional<std::string>(member.group_instance_id)});
    }
  } else {
    leaving.push_back({.member_id = std::string(request.member_id)});
  }
  auto outcomes = broker.groups().leave(std::string(request.group_id), leaving);
  LeaveGroupResponse response;
  if (call->version() < 3) {
    response.error_code = wire(error_code_of(outcomes.at(0)));
  } else {
    for (size_t i = 0; i < leaving.size(); ++i) {
      response.members.push_back({.member_id = leaving[i].member_id,
                                  .group_instance_id = leaving[i].instance_id,
                                  .error_code = wire(error_code_of(outcomes[i]))});
    }
  }
  call->reply(response);
}

}  // namespace ziwa::kafka
