#include "protocol/kafka/messages/describe_configs.h"

#include "protocol/kafka/errors.h"
#include "protocol/kafka/handlers/handlers.h"
#include "protocol/kafka/topic_admin.h"

#include <algorithm>

namespace ziwa::kafka {
namespace {

using DescribeCall = Call<DescribeConfigsRequest, DescribeConfigsResponse>;
using Result = DescribeConfigsResponse::DescribeConfigsResult;

// Resource types and config sources of the protocol.
constexpr int8_t kTopic = 2;
constexpr int8_t kBroker = 4;
constexpr int8_t kTopicConfig = 1;
constexpr int8_t kStaticBrokerConfig = 4;
constexpr int8_t kDefaultConfig = 5;
constexpr int8_t kString = 2;
constexpr int8_t kInt = 3;

void add(const DescribeConfigsRequest& request,
         const DescribeConfigsRequest::DescribeConfigsResource& resource, TopicConfigValue config,
         int8_t source, Result& out) {
  const auto& keys = resource.configuration_keys;
  if (keys && std::ranges::find(*keys, config.name) == keys->end()) return;
  auto& row = out.configs.emplace_back();
  if (request.include_synonyms)
    row.synonyms.push_back({.name = config.name, .value = config.value, .source = source});
  if (request.include_documentation) row.documentation = std::move(config.documentation);
  row.name = std::move(config.name);
  row.value = std::move(config.value);
  row.read_only = config.read_only;
  row.config_source = source;
  row.config_type = config.type;
}

void describe_broker(const Broker& broker, const DescribeConfigsRequest& request,
                     const DescribeConfigsRequest::DescribeConfigsResource& resource, Result& out) {
  const BrokerOptions& options = broker.options();
  auto fixed = [&](const char* name, std::string value, int8_t type) {
    add(request, resource,
        {.name = name, .value = std::move(value), .read_only = true, .type = type},
        kStaticBrokerConfig, out);
  };
  fixed("advertised.listeners", fmt::format("PLAINTEXT://{}:{}", options.host, options.port),
        kString);
  fixed("auto.create.topics.enable", options.auto_create_topics ? "true" : "false", kString);
  fixed("default.replication.factor", "1", kInt);
  fixed("message.max.bytes", std::to_string(options.batch_bytes_max), kInt);
  fixed("node.id", std::to_string(Broker::kNodeId), kInt);
  fixed("num.partitions", std::to_string(options.default_partitions), kInt);
}

Result describe(const Broker& broker, const catalog::Snapshot& snapshot,
                const DescribeConfigsRequest& request,
                const DescribeConfigsRequest::DescribeConfigsResource& resource) {
  Result out;
  out.resource_type = resource.resource_type;
  out.resource_name = resource.resource_name;
  if (resource.resource_type == kBroker) {
    describe_broker(broker, request, resource, out);
  } else if (resource.resource_type != kTopic) {
    out.error_code = wire(ErrorCode::invalid_request);
    out.error_message = "only topics and brokers have settings here";
  } else if (auto topic = find_topic(snapshot, resource.resource_name)) {
    for (auto& config : topic_configs(broker, topic->topic())) {
      const int8_t source = config.is_default ? kDefaultConfig : kTopicConfig;
      add(request, resource, std::move(config), source, out);
    }
  } else {
    out.error_code = wire(ErrorCode::unknown_topic_or_partition);
    out.error_message = "no such topic";
  }
  return out;
}

}  // namespace

void handle_describe_configs(Broker& broker, std::shared_ptr<DescribeCall> call) {
  DescribeConfigsResponse response;
  auto snapshot = broker.catalog().snapshot();
  for (const auto& resource : call->request.resources) {
    response.results.push_back(describe(broker, *snapshot, call->request, resource));
  }
  call->reply(response);
}

}  // namespace ziwa::kafka
