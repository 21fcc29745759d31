#pragma once

#include "base/result.h"

#include <librdkafka/rdkafka.h>

#include <map>
#include <memory>
#include <string>

namespace ziwa::app {

/// Deleters of librdkafka's handles.
struct KafkaDelete {
  void operator()(rd_kafka_t* client) const;
  void operator()(rd_kafka_topic_t* topic) const { rd_kafka_topic_destroy(topic); }
  void operator()(rd_kafka_queue_t* queue) const { rd_kafka_queue_destroy(queue); }
  void operator()(rd_kafka_event_t* event) const { rd_kafka_event_destroy(event); }
};
using KafkaClient = std::unique_ptr<rd_kafka_t, KafkaDelete>;
using KafkaTopic = std::unique_ptr<rd_kafka_topic_t, KafkaDelete>;
using KafkaQueue = std::unique_ptr<rd_kafka_queue_t, KafkaDelete>;
using KafkaEvent = std::unique_ptr<rd_kafka_event_t, KafkaDelete>;

/// An ordinary librdkafka client. `events` are RD_KAFKA_EVENT_* that come through its main queue.
/// Its own log lines go to stderr from `warning` up, but for "cannot connect", which callers report
/// themselves. Errors: invalid_argument (a setting).
Result<KafkaClient> open_kafka_client(rd_kafka_type_t type,
                                      const std::map<std::string, std::string>& settings,
                                      int events);
/// The number of partitions of `topic`. Errors: unavailable (nobody answers), not_found.
Result<int32_t> partition_count(rd_kafka_t* client, const std::string& topic, int timeout_ms);
Error kafka_error(rd_kafka_resp_err_t error, std::string_view what);

}  // namespace ziwa::app
