#include "protocol/kafka/messages/init_producer_id.h"

#include "base/log.h"
#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {

void handle_init_producer_id(Broker& broker,
                             CallPtr<InitProducerIdRequest, InitProducerIdResponse> call) {
  if (call->request.transactional_id) {
    log_warn("kafka", "refused a transactional producer: transactions of clients are not built yet",
             "client={} id={}", call->client_id(), *call->request.transactional_id);
    InitProducerIdResponse response;
    response.error_code = wire(ErrorCode::transactional_id_authorization_failed);
    return call->reply(response);
  }
  broker.offload([&broker] { return broker.log().new_producer_id(); },
                 [call](Result<int64_t> id) {
                   InitProducerIdResponse response;
                   if (id) {
                     response.producer_id = *id;
                   } else {
                     response.error_code = wire(error_code_of(id.error()));
                   }
                   call->reply(response);
                 });
}

}  // namespace ziwa::kafka
