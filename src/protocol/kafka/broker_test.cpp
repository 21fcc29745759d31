#include "protocol/kafka/broker.h"

#include "base/sim_file.h"
#include "log/groups/storage.h"
#include "log/record_batch.h"
#include "protocol/kafka/api_table.h"
#include "protocol/kafka/messages/api_versions.h"
#include "protocol/kafka/messages/create_topics.h"
#include "protocol/kafka/messages/delete_records.h"
#include "protocol/kafka/messages/delete_topics.h"
#include "protocol/kafka/messages/describe_configs.h"
#include "protocol/kafka/messages/fetch.h"
#include "protocol/kafka/messages/find_coordinator.h"
#include "protocol/kafka/messages/init_producer_id.h"
#include "protocol/kafka/messages/list_offsets.h"
#include "protocol/kafka/messages/metadata.h"
#include "protocol/kafka/messages/offset_commit.h"
#include "protocol/kafka/messages/offset_fetch.h"
#include "protocol/kafka/messages/produce.h"
#include "protocol/kafka/testing/served_data.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <thread>

namespace ziwa::kafka {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A loop that the test turns: posted jobs run in run_until(); background jobs run at once; timers
/// by the manual clock.
class TestLoop final : public Loop {
 public:
  explicit TestLoop(ManualClock& clock) : clock_(clock) {}
  void post(Job job) override {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    changed_.notify_one();
  }
  void background(Job job) override { job(); }
  std::shared_ptr<void> after(int64_t ms, Job job) override {
    const uint64_t id = ++last_timer_;
    timers_.emplace(id, std::pair(clock_.now().value + ms, std::move(job)));
    return std::shared_ptr<void>(this, [this, id](void*) { timers_.erase(id); });
  }
  /// Runs posted jobs until `done`, waiting for other threads.
  template <typename Done>
  void run_until(Done done) {
    while (!done()) {
      std::unique_lock lock(mutex_);
      ASSERT_TRUE(changed_.wait_for(lock, std::chrono::seconds(10), [&] { return !jobs_.empty(); }))
          << "nothing happens";
      Job job = std::move(jobs_.front());
      jobs_.pop_front();
      lock.unlock();
      job();
    }
  }
  /// Turns the clock, firing timers that are due.
  void pass(int64_t ms) {
    clock_.advance(milliseconds(ms));
    std::vector<Job> due;
    for (auto& [id, timer] : timers_) {
      if (timer.first <= clock_.now().value) due.push_back(std::move(timer.second));
    }
    for (auto& job : due) {
      if (job) job();
    }
  }
  void drop_timers() {
    auto timers = std::exchange(timers_, {});  // A dropped job may cancel timers of its own.
  }

