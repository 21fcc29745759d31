#include "base/log.h"
#include "log/partition_internal.h"

#include <algorithm>
#include <limits>

namespace ziwa::log {

namespace {

/// A partition without appends writes a checkpoint when it is this many entries behind, so that the
/// journal can be trimmed.
constexpr uint64_t kEntriesBehindMax = 65'536;

}  // namespace

void Partition::configure(const TopicConfig& config) {
  std::lock_guard lock(mutex_);
  config_ = config;
}

Offset Partition::hold(const std::string& holder, std::optional<Offset> from) {
  std::unique_lock lock(mutex_);
  if (!from) {
    holds_.erase(holder);
    return {};
  }
  moved_.wait(lock, [&] { return moves_.empty() || *moves_.rbegin() <= from->value; });
  int64_t kept = std::max(from->value, log_start_);
  holds_[holder] = kept;
  return Offset(kept);
}

std::optional<Partition::Move> Partition::begin_move_locked(int64_t to) {
  if (to <= log_start_) return std::nullopt;
  moves_.insert(to);
  return Move(*this, to);
}

void Partition::end_move(int64_t to) {
  std::lock_guard lock(mutex_);
  moves_.erase(moves_.find(to));
  moved_.notify_all();
}

std::pair<std::string, int64_t> Partition::lowest_hold_locked() const {
  std::pair<std::string, int64_t> lowest{"", std::numeric_limits<int64_t>::max()};
  for (const auto& [holder, from] : holds_) {
    if (from < lowest.second) lowest = {holder, from};
  }
  return lowest;
}

Result<std::optional<Partition::Move>> Partition::start_after_delete(int64_t before) {
  std::lock_guard lock(mutex_);
  if (before > high_watermark_ || before < 0) {
    return Error(Code::invalid_argument,
                 "cannot delete records before offset {}: the partition has [{}, {})", before,
                 log_start_, high_watermark_);
  }
  if (auto [holder, from] = lowest_hold_locked(); from < before) {
    return Error(Code::conflict, "{} still needs the records of partition {} from offset {} on",
                 holder, id_.partition, from)
        .with_hint("it lets go with its next checkpoint: try again then");
  }
  return begin_move_locked(before);
}

Result<std::optional<Partition::Move>> Partition::start_by_retention() {
  std::lock_guard care(care_mutex_);
  int64_t now = shared_.clock.now().value;
  TRY(roll_if_old(now));
  std::vector<std::pair<std::shared_ptr<Segment>, int64_t>> closed;  // With its newest time.
  uint64_t bytes = 0;
  int64_t held_from = 0;
  int64_t cutoff = 0;
  uint64_t bytes_max = std::numeric_limits<uint64_t>::max();
  {
    std::lock_guard lock(mutex_);
    if (!serving_) return std::optional<Move>();
    cutoff = cutoff_locked(now);
    if (config_.retention_bytes >= 0) bytes_max = static_cast<uint64_t>(config_.retention_bytes);
    held_from = lowest_hold_locked().second;
    int64_t stable = stable_locked();
    for (const auto& segment : segments_) bytes += segment->size;
    for (size_t i = 0; i + 1 < segments_.size() && segments_[i]->end <= stable; ++i)
      closed.emplace_back(segments_[i], segments_[i]->max_timestamp);
  }
  std::vector<int64_t> ends;  // Of what can go, if nobody holds it.
  // Without the lock, for the disk may be read; only care takes segments away.
  for (const auto& [segment, newest] : closed) {
    bool surplus = bytes > bytes_max && bytes - bytes_max >= segment->size;
    if (!surplus) {
      if (cutoff == Segment::kNoTimestamp) break;
      auto old = segment->is_old(shared_.fs, shared_.files, newest, {now, cutoff});
      if (!old && segment->end <= held_from) return std::move(old).error();
      if (!old || !*old) break;
    }
    bytes -= segment->size;
    ends.push_back(segment->end);
  }
  std::lock_guard lock(mutex_);
  overdue_end_ = ends.empty() ? 0 : ends.back();
  while (!ends.empty() && ends.back() > lowest_hold_locked().second) ends.pop_back();
  return ends.empty() ? std::nullopt : begin_move_locked(ends.back());
}

uint64_t Partition::overdue_bytes(int64_t from) const {
  std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const auto& segment : segments_) {
    if (segment->end > overdue_end_) break;
    if (segment->end > from) bytes += segment->size;
  }
  return bytes;
}

