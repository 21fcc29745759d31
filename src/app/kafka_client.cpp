#include "app/kafka_client.h"

#include <array>
#include <cstdio>
#include <cstring>
#include <syslog.h>

namespace ziwa::app {
namespace {

void write_log(const rd_kafka_t* client, int level, const char* facility, const char* text) {
  bool connection = std::strcmp(facility, "FAIL") == 0 || std::strcmp(facility, "ERROR") == 0;
  if (level > LOG_WARNING || connection) return;
  fmt::print(stderr, "{}: {}\n", rd_kafka_name(client), text);
}

}  // namespace

void KafkaDelete::operator()(rd_kafka_t* client) const { rd_kafka_destroy(client); }

Error kafka_error(rd_kafka_resp_err_t error, std::string_view what) {
  Code code = Code::io;
  switch (error) {
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__MSG_TIMED_OUT:
      code = Code::unavailable;
      break;
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
      code = Code::not_found;
      break;
    default:
      break;
  }
  return Error(code, "{}: {}", what, rd_kafka_err2str(error));
}

Result<KafkaClient> open_kafka_client(rd_kafka_type_t type,
                                      const std::map<std::string, std::string>& settings,
                                      int events) {
  std::array<char, 512> text;
  rd_kafka_conf_t* conf = rd_kafka_conf_new();
  for (const auto& [name, value] : settings) {
    if (rd_kafka_conf_set(conf, name.c_str(), value.c_str(), text.data(), text.size()) !=
        RD_KAFKA_CONF_OK) {
      rd_kafka_conf_destroy(conf);
      return Error(Code::invalid_argument, "{}", text.data());
    }
  }
  rd_kafka_conf_set_log_cb(conf, write_log);
  rd_kafka_conf_set_events(conf, events);
  KafkaClient client(rd_kafka_new(type, conf, text.data(), text.size()));
  if (!client) {
    rd_kafka_conf_destroy(conf);  // rd_kafka_new takes it over only when it succeeds.
    return Error(Code::invalid_argument, "{}", text.data());
  }
  return client;
}

Result<int32_t> partition_count(rd_kafka_t* client, const std::string& topic, int timeout_ms) {
  KafkaTopic handle(rd_kafka_topic_new(client, topic.c_str(), nullptr));
  const rd_kafka_metadata_t* metadata = nullptr;
  auto error = rd_kafka_metadata(client, 0, handle.get(), &metadata, timeout_ms);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return kafka_error(error, "asking for the topic");
  rd_kafka_resp_err_t topic_error =
      metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
  int32_t count = topic_error == RD_KAFKA_RESP_ERR_NO_ERROR ? metadata->topics[0].partition_cnt : 0;
  rd_kafka_metadata_destroy(metadata);
  if (count == 0) {
    return Error(Code::not_found, "there is no topic \"{}\"", topic)
        .with_hint("CREATE TOPIC, or ziwa apply");
  }
  return count;
}

}  // namespace ziwa::app