 private:
  ManualClock& clock_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::map<uint64_t, std::pair<int64_t, Job>> timers_;
  uint64_t last_timer_ = 0;
};

class BrokerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    Status opened = data_.open("data");
    ASSERT_TRUE(opened) << opened.error().to_string();
    make_broker({});
  }
  void TearDown() override {
    loop_->drop_timers();
    broker_.reset();
    data_.close();
  }
  void make_broker(BrokerOptions options) {
    options.port = 9092;
    auto storage = std::make_unique<groups::StoreStorage>(
        data_.store(), groups::StoreStorage::Threads{
                           .background = [](Loop::Job job) -> Status {
                             job();
                             return {};
                           },
                           .owner = [this](Loop::Job job) { loop_->post(std::move(job)); }});
    broker_ = std::make_shared<Broker>(
        Broker::Parts{.log = data_.log(),
                      .catalog = data_.catalog(),
                      .group_storage = std::move(storage),
                      .clock = clock_,
                      .metrics = data_.metrics(),
                      .loop = loop_},
        options, groups::Coordinator::Options{.unique_text = [] { return "u"; }});
  }

  /// Sends `request`; the outcome appears in the returned place.
  template <typename RequestMessage>
  std::shared_ptr<std::optional<Outcome>> send(const RequestMessage& request, int16_t version) {
    Encoder out(version >= RequestMessage::kFlexibleFrom);
    request.encode(out, version);
    auto frame = std::make_shared<Frame>();
    frame->resize(out.view().size());
    std::ranges::copy(out.view(), frame->bytes.get());
    Request raw;
    raw.frame = frame;
    raw.header = {.api_key = RequestMessage::kApiKey,
                  .api_version = version,
                  .correlation_id = 7,
                  .client_id = "me"};
    raw.body = raw.frame->view();
    auto place = std::make_shared<std::optional<Outcome>>();
    broker_->handle(std::move(raw), "/127.0.0.1",
                    [place](Outcome outcome) { *place = std::move(outcome); });
    return place;
  }
  template <typename ResponseMessage>
  static ResponseMessage decode(const Outcome& outcome, int16_t version) {
    const bool flexible = version >= ResponseMessage::kFlexibleFrom;
    Decoder in(outcome.response, flexible);
    EXPECT_EQ(in.number<int32_t>(), static_cast<int32_t>(outcome.response.size() - 4));
    EXPECT_EQ(in.number<int32_t>(), 7);
    if (ResponseMessage::kApiKey != kApiVersionsKey) in.skip_tags();
    ResponseMessage response;
    response.decode(in, version);
    Status status = in.status(ResponseMessage::kName);
    EXPECT_TRUE(status) << status.error().to_string() << outcome.close_reason;
    return response;
  }
  template <typename ResponseMessage, typename RequestMessage>
  ResponseMessage ask(const RequestMessage& request, int16_t version) {
    auto outcome = send(request, version);
    loop_->run_until([&] { return outcome->has_value(); });
    if (!*outcome) return {};
    return decode<ResponseMessage>(**outcome, version);
  }

  int16_t create(const std::string& name, int32_t partitions = 1) {
    CreateTopicsRequest request;
    request.topics.push_back({.name = name, .num_partitions = partitions, .replication_factor = 1});
    return ask<CreateTopicsResponse>(request, 5).topics.at(0).error_code;
  }
  static Bytes batch(const std::vector<std::string>& values, int64_t time_ms = 1000,
                     int64_t producer_id = -1, int16_t epoch = -1, int32_t sequence = -1,
                     int16_t attributes = 0) {
    std::vector<log::NewRecord> records;
    for (const auto& value : values)
      records.push_back({.timestamp = TimestampMs(time_ms++), .value = as_bytes(value)});
    return log::encode_batch(records, producer_id, epoch, sequence, attributes);
  }
  static ProduceRequest produce(const std::string& topic, int32_t partition, const Bytes& records,
                                int16_t acks = -1) {
    ProduceRequest request;
    request.acks = acks;
    auto& data = request.topic_data.emplace_back();
    data.name = topic;
    data.partition_data.push_back({.index = partition, .records = BlobView(records)});
    return request;
  }
  ProduceResponse::TopicProduceResponse::PartitionProduceResponse append(const std::string& topic,
                                                                         const Bytes& records,
                                                                         int32_t partition = 0) {
    return ask<ProduceResponse>(produce(topic, partition, records), 9)
        .responses.at(0)
        .partition_responses.at(0);
  }
  static FetchRequest fetch(std::string_view topic, int64_t offset, int32_t max_wait_ms = 0,
                            int32_t min_bytes = 1) {
    FetchRequest request;
    request.max_wait_ms = max_wait_ms;
    request.min_bytes = min_bytes;
    request.max_bytes = 1 << 20;
    auto& asked = request.topics.emplace_back();
    asked.topic = topic;
    asked.partitions.push_back(
        {.partition = 0, .fetch_offset = offset, .partition_max_bytes = 1 << 20});
    return request;
  }
  static std::vector<std::string> values(const FetchResponse& response) {
    std::vector<std::string> result;
    ByteView rest = *response.responses.at(0).partitions.at(0).records;
    while (!rest.empty()) {
      auto header = log::parse_batch_header(rest);
      if (!header) break;
      std::vector<log::RecordView> records;
      Bytes buffer;
      EXPECT_TRUE(log::read_records(rest.first(header->total_bytes()), records, buffer));
      for (const auto& record : records) result.emplace_back(as_text(record.value));
      rest = rest.subspan(header->total_bytes());
    }
    return result;
  }

  SimFileSystem fs_;
  ManualClock clock_;
  testing::ServedData data_{fs_, clock_};
  std::shared_ptr<TestLoop> loop_ = std::make_shared<TestLoop>(clock_);
  std::shared_ptr<Broker> broker_;
};

