#pragma once

#include "base/result.h"
#include "log/groups/requests.h"
#include "state/store.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

// Keys and values of the table "groups"; docs/formats/groups.md. Keys start with a letter:
//   "g" sized(group)                           -> Group::encode()
//   "o" sized(group) u64be(topic) u32be(partition) -> u8 version = 1, svarint offset, svarint
//   leader epoch,
//                                                 svarint commit time (ms), sized(metadata)
namespace ziwa::groups {

/// The key of a group, the prefix of all of its offsets' keys, and the key of one.
std::string group_key(std::string_view group_id);
/// See group_key().
std::string offset_prefix(std::string_view group_id);
/// See group_key().
std::string offset_key(std::string_view group_id, PartitionId partition);
/// The value under offset_key(); the partition is in the key.
std::string encode_offset(const GroupOffset& offset);
/// Errors: corrupt.
Result<std::string> decode_group_key(std::string_view key);
Result<std::pair<std::string, GroupOffset>> decode_offset(std::string_view key,
                                                          std::string_view value);

/// Changes that become durable together.
struct Changes {
  std::vector<std::pair<std::string, std::string>> puts;
  std::vector<std::string> removes;
  std::vector<std::string> prefix_removes;  ///< Applied before the puts.
};

/// Where the coordinator keeps its state.
class Storage {
 public:
  virtual ~Storage() = default;
  /// Makes `changes` durable and calls `done` on the owner's thread, never within the call; calls
  /// take effect in order.
  virtual void write(Changes changes, std::move_only_function<void(Status)> done) = 0;
};

/// Writes to a state::Store off the owner's thread, one batch at a time: what is asked for during a
/// write goes into the next batch together, so that many commits share one sync.
class StoreStorage final : public Storage {
 public:
  using Job = std::move_only_function<void()>;
  struct Threads {
    std::function<Status(Job)> background;  ///< Runs a job that may block, on another thread.
    std::function<void(Job)> owner;         ///< Runs a job on the owner's thread.
  };
  /// `store` must outlive every write.
  StoreStorage(state::Store& store, Threads threads);
  ~StoreStorage() override;
  void write(Changes changes, std::move_only_function<void(Status)> done) override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ziwa::groups
