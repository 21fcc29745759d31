#include "protocol/kafka/messages/find_coordinator.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {
namespace {

using Coordinator = FindCoordinatorResponse::Coordinator;

constexpr int8_t kGroup = 0;
constexpr int8_t kTransaction = 1;

/// This server coordinates all groups, and no transactions of clients.
Coordinator find(const Broker& broker, std::string_view key, int8_t key_type) {
  Coordinator result{.key = std::string(key), .node_id = -1, .port = -1};
  if (key_type == kGroup) {
    result.node_id = Broker::kNodeId;
    result.host = broker.options().host;
    result.port = broker.options().port;
  } else if (key_type == kTransaction) {
    // A code that every client takes as final; the message says what is meant.
    result.error_code = wire(ErrorCode::transactional_id_authorization_failed);
    result.error_message = "transactions of clients are not built yet";
  } else {
    result.error_code = wire(ErrorCode::invalid_request);
    result.error_message = "only groups have a coordinator here";
  }
  return result;
}

}  // namespace

void handle_find_coordinator(Broker& broker,
                             CallPtr<FindCoordinatorRequest, FindCoordinatorResponse> call) {
  const FindCoordinatorRequest& request = call->request;
  FindCoordinatorResponse response;
  if (call->version() >= 4) {
    for (std::string_view key : request.coordinator_keys) {
      response.coordinators.push_back(find(broker, key, request.key_type));
    }
  } else {
    Coordinator found = find(broker, request.key, request.key_type);
    response.node_id = found.node_id;
    response.host = std::move(found.host);
    response.port = found.port;
    response.error_code = found.error_code;
    response.error_message = std::move(found.error_message);
  }
  call->reply(response);
}

}  // namespace ziwa::kafka