TEST_F(BrokerTest, ApiVersionsIsAnsweredInEveryVersion) {
  auto known = ask<ApiVersionsResponse>(ApiVersionsRequest{}, 3);
  EXPECT_EQ(known.error_code, 0);
  EXPECT_EQ(known.api_keys.size(), api_table().size());
  auto outcome = send(ApiVersionsRequest{}, 42);
  ASSERT_TRUE(*outcome);
  auto unknown = decode<ApiVersionsResponse>(**outcome, 0);
  EXPECT_EQ(unknown.error_code, wire(ErrorCode::unsupported_version));
  EXPECT_EQ(unknown.api_keys, known.api_keys);
}

TEST_F(BrokerTest, UnservedApisAndVersionsAndMalformedBodiesEndTheConnection) {
  EXPECT_THAT((*send(MetadataRequest{}, 14))->close_reason,
              HasSubstr("Metadata version 14 is not served"));
  ProduceRequest old;
  EXPECT_THAT((*send(old, 2))->close_reason, HasSubstr("Produce version 2 is not served"));
  Request raw;
  raw.frame = std::make_shared<Frame>();
  raw.header.api_key = 999;
  std::string reason;
  broker_->handle(raw, "", [&](Outcome outcome) { reason = outcome.close_reason; });
  EXPECT_EQ(reason, "API 999 is not spoken here");
  raw.header = {.api_key = 3, .api_version = 1};
  broker_->handle(raw, "", [&](Outcome outcome) { reason = outcome.close_reason; });
  EXPECT_THAT(reason, HasSubstr("malformed Metadata"));
}

TEST_F(BrokerTest, WhatIsProducedIsFetched) {
  ASSERT_EQ(create("t"), 0);
  EXPECT_EQ(append("t", batch({"a", "b"})).base_offset, 0);
  EXPECT_EQ(append("t", batch({"c"})).base_offset, 2);
  auto response = ask<FetchResponse>(fetch("t", 0), 12);
  EXPECT_THAT(values(response), ElementsAre("a", "b", "c"));
  EXPECT_EQ(response.session_id, 0);
  EXPECT_EQ(response.responses[0].partitions[0].high_watermark, 3);
  EXPECT_THAT(values(ask<FetchResponse>(fetch("t", 2), 4)), ElementsAre("c"));
}

TEST_F(BrokerTest, TopicIdsNameTopicsInNewVersions) {
  ASSERT_EQ(create("t"), 0);
  MetadataRequest metadata;
  metadata.topics.emplace().push_back({.name = "t"});
  const Uuid id = ask<MetadataResponse>(metadata, 12).topics.at(0).topic_id;
  ASSERT_FALSE(id.is_zero());
  Bytes records = batch({"a"});
  ProduceRequest by_id = produce("", 0, records);
  by_id.topic_data[0].topic_id = id;
  EXPECT_EQ(ask<ProduceResponse>(by_id, 13).responses[0].partition_responses[0].error_code, 0);
  FetchRequest request = fetch("", 0);
  request.topics[0].topic_id = id;
  EXPECT_THAT(values(ask<FetchResponse>(request, 17)), ElementsAre("a"));

  DeleteTopicsRequest drop;
  drop.topics.push_back({.topic_id = id});
  EXPECT_EQ(ask<DeleteTopicsResponse>(drop, 6).responses[0].error_code, 0);
  ASSERT_EQ(create("t"), 0);
  EXPECT_NE(ask<MetadataResponse>(metadata, 12).topics.at(0).topic_id, id)
      << "a topic made again is another";
  EXPECT_EQ(ask<FetchResponse>(request, 17).responses[0].partitions[0].error_code,
            wire(ErrorCode::unknown_topic_id));
}

