#pragma once

#include "log/testing/log_rig.h"

#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace ziwa::log::testing {

/// Random work on a log and its journal with deaths and power cuts between, checked against a model
/// of what was promised: acknowledged batches, what readers were given, entries of the journal, and
/// producers' retries. Nothing here asserts: a broken promise is a text, so that a test can also
/// demand one.
class CrashScenario {
 public:
  struct Options {
    uint64_t seed = 1;
    int lives = 6;   ///< Times the process starts.
    int steps = 40;  ///< Pieces of work in each life.
    bool power_cuts =
        true;  ///< false: the process dies and the machine stays up, until the last time.
    std::function<bool(const std::string& path)> skip_syncs;
    size_t sync_all_above = 2;
  };
  explicit CrashScenario(Options options);

  /// The first broken promise, or nothing.
  std::optional<std::string> run();
  int cuts() const { return cuts_; }
  int batches() const { return static_cast<int>(batches_.size()); }

 private:
  struct Batch {
    PartitionId id;
    Bytes bytes;  ///< As sent.
    int64_t producer = -1;
    int32_t sequence = -1;
    bool transactional = false;
    bool answered = false;
    std::optional<Appended> outcome;
  };
  struct Producer {
    int64_t id = -1;
    PartitionId partition;
    int32_t next_sequence = 0;
    bool transactional = false;
    bool in_transaction = false;
    bool may_be_decided = false;     ///< The machine died while its transaction was ended.
    std::vector<size_t> unanswered;  ///< Batches that were sent and must be sent again.
  };
  struct Seen {
    Bytes bytes;
    int64_t end = 0;
  };
  struct Model {
    int64_t log_start = 0;
    std::map<int64_t, Seen> served;  ///< Batches by base offset that a reader was given.
    std::map<int64_t, size_t> acknowledged;
  };

  void live();
  void step();
  void send(bool wait);
  void send_batch(size_t index);
  void settle();
  void read_partition(PartitionId id);
  void check_time(PartitionId id, ByteView batches);
  void read_all();
  void read_journal();
  void end_transaction();
  void delete_records();
  void maintain();
  void check_after_start();
  void check_batch(PartitionId id, const BatchHeader& header, ByteView bytes);
  void resend();
  void check_once();
  void broken(std::string what);
  uint64_t random(uint64_t below) { return random_() % below; }
  bool dead() const { return rig_.fs->dead() || violation_.has_value(); }

  const Options options_;
  std::mt19937_64 random_;
  LogRig rig_;
  std::vector<PartitionId> ids_;
  std::vector<Producer> producers_;
  std::vector<Batch> batches_;
  std::map<PartitionId, Model> models_;
  std::map<uint64_t, std::string> entries_;  ///< What each number of the journal was seen to mean.
  uint64_t last_entry_ = 0;
  std::mutex mutex_;  ///< Guards batches' outcomes: answers come on the sync thread.
  std::condition_variable answered_;
  std::optional<std::string> violation_;
  int cuts_ = 0;
};

}  // namespace ziwa::log::testing
