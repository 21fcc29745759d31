#include "log/groups/coordinator.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>

namespace ziwa::groups {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr PartitionId kPartition{.topic = ObjectId(7), .partition = 0};

/// Keeps what it is given in a map, and answers when it is told to.
class MapStorage final : public Storage {
 public:
  void write(Changes changes, std::move_only_function<void(Status)> done) override {
    waiting_.emplace_back(std::move(changes), std::move(done));
  }
  void settle(Status outcome = {}) {
    while (!waiting_.empty()) {
      auto [changes, done] = std::move(waiting_.front());
      waiting_.pop_front();
      if (outcome) apply(changes);
      done(outcome);
    }
  }
  std::map<std::string, std::string> rows;

 private:
  void apply(const Changes& changes) {
    for (const auto& prefix : changes.prefix_removes) {
      std::erase_if(rows, [&](const auto& row) { return row.first.starts_with(prefix); });
    }
    for (const auto& key : changes.removes) rows.erase(key);
    for (const auto& [key, value] : changes.puts) rows[key] = value;
  }
  std::deque<std::pair<Changes, std::move_only_function<void(Status)>>> waiting_;
};

class CoordinatorTest : public testing::Test {
 protected:
  CoordinatorTest() {
    options_.unique_text = [this] { return fmt::format("u{}", ++unique_); };
    options_.group.members_max = 3;
    coordinator_ = std::make_unique<Coordinator>(clock_, storage_, options_);
  }

  JoinRequest request(const std::string& member_id = "", const std::string& protocol = "range") {
    JoinRequest join;
    join.group_id = "g";
    join.member_id = member_id;
    join.client_id = "client";
    join.session_timeout_ms = 10'000;
    join.rebalance_timeout_ms = 30'000;
    join.protocol_type = "consumer";
    join.protocols = {{.name = protocol, .metadata = "topics of " + protocol}};
    return join;
  }

  /// The answer appears in the returned place when it is given.
  std::shared_ptr<std::optional<JoinResult>> join(JoinRequest join) {
    auto place = std::make_shared<std::optional<JoinResult>>();
    coordinator_->join(std::move(join), [place](JoinResult result) { *place = std::move(result); });
    return place;
  }
  std::shared_ptr<std::optional<SyncResult>> sync(
      const JoinResult& joined, std::vector<SyncRequest::Assignment> assignments = {}) {
    SyncRequest request;
    request.claim = claim(joined);
    request.assignments = std::move(assignments);
    auto place = std::make_shared<std::optional<SyncResult>>();
    coordinator_->sync(std::move(request),
                       [place](SyncResult result) { *place = std::move(result); });
    storage_.settle();
    return place;
  }
  static MemberClaim claim(const JoinResult& joined) {
    return {.group_id = "g", .generation = joined.generation, .member_id = joined.member_id};
  }
  void pass(int64_t ms) {
    for (; ms > 0; ms -= 50) {
      clock_.advance(milliseconds(std::min<int64_t>(ms, 50)));
      coordinator_->tick();
    }
    storage_.settle();
  }
  GroupError commit(const MemberClaim& claim, int64_t offset) {
    GroupError outcome = GroupError::storage_failed;
    coordinator_->commit(claim,
                         {{.partition = kPartition, .offset = Offset(offset), .metadata = "m"}},
                         [&](GroupError error) { outcome = error; });
    storage_.settle();
    return outcome;
  }
  /// One member, joined and synced.
  JoinResult stable_member() {
    auto joined = join(request());
    pass(100);
    EXPECT_TRUE(*joined);
    sync(**joined, {{.member_id = (*joined)->member_id, .assignment = "all"}});
    EXPECT_EQ(coordinator_->describe("g").state, GroupState::stable);
    return **joined;
  }