TEST_F(BrokerTest, RefusesBatchesThatCannotBeKept) {
  ASSERT_EQ(create("t"), 0);
  Bytes bad_crc = batch({"a"});
  bad_crc.back() ^= std::byte{1};
  EXPECT_EQ(append("t", bad_crc).error_code, wire(ErrorCode::corrupt_message));
  Bytes two = batch({"a"});
  Bytes second = batch({"b"});
  two.insert(two.end(), second.begin(), second.end());
  EXPECT_EQ(append("t", two).error_code, wire(ErrorCode::invalid_record));
  Bytes cut = batch({"abc"});
  cut.resize(cut.size() - 2);
  EXPECT_EQ(append("t", cut).error_code, wire(ErrorCode::corrupt_message));
  EXPECT_EQ(append("t", {}).error_code, wire(ErrorCode::corrupt_message));
  EXPECT_EQ(append("t", batch({std::string(2 << 20, 'x')})).error_code,
            wire(ErrorCode::message_too_large));
  EXPECT_EQ(append("nope", batch({"a"})).error_code, wire(ErrorCode::unknown_topic_or_partition));
  EXPECT_EQ(append("t", batch({"a"}), 1).error_code, wire(ErrorCode::unknown_topic_or_partition));
  Bytes good = batch({"a"});
  EXPECT_EQ(ask<ProduceResponse>(produce("t", 0, good, 2), 9)
                .responses[0]
                .partition_responses[0]
                .error_code,
            wire(ErrorCode::invalid_required_acks));
  EXPECT_EQ(append("t", good).base_offset, 0) << "nothing of the above was kept";
}

TEST_F(BrokerTest, ARepeatedBatchIsKeptOnceAndAGapIsRefused) {
  ASSERT_EQ(create("t"), 0);
  InitProducerIdRequest init;
  auto producer = ask<InitProducerIdResponse>(init, 4);
  ASSERT_EQ(producer.error_code, 0);
  auto numbered = [&](int32_t sequence) {
    return batch({"x"}, 1000, producer.producer_id, producer.producer_epoch, sequence);
  };
  EXPECT_EQ(append("t", numbered(0)).base_offset, 0);
  EXPECT_EQ(append("t", numbered(1)).base_offset, 1);
  EXPECT_EQ(append("t", numbered(1)).base_offset, 1);
  EXPECT_EQ(append("t", numbered(5)).error_code, wire(ErrorCode::out_of_order_sequence_number));
  EXPECT_EQ(values(ask<FetchResponse>(fetch("t", 0), 11)).size(), 2u);
}

TEST_F(BrokerTest, ClientTransactionsAreRefusedClearly) {
  ASSERT_EQ(create("t"), 0);
  InitProducerIdRequest init;
  init.transactional_id = "tx";
  EXPECT_EQ(ask<InitProducerIdResponse>(init, 4).error_code,
            wire(ErrorCode::transactional_id_authorization_failed));
  FindCoordinatorRequest find;
  find.key = "tx";
  find.key_type = 1;
  auto found = ask<FindCoordinatorResponse>(find, 3);
  EXPECT_EQ(found.error_code, wire(ErrorCode::transactional_id_authorization_failed));
  EXPECT_THAT(found.error_message.value_or(""), HasSubstr("transactions"));
  EXPECT_EQ(append("t", batch({"a"}, 1000, 1, 0, 0, 0x10)).error_code,
            wire(ErrorCode::transactional_id_authorization_failed));
}

TEST_F(BrokerTest, AcksZeroIsNotAnsweredAndARefusalEndsTheConnection) {
  ASSERT_EQ(create("t"), 0);
  Bytes records = batch({"a"});
  auto silent = send(produce("t", 0, records, 0), 9);
  loop_->run_until([&] { return silent->has_value(); });
  EXPECT_TRUE((*silent)->response.empty());
  EXPECT_EQ((*silent)->close_reason, "");
  EXPECT_THAT(values(ask<FetchResponse>(fetch("t", 0), 11)), ElementsAre("a"));
  auto refused = send(produce("nope", 0, records, 0), 9);
  loop_->run_until([&] { return refused->has_value(); });
  EXPECT_THAT((*refused)->close_reason, HasSubstr("no such topic"));
}

