#include "app/command.h"
#include "app/kafka_client.h"
#include "app/progress.h"
#include "app/text_table.h"
#include "base/json_depth.h"
#include "protocol/rows/scalar_text.h"

#include <nlohmann/json.hpp>
#include <simdjson.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdio>

namespace ziwa::app {
namespace {

constexpr int kAskTimeoutMs = 10'000;
constexpr size_t kBatch = 2'000;
constexpr size_t kWriteBytes = 1u << 20;

std::atomic<bool> g_interrupted = false;

struct ConsumeOptions {
  std::string topic;
  std::string kafka = "127.0.0.1:9092";
  std::string from = "beginning";
  uint64_t limit = 0;
  bool until_end = false;
  bool json = false;
  std::vector<std::string> csv;  ///< Fields of JSON values.
  std::string output;
  std::string isolation = "read_committed";
};

/// Texts of records go to a file or stdout.
class Output {
 public:
  ~Output() {
    if (file_ != stdout) std::fclose(file_);
  }
  Status open(const std::string& path) {
    if (path.empty()) return {};
    FILE* file = std::fopen(path.c_str(), "we");
    if (file == nullptr) return errno_error(errno, path);
    file_ = file;
    return {};
  }
  std::string& buffer() { return buffer_; }
  Status flush(bool always) {
    if (!always && file_ != stdout && buffer_.size() < kWriteBytes) return {};
    if (std::fwrite(buffer_.data(), 1, buffer_.size(), file_) != buffer_.size() ||
        std::fflush(file_) != 0) {
      return errno_error(errno, "writing the records");
    }
    buffer_.clear();
    return {};
  }

 private:
  FILE* file_ = stdout;
  std::string buffer_;
};

std::string_view bytes_of(const void* data, size_t size) {
  return {static_cast<const char*>(data), size};
}

void append_text_or_null(std::string& out, const void* data, size_t size) {
  if (data == nullptr) {
    out += "null";
  } else {
    protocol::append_json_string(out, bytes_of(data, size));
  }
}

class Consuming {
 public:
  explicit Consuming(ConsumeOptions options) : options_(std::move(options)) {}
  Status run();
  uint64_t records() const { return records_; }

 private:
  Status open();
  Status on_message(const rd_kafka_message_t& message);
  Status append_csv(const rd_kafka_message_t& message);
  void append_json(const rd_kafka_message_t& message);
  bool done() const;

