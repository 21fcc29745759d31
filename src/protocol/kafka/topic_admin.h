#pragma once

#include "catalog/catalog.h"
#include "protocol/kafka/broker.h"

#include <map>
#include <optional>
#include <string>
#include <vector>

// Topics made, dropped and described by clients. All calls block: background threads only.
namespace ziwa::kafka {

/// A topic as a client asks for it; -1 means the server's default.
struct NewTopic {
  std::string name;
  int32_t partitions = -1;
  int16_t replication_factor = -1;
  std::map<std::string, std::optional<std::string>> configs;
};

/// What a client is told about a topic it could not have.
struct TopicRefusal {
  ErrorCode code = ErrorCode::none;
  std::string message;
};

/// Creates a topic of raw records, or with `validate_only` only says whether it could. Returns the
/// object (null if only validated), or why not.
std::variant<catalog::ObjectPtr, TopicRefusal> create_topic(Broker& broker, const NewTopic& topic,
                                                            bool validate_only);

/// Drops a topic; nothing else may depend on it.
std::optional<TopicRefusal> drop_topic(Broker& broker, const catalog::ObjectPtr& topic);

/// One setting of a topic as DescribeConfigs shows it.
struct TopicConfigValue {
  std::string name;
  std::string value;
  bool is_default = false;
  bool read_only = false;  ///< The same for every topic of this server.
  int8_t type = 0;         ///< As in DescribeConfigs: 2 string, 3 int, 5 long, 7 list.
  std::string documentation;
};
std::vector<TopicConfigValue> topic_configs(const Broker& broker,
                                            const catalog::TopicDefinition& definition);

}  // namespace ziwa::kafka
