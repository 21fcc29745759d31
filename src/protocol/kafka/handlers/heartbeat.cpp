#include "protocol/kafka/messages/heartbeat.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {

void handle_heartbeat(Broker& broker, CallPtr<HeartbeatRequest, HeartbeatResponse> call) {
  const HeartbeatRequest& request = call->request;
  HeartbeatResponse response;
  response.error_code = wire(error_code_of(broker.groups().heartbeat(
      {.group_id = std::string(request.group_id),
       .generation = request.generation_id,
       .member_id = std::string(request.member_id),
       .instance_id = std::optional<std::string>(request.group_instance_id)})));
  call->reply(response);
}

}  // namespace ziwa::kafka