  ConsumeOptions options_;
  KafkaClient client_;
  KafkaQueue queue_;
  Output output_;
  simdjson::ondemand::parser parser_;
  simdjson::padded_string padded_;
  std::vector<bool> at_end_;  ///< By partition.
  uint64_t records_ = 0;
};

Status Consuming::open() {
  std::map<std::string, std::string> settings = {
      {"bootstrap.servers", options_.kafka},
      {"client.id", "ziwa-consume"},
      {"group.id", "ziwa-consume"},  // librdkafka wants one; nothing is committed to it.
      {"enable.auto.commit", "false"},
      {"enable.partition.eof", options_.until_end ? "true" : "false"},
      {"isolation.level", options_.isolation},
      {"fetch.wait.max.ms", "100"},
      {"reconnect.backoff.max.ms", "500"},
  };
  client_ = TRY(open_kafka_client(RD_KAFKA_CONSUMER, settings, 0));
  rd_kafka_poll_set_consumer(client_.get());
  auto count = TRY(partition_count(client_.get(), options_.topic, kAskTimeoutMs));
  at_end_.resize(static_cast<size_t>(count));
  auto* list = rd_kafka_topic_partition_list_new(count);
  for (int32_t i = 0; i < count; ++i) {
    rd_kafka_topic_partition_list_add(list, options_.topic.c_str(), i)->offset =
        options_.from == "end" ? RD_KAFKA_OFFSET_END : RD_KAFKA_OFFSET_BEGINNING;
  }
  auto error = rd_kafka_assign(client_.get(), list);
  rd_kafka_topic_partition_list_destroy(list);
  if (error != RD_KAFKA_RESP_ERR_NO_ERROR) return kafka_error(error, "taking the partitions");
  queue_.reset(rd_kafka_queue_get_consumer(client_.get()));
  TRY(output_.open(options_.output));
  if (!options_.csv.empty()) {
    for (const auto& field : options_.csv) output_.buffer() += csv_line({field}) + ",";
    output_.buffer() += "partition,offset\n";
  }
  return {};
}

bool Consuming::done() const {
  if (g_interrupted || (options_.limit > 0 && records_ == options_.limit)) return true;
  return options_.until_end && std::find(at_end_.begin(), at_end_.end(), false) == at_end_.end();
}

Status Consuming::run() {
  TRY(open());
  bool quiet = options_.output.empty();
  Progress progress("consume " + options_.topic, 0, quiet);
  std::array<rd_kafka_message_t*, kBatch> messages;
  while (!done()) {
    ssize_t count =
        rd_kafka_consume_batch_queue(queue_.get(), 100, messages.data(), messages.size());
    if (count < 0) return kafka_error(rd_kafka_last_error(), "reading");
    Status status;
    for (ssize_t i = 0; i < count; ++i) {
      if (status && !done()) status = on_message(*messages[static_cast<size_t>(i)]);
      rd_kafka_message_destroy(messages[static_cast<size_t>(i)]);
    }
    TRY(std::move(status));
    TRY(output_.flush(false));
    progress.update(records_);
  }
  TRY(output_.flush(true));
  progress.finish(records_);
  return {};
}

Status Consuming::on_message(const rd_kafka_message_t& message) {
  if (message.err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
    at_end_[static_cast<size_t>(message.partition)] = true;
    return {};
  }
  if (message.err == RD_KAFKA_RESP_ERR__TRANSPORT ||
      message.err == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
    return {};
  if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR) {
    return Error(Code::io, "reading: {}", rd_kafka_message_errstr(&message));
  }
  ++records_;
  if (!options_.csv.empty()) return append_csv(message);
  if (options_.json) {
    append_json(message);
  } else if (message.payload != nullptr) {
    output_.buffer().append(bytes_of(message.payload, message.len));
  }
  output_.buffer().push_back('\n');
  return {};
}

void Consuming::append_json(const rd_kafka_message_t& message) {
  std::string& out = output_.buffer();
  fmt::format_to(std::back_inserter(out),
                 "{{\"partition\":{},\"offset\":{},\"timestamp\":{},\"key\":", message.partition,
                 message.offset, rd_kafka_message_timestamp(&message, nullptr));
  append_text_or_null(out, message.key, message.key_len);
  out += ",\"value\":";
  auto text = bytes_of(message.payload, message.len);
  nlohmann::json value(nlohmann::json::value_t::discarded);  // Too deep a text goes as it is.
  if (!json_nests_deeper(text)) value = nlohmann::json::parse(text, nullptr, false);
  if (message.payload != nullptr && !value.is_discarded()) {
    out += value.dump();
  } else {
    append_text_or_null(out, message.payload, message.len);
  }
  out.push_back('}');
}

Status Consuming::append_csv(const rd_kafka_message_t& message) {
  std::string& out = output_.buffer();
  padded_ = simdjson::padded_string(bytes_of(message.payload, message.len));
  auto document = parser_.iterate(padded_);
  simdjson::ondemand::object object;
  if (document.error() || document.get_object().get(object)) {
    return Error(Code::unsupported, "the value at partition {} offset {} is not a JSON object",
                 message.partition, message.offset)
        .with_hint("--csv reads fields of JSON values");
  }
  for (const auto& field : options_.csv) {
    simdjson::ondemand::value value;
    std::string_view text;
    if (object.find_field_unordered(field).get(value) == simdjson::SUCCESS && !value.is_null()) {
      std::string_view raw = value.raw_json_token();
      while (!raw.empty() && (raw.back() == ' ' || raw.back() == '\n')) raw.remove_suffix(1);
      if (!raw.starts_with('"')) {
        out += raw;
      } else if (value.get_string().get(text) == simdjson::SUCCESS) {
        out += csv_line({std::string(text)});
      }
    }
    out.push_back(',');
  }
  fmt::format_to(std::back_inserter(out), "{},{}\n", message.partition, message.offset);
  return {};
}

int run_consume(const ConsumeOptions& options) {
  struct sigaction action{};
  action.sa_handler = [](int) { g_interrupted = true; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  Consuming consuming(options);
  if (auto done = consuming.run(); !done) return report_error(done.error(), options.json);
  return g_interrupted ? kExitInterrupted : kExitOk;
}

}  // namespace

void add_consume(CLI::App& app, Run& run) {
  auto options = std::make_shared<ConsumeOptions>();
  auto* command =
      app.add_subcommand("consume", "Print the records of a topic, as any Kafka client would");
  command->add_option("topic", options->topic, "Topic")->required();
  command->add_option("--kafka", options->kafka, "Address of a Kafka door or broker")
      ->capture_default_str();
  command->add_option("--from", options->from, "Where to begin")
      ->check(CLI::IsMember({"beginning", "end"}))
      ->capture_default_str();
  command->add_option("--limit", options->limit, "Stop after so many records");
  command->add_flag("--until-end", options->until_end,
                    "Stop when every partition has been read to its end");
  command->add_option("--isolation", options->isolation, "read_committed or read_uncommitted")
      ->check(CLI::IsMember({"read_committed", "read_uncommitted"}))
      ->capture_default_str();
  auto* json =
      command->add_flag("--json", options->json,
                        "One JSON object per record: partition, offset, timestamp, key, value");
  command
      ->add_option("--csv", options->csv,
                   "CSV with these fields of JSON values, then partition and offset")
      ->delimiter(',')
      ->excludes(json);
  command->add_option("--output", options->output, "Write to this file");
  command->callback([options, &run] { run = [options] { return run_consume(*options); }; });
}

}  // namespace ziwa::app
