#include "log/groups/storage.h"

#include "base/sim_file.h"
#include "base/thread_pool.h"
#include "log/groups/coordinator.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <mutex>

namespace ziwa::groups {
namespace {

constexpr PartitionId kPartition{.topic = ObjectId(0x0102030405060708), .partition = 3};

/// The owner's thread: jobs wait here until run_one() runs them.
class Loop {
 public:
  void post(StoreStorage::Job job) {
    std::lock_guard lock(mutex_);
    jobs_.push_back(std::move(job));
    changed_.notify_one();
  }
  void run_one() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !jobs_.empty(); });
    auto job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<StoreStorage::Job> jobs_;
};

class StorageTest : public testing::Test {
 protected:
  void SetUp() override { open(); }
  void TearDown() override { close(); }

  void open() {
    auto store = state::Store::open(fs_, "meta", {.tables = {"groups"}});
    ASSERT_TRUE(store) << store.error().to_string();
    store_ = std::move(*store);
    pool_ = std::make_unique<ThreadPool>("storage", 2, 100);
    storage_ = std::make_unique<StoreStorage>(
        *store_, StoreStorage::Threads{
                     .background = [this](auto job) { return pool_->submit(std::move(job)); },
                     .owner = [this](auto job) { loop_.post(std::move(job)); }});
    coordinator_ = std::make_unique<Coordinator>(
        clock_, *storage_,
        Coordinator::Options{.group = {.initial_rebalance_delay_ms = 0},
                             .unique_text = [this] { return fmt::format("u{}", ++unique_); }});
    Status loaded = coordinator_->load(*store_);
    ASSERT_TRUE(loaded) << loaded.error().to_string();
  }
  void close() {
    coordinator_.reset();
    storage_.reset();
    pool_.reset();
    store_.reset();
  }
  GroupError commit(const MemberClaim& claim, int64_t offset) {
    std::optional<GroupError> outcome;
    coordinator_->commit(
        claim,
        {{.partition = kPartition, .offset = Offset(offset), .leader_epoch = 2, .metadata = "m"}},
        [&](GroupError error) { outcome = error; });
    while (!outcome) loop_.run_one();
    return *outcome;
  }

  SimFileSystem fs_;
  ManualClock clock_;
  Loop loop_;
  int unique_ = 0;
  std::unique_ptr<state::Store> store_;
  std::unique_ptr<ThreadPool> pool_;
  std::unique_ptr<StoreStorage> storage_;
  std::unique_ptr<Coordinator> coordinator_;
};

TEST_F(StorageTest, AcknowledgedOffsetsSurviveAPowerCut) {
  ASSERT_EQ(commit({.group_id = "g"}, 41), GroupError::none);
  ASSERT_EQ(commit({.group_id = "g"}, 42), GroupError::none);
  fs_.cut_power();
  close();
  open();
  auto offset = coordinator_->offset("g", kPartition);
  ASSERT_TRUE(offset);
  EXPECT_EQ(offset->offset, Offset(42));
  EXPECT_EQ(offset->leader_epoch, 2);
  EXPECT_EQ(offset->metadata, "m");
  EXPECT_EQ(offset->committed, clock_.now());
  EXPECT_EQ(coordinator_->describe("g").state, GroupState::empty);
}

TEST_F(StorageTest, MembersSurviveARestartOfTheServer) {
  JoinRequest join;
  join.group_id = "g";
  join.client_id = "c";
  join.session_timeout_ms = 10'000;
  join.rebalance_timeout_ms = 10'000;
  join.protocol_type = "consumer";
  join.protocols = {{.name = "range", .metadata = "topics"}};
  JoinResult joined;
  coordinator_->join(join, [&](JoinResult result) { joined = std::move(result); });
  SyncRequest sync;
  sync.claim = {.group_id = "g", .generation = joined.generation, .member_id = joined.member_id};
  sync.assignments = {{.member_id = joined.member_id, .assignment = "all"}};
  std::optional<SyncResult> synced;
  coordinator_->sync(sync, [&](SyncResult result) { synced = std::move(result); });
  while (!synced) loop_.run_one();
  fs_.cut_power();
  close();
  open();
  EXPECT_EQ(coordinator_->heartbeat(sync.claim), GroupError::none);
  EXPECT_EQ(commit(sync.claim, 5), GroupError::none);
  auto description = coordinator_->describe("g");
  ASSERT_EQ(description.members.size(), 1u);
  EXPECT_EQ(description.members[0].assignment, "all");
  EXPECT_EQ(description.members[0].metadata, "topics");
  clock_.advance(std::chrono::milliseconds(10'001));
  coordinator_->tick();
  EXPECT_EQ(coordinator_->describe("g").state, GroupState::empty);
}

TEST_F(StorageTest, RemovedGroupsStayRemoved) {
  ASSERT_EQ(commit({.group_id = "g"}, 1), GroupError::none);
  ASSERT_EQ(commit({.group_id = "g2"}, 2), GroupError::none);
  std::optional<GroupError> removed;
  coordinator_->remove("g", [&](GroupError error) { removed = error; });
  while (!removed) loop_.run_one();
  close();
  open();
  EXPECT_FALSE(coordinator_->offset("g", kPartition));
  EXPECT_TRUE(coordinator_->offset("g2", kPartition))
      << "a group whose name begins the same is another group";
}

TEST_F(StorageTest, AFullDiskRefusesTheCommit) {
  ASSERT_EQ(commit({.group_id = "g"}, 1), GroupError::none);
  fs_.set_capacity(1);
  EXPECT_EQ(commit({.group_id = "g"}, 2), GroupError::storage_failed);
  EXPECT_EQ(coordinator_->offset("g", kPartition)->offset, Offset(1));
}

TEST_F(StorageTest, AnswersAfterTheCoordinatorIsGoneReachNobody) {
  bool called = false;
  coordinator_->commit({.group_id = "g"}, {{.partition = kPartition, .offset = Offset(1)}},
                       [&](GroupError) { called = true; });
  coordinator_.reset();
  storage_.reset();
  loop_.run_one();
  EXPECT_FALSE(called);
}

TEST(StoredFormTest, KeysAndValuesAreGolden) {
  GroupOffset offset{.partition = kPartition,
                     .offset = Offset(300),
                     .leader_epoch = -1,
                     .metadata = "x",
                     .committed = TimestampMs(1)};
  EXPECT_EQ(offset_key("ab", kPartition),
            std::string("o\x02"
                        "ab\x01\x02\x03\x04\x05\x06\x07\x08\0\0\0\x03",
                        16));
  EXPECT_EQ(group_key("ab"),
            "g\x02"
            "ab");
  EXPECT_EQ(encode_offset(offset), std::string("\x01\xd8\x04\x01\x02\x01x", 7));
  auto decoded = decode_offset(offset_key("ab", kPartition), encode_offset(offset));
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->first, "ab");
  EXPECT_EQ(decoded->second.partition, kPartition);
  EXPECT_EQ(decoded->second.offset, Offset(300));
  EXPECT_FALSE(decode_offset(offset_key("ab", kPartition), "\x02"));
  EXPECT_FALSE(decode_offset("", encode_offset(offset)));
  EXPECT_FALSE(decode_group_key(""));
  EXPECT_FALSE(
      decode_offset("o\x05"
                    "a",
                    encode_offset(offset)));
}

}  // namespace
}  // namespace ziwa::groups
