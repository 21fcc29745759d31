#include "journal/journal.h"

#include "base/advice.h"
#include "base/log.h"
#include "base/metric_table.h"
#include "base/vital_thread.h"
#include "journal/journal_impl_internal.h"

#include <algorithm>
#include <chrono>
#include <future>

namespace ziwa::journal {

namespace {

/// Room is taken in steps, so that a frame never meets a full disk and most syncs need not write a
/// new file size.
constexpr uint64_t kRoomStepBytes = 256u << 10;
/// Below this the next step is taken; when the disk has none, room() refuses.
constexpr uint64_t kRoomLowBytes = 96u << 10;
/// Entries kept in memory for readers, and what they may take there.
constexpr size_t kRecentMax = 65'536;
constexpr size_t kRecentBytesMax = 16u << 20;
constexpr size_t kGroupMax = 4'096;
/// Files that flush=interval or os may leave unsynced, and so open, at once.
constexpr size_t kDirtyFilesMax = 256;
constexpr auto kRoomRetry = std::chrono::milliseconds(100);

/// Sorts by partition and keeps the last end of each.
void merge_ends(std::vector<PartitionEnd>& ends) {
  std::ranges::sort(ends, [](const auto& a, const auto& b) {
    return a.id != b.id ? a.id < b.id : b.end < a.end;
  });
  auto rest = std::ranges::unique(ends, {}, &PartitionEnd::id);
  ends.erase(rest.begin(), rest.end());
}

/// About what the entry takes in memory: its place and what its body points to.
size_t memory_of(const Entry& entry) {
  size_t ends = 0;
  if (const auto* commit = std::get_if<LogCommit>(&entry.body)) ends = commit->ends.size();
  if (const auto* decision = std::get_if<TransactionDecision>(&entry.body))
    ends = decision->ends.size();
  return sizeof(Entry) + ends * sizeof(PartitionEnd);
}

Error stopped() { return Error(Code::unavailable, "the journal is closed"); }

}  // namespace

FileJournal::FileJournal(FileSystem& fs, std::string path, const Clock& clock, Metrics& metrics,
                         Options options)
    : fs_(fs),
      path_(std::move(path)),
      clock_(clock),
      options_(options),
      syncs_(metrics.counter(metric::journal_syncs_total)),
      entries_(metrics.counter(metric::journal_entries_total)),
      sync_seconds_(metrics.histogram(metric::journal_sync_seconds)) {}

FileJournal::~FileJournal() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  if (thread_.joinable()) thread_.join();
  for (auto& pending : queue_) {
    if (pending.done) pending.done(stopped());
  }
}

Status FileJournal::begin(Recovered recovered) {
  bool clean = recovered.clean || recovered.fresh;
  if (recovered.fresh) {
    recovered.files.push_back(TRY(create_journal_file(fs_, path_, {.first = EntryNumber(1)})));
    recovered.position = kFileHeaderBytes;
  }
  files_ = std::move(recovered.files);
  file_ = files_.back().file;
  remember(recovered.recent);
  recovered_ends_ = std::move(recovered.ends);
  position_ = room_end_ = recovered.position;
  last_ = recovered.last;
  last_time_ = recovered.time.value;
  if (file_->size() > position_) TRY(file_->truncate(position_));
  // What the crash left in the page cache is about to be served: it must be as durable as anything
  // acknowledged.
  if (!clean) TRY(fs_.sync_all(path_));
  synced_through_ = last_;
  if (!clean) last_ = EntryNumber(last_.value + options_.unclean_skip);
  std::vector<Pending> opened;
  opened.push_back({Opened{clean}, {}, {}});
  Group group = order(opened);
  TRY(write_frames(group.entries));
  TRY(file_->sync());
  TRY(fs_.sync_dir(path_));
  dirty_ = {};
  synced_through_ = marked_through_ = last_;
  durable_through_ = last_.value;
  remember(group.entries);
  durable_ = last_.value;
  thread_ = std::thread([this] { run_vital_thread("journal", [this] { run(); }); });
  return {};
}