int64_t Partition::cutoff_locked(int64_t now) const {
  return config_.retention_ms < 0 ? Segment::kNoTimestamp : now - config_.retention_ms;
}

/// Closes the growing segment once all of it is old, so that it can go. Holds care_mutex_.
Status Partition::roll_if_old(int64_t now) {
  std::lock_guard appending(append_mutex_);
  std::shared_ptr<Segment> segment;
  int64_t cutoff = 0;
  {
    std::lock_guard lock(mutex_);
    bool idle = serving_ && active().size > 0 && high_watermark_ == next_offset_ && !refusing_;
    if (!idle || config_.retention_ms < 0) return {};
    segment = segments_.back();
    cutoff = cutoff_locked(now);
  }
  // Nobody else changes it under the append lock.
  bool old = TRY(segment->is_old(shared_.fs, shared_.files, segment->max_timestamp, {now, cutoff}));
  return old ? roll() : Status{};
}

/// Does not wait for care: who wants to hold records waits for it.
Status Partition::roll_if_below(int64_t offset) {
  std::lock_guard appending(append_mutex_);
  std::unique_lock lock(mutex_);
  bool below = active().size > 0 && next_offset_ <= offset && high_watermark_ == next_offset_;
  if (!below || refusing_) return {};
  lock.unlock();
  return roll();
}

Result<uint64_t> Partition::delete_below_start() {
  std::lock_guard care(care_mutex_);
  std::vector<std::shared_ptr<Segment>> gone;
  {
    std::lock_guard lock(mutex_);
    if (!serving_) return uint64_t{0};
    for (size_t i = 0; i + 1 < segments_.size() && segments_[i]->end <= log_start_; ++i) {
      gone.push_back(segments_[i]);
    }
  }
  if (gone.empty()) return uint64_t{0};
  // Recovery must never look for a segment that is gone, and must know the start without the
  // journal.
  if (checkpoint_segment_ <= gone.back()->base || checkpoint_log_start_ < gone.back()->end) {
    TRY(checkpoint_in_care(true));
  }
  {
    std::lock_guard lock(mutex_);
    segments_.erase(segments_.begin(), segments_.begin() + static_cast<ptrdiff_t>(gone.size()));
  }
  uint64_t bytes = 0;
  for (const auto& segment : gone) {
    bytes += segment->size;
    TRY(segment->remove(shared_.fs, shared_.files));
  }
  TRY(shared_.fs.sync_dir(directory_));
  log_info("log", "segments below the log start were deleted", "directory={} segments={} bytes={}",
           directory_, gone.size(), bytes);
  return bytes;
}

Status Partition::checkpoint(bool force) {
  std::lock_guard care(care_mutex_);
  return checkpoint_in_care(force);
}

bool Partition::checkpoint_due_locked(bool force) const {
  if (!serving_) return false;
  bool changed = next_offset_ != checkpoint_offset_ || log_start_ != checkpoint_log_start_ ||
                 active().base != checkpoint_segment_;
  if (force && changed) return true;
  if (unchecked_bytes_ >= shared_.options.checkpoint_bytes) return true;
  return shared_.applied >= checkpoint_entry_ + kEntriesBehindMax;
}

Checkpoint Partition::snapshot_locked() {
  producers_.expire(shared_.clock.now().value - shared_.options.producer_expiry_ms,
                    [&](int64_t id) { return open_by_producer_.contains(id); });
  const Segment& segment = active();
  Checkpoint checkpoint{.segment = segment.base,
                        .position = segment.size,
                        .offset = next_offset_,
                        .index_points = segment.index.in_memory().size(),
                        .time_points = segment.times.in_memory().size(),
                        .aborted_points = segment.aborted.in_memory().size(),
                        .indexed_position = segment.indexed_position,
                        .max_timestamp = segment.max_timestamp,
                        .producers = producers_};
  for (const auto& [first, open] : open_) {
    if (open.last_offset < 0) checkpoint.open[first] = open;
  }
  return checkpoint;
}

