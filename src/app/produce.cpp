#include "app/command.h"
#include "app/disorder.h"
#include "app/kafka_client.h"
#include "app/progress.h"
#include "app/source_rows.h"
#include "app/text_table.h"
#include "base/settings.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <thread>
#include <unistd.h>

namespace ziwa::app {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Records handed to librdkafka in one call, and how many it may hold: enough for full batches,
// little enough memory.
constexpr size_t kSendBatch = 1'000;
constexpr int kQueueRecordsMax = 500'000;
// The largest size whose batches a topic with Kafka's default message.max.bytes takes.
constexpr int kBatchBytes = 900'000;
constexpr std::chrono::milliseconds kPausePoll{20};
constexpr int kAskTimeoutMs = 10'000;
constexpr size_t kLogFlushBytes = 1u << 20;

struct ProduceOptions {
  std::string topic;
  std::string kafka = "127.0.0.1:9092";
  SourceOptions source;
  Disorder::Options disorder;
  std::string disorder_text = "0 s";
  std::string late_text = "6 h";
  std::string timeout_text = "5 min";
  std::string compression = "none";
  double rate = 0;
  std::string send_log;
  std::string pause_file;
  std::vector<uint64_t> pause_at;
  std::vector<std::string> rename;
  bool json = false;
  bool quiet = false;
};

/// Writes (seq, position, partition, offset) of each record as it is acknowledged.
class SendLog {
 public:
  ~SendLog() {
    if (file_ != nullptr) std::fclose(file_);
  }
  Status open(const std::string& path) {
    path_ = path;
    csv_ = path.ends_with(".parquet") ? path + ".csv" : path;
    file_ = std::fopen(csv_.c_str(), "we");
    if (file_ == nullptr) return errno_error(errno, csv_);
    buffer_ = "seq,position,partition,offset\n";
    return {};
  }
  bool wanted() const { return file_ != nullptr; }
  void sent(uint64_t sequence) { sequences_.push_back(sequence); }
  Status acknowledged(size_t position, int32_t partition, int64_t offset) {
    fmt::format_to(std::back_inserter(buffer_), "{},{},{},{}\n", sequences_[position], position,
                   partition, offset);
    return buffer_.size() < kLogFlushBytes ? Status() : flush();
  }
  Status finish() {
    TRY(flush());
    FILE* file = std::exchange(file_, nullptr);
    if (std::fclose(file) != 0) return errno_error(errno, csv_);
    if (csv_ == path_) return {};
    TRY(SourceRows::csv_to_parquet(csv_, path_));
    unlink(csv_.c_str());
    return {};
  }

 private:
  Status flush() {
    size_t written = std::fwrite(buffer_.data(), 1, buffer_.size(), file_);
    if (written != buffer_.size()) return errno_error(errno, csv_);
    buffer_.clear();
    return {};
  }
  std::string path_;
  std::string csv_;
  FILE* file_ = nullptr;
  std::string buffer_;
  std::vector<uint64_t> sequences_;  ///< By send position.
};

/// Reads, disorders and sends. One thread; librdkafka has its own.
class Producing {
 public:
  explicit Producing(ProduceOptions options)
      : options_(std::move(options)), disorder_(options_.disorder) {}
  Status run();
  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t bytes() const { return bytes_; }
  double seconds() const { return seconds_; }

 private:
  Status open();
  Status read_all();
  Status send(uint32_t slot);
  Status send_batch();
  Status serve(int timeout_ms);
  Status on_event(rd_kafka_event_t* event);
  Status wait_for_all();
  uint32_t free_slot();
  void keep_rate();
  Status ask_for_pause();
  void pause_while_asked();