void FileJournal::submit(Body body, Dirty dirty, Done done) {
  {
    std::lock_guard lock(mutex_);
    queue_.push_back({std::move(body), std::move(dirty), std::move(done)});
    if (queue_.size() > 1) return;
  }
  work_.notify_one();
}

Status FileJournal::room() const {
  if (!low_.load(std::memory_order_relaxed)) return {};
  return Error(Code::exhausted, "the disk of {} is full: the journal has no room", path_)
      .because(Cause::disk_full)
      .with_hint("free some space; nothing was written and writes work again by themselves");
}

Status FileJournal::sync() {
  std::unique_lock lock(mutex_);
  // Nothing is written any more, so nobody would answer.
  if (failed_) return *failed_;
  if (closed_) return {};
  uint64_t mine = ++sync_asked_;
  work_.notify_one();
  moved_.wait(lock, [&] { return sync_done_ >= mine || failed_ || stopping_ || closed_; });
  if (failed_) return *failed_;
  if (sync_done_ < mine && !closed_) return stopped();
  return {};
}

bool FileJournal::wait_for_work(std::vector<Pending>& batch, bool& sync_wanted) {
  std::unique_lock lock(mutex_);
  auto ready = [&] { return stopping_ || !queue_.empty() || sync_asked_ > sync_done_; };
  bool timed_sync = options_.flush == Flush::interval && (dirty_.journal || !dirty_.files.empty());
  if (low_) {
    work_.wait_for(lock, kRoomRetry, ready);
  } else if (timed_sync) {
    // Not an interval from now: what comes meanwhile does not put off what waits.
    work_.wait_until(lock, next_sync_, ready);
  } else {
    work_.wait(lock, ready);
  }
  sync_wanted = sync_asked_ > sync_done_;
  if (stopping_) return false;
  while (!queue_.empty() && batch.size() < kGroupMax) {
    batch.push_back(std::move(queue_.front()));
    queue_.pop_front();
  }
  return true;
}

void FileJournal::run() {
  while (true) {
    std::vector<Pending> batch;
    bool sync_wanted = false;
    if (!wait_for_work(batch, sync_wanted)) return;
    if (options_.flush == Flush::interval && std::chrono::steady_clock::now() >= next_sync_) {
      sync_wanted = true;
      next_sync_ =
          std::chrono::steady_clock::now() + std::chrono::milliseconds(options_.flush_interval_ms);
    }
    process(std::move(batch), sync_wanted);
  }
}

void FileJournal::process(std::vector<Pending> batch, bool sync_wanted) {
  uint64_t asked = 0;
  bool refuse = false;
  {
    std::lock_guard lock(mutex_);
    asked = sync_asked_;
    refuse = closed_ || failed_.has_value();
    // Whoever asks gets the failure; a request that stays open would wake this thread for ever.
    if (refuse) sync_done_ = asked;
  }
  Group group;
  if (refuse) return fail(stopped(), batch, group);
  if (!batch.empty()) group = order(batch);
  Status status = group.entries.empty() ? Status{} : write_frames(group.entries);
  if (options_.flush == Flush::always || dirty_.files.size() > kDirtyFilesMax) sync_wanted = true;
  if (status && sync_wanted) status = sync_dirty();
  if (!status) return fail(std::move(status).error(), batch, group);
  publish(group);
  {
    std::lock_guard lock(mutex_);
    if (sync_wanted) sync_done_ = std::max(sync_done_, asked);
  }
  moved_.notify_all();
  finish_idle_work();
}

