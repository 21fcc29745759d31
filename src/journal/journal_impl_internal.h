#pragma once

#include "journal/callback.h"
#include "journal/journal.h"
#include "journal/journal_files_internal.h"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

namespace ziwa::journal {

/// The journal on a file system. State is in three parts: what the sync thread alone uses, the
/// queue (mutex_), and what readers share with the sync thread (read_mutex_).
class FileJournal final : public Journal {
 public:
  FileJournal(FileSystem& fs, std::string path, const Clock& clock, Metrics& metrics,
              Options options);
  ~FileJournal() override;

  /// Takes over what recovery found, writes the Opened entry and starts the sync thread.
  Status begin(Recovered recovered);

  void submit(Body body, Dirty dirty, Done done) override;
  Status room() const override;
  Status sync() override;
  Status sync_through(EntryNumber number) override {
    return durable_through_ >= number.value ? Status{} : sync();
  }
  std::map<PartitionId, Offset> take_recovered_ends() override {
    return std::exchange(recovered_ends_, {});
  }
  EntryNumber durable() const override { return EntryNumber(durable_.load()); }
  TimestampMs last_time() const override { return TimestampMs(last_time_.load()); }
  Result<std::vector<Entry>> read(EntryNumber after, size_t limit) const override;
  EntryNumber first() const override;
  Status trim(EntryNumber before) override;
  void hold(const std::string& holder, std::optional<EntryNumber> from) override;
  std::shared_ptr<void> listen(std::function<void(const std::vector<Entry>&)> on_entries,
                               When when) override;
  Status wait(EntryNumber number, int64_t timeout_ms) override;
  Status close() override;

  /// What the entries in memory take there.
  size_t recent_bytes() const {
    std::lock_guard lock(read_mutex_);
    return recent_bytes_;
  }

 private:
  using Listener = Callback<const std::vector<Entry>&>;
  struct Pending {
    Body body;
    Dirty dirty;
    Done done;
  };
  /// A group on its way: entries, and for each submission the entry it became part of.
  struct Group {
    std::vector<Entry> entries;
    std::vector<std::pair<Done, EntryNumber>> dones;
  };
  struct DirtySet {
    std::set<std::shared_ptr<File>> files;
    std::set<std::string> directories;
    bool journal = false;  ///< The journal's own file has frames that were not synced.
  };

  void run();
  bool wait_for_work(std::vector<Pending>& batch, bool& sync_wanted);
  void process(std::vector<Pending> batch, bool sync_wanted);
  Group order(std::vector<Pending>& batch);
  Status write_frames(const std::vector<Entry>& entries);
  Status write_mark(FrameKind kind);
  Status sync_dirty();
  void publish(Group& group);
  void remember(const std::vector<Entry>& entries);
  void tell(const std::vector<Entry>& entries, When when);
  void fail(Error error, std::vector<Pending>& batch, Group& group);
  void finish_idle_work();
  Status extend(uint64_t room);
  Status roll();

  FileSystem& fs_;
  const std::string path_;
  const Clock& clock_;
  const Options options_;
  Counter& syncs_;
  Counter& entries_;
  Histogram& sync_seconds_;

  // The sync thread's own (begin() and close() touch it while no thread runs).
  std::shared_ptr<File>
      file_;               ///< The newest; files_ itself changes under the thread when trimmed.
  uint64_t position_ = 0;  ///< End of the last frame.
  uint64_t room_end_ = 0;  ///< End of the zeroes taken in advance.
  EntryNumber last_;
  EntryNumber synced_through_;
  EntryNumber marked_through_;  ///< The last frame on disk says at least this.
  DirtySet dirty_;
  std::chrono::steady_clock::time_point next_sync_;  ///< With flush=interval.

  // Guarded by mutex_.
  mutable std::mutex mutex_;
  std::condition_variable work_;
  std::condition_variable moved_;
  std::deque<Pending> queue_;
  bool stopping_ = false;
  bool closed_ = false;
  uint64_t sync_asked_ = 0;
  uint64_t sync_done_ = 0;
  std::optional<Error> failed_;
  std::map<std::string, EntryNumber> holds_;

  std::mutex trim_mutex_;  ///< One trim at a time; taken before the other two.

  // Guarded by read_mutex_.
  mutable std::mutex read_mutex_;
  std::vector<JournalFile> files_;
  std::map<PartitionId, Offset> recovered_ends_;
  std::deque<Entry> recent_;
  size_t recent_bytes_ = 0;
  std::vector<std::pair<When, std::shared_ptr<Listener>>> listeners_;

  std::atomic<uint64_t> durable_{0};
  std::atomic<uint64_t> durable_through_{0};  ///< synced_through_, for other threads.
  std::atomic<int64_t> last_time_{0};
  std::atomic<bool> low_{false};  ///< The disk has no room for the next stretch of the journal.
  std::thread thread_;
};

}  // namespace ziwa::journal
