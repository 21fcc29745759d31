#pragma once

#include "base/clock.h"
#include "log/groups/group.h"
#include "log/groups/storage.h"

#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace ziwa::groups {

/// All consumer groups of the server: their members and their committed offsets. Sans-io, one
/// thread (the owner's): the clock is handed in, storage answers later on the same thread, and
/// tick() is called every kTickMs while busy(). Offsets belong to partitions by topic id, so a
/// topic that is dropped and made again starts afresh.
class Coordinator {
 public:
  static constexpr int64_t kTickMs = 50;

  struct Options {
    Group::Limits group;
    size_t groups_max = 10'000;
    size_t offsets_max = 1'000'000;                 ///< Over all groups.
    int64_t retention_ms = 7LL * 24 * 3600 * 1000;  ///< Of an empty group after its last commit.
    Group::UniqueText unique_text;                  ///< For member ids; must be set.
  };

  Coordinator(const Clock& clock, Storage& storage, Options options);
  ~Coordinator();

  /// Reads what an earlier process stored in the table "groups" of `store`. Once, before anything
  /// else; blocks. Errors: corrupt.
  Status load(state::Store& store);

  void join(JoinRequest request, JoinDone done);
  void sync(SyncRequest request, SyncDone done);
  GroupError heartbeat(const MemberClaim& claim);
  /// One outcome for each of `leaving`.
  std::vector<GroupError> leave(const std::string& group_id,
                                const std::vector<LeavingMember>& leaving);

  /// Stores `offsets` for the group and calls `done` when they are durable; readers see them only
  /// then. `committed` is set here. A group that nobody has joined comes into being.
  void commit(const MemberClaim& claim, std::vector<GroupOffset> offsets,
              std::move_only_function<void(GroupError)> done);
  /// What the group has committed, by partition; empty for a group that does not exist.
  std::vector<GroupOffset> offsets(const std::string& group_id) const;
  std::optional<GroupOffset> offset(const std::string& group_id, PartitionId partition) const;
  /// Forgets the group's offsets in `partitions`; group_not_empty while the group has members.
  void forget(const std::string& group_id, const std::vector<PartitionId>& partitions,
              std::move_only_function<void(GroupError)> done);
  /// Forgets all offsets in topics that `exists` does not know.
  void forget_topics(const std::function<bool(ObjectId)>& exists);

  std::vector<GroupDescription> list() const;  ///< Without members.
  /// State dead when there is no such group.
  GroupDescription describe(const std::string& group_id) const;
  /// group_not_empty while it has members.
  void remove(const std::string& group_id, std::move_only_function<void(GroupError)> done);

  /// Lets passed deadlines take effect: sessions, rebalances, retention.
  void tick();
  /// Does any group have members, so that tick() must be called?
  bool busy() const;

 private:
  struct Entry {
    std::shared_ptr<Group> group;
    std::map<PartitionId, GroupOffset> offsets;
    TimestampMs last_used;
  };
  Entry* find(const std::string& group_id);
  const Entry* find(const std::string& group_id) const;
  /// Null when there are too many groups.
  Entry* find_or_create(const std::string& group_id);
  std::shared_ptr<Group> make_group(const std::string& group_id);
  void persist(Group& group, Group::Persisted done);
  /// Writes, and calls `done` unless the coordinator has gone by then.
  void write(Changes changes, std::move_only_function<void(Status)> done);
  void drop_if_unused(const std::string& group_id);
  void store_offsets(const std::string& group_id, std::vector<GroupOffset> offsets,
                     std::move_only_function<void(GroupError)> done);
  void apply_offsets(const std::string& group_id, std::vector<GroupOffset> offsets);
  Changes removal(const std::string& group_id) const;
  Status load_entry(std::string_view key, std::string_view value);
  void expire_groups();
  int64_t now_ms() const { return clock_.monotonic_ns() / 1'000'000; }

  const Clock& clock_;
  Storage& storage_;
  const Options options_;
  std::map<std::string, Entry> groups_;
  size_t offset_count_ = 0;
  int64_t next_expiry_ms_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

}  // namespace ziwa::groups
