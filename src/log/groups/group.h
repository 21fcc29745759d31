#pragma once

#include "log/groups/requests.h"

#include <map>
#include <memory>
#include <string>
#include <vector>

namespace ziwa::groups {

/// One consumer of a group. Deadlines are milliseconds on the monotonic clock.
struct Member {
  std::string id;
  std::optional<std::string> instance_id;
  std::string client_id;
  std::string client_host;
  int32_t session_timeout_ms = 0;
  int32_t rebalance_timeout_ms = 0;
  std::vector<GroupProtocol> protocols;
  std::string assignment;
  int64_t session_deadline_ms = 0;
  JoinDone join;  ///< Set while its JoinGroup waits for an answer.
  SyncDone sync;  ///< Set while its SyncGroup waits for an answer.

  bool waiting() const { return join || sync; }
  /// Its metadata for `protocol`, or empty.
  const std::string& metadata(const std::string& protocol) const;
};

/// The state machine of one group with the classic protocol: members join, the leader shares the
/// partitions out, all sync. Sans-io: it is told the time, and asks for its state to be kept
/// through `persist`. One thread. The answers that are handed in (JoinDone, SyncDone) must not call
/// back into the group. Source: KIP-134, KIP-345, KIP-394, KIP-814; the states and checks are those
/// of Apache Kafka's classic groups.
class Group {
 public:
  struct Limits {
    int32_t session_timeout_min_ms = 1'000;
    int32_t session_timeout_max_ms = 1'800'000;
    int32_t initial_rebalance_delay_ms = 100;
    size_t members_max = 1'000;
  };
  /// Tells whether the group's state became durable, and the time then; on the owner's thread,
  /// never within the call.
  using Persisted = std::move_only_function<void(bool durable, int64_t now_ms)>;
  using Persist = std::function<void(Group&, Persisted)>;
  /// Gives a text that no two calls ever share.
  using UniqueText = std::function<std::string()>;

  Group(std::string id, const Limits& limits, Persist persist, UniqueText unique_text);

  void join(JoinRequest request, int64_t now_ms, JoinDone done);
  void sync(SyncRequest request, int64_t now_ms, SyncDone done);
  GroupError heartbeat(const MemberClaim& claim, int64_t now_ms);
  GroupError leave(const LeavingMember& leaving, int64_t now_ms);
  /// May `claim` commit offsets now? A commit also shows that the member is alive.
  GroupError check_commit(const MemberClaim& claim, int64_t now_ms);
  /// Lets deadlines that have passed take effect.
  void tick(int64_t now_ms);
  /// Answers everyone who waits with `error`, before the group goes away.
  void close(GroupError error);

  const std::string& id() const { return id_; }
  GroupState state() const { return state_; }
  int32_t generation() const { return generation_; }
  const std::string& protocol_type() const { return protocol_type_; }
  bool has_members() const { return !members_.empty() || !pending_.empty(); }
  GroupDescription describe() const;

  /// The durable part (generation, protocol, members), for storage. decode() gives members a fresh
  /// session.
  std::string encode() const;
  bool decode(std::string_view bytes, int64_t now_ms);

 private:
  void join_first(JoinRequest request, int64_t now_ms, JoinDone done);
  void join_known(JoinRequest request, int64_t now_ms, JoinDone done);
  void add_member(JoinRequest request, std::string member_id, int64_t now_ms, JoinDone done);
  void replace_static_member(JoinRequest request, int64_t now_ms, JoinDone done);
  void answer_replaced(Member& member, const JoinRequest& request, const std::string& old_leader,
                       int64_t now_ms, JoinDone done);
  void update_and_rebalance(Member& member, JoinRequest request, int64_t now_ms, JoinDone done);
  void prepare_rebalance(int64_t now_ms);
  void maybe_complete(int64_t now_ms);
  void complete_rebalance(int64_t now_ms);
  void remove_who_did_not_join();
  void answer_joins(int64_t now_ms);
  void distribute(const std::vector<SyncRequest::Assignment>& assignments);
  void finish_sync(int32_t generation, bool durable, int64_t now_ms);
  void remove_member(const std::string& member_id);
  void remove_and_rebalance(const std::string& member_id, int64_t now_ms);
  void expire_members(int64_t now_ms);
  bool supports(const JoinRequest& request, const std::string& except_member) const;
  std::string select_protocol() const;
  JoinResult current(const Member& member) const;
  GroupError check_claim(const MemberClaim& claim) const;
  Member* find(const std::string& member_id);
  const Member* find(const std::string& member_id) const;
  void alive(Member& member, int64_t now_ms);

  const std::string id_;
  const Limits& limits_;
  Persist persist_;
  UniqueText unique_text_;
  GroupState state_ = GroupState::empty;
  int32_t generation_ = 0;
  std::string protocol_type_;
  std::string protocol_name_;
  std::string leader_;
  std::map<std::string, Member> members_;              ///< By member id.
  std::map<std::string, std::string> static_members_;  ///< Instance id to member id.
  std::map<std::string, int64_t>
      pending_;                         ///< Given an id, not yet joined with it: id to deadline.
  int64_t rebalance_deadline_ms_ = 0;   ///< Preparing: those who have not joined by then are out.
  int64_t complete_not_before_ms_ = 0;  ///< Preparing from empty: time for others to come.
  int64_t initial_deadline_ms_ = 0;     ///< The latest that complete_not_before_ms_ may move to.
  int64_t sync_deadline_ms_ = 0;        ///< Completing: those who have not synced by then are out.
  bool distributing_ = false;           ///< The leader's assignment is being made durable.
};

}  // namespace ziwa::groups