TEST_F(BrokerTest, AFetchWaitsForDataOrForItsTime) {
  ASSERT_EQ(create("t"), 0);
  auto at_once = send(fetch("t", 0, 500, 0), 11);  // No bytes are wanted, so none are waited for.
  loop_->run_until([&] { return at_once->has_value(); });
  auto waiting = send(fetch("t", 0, 500), 11);
  auto expiring = send(fetch("t", 0, 500, 100'000), 11);
  loop_->pass(400);
  EXPECT_FALSE(*waiting);
  append("t", batch({"a"}));
  loop_->run_until([&] { return waiting->has_value(); });
  EXPECT_THAT(values(decode<FetchResponse>(**waiting, 11)), ElementsAre("a"));
  EXPECT_FALSE(*expiring) << "it wants 100,000 bytes";
  loop_->run_until([&] {
    loop_->pass(100);
    loop_->post([] {});
    return expiring->has_value();
  });
  EXPECT_THAT(values(decode<FetchResponse>(**expiring, 11)), ElementsAre("a"));
}

TEST_F(BrokerTest, FetchSaysWhatIsWrongWithAPartition) {
  ASSERT_EQ(create("t"), 0);
  append("t", batch({"a"}));
  auto code = [&](const FetchRequest& request) {
    return ask<FetchResponse>(request, 12).responses.at(0).partitions.at(0).error_code;
  };
  EXPECT_EQ(code(fetch("t", 5, 60'000)), wire(ErrorCode::offset_out_of_range));
  EXPECT_EQ(code(fetch("nope", 0, 60'000)), wire(ErrorCode::unknown_topic_or_partition));
  FetchRequest other = fetch("t", 0);
  other.topics[0].partitions[0].partition = 9;
  EXPECT_EQ(code(other), wire(ErrorCode::unknown_topic_or_partition));
  FetchRequest session = fetch("t", 0);
  session.session_id = 5;
  EXPECT_EQ(ask<FetchResponse>(session, 12).error_code,
            wire(ErrorCode::fetch_session_id_not_found));
}

TEST_F(BrokerTest, ListOffsetsFindsTheEndsAndTimes) {
  ASSERT_EQ(create("t"), 0);
  append("t", batch({"a", "b", "c"}, 1000));
  append("t", batch({"d"}, 5000));
  append("t", batch({"e"}, 3000));
  auto at = [&](int64_t timestamp) {
    ListOffsetsRequest request;
    auto& topic = request.topics.emplace_back();
    topic.name = "t";
    topic.partitions.push_back({.partition_index = 0, .timestamp = timestamp});
    auto found = ask<ListOffsetsResponse>(request, 9).topics.at(0).partitions.at(0);
    EXPECT_EQ(found.error_code, 0);
    return std::pair(found.offset, found.timestamp);
  };
  EXPECT_EQ(at(-1), std::pair(int64_t{5}, int64_t{-1}));
  EXPECT_EQ(at(-2), std::pair(int64_t{0}, int64_t{-1}));
  EXPECT_EQ(at(-3), std::pair(int64_t{3}, int64_t{5000}));
  EXPECT_EQ(at(0), std::pair(int64_t{0}, int64_t{1000}));
  EXPECT_EQ(at(1001), std::pair(int64_t{1}, int64_t{1001}));
  EXPECT_EQ(at(2000), std::pair(int64_t{3}, int64_t{5000}));
  EXPECT_EQ(at(5001), std::pair(int64_t{-1}, int64_t{-1}));
}

TEST_F(BrokerTest, TopicsAreMadeAsTheClientSaysOrRefused) {
  CreateTopicsRequest request;
  auto one = [&](CreateTopicsRequest::CreatableTopic topic) {
    request.topics = {std::move(topic)};
    return ask<CreateTopicsResponse>(request, 7).topics.at(0);
  };
  EXPECT_EQ(one({.name = "bad name", .num_partitions = 1, .replication_factor = 1}).error_code,
            wire(ErrorCode::invalid_topic_exception));
  EXPECT_EQ(one({.name = "ziwa.views", .num_partitions = 1, .replication_factor = 1}).error_code,
            wire(ErrorCode::invalid_topic_exception));
  auto replicated = one({.name = "t", .num_partitions = 1, .replication_factor = 3});
  EXPECT_EQ(replicated.error_code, wire(ErrorCode::invalid_replication_factor));
  EXPECT_THAT(replicated.error_message.value_or(""), HasSubstr("use 1 or -1"));
  EXPECT_EQ(one({.name = "t", .num_partitions = 0, .replication_factor = 1}).error_code,
            wire(ErrorCode::invalid_partitions));
  EXPECT_EQ(one({.name = "t",
                 .num_partitions = 1,
                 .replication_factor = 1,
                 .configs = {{.name = "cleanup.policy", .value = "compact"}}})
                .error_code,
            wire(ErrorCode::invalid_config));
  EXPECT_EQ(one({.name = "t",
                 .num_partitions = 1,
                 .replication_factor = 1,
                 .configs = {{.name = "retention.ms", .value = "soon"}}})
                .error_code,
            wire(ErrorCode::invalid_config));
  request.validate_only = true;
  EXPECT_EQ(one({.name = "t", .num_partitions = 1, .replication_factor = 1}).error_code, 0);
  request.validate_only = false;
  auto made = one({.name = "t",
                   .num_partitions = 3,
                   .replication_factor = -1,
                   .configs = {{.name = "retention.ms", .value = "1000"}}});
  EXPECT_EQ(made.error_code, 0);
  EXPECT_EQ(made.num_partitions, 3);
  EXPECT_EQ(one({.name = "t", .num_partitions = 1, .replication_factor = 1}).error_code,
            wire(ErrorCode::topic_already_exists));

  auto object = data_.catalog().snapshot()->find("public", "t");
  ASSERT_TRUE(object);
  EXPECT_EQ(object->topic().format, "raw");
  EXPECT_EQ(object->topic().retention_ms, 1000);

  DescribeConfigsRequest describe;
  describe.resources.push_back(
      {.resource_type = 2,
       .resource_name = "t",
       .configuration_keys = std::vector<std::string_view>{"retention.ms"}});
  auto configs = ask<DescribeConfigsResponse>(describe, 4).results.at(0).configs;
  ASSERT_EQ(configs.size(), 1u);
  EXPECT_EQ(configs[0].value, "1000");
  EXPECT_EQ(configs[0].config_source, 1);
}

TEST_F(BrokerTest, UnknownTopicsAreMadeOnlyWhenSettingAndClientWantIt) {
  MetadataRequest request;
  request.topics.emplace().push_back({.name = "auto"});
  EXPECT_EQ(ask<MetadataResponse>(request, 9).topics.at(0).error_code,
            wire(ErrorCode::unknown_topic_or_partition));
  make_broker({.default_partitions = 2, .auto_create_topics = true});
  request.allow_auto_topic_creation = false;
  EXPECT_EQ(ask<MetadataResponse>(request, 9).topics.at(0).error_code,
            wire(ErrorCode::unknown_topic_or_partition));
  request.allow_auto_topic_creation = true;
  auto made = ask<MetadataResponse>(request, 9).topics.at(0);
  EXPECT_EQ(made.error_code, 0);
  EXPECT_EQ(made.partitions.size(), 2u);
  MetadataRequest all;
  EXPECT_EQ(ask<MetadataResponse>(all, 12).topics.size(), 1u);
  all.topics.emplace();
  EXPECT_EQ(ask<MetadataResponse>(all, 12).topics.size(), 0u) << "an empty list asks for none";
  EXPECT_EQ(ask<MetadataResponse>(all, 0).topics.size(), 1u) << "but for all in version 0";
}

TEST_F(BrokerTest, ATopicThatOthersNeedIsNotDropped) {
  ASSERT_EQ(create("t"), 0);
  const ObjectId id = data_.catalog().snapshot()->find("public", "t")->id;
  auto committed = data_.catalog().commit([&](catalog::Transaction& transaction) -> Status {
    catalog::Object view;
    view.name = "v";
    view.depends_on = {id};
    view.definition = catalog::ViewDefinition{.query = "SELECT 1"};
    TRY(transaction.create(view));
    return {};
  });
  ASSERT_TRUE(committed) << committed.error().to_string();
  DeleteTopicsRequest request;
  request.topic_names = {"t", "v", "nope"};
  auto answers = ask<DeleteTopicsResponse>(request, 5).responses;
  EXPECT_EQ(answers.at(0).error_code, wire(ErrorCode::policy_violation));
  EXPECT_THAT(answers.at(0).error_message.value_or(""), HasSubstr("v"));
  EXPECT_EQ(answers.at(1).error_code, wire(ErrorCode::unknown_topic_or_partition))
      << "a view is not a topic";
  EXPECT_EQ(answers.at(2).error_code, wire(ErrorCode::unknown_topic_or_partition));
}

TEST_F(BrokerTest, OffsetsAreCommittedAndFetchedByNameAndById) {
  ASSERT_EQ(create("t"), 0);
  OffsetCommitRequest commit;
  commit.group_id = "g";
  auto& topic = commit.topics.emplace_back();
  topic.name = "t";
  topic.partitions.push_back(
      {.partition_index = 0, .committed_offset = 5, .committed_metadata = "m"});
  topic.partitions.push_back({.partition_index = 8, .committed_offset = 5});
  auto committed = ask<OffsetCommitResponse>(commit, 8).topics.at(0).partitions;
  EXPECT_EQ(committed.at(0).error_code, 0);
  EXPECT_EQ(committed.at(1).error_code, wire(ErrorCode::unknown_topic_or_partition));

  OffsetFetchRequest old;
  old.group_id = "g";
  auto one = ask<OffsetFetchResponse>(old, 5).topics;
  ASSERT_EQ(one.size(), 1u) << "null asks for all";
  EXPECT_EQ(one[0].name, "t");
  EXPECT_EQ(one[0].partitions.at(0).committed_offset, 5);
  EXPECT_EQ(one[0].partitions.at(0).metadata, "m");

  OffsetFetchRequest fresh;
  auto& group = fresh.groups.emplace_back();
  group.group_id = "g";
  const ObjectId id = data_.catalog().snapshot()->find("public", "t")->id;
  group.topics.emplace().push_back(
      {.topic_id = broker_->topic_ids().of(id), .partition_indexes = {0, 1}});
  auto by_id = ask<OffsetFetchResponse>(fresh, 10).groups.at(0).topics.at(0).partitions;
  EXPECT_EQ(by_id.at(0).committed_offset, 5);
  EXPECT_EQ(by_id.at(1).committed_offset, -1);

  DeleteTopicsRequest drop;
  drop.topic_names = {"t"};
  ask<DeleteTopicsResponse>(drop, 5);
  ASSERT_EQ(create("t"), 0);
  EXPECT_TRUE(ask<OffsetFetchResponse>(old, 5).topics.empty())
      << "the new topic starts without offsets";
}

TEST_F(BrokerTest, RecordsAreDeletedUpToAnOffset) {
  ASSERT_EQ(create("t"), 0);
  append("t", batch({"a", "b", "c"}));
  DeleteRecordsRequest request;
  auto& topic = request.topics.emplace_back();
  topic.name = "t";
  topic.partitions.push_back({.partition_index = 0, .offset = 9});
  EXPECT_EQ(ask<DeleteRecordsResponse>(request, 2).topics[0].partitions[0].error_code,
            wire(ErrorCode::offset_out_of_range));
  request.topics[0].partitions[0].offset = -1;
  auto deleted = ask<DeleteRecordsResponse>(request, 2).topics[0].partitions[0];
  EXPECT_EQ(deleted.error_code, 0);
  EXPECT_EQ(deleted.low_watermark, 3);
  EXPECT_EQ(ask<FetchResponse>(fetch("t", 0), 11).responses[0].partitions[0].error_code,
            wire(ErrorCode::offset_out_of_range));
}

}  // namespace
}  // namespace ziwa::kafka