  ManualClock clock_;
  MapStorage storage_;
  Coordinator::Options options_;
  int unique_ = 0;
  std::unique_ptr<Coordinator> coordinator_;
};

TEST_F(CoordinatorTest, FirstMembersJoinTogetherAfterTheInitialDelay) {
  auto first = join(request());
  pass(50);
  auto second = join(request());
  pass(50);
  EXPECT_FALSE(*first) << "the second member started the wait anew";
  pass(50);
  ASSERT_TRUE(*first && *second);
  EXPECT_EQ((*first)->generation, 1);
  EXPECT_EQ((*second)->generation, 1);
  EXPECT_EQ((*first)->leader_id, (*first)->member_id);
  EXPECT_THAT((*first)->members, SizeIs(2));
  EXPECT_THAT((*second)->members, IsEmpty());
  EXPECT_EQ((*second)->protocol_name, "range");

  auto waiting = sync(**second);
  EXPECT_FALSE(*waiting) << "a follower waits for the leader";
  auto leader = sync(**first, {{.member_id = (*first)->member_id, .assignment = "0"},
                               {.member_id = (*second)->member_id, .assignment = "1"}});
  ASSERT_TRUE(*leader && *waiting);
  EXPECT_EQ((*leader)->assignment, "0");
  EXPECT_EQ((*waiting)->assignment, "1");
  EXPECT_EQ(coordinator_->heartbeat(claim(**second)), GroupError::none);
}

TEST_F(CoordinatorTest, AskedForItGivesAMemberIdFirst) {
  JoinRequest first = request();
  first.require_member_id = true;
  auto answer = join(first);
  ASSERT_TRUE(*answer);
  EXPECT_EQ((*answer)->error, GroupError::member_id_required);
  first.member_id = (*answer)->member_id;
  auto joined = join(first);
  pass(100);
  ASSERT_TRUE(*joined);
  EXPECT_EQ((*joined)->error, GroupError::none);
  EXPECT_EQ((*joined)->member_id, first.member_id);
}

TEST_F(CoordinatorTest, AMemberIdThatIsNeverUsedDoesNotHoldTheGroupUp) {
  JoinRequest ghost = request();
  ghost.require_member_id = true;
  join(ghost);
  auto joined = join(request());
  pass(5'000);
  EXPECT_FALSE(*joined);
  pass(5'100);
  ASSERT_TRUE(*joined);
  EXPECT_EQ((*joined)->error, GroupError::none);
}

TEST_F(CoordinatorTest, AJoinMovesEveryoneToTheNextGeneration) {
  JoinResult old = stable_member();
  auto second = join(request());
  EXPECT_FALSE(*second);
  EXPECT_EQ(coordinator_->heartbeat(claim(old)), GroupError::rebalance_in_progress);
  EXPECT_EQ(commit(claim(old), 5), GroupError::none)
      << "the old generation may still commit what it read";
  auto again = join(request(old.member_id));
  ASSERT_TRUE(*second && *again);
  EXPECT_EQ((*second)->generation, old.generation + 1);
  EXPECT_EQ(commit(claim(old), 6), GroupError::illegal_generation);
  EXPECT_EQ(coordinator_->heartbeat(claim(old)), GroupError::illegal_generation);
  EXPECT_EQ(commit(claim(**again), 6), GroupError::rebalance_in_progress);
  auto stale = sync(old);
  ASSERT_TRUE(*stale);
  EXPECT_EQ((*stale)->error, GroupError::illegal_generation);
  EXPECT_EQ(coordinator_->offset("g", kPartition)->offset, Offset(5));
}

TEST_F(CoordinatorTest, AMemberThatDoesNotRejoinInTimeIsOut) {
  JoinResult old = stable_member();
  auto second = join(request());
  for (int i = 0; i < 6; ++i) {
    pass(5'000);
    coordinator_->heartbeat(claim(old));  // Alive, but it does not join.
  }
  pass(100);
  ASSERT_TRUE(*second);
  EXPECT_EQ((*second)->error, GroupError::none);
  EXPECT_THAT((*second)->members, SizeIs(1));
  EXPECT_EQ(coordinator_->heartbeat(claim(old)), GroupError::unknown_member);
}

TEST_F(CoordinatorTest, ASilentMemberIsOutAfterItsSessionAndTheOthersRebalance) {
  JoinResult first = stable_member();
  auto second = join(request());
  auto first_again = join(request(first.member_id));
  sync(**second);
  sync(**first_again, {});
  pass(9'000);
  EXPECT_EQ(coordinator_->heartbeat(claim(**first_again)), GroupError::none);
  pass(1'100);  // The second one has said nothing for 10 s.
  EXPECT_EQ(coordinator_->heartbeat(claim(**first_again)), GroupError::rebalance_in_progress);
  auto alone = join(request(first.member_id));
  ASSERT_TRUE(*alone);
  EXPECT_THAT((*alone)->members, SizeIs(1));
  pass(20'000);
  EXPECT_EQ(coordinator_->describe("g").state, GroupState::empty);
  EXPECT_FALSE(coordinator_->busy());
}

TEST_F(CoordinatorTest, ALeaderThatNeverSyncsIsReplaced) {
  auto first = join(request());
  auto second = join(request());
  pass(100);
  auto waiting = sync(**second);
  for (int i = 0; i < 6; ++i) {
    pass(5'000);
    coordinator_->heartbeat(claim(**first));
  }
  pass(100);
  ASSERT_TRUE(*waiting);
  EXPECT_EQ((*waiting)->error, GroupError::rebalance_in_progress);
  auto again = join(request((*second)->member_id));
  ASSERT_TRUE(*again);
  EXPECT_EQ((*again)->leader_id, (*second)->member_id);
}

TEST_F(CoordinatorTest, LeavingRebalancesAtOnce) {
  JoinResult member = stable_member();
  EXPECT_THAT(coordinator_->leave("g", {{.member_id = member.member_id}, {.member_id = "nobody"}}),
              ElementsAre(GroupError::none, GroupError::unknown_member));
  EXPECT_EQ(coordinator_->describe("g").state, GroupState::empty);
  EXPECT_EQ(coordinator_->heartbeat(claim(member)), GroupError::unknown_member);
}

TEST_F(CoordinatorTest, RefusesWhatCannotWork) {
  JoinRequest bad = request();
  bad.session_timeout_ms = 10;
  EXPECT_EQ((*join(bad))->error, GroupError::invalid_session_timeout);
  bad = request();
  bad.group_id = "";
  EXPECT_EQ((*join(bad))->error, GroupError::invalid_group_id);
  EXPECT_EQ((*join(request("nobody")))->error, GroupError::unknown_member);
  bad = request();
  bad.protocols.clear();
  EXPECT_EQ((*join(bad))->error, GroupError::inconsistent_protocol);
  EXPECT_THAT(coordinator_->list(), IsEmpty()) << "refused joins leave no group behind";
  stable_member();
  EXPECT_EQ((*join(request("", "roundrobin")))->error, GroupError::inconsistent_protocol);
  join(request());
  join(request());
  EXPECT_EQ((*join(request()))->error, GroupError::group_full);
}

TEST_F(CoordinatorTest, ChoosesTheProtocolThatAllKnow) {
  JoinRequest both = request();
  both.protocols = {{.name = "sticky", .metadata = "s"}, {.name = "range", .metadata = "r"}};
  auto first = join(both);
  auto second = join(request());
  pass(100);
  EXPECT_EQ((*first)->protocol_name, "range");
  EXPECT_EQ((*first)->members.at(0).metadata, "r");
}

TEST_F(CoordinatorTest, AStaticMemberKeepsItsPartitionsAcrossARestart) {
  JoinRequest with_instance = request();
  with_instance.instance_id = "box-1";
  with_instance.can_skip_assignment = true;
  auto joined = join(with_instance);
  pass(100);
  SyncRequest request;
  request.claim = claim(**joined);
  request.claim.instance_id = "box-1";
  request.assignments = {{.member_id = (*joined)->member_id, .assignment = "mine"}};
  coordinator_->sync(request, [](SyncResult) {});
  storage_.settle();

  auto back = join(with_instance);  // The process starts again and knows no member id.
  storage_.settle();
  ASSERT_TRUE(*back);
  EXPECT_EQ((*back)->error, GroupError::none);
  EXPECT_EQ((*back)->generation, (*joined)->generation);
  EXPECT_NE((*back)->member_id, (*joined)->member_id);
  EXPECT_TRUE((*back)->skip_assignment);
  request.claim.member_id = (*back)->member_id;
  std::string assignment;
  coordinator_->sync(request, [&](SyncResult result) { assignment = result.assignment; });
  EXPECT_EQ(assignment, "mine");
  MemberClaim old = claim(**joined);
  old.instance_id = "box-1";
  EXPECT_EQ(coordinator_->heartbeat(old), GroupError::fenced_instance);
}

TEST_F(CoordinatorTest, OffsetsAreSeenOnlyWhenTheyAreDurable) {
  std::optional<GroupError> outcome;
  coordinator_->commit({.group_id = "g"}, {{.partition = kPartition, .offset = Offset(3)}},
                       [&](GroupError error) { outcome = error; });
  EXPECT_FALSE(outcome);
  EXPECT_FALSE(coordinator_->offset("g", kPartition));
  storage_.settle();
  EXPECT_EQ(outcome, GroupError::none);
  EXPECT_EQ(coordinator_->offset("g", kPartition)->offset, Offset(3));

  coordinator_->commit({.group_id = "g"}, {{.partition = kPartition, .offset = Offset(4)}},
                       [&](GroupError error) { outcome = error; });
  storage_.settle(Error(Code::exhausted, "disk full"));
  EXPECT_EQ(outcome, GroupError::storage_failed);
  EXPECT_EQ(coordinator_->offset("g", kPartition)->offset, Offset(3));
}

TEST_F(CoordinatorTest, OnlyMembersCommitToAGroupWithMembers) {
  stable_member();
  EXPECT_EQ(commit({.group_id = "g"}, 1), GroupError::unknown_member);
  EXPECT_EQ(commit({.group_id = "other", .generation = 3, .member_id = "x"}, 1),
            GroupError::illegal_generation);
}

TEST_F(CoordinatorTest, AnAssignmentThatCannotBeStoredIsNotGiven) {
  auto joined = join(request());
  pass(100);
  SyncRequest request;
  request.claim = claim(**joined);
  std::optional<SyncResult> answer;
  coordinator_->sync(request, [&](SyncResult result) { answer = std::move(result); });
  EXPECT_FALSE(answer);
  storage_.settle(Error(Code::exhausted, "disk full"));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error, GroupError::storage_failed);
  EXPECT_EQ(coordinator_->describe("g").state, GroupState::preparing_rebalance);
}

TEST_F(CoordinatorTest, AGroupWithMembersIsNotRemoved) {
  JoinResult member = stable_member();
  commit(claim(member), 9);
  std::optional<GroupError> outcome;
  coordinator_->remove("g", [&](GroupError error) { outcome = error; });
  EXPECT_EQ(outcome, GroupError::group_not_empty);
  coordinator_->leave("g", {{.member_id = member.member_id}});
  coordinator_->remove("g", [&](GroupError error) { outcome = error; });
  storage_.settle();
  EXPECT_EQ(outcome, GroupError::none);
  EXPECT_THAT(storage_.rows, IsEmpty());
  coordinator_->remove("g", [&](GroupError error) { outcome = error; });
  EXPECT_EQ(outcome, GroupError::group_not_found);
}

TEST_F(CoordinatorTest, OffsetsGoWithTheirTopicAndWithTime) {
  commit({.group_id = "g"}, 1);
  coordinator_->forget_topics([](ObjectId topic) { return topic != kPartition.topic; });
  storage_.settle();
  EXPECT_FALSE(coordinator_->offset("g", kPartition));
  EXPECT_THAT(storage_.rows, IsEmpty());

  commit({.group_id = "g"}, 2);
  clock_.advance(milliseconds(options_.retention_ms + 61'000));
  coordinator_->tick();
  storage_.settle();
  EXPECT_THAT(coordinator_->list(), IsEmpty());
  EXPECT_THAT(storage_.rows, IsEmpty());
}

}  // namespace
}  // namespace ziwa::groups