FileJournal::Group FileJournal::order(std::vector<Pending>& batch) {
  Group group;
  TimestampMs time(std::max(last_time_.load(), clock_.now().value));
  for (auto& pending : batch) {
    auto* commit = std::get_if<LogCommit>(&pending.body);
    auto* before =
        group.entries.empty() ? nullptr : std::get_if<LogCommit>(&group.entries.back().body);
    if (commit != nullptr && before != nullptr) {
      before->ends.insert(before->ends.end(), commit->ends.begin(), commit->ends.end());
    } else {
      last_ = last_.next();
      group.entries.push_back({last_, time, std::move(pending.body)});
    }
    for (auto& file : pending.dirty.files) dirty_.files.insert(std::move(file));
    for (auto& directory : pending.dirty.directories)
      dirty_.directories.insert(std::move(directory));
    if (pending.done) group.dones.emplace_back(std::move(pending.done), last_);
  }
  for (auto& entry : group.entries) {
    if (auto* commit = std::get_if<LogCommit>(&entry.body)) merge_ends(commit->ends);
  }
  return group;
}

Status FileJournal::write_frames(const std::vector<Entry>& entries) {
  ByteWriter writer;
  std::vector<std::pair<EntryNumber, uint64_t>> places;
  for (const auto& entry : entries) {
    places.emplace_back(entry.number, position_ + writer.size());
    encode_frame(writer, {.number = entry.number,
                          .time = entry.time,
                          .synced_through = synced_through_,
                          .body = entry.body});
    size_t size = writer.size() - (places.back().second - position_);
    if (size > kFrameBytesMax) {
      return Error(Code::exhausted, "journal entry {} of {} bytes is too long", entry.number, size);
    }
  }
  TRY(extend(writer.size()));
  TRY(file_->write_at(position_, writer.view()));
  position_ += writer.size();
  room_end_ = std::max(room_end_, position_);
  dirty_.journal = true;
  marked_through_ = synced_through_;
  std::lock_guard lock(read_mutex_);
  for (auto& [number, position] : places) files_.back().mark(number, position);
  return {};
}

/// Makes sure that `room` bytes can be written after the last frame.
Status FileJournal::extend(uint64_t room) {
  if (room_end_ - position_ >= room) return {};
  // A frame must not begin in the zeroes and end beyond them: take whole steps.
  Bytes zeroes(std::max(room, kRoomStepBytes));
  Status wrote = file_->write_at(room_end_, zeroes);
  if (!wrote) {
    file_->truncate(room_end_).ignore("only gives back what the failed write took");
    return wrote;
  }
  room_end_ += zeroes.size();
  dirty_.journal = true;
  return {};
}

Status FileJournal::write_mark(FrameKind kind) {
  ByteWriter writer;
  encode_mark(writer, kind,
              {.number = last_, .time = last_time(), .synced_through = synced_through_});
  TRY(extend(writer.size()));
  TRY(file_->write_at(position_, writer.view()));
  position_ += writer.size();
  marked_through_ = synced_through_;
  dirty_.journal = true;
  return {};
}

Status FileJournal::sync_dirty() {
  if (!dirty_.journal && dirty_.files.empty() && dirty_.directories.empty()) return {};
  int64_t start = clock_.monotonic_ns();
  if (dirty_.files.size() + 1 > options_.sync_all_above) {
    TRY(fs_.sync_all(path_));
  } else {
    for (const auto& file : dirty_.files) TRY(file->sync());
    for (const auto& directory : dirty_.directories) TRY(fs_.sync_dir(directory));
    TRY(file_->sync());
  }
  dirty_ = {};
  synced_through_ = last_;
  durable_through_ = last_.value;
  syncs_.add();
  sync_seconds_.observe(static_cast<double>(clock_.monotonic_ns() - start) / 1e9);
  return {};
}

void FileJournal::publish(Group& group) {
  if (group.entries.empty()) return;
  remember(group.entries);
  tell(group.entries, When::before_visible);
  {
    std::lock_guard lock(mutex_);
    last_time_ = group.entries.back().time.value;
    durable_ = group.entries.back().number.value;
  }
  moved_.notify_all();
  entries_.add(static_cast<double>(group.entries.size()));
  tell(group.entries, When::visible);
  for (auto& [done, number] : group.dones) done(number);
}

void FileJournal::remember(const std::vector<Entry>& entries) {
  std::lock_guard lock(read_mutex_);
  for (const auto& entry : entries) {
    recent_bytes_ += memory_of(entry);
    recent_.push_back(entry);
  }
  while (recent_.size() > kRecentMax || recent_bytes_ > kRecentBytesMax) {
    recent_bytes_ -= memory_of(recent_.front());
    recent_.pop_front();
  }
}