/// Waits until the order covers the snapshot, then writes it. Holds care_mutex_.
Status Partition::checkpoint_in_care(bool force) {
  Checkpoint checkpoint;
  uint64_t bytes = 0;
  {
    std::unique_lock lock(mutex_);
    if (!checkpoint_due_locked(force)) return {};
    checkpoint = snapshot_locked();
    bytes = unchecked_bytes_;
    moved_.wait(lock, [&] { return high_watermark_ >= checkpoint.offset || in_flight_ == 0; });
    if (high_watermark_ < checkpoint.offset) {
      return Error(Code::unavailable, "the order does not cover partition {} any more", directory_);
    }
  }
  // With flush=interval or os, ordered is not durable.
  const uint64_t durable = shared_.applied;
  TRY(shared_.journal->sync());
  TRY(settle_points(checkpoint, durable));
  TRY(write_file_atomically(shared_.fs, join_path(directory_, "checkpoint"),
                            encode_checkpoint(checkpoint)));
  std::lock_guard lock(mutex_);
  checkpoint_entry_ = checkpoint.entry;
  checkpoint_segment_ = checkpoint.segment;
  checkpoint_offset_ = checkpoint.offset;
  checkpoint_log_start_ = checkpoint.log_start;
  unchecked_bytes_ -= bytes;
  return {};
}

/// Makes the points that the checkpoint counts durable, and seals the segments before it. The
/// journal is durable up to `durable`.
Status Partition::settle_points(Checkpoint& checkpoint, uint64_t durable) {
  std::vector<std::shared_ptr<Segment>> settled;
  std::vector<std::shared_ptr<File>> files;
  {
    std::lock_guard lock(mutex_);
    for (const auto& segment : segments_) {
      if (segment->sealed || segment->base > checkpoint.segment) continue;
      if (segment->base < checkpoint.segment) {
        settled.push_back(segment);
        TRY(segment->finish(shared_.fs));
        segment->collect_files(files);
        continue;
      }
      TRY(segment->flush(shared_.fs));
      segment->collect_files(files);
      const auto& ends = segment->ends.in_memory();
      auto above = std::ranges::upper_bound(ends, checkpoint.offset, {}, &EndPoint::end);
      checkpoint.end_points = static_cast<uint64_t>(above - ends.begin());
      checkpoint.entry = above == ends.begin() ? checkpoint_entry_ : std::prev(above)->entry;
    }
    bool quiet = next_offset_ == checkpoint.offset && high_watermark_ == next_offset_;
    if (quiet) checkpoint.entry = std::max(checkpoint.entry, durable);
    checkpoint.log_start = log_start_;
  }
  for (const auto& file : files) TRY(file->sync());
  // Before the checkpoint, which would otherwise speak of files that a crash can take away.
  TRY(shared_.fs.sync_dir(directory_));
  std::lock_guard lock(mutex_);
  for (const auto& segment : settled) {
    segment->points_durable = true;
    TRY(segment->seal(shared_.fs));
  }
  return {};
}

void Partition::stop(Error why) {
  // An append that has begun comes to its end first.
  std::unique_lock appending(append_mutex_);
  std::unique_lock lock(mutex_);
  if (!refusing_) refusing_ = std::move(why);
  appending.unlock();
  moved_.wait(lock, [&] { return in_flight_ == 0; });
}

void Partition::forget() {
  std::vector<Waiter> waiters;
  std::vector<std::shared_ptr<Segment>> segments;
  {
    // Care that has begun comes to its end; none begins any more.
    std::lock_guard care(care_mutex_);
    std::lock_guard lock(mutex_);
    serving_ = false;
    waiters.swap(waiters_);
    segments = segments_;
  }
  for (const auto& waiter : waiters) {
    if (auto wake = waiter.wake.lock()) wake->call_once();
  }
  for (const auto& segment : segments) segment->forget(shared_.files);
}

}  // namespace ziwa::log