  ProduceOptions options_;
  Disorder disorder_;
  std::unique_ptr<SourceRows> source_;
  KafkaClient client_;
  KafkaTopic topic_;
  KafkaQueue queue_;
  SendLog log_;
  std::vector<std::unique_ptr<SourceRecord>>
      slots_;  ///< Records that are held back or wait for a batch.
  std::vector<uint32_t> free_;
  std::vector<uint32_t> batch_;
  std::vector<rd_kafka_message_t> messages_;
  std::optional<Progress> progress_;
  uint64_t sent_ = 0;
  uint64_t acknowledged_ = 0;
  uint64_t bytes_ = 0;
  double seconds_ = 0;
  SteadyClock::time_point begin_;
  bool told_waiting_ = false;
};

Status Producing::open() {
  source_ = TRY(SourceRows::open(options_.source));
  std::map<std::string, std::string> settings = {
      {"bootstrap.servers", options_.kafka},
      {"client.id", "ziwa-produce"},
      {"enable.idempotence",
       "true"},  // A retry after a crash of the server is not a second record.
      {"partitioner", "murmur2_random"},  // As Java clients do, and as INSERT into a topic does.
      {"linger.ms", "10"},
      {"batch.size", std::to_string(kBatchBytes)},
      {"queue.buffering.max.messages", std::to_string(kQueueRecordsMax)},
      {"queue.buffering.max.kbytes", std::to_string(1 << 20)},
      {"compression.type", options_.compression},
      {"message.timeout.ms", std::to_string(TRY(parse_duration_ms(options_.timeout_text)))},
      {"reconnect.backoff.max.ms", "500"},
  };
  client_ =
      TRY(open_kafka_client(RD_KAFKA_PRODUCER, settings, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR));
  TRY(partition_count(client_.get(), options_.topic, kAskTimeoutMs));
  topic_.reset(rd_kafka_topic_new(client_.get(), options_.topic.c_str(), nullptr));
  queue_.reset(rd_kafka_queue_get_main(client_.get()));
  if (!options_.send_log.empty()) TRY(log_.open(options_.send_log));
  messages_.reserve(kSendBatch);
  return {};
}

Status Producing::run() {
  TRY(open());
  begin_ = SteadyClock::now();
  progress_.emplace("produce " + options_.topic, source_->total(), options_.quiet);
  Status done = read_all();
  if (done) done = wait_for_all();
  seconds_ = progress_->seconds();
  if (!done) {
    rd_kafka_purge(client_.get(), RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    return done;
  }
  progress_->finish(acknowledged_);
  return log_.wanted() ? log_.finish() : Status();
}

Status Producing::read_all() {
  while (true) {
    auto more = source_->next_chunk();
    if (!more) {  // The error says how many were taken: that is all that went before.
      TRY(send_batch());
      TRY(wait_for_all());
      return more.error();
    }
    if (!*more) break;
    for (size_t row = 0; row < source_->rows(); ++row) {
      uint32_t slot = free_slot();
      SourceRecord& record = *slots_[slot];
      source_->read(row, record);
      if (options_.source.order_by.empty()) {
        TRY(send(slot));
        continue;
      }
      while (auto due = disorder_.pop_before(record.time_us)) TRY(send(*due));
      disorder_.push(record.sequence, record.time_us, slot);
    }
    progress_->update(acknowledged_);
    pause_while_asked();
  }
  while (auto last = disorder_.pop()) TRY(send(*last));
  return send_batch();
}

uint32_t Producing::free_slot() {
  if (free_.empty()) {
    slots_.push_back(std::make_unique<SourceRecord>());
    return static_cast<uint32_t>(slots_.size() - 1);
  }
  uint32_t slot = free_.back();
  free_.pop_back();
  return slot;
}

Status Producing::send(uint32_t slot) {
  SourceRecord& record = *slots_[slot];
  rd_kafka_message_t message{};
  message.payload = record.value.data();
  message.len = record.value.size();
  if (record.key) {
    message.key = record.key->data();
    message.key_len = record.key->size();
  }
  // NOLINTNEXTLINE(performance-no-int-to-ptr): a number that librdkafka gives back
  message._private = reinterpret_cast<void*>(sent_++);
  bytes_ += message.len + message.key_len;
  if (log_.wanted()) log_.sent(record.sequence);
  messages_.push_back(message);
  batch_.push_back(slot);
  if (batch_.size() >= kSendBatch) TRY(send_batch());
  return std::ranges::find(options_.pause_at, sent_) != options_.pause_at.end() ? ask_for_pause()
                                                                                : Status();
}

Status Producing::send_batch() {
  // Room first: a record that librdkafka refused would be sent after later ones.
  while (rd_kafka_outq_len(client_.get()) + static_cast<int>(messages_.size()) > kQueueRecordsMax)
    TRY(serve(50));
  int taken = rd_kafka_produce_batch(topic_.get(), RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_COPY,
                                     messages_.data(), static_cast<int>(messages_.size()));
  if (taken != static_cast<int>(messages_.size())) {
    for (const auto& message : messages_) {
      if (message.err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_error(message.err, "sending a record");
    }
  }
  free_.insert(free_.end(), batch_.begin(), batch_.end());
  batch_.clear();
  messages_.clear();
  keep_rate();
  return serve(0);
}

Status Producing::serve(int timeout_ms) {
  while (true) {
    KafkaEvent event(rd_kafka_queue_poll(queue_.get(), timeout_ms));
    if (!event) return {};
    TRY(on_event(event.get()));
    timeout_ms = 0;
  }
}

Status Producing::on_event(rd_kafka_event_t* event) {
  if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR) {
    while (const rd_kafka_message_t* message = rd_kafka_event_message_next(event)) {
      if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        return kafka_error(message->err, "a record was not taken");
      ++acknowledged_;
      if (log_.wanted()) {
        TRY(log_.acknowledged(reinterpret_cast<size_t>(message->_private), message->partition,
                              message->offset));
      }
    }
    told_waiting_ = false;
    return {};
  }
  auto error = rd_kafka_event_error(event);
  if (error == RD_KAFKA_RESP_ERR__FATAL) {
    return Error(Code::io, "the producer cannot go on: {}", rd_kafka_event_error_string(event));
  }
  if (error == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && !std::exchange(told_waiting_, true)) {
    fmt::print(stderr, "\n{} does not answer; trying on for {}\n", options_.kafka,
               options_.timeout_text);
  }
  return {};
}

Status Producing::wait_for_all() {
  while (acknowledged_ < sent_) {
    TRY(serve(50));
    progress_->update(acknowledged_);
  }
  return {};
}

void Producing::keep_rate() {
  if (options_.rate <= 0) return;
  auto due =
      begin_ + std::chrono::duration_cast<SteadyClock::duration>(
                   std::chrono::duration<double>(static_cast<double>(sent_) / options_.rate));
  std::this_thread::sleep_until(due);
}

/// Everything that was sent is acknowledged when the pause file appears.
Status Producing::ask_for_pause() {
  TRY(send_batch());
  TRY(wait_for_all());
  FILE* file = std::fopen(options_.pause_file.c_str(), "we");
  if (file == nullptr) return errno_error(errno, options_.pause_file);
  std::fclose(file);
  pause_while_asked();
  return {};
}

void Producing::pause_while_asked() {
  if (options_.pause_file.empty()) return;
  auto begin = SteadyClock::now();
  while (access(options_.pause_file.c_str(), F_OK) == 0) std::this_thread::sleep_for(kPausePoll);
  auto pause = SteadyClock::now() - begin;
  begin_ += pause;
  progress_->leave_out(pause);
}

Status finish_options(ProduceOptions& options) {
  for (const auto& pair : options.rename) {
    size_t equals = pair.find('=');
    if (equals == std::string::npos || equals == 0) {
      return Error(Code::invalid_argument, "--rename takes old=new, not \"{}\"", pair);
    }
    options.source.rename.emplace_back(pair.substr(0, equals), pair.substr(equals + 1));
  }
  options.disorder.within_us = TRY(parse_duration_ms(options.disorder_text)) * 1000;
  options.disorder.late_by_us = TRY(parse_duration_ms(options.late_text)) * 1000;
  if (!options.pause_at.empty() && options.pause_file.empty()) {
    return Error(Code::invalid_argument, "--pause-at needs --pause-file");
  }
  bool disordered = options.disorder.within_us > 0 || options.disorder.late_fraction > 0;
  if (disordered && options.source.order_by.empty()) {
    return Error(Code::invalid_argument, "--disorder and --late-fraction need --order-by");
  }
  return {};
}

int run_produce(ProduceOptions options) {
  if (auto ready = finish_options(options); !ready)
    return report_error(ready.error(), options.json);
  std::string topic = options.topic;
  bool json = options.json;
  bool quiet = options.quiet;
  Producing producing(std::move(options));
  if (auto done = producing.run(); !done) {
    return report_error(
        std::move(done.error()).context(fmt::format("after {} records", producing.acknowledged())),
        json);
  }
  double rate = static_cast<double>(producing.acknowledged()) / std::max(producing.seconds(), 1e-9);
  if (json) {
    fmt::print(
        "{{\"topic\":\"{}\",\"records\":{},\"bytes\":{},\"seconds\":{:.3f},\"records_per_s\":{:.0f}"
        "}}\n",
        topic, producing.acknowledged(), producing.bytes(), producing.seconds(), rate);
  } else if (!quiet) {
    fmt::print("{} records, {} bytes, {:.2f} s, {} records/s\n",
               with_separators(producing.acknowledged()), with_separators(producing.bytes()),
               producing.seconds(), with_separators(static_cast<uint64_t>(rate)));
  }
  return kExitOk;
}

}  // namespace

void add_produce(CLI::App& app, Run& run) {
  auto options = std::make_shared<ProduceOptions>();
  auto* command = app.add_subcommand(
      "produce", "Send the rows of a file to a topic, as any Kafka client would");
  command->add_option("topic", options->topic, "Topic")->required();
  command->add_option("--file", options->source.file, "File: .parquet, .csv, .json, .jsonl")
      ->required();
  command->add_option("--kafka", options->kafka, "Address of a Kafka door or broker")
      ->capture_default_str();
  command->add_option("--format", options->source.format, "Form of the records")
      ->check(CLI::IsMember({"json", "avro"}))
      ->capture_default_str();
  command->add_option("--key", options->source.key, "Column that becomes the record key");
  command->add_option("--rename", options->rename, "old=new: send a column under another name");
  command->add_option("--seq", options->source.sequence,
                      "Add a first column with this name: the row's number in the file");
  command->add_option("--order-by", options->source.order_by, "Send in order of this time column");
  command
      ->add_option("--disorder", options->disorder_text,
                   "Hold each record back by a random time up to this")
      ->capture_default_str();
  command
      ->add_option("--late-fraction", options->disorder.late_fraction,
                   "Share of records that are far too late")
      ->check(CLI::Range(0.0, 1.0));
  command
      ->add_option("--late-by", options->late_text, "How late those are: from this to twice this")
      ->capture_default_str();
  command->add_option("--seed", options->disorder.seed, "Of the disorder")->capture_default_str();
  command->add_option("--rate", options->rate, "Records per second; 0: as fast as it goes");
  command->add_option("--limit", options->source.limit, "Send only the first N rows");
  command->add_option(
      "--send-log", options->send_log,
      "Write seq, position, partition, offset of each acknowledged record (.csv or .parquet)");
  command->add_option("--pause-file", options->pause_file, "Pause while this file exists");
  command->add_option(
      "--pause-at", options->pause_at,
      "After N records wait until all are acknowledged and make the pause file; may "
      "be given again");
  command->add_option("--compression", options->compression, "none, lz4, zstd, snappy, gzip")
      ->capture_default_str();
  command
      ->add_option("--timeout", options->timeout_text,
                   "Give up when the server does not answer for so long")
      ->capture_default_str();
  command->add_flag("--json", options->json, "Print the outcome as JSON");
  command->add_flag("--quiet", options->quiet, "No progress");
  command->callback([options, &run] { run = [options] { return run_produce(*options); }; });
}

}  // namespace ziwa::app