void FileJournal::tell(const std::vector<Entry>& entries, When when) {
  std::vector<std::pair<When, std::shared_ptr<Listener>>> listeners;
  {
    std::lock_guard lock(read_mutex_);
    listeners = listeners_;
  }
  for (auto& [its, listener] : listeners) {
    if (its == when) listener->call(entries);
  }
}

void FileJournal::fail(Error error, std::vector<Pending>& batch, Group& group) {
  {
    std::lock_guard lock(mutex_);
    if (!closed_ && !failed_) {
      log_error("journal", "a write failed: the journal has stopped, restart to recover",
                "error={}", error.to_string());
      failed_ = error;
    }
    if (failed_) error = *failed_;
  }
  moved_.notify_all();
  for (auto& [done, number] : group.dones) done(error);
  for (auto& pending : batch) {
    if (pending.done) pending.done(error);
  }
}

/// After a group: tells the disk what is durable if nothing else is about to, and takes room for
/// the next ones.
void FileJournal::finish_idle_work() {
  bool idle = false;
  {
    std::lock_guard lock(mutex_);
    idle = queue_.empty();
  }
  Status status;
  if (idle && marked_through_ < synced_through_) status = write_mark(FrameKind::synced_mark);
  if (status && position_ >= options_.segment_bytes) status = roll();
  if (status && room_end_ - position_ < kRoomLowBytes) status = extend(kRoomLowBytes);
  if (status || status.error().code() == Code::exhausted) {
    low_ = !status;
    return;
  }
  std::vector<Pending> none;
  Group empty;
  fail(std::move(status).error(), none, empty);
}

Status FileJournal::roll() {
  // Older files are whole and durable, data included: only the newest is ever recovered.
  dirty_.journal = true;
  TRY(sync_dirty());
  FileHeader header{.first = last_.next(),
                    .previous_last = last_,
                    .previous_time = last_time(),
                    .previous_first = {}};
  {
    std::lock_guard lock(read_mutex_);
    header.previous_first = files_.back().first;
  }
  JournalFile next = TRY(create_journal_file(fs_, path_, header));
  std::lock_guard lock(read_mutex_);
  file_ = next.file;
  files_.back().last = last_;
  files_.push_back(std::move(next));
  position_ = room_end_ = kFileHeaderBytes;
  marked_through_ = synced_through_;
  return {};
}

Result<std::vector<Entry>> FileJournal::read(EntryNumber after, size_t limit) const {
  std::vector<Entry> out;
  EntryNumber through = durable();
  if (after >= through || limit == 0) return out;
  std::vector<JournalFile> files;
  {
    std::lock_guard lock(read_mutex_);
    if (after.next() < files_.front().first) {
      return Error(Code::not_found, "journal entries after {} are no longer kept; the first is {}",
                   after, files_.front().first);
    }
    auto begin = std::ranges::upper_bound(recent_, after, {}, &Entry::number);
    bool complete =
        begin != recent_.begin() || (!recent_.empty() && recent_.front().number.value <= 1);
    if (complete) {
      for (; begin != recent_.end() && out.size() < limit && begin->number <= through; ++begin) {
        out.push_back(*begin);
      }
      return out;
    }
    auto above = std::ranges::upper_bound(files_, after.next(), {}, &JournalFile::first);
    files.assign(std::prev(above), files_.end());
  }
  for (const auto& file : files) {
    if (out.size() >= limit || file.before >= through) break;
    TRY(read_journal_file(file, after, through, limit, out));
  }
  return out;
}

EntryNumber FileJournal::first() const {
  std::lock_guard lock(read_mutex_);
  return files_.front().first;
}

