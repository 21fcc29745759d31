#pragma once

#include "app/engines.h"
#include "base/sim_file.h"

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

namespace ziwa::app::testing {

/// Rows as text.
using TextRows = std::vector<std::vector<std::string>>;
/// What is wrong, or nothing.
using Wrong = std::optional<std::string>;

/// What a server promises when it answers, by kind; counted, so that a test can demand that there
/// were any.
enum class Promise : unsigned char {
  records,       ///< Kept by the log.
  statements,    ///< INSERTs and transactions of SQL.
  transactions,  ///< Transactions of the log, ended.
  commits,       ///< Offsets of a consumer group.
  objects,       ///< Made, or dropped.
  applies,       ///< Versions of a project.
};
using PromiseCounts = std::map<Promise, uint64_t>;

/// One machine: a disk that forgets, and a server that lives on it again and again.
class PowerWorld {
 public:
  static constexpr int64_t kSettleMs = 60'000;

  struct Options {
    uint64_t seed = 1;
    /// See SimFileSystem::skip_syncs.
    std::function<bool(const SyncCall&)> skip_sync = {};
    /// log.flush. Without "always" a power cut may take back records that were acknowledged.
    std::string flush = "always";
    std::string flush_interval = "5 ms";
  };
  explicit PowerWorld(Options options);

  /// Starts the server on what is on the disk.
  Status open();
  /// The process ends without a word; the machine stays up.
  void kill();
  void cut_power();
  bool keeps_records() const { return flush_ == "always"; }
  bool running() const { return engines_ != nullptr; }
  Engines& engines() { return *engines_; }
  SimFileSystem& fs() { return fs_; }
  const Clock& clock() const { return clock_; }
  uint64_t random(uint64_t below) { return random_() % below; }

  Result<TextRows> query(const std::string& sql) { return query(engines_->database(), sql); }
  /// All statements in one session, up to the first that fails.
  Status run_in_session(const std::vector<std::string>& statements);
  /// query() that waits while a view is backfilled.
  Result<TextRows> read(const std::string& sql);

  /// The object of this name in schema public, if there is one.
  catalog::ObjectPtr find(const std::string& name) const;

  /// Notes that the server has answered: it is done. Any thread.
  void acknowledged(Promise promise, uint64_t count = 1);
  PromiseCounts promises() const;

  /// Notes an error that no power cut explains. Any thread.
  void refused(const std::string& what, const Error& error);
  /// The first error that refused() was told of.
  Wrong problem() const;

 private:
  static Result<TextRows> query(sql::Database& database, const std::string& sql);

  const std::string flush_;
  SimFileSystem fs_;
  std::mt19937_64 random_;
  SystemClock clock_;
  Metrics metrics_;
  Settings settings_;
  std::atomic<bool> leaving_ = false;  ///< The process ends: what is under way fails.
  mutable std::mutex mutex_;
  Wrong problem_;
  PromiseCounts promises_;
  std::unique_ptr<Engines> engines_;
};

/// Ids that clients sent and what became of them. Any thread. Ids are never used twice.
class SentIds {
 public:
  void attempt(const std::vector<int64_t>& ids);
  void acknowledge(const std::vector<int64_t>& ids);
  /// Every acknowledged id is in `rows` (first column) unless they may be lost, none is there
  /// twice, and none that was never sent.
  Wrong check(const std::string& where, const Result<TextRows>& rows, bool may_be_lost) const;

 private:
  mutable std::mutex mutex_;
  std::map<int64_t, bool> sent_;  ///< Id -> acknowledged.
};

/// How the rows of `what` differ from what they should be.
Wrong same_rows(const std::string& what, const Result<TextRows>& got,
                const Result<TextRows>& expected);

/// Someone who uses the server and remembers what it promised.
class PowerClient {
 public:
  virtual ~PowerClient() = default;
  /// A server has started: before anything else is asked of it.
  virtual void started(PowerWorld&) {}
  /// Does one thing. The power may go at any moment: errors then mean nothing.
  virtual void act(PowerWorld& world) = 0;
  /// After a restart: does the server keep its promises?
  virtual Wrong check(PowerWorld& world) = 0;
};

}  // namespace ziwa::app::testing
