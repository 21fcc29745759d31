#include "protocol/kafka/messages/sync_group.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {

void handle_sync_group(Broker& broker, CallPtr<SyncGroupRequest, SyncGroupResponse> call) {
  const SyncGroupRequest& request = call->request;
  groups::SyncRequest sync;
  sync.claim = {.group_id = std::string(request.group_id),
                .generation = request.generation_id,
                .member_id = std::string(request.member_id),
                .instance_id = std::optional<std::string>(request.group_instance_id)};
  sync.protocol_type = request.protocol_type;
  sync.protocol_name = request.protocol_name;
  for (const auto& item : request.assignments) {
    sync.assignments.push_back({.member_id = std::string(item.member_id),
                                .assignment = std::string(as_text(item.assignment.bytes))});
  }
  broker.groups().sync(std::move(sync), [call](groups::SyncResult result) {
    SyncGroupResponse response;
    response.error_code = wire(error_code_of(result.error));
    if (result.error == groups::GroupError::none) {
      response.protocol_type = std::move(result.protocol_type);
      response.protocol_name = std::move(result.protocol_name);
    }
    ByteView assignment = as_bytes(result.assignment);
    response.assignment.assign(assignment.begin(), assignment.end());
    call->reply(response);
  });
}

}  // namespace ziwa::kafka
