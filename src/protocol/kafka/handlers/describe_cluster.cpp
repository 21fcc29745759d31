#include "protocol/kafka/messages/describe_cluster.h"

#include "protocol/kafka/handlers/handlers.h"

namespace ziwa::kafka {

void handle_describe_cluster(Broker& broker,
                             CallPtr<DescribeClusterRequest, DescribeClusterResponse> call) {
  DescribeClusterResponse response;
  response.endpoint_type = call->request.endpoint_type;
  response.cluster_id = broker.options().cluster_id;
  response.controller_id = Broker::kNodeId;
  response.brokers.push_back(
      {.broker_id = Broker::kNodeId, .host = broker.options().host, .port = broker.options().port});
  call->reply(response);
}

}  // namespace ziwa::kafka
