#include "protocol/kafka/topic_admin.h"

#include "protocol/kafka/errors.h"

#include <algorithm>
#include <charconv>

namespace ziwa::kafka {
namespace {

constexpr int8_t kString = 2;
constexpr int8_t kInt = 3;
constexpr int8_t kLong = 5;
constexpr int8_t kList = 7;
constexpr int64_t kSegmentBytesMin = 1u << 20;

std::optional<int64_t> parse_number(std::string_view text) {
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

TopicRefusal invalid_config(std::string message) {
  return {.code = ErrorCode::invalid_config, .message = std::move(message)};
}

/// A setting that can be chosen for a topic: where it is kept and the least value besides -1.
struct Choice {
  std::string_view name;
  int64_t minimum;
  void (*set)(catalog::TopicDefinition&, int64_t);
};
constexpr Choice kChoices[] = {
    {"retention.ms", 0,
     [](catalog::TopicDefinition& topic, int64_t value) { topic.retention_ms = value; }},
    {"retention.bytes", 0,
     [](catalog::TopicDefinition& topic, int64_t value) { topic.retention_bytes = value; }},
    {"segment.bytes", kSegmentBytesMin,
     [](catalog::TopicDefinition& topic, int64_t value) {
       topic.segment_bytes = static_cast<uint64_t>(value);
     }},
};

std::optional<TopicRefusal> apply_choice(const Choice& choice, std::string_view text,
                                         catalog::TopicDefinition& definition) {
  auto value = parse_number(text);
  const bool unlimited = value == -1 && choice.minimum == 0;
  if (!value || (*value < choice.minimum && !unlimited)) {
    return invalid_config(fmt::format("{}={} is not a number of at least {}{}", choice.name, text,
                                      choice.minimum, choice.minimum == 0 ? " or -1" : ""));
  }
  choice.set(definition, *value);
  return std::nullopt;
}

std::optional<TopicRefusal> apply_config(const Broker& broker, const std::string& name,
                                         const std::optional<std::string>& value,
                                         catalog::TopicDefinition& definition) {
  if (!value) return std::nullopt;  // Null asks for the default.
  auto choice = std::ranges::find(kChoices, name, &Choice::name);
  if (choice != std::end(kChoices)) return apply_choice(*choice, *value, definition);
  for (const auto& fixed : topic_configs(broker, definition)) {
    if (fixed.name != name) continue;
    if (fixed.value == *value) return std::nullopt;
    return invalid_config(fmt::format("{} is {} for every topic here", name, fixed.value));
  }
  return invalid_config(fmt::format(
      "{} is not a setting of topics here (retention.ms, retention.bytes and segment.bytes are)",
      name));
}

std::optional<TopicRefusal> fill(const Broker& broker, const NewTopic& topic,
                                 catalog::TopicDefinition& definition) {
  if (topic.replication_factor != 1 && topic.replication_factor != -1) {
    return TopicRefusal{
        .code = ErrorCode::invalid_replication_factor,
        .message = fmt::format("replication factor {} is not possible on one server (use 1 or -1)",
                               topic.replication_factor)};
  }
  const int32_t partitions =
      topic.partitions == -1 ? broker.options().default_partitions : topic.partitions;
  if (partitions < 1 || partitions > broker.options().partitions_max) {
    return TopicRefusal{.code = ErrorCode::invalid_partitions,
                        .message = fmt::format("{} partitions are not between 1 and {}", partitions,
                                               broker.options().partitions_max)};
  }
  definition.format = "raw";
  definition.partitions = partitions;
  for (const auto& [name, value] : topic.configs) {
    if (auto refusal = apply_config(broker, name, value, definition)) return refusal;
  }
  return std::nullopt;
}

/// The statement that would have made the topic.
std::string statement(const TopicPlace& place, const catalog::TopicDefinition& definition) {
  const catalog::TopicDefinition defaults;
  std::string options = fmt::format("format='raw', partitions={}", definition.partitions);
  if (definition.retention_ms != defaults.retention_ms)
    options += fmt::format(", retention='{} ms'", definition.retention_ms);
  if (definition.retention_bytes != defaults.retention_bytes) {
    options += fmt::format(", retention_bytes='{}'", definition.retention_bytes);
  }
  if (definition.segment_bytes != defaults.segment_bytes)
    options += fmt::format(", segment_bytes='{}'", definition.segment_bytes);
  return fmt::format("CREATE TOPIC \"{}\".\"{}\" WITH ({})", place.schema, place.name, options);
}

TopicRefusal refusal_of(const Error& error) {
  return {.code = error_code_of(error), .message = error_text(error)};
}

}  // namespace

std::variant<catalog::ObjectPtr, TopicRefusal> create_topic(Broker& broker, const NewTopic& topic,
                                                            bool validate_only) {
  auto snapshot = broker.catalog().snapshot();
  auto place = place_topic(*snapshot, topic.name);
  if (!place)
    return TopicRefusal{.code = ErrorCode::invalid_topic_exception,
                        .message = error_text(place.error())};
  if (auto existing = snapshot->find(place->schema, place->name)) {
    return TopicRefusal{.code = ErrorCode::topic_already_exists,
                        .message = fmt::format("{} \"{}\" exists",
                                               catalog::kind_name(existing->kind()), topic.name)};
  }
  catalog::TopicDefinition definition;
  if (auto refusal = fill(broker, topic, definition)) return std::move(*refusal);
  if (validate_only) return catalog::ObjectPtr();
  catalog::Object object;
  object.schema = place->schema;
  object.name = place->name;
  object.created = broker.clock().now();
  object.sql = statement(*place, definition);
  object.definition = std::move(definition);
  catalog::ObjectPtr created;
  auto committed = broker.catalog().commit([&](catalog::Transaction& transaction) -> Status {
    created = TRY(transaction.create(object));
    return {};
  });
  if (!committed) return refusal_of(committed.error());
  return created;
}

std::optional<TopicRefusal> drop_topic(Broker& broker, const catalog::ObjectPtr& topic) {
  auto committed = broker.catalog().commit([&](catalog::Transaction& transaction) {
    return transaction.drop(topic->id, /*cascade=*/false);
  });
  if (!committed) return refusal_of(committed.error());
  return std::nullopt;
}

std::vector<TopicConfigValue> topic_configs(const Broker& broker,
                                            const catalog::TopicDefinition& definition) {
  const catalog::TopicDefinition defaults;
  return {
      {.name = "cleanup.policy",
       .value = "delete",
       .is_default = true,
       .read_only = true,
       .type = kList,
       .documentation = "Records go by age and size; compaction is not built."},
      {.name = "compression.type",
       .value = "producer",
       .is_default = true,
       .read_only = true,
       .type = kString,
       .documentation = "Batches are kept as the producer sent them."},
      {.name = "max.message.bytes",
       .value = std::to_string(broker.options().batch_bytes_max),
       .is_default = true,
       .read_only = true,
       .type = kInt,
       .documentation = "The largest batch."},
      {.name = "message.timestamp.type",
       .value = "CreateTime",
       .is_default = true,
       .read_only = true,
       .type = kString,
       .documentation = "Timestamps are the producer's."},
      {.name = "min.insync.replicas",
       .value = "1",
       .is_default = true,
       .read_only = true,
       .type = kInt,
       .documentation = "There is one server."},
      {.name = "retention.bytes",
       .value = std::to_string(definition.retention_bytes),
       .is_default = definition.retention_bytes == defaults.retention_bytes,
       .type = kLong,
       .documentation = "Per partition; -1: no limit."},
      {.name = "retention.ms",
       .value = std::to_string(definition.retention_ms),
       .is_default = definition.retention_ms == defaults.retention_ms,
       .type = kLong,
       .documentation = "-1: keep for ever."},
      {.name = "segment.bytes",
       .value = std::to_string(definition.segment_bytes),
       .is_default = definition.segment_bytes == defaults.segment_bytes,
       .type = kLong,
       .documentation = "Size of one log file."},
  };
}

}  // namespace ziwa::kafka