Status FileJournal::trim(EntryNumber before) {
  std::lock_guard trimming(trim_mutex_);
  {
    std::lock_guard lock(mutex_);
    for (const auto& [holder, from] : holds_) before = std::min(before, from);
  }
  while (true) {
    std::string path;
    {
      std::lock_guard lock(read_mutex_);
      if (files_.size() < 2 || files_[1].first > before) return {};
      path = files_.front().file->path();
    }
    // Forgotten only once it is gone: a later call tries again, and removes none after it before.
    if (auto removed = fs_.remove(path); !removed && removed.error().code() != Code::not_found)
      return removed;
    // One at a time: a crash must never leave a gap between files.
    TRY(fs_.sync_dir(path_));
    std::lock_guard lock(read_mutex_);
    files_.erase(files_.begin());
  }
}

void FileJournal::hold(const std::string& holder, std::optional<EntryNumber> from) {
  std::lock_guard lock(mutex_);
  if (from) {
    holds_[holder] = *from;
  } else {
    holds_.erase(holder);
  }
}

std::shared_ptr<void> FileJournal::listen(std::function<void(const std::vector<Entry>&)> on_entries,
                                          When when) {
  auto listener = std::make_shared<Listener>(std::move(on_entries));
  std::lock_guard lock(read_mutex_);
  std::erase_if(listeners_, [](const auto& it) { return it.second->cancelled(); });
  listeners_.emplace_back(when, listener);
  return {listener.get(), [listener](void*) { listener->cancel(); }};
}

Status FileJournal::wait(EntryNumber number, int64_t timeout_ms) {
  std::unique_lock lock(mutex_);
  auto ready = [&] { return durable() >= number || failed_ || stopping_ || closed_; };
  if (!moved_.wait_for(lock, std::chrono::milliseconds(timeout_ms), ready)) {
    return Error(Code::unavailable, "entry {} did not come within {} ms; the last is {}", number,
                 timeout_ms, durable());
  }
  if (durable() >= number) return {};
  return failed_ ? *failed_ : stopped();
}

Status FileJournal::close() {
  // Everything submitted before is in front of this tick in the queue.
  {
    std::lock_guard lock(mutex_);
    if (closed_) return failed_ ? Status(*failed_) : Status{};
  }
  TRY(submit_and_wait(ClockTick{}, {}));
  TRY(sync());
  {
    std::lock_guard lock(mutex_);
    if (failed_) return *failed_;
    closed_ = true;
    stopping_ = true;
  }
  work_.notify_all();
  moved_.notify_all();
  thread_.join();
  std::deque<Pending> late;
  {
    std::lock_guard lock(mutex_);
    late.swap(queue_);
    stopping_ = false;
  }
  for (auto& pending : late) {
    if (pending.done) pending.done(stopped());
  }
  TRY(sync_dirty());
  TRY(write_mark(FrameKind::closed_mark));
  TRY(file_->sync());
  // From here on the thread only refuses what still comes.
  thread_ = std::thread([this] { run_vital_thread("journal", [this] { run(); }); });
  return {};
}

Result<EntryNumber> Journal::submit_and_wait(Body body, Dirty dirty) {
  std::promise<Result<EntryNumber>> promise;
  auto future = promise.get_future();
  submit(std::move(body), std::move(dirty),
         [&promise](Result<EntryNumber> result) { promise.set_value(std::move(result)); });
  return future.get();
}

Result<std::unique_ptr<Journal>> Journal::open(FileSystem& fs, const std::string& path,
                                               const Clock& clock, Metrics& metrics,
                                               Options options, const Verify& verify) {
  TRY(make_dirs_durably(fs, path));
  auto recovered = recover_journal(fs, path, verify, kRecentMax);
  if (!recovered) return std::move(recovered).error();
  if (recovered->last < options.must_reach) {
    return Error(Code::corrupt,
                 "the journal in {} ends at entry {}, but entry {} was durable: files are missing "
                 "or of another time",
                 path, recovered->last, options.must_reach)
        .with_hint(kRestoreBackup);
  }
  auto journal = std::make_unique<FileJournal>(fs, path, clock, metrics, options);
  TRY(journal->begin(std::move(*recovered)));
  return std::unique_ptr<Journal>(std::move(journal));
}

}  // namespace ziwa::journal
