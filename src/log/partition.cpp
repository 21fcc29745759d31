#include "base/log.h"
#include "log/partition_internal.h"

#include <algorithm>
#include <limits>

namespace ziwa::log {

namespace {

/// Batches of one partition that may be on their way to the disk at once.
constexpr size_t kWaitingMax = 65'536;
/// Closed segments whose points are still in memory; more are sealed by the next roll.
constexpr size_t kUnsealedMax = 4;
/// Producers one partition remembers; beyond, the longest silent half day's are forgotten early.
constexpr size_t kProducersMax = 100'000;

Error invalid(std::string_view what) {
  return Error(Code::invalid_argument, "record batch {}", what);
}

}  // namespace

Partition::Partition(Shared& shared, PartitionId id, std::string directory,
                     const TopicConfig& config)
    : shared_(shared), id_(id), directory_(std::move(directory)), config_(config) {}

Result<BatchHeader> Partition::check_batch(ByteView batch) const {
  TRY(verify_batch(batch));
  BatchHeader header = TRY(parse_batch_header(batch));
  if (header.count - 1 != header.last_offset_delta) return invalid("has gaps between its offsets");
  if (header.control()) return invalid("is a control batch, which only the server writes");
  if (header.codec() > 4) return invalid("has an unknown compression codec");
  if (header.producer_id < 0 && header.transactional())
    return invalid("is transactional without a producer id");
  if (header.producer_id >= 0 && (header.producer_epoch < 0 || header.base_sequence < 0)) {
    return invalid("has a producer id without an epoch or a sequence");
  }
  size_t batch_bytes_max = 0;
  {
    std::lock_guard lock(mutex_);
    batch_bytes_max = config_.batch_bytes_max;
  }
  // One that is too large is refused by judge(), and not unpacked before.
  if (batch.size() <= batch_bytes_max) {
    size_t limit = std::max<size_t>(shared_.options.unpacked_bytes_max, batch_bytes_max);
    TRY(check_records(batch, limit, shared_.options.unpack_to_check));
  }
  return header;
}

Status Partition::check_open() const {
  if (refusing_) return *refusing_;
  if (!serving_) return Error(Code::unavailable, "the log is still starting");
  if (waiting_.size() >= kWaitingMax) {
    return Error(Code::unavailable, "{} batches of the partition wait for the disk",
                 waiting_.size());
  }
  return shared_.journal->room();
}

void Partition::append(ByteView batch, Log::AppendDone done) {
  auto header = check_batch(batch);
  if (!header) return done(std::move(header).error(), AppendRefusal::none);
  std::unique_lock appending(append_mutex_);
  auto verdict = judge(*header, batch.size());
  bool fresh = !verdict.refused && !verdict.repeated;
  if (fresh) verdict.refused = append_fresh(*header, batch, done);
  appending.unlock();
  if (verdict.refused) return done(std::move(verdict.refused->error), verdict.refused->refusal);
  if (verdict.repeated) answer_repeated(*verdict.repeated, std::move(done));
}

/// Whether the batch may be appended now, or was before.
Partition::Verdict Partition::judge(const BatchHeader& header, size_t bytes) const {
  std::lock_guard lock(mutex_);
  if (auto open = check_open(); !open) return {Refusal{std::move(open).error()}, {}};
  if (bytes > config_.batch_bytes_max) {
    Error error(Code::exhausted, "record batch of {} bytes is larger than the topic's limit of {}",
                bytes, config_.batch_bytes_max);
    return {Refusal{std::move(error)}, {}};
  }
  if (header.producer_id < 0) return {};
  auto verdict = producers_.check(header);
  if (verdict.refusal == AppendRefusal::none) return {std::nullopt, verdict.duplicate};
  return {Refusal{Error(Code::conflict, "{}", verdict.reason), verdict.refusal}, {}};
}

/// Gives the outcome of the first time, once that is known.
void Partition::answer_repeated(const ProducerTable::Batch& first, Log::AppendDone done) {
  Appended outcome{Offset(first.base_offset), {}, TimestampMs(first.time), {}};
  {
    std::lock_guard lock(mutex_);
    outcome.log_start = Offset(log_start_);
    if (first.last_offset >= high_watermark_) {
      return enqueue({first.last_offset + 1, outcome, std::move(done)});
    }
  }
  // The entry of a batch that was deleted since is not known any more; it is still not appended
  // again.
  outcome.entry = entry_of(first.last_offset).value_or(EntryNumber(0));
  done(outcome, AppendRefusal::none);
}

/// Takes `done` over, unless it returns a refusal. The append lock is held.
std::optional<Partition::Refusal> Partition::append_fresh(BatchHeader header, ByteView batch,
                                                          Log::AppendDone& done) {
  int64_t now = shared_.clock.now().value;
  if (auto room = roll_if_full(header.last_offset_delta, batch.size()); !room)
    return Refusal{std::move(room).error()};
  Place place = end_of_log();
  auto written = write_batch(header, batch, place);
  if (!written) return Refusal{std::move(written).error()};
  journal::Dirty dirty;
  journal::PartitionEnd end;
  {
    std::lock_guard lock(mutex_);
    end = adopt(header, std::move(*written), false, now, dirty);
    ++in_flight_;
    enqueue({end.end.value,
             {Offset(header.base_offset), {}, TimestampMs(now), Offset(log_start_)},
             std::move(done)});
  }
  shared_.appended_bytes.add(static_cast<double>(batch.size()));
  shared_.appended_batches.add();
  // Under the append lock, so that ends enter the order as they grow.
  shared_.journal->submit(journal::LogCommit{{end}}, std::move(dirty),
                          [this](Result<EntryNumber> result) { submitted(result); });
  return std::nullopt;
}

/// Writes the batch at `place`, where nobody sees it before adopt(), and moves `place` behind it.
/// On an error the log is as before. Holds the append lock and not the other: readers and the sync
/// thread do not wait for the disk.
Result<std::shared_ptr<const CachedBatch>> Partition::write_batch(BatchHeader& header,
                                                                  ByteView batch, Place& place) {
  auto cached = std::make_shared<CachedBatch>();
  cached->bytes.assign(batch.begin(), batch.end());
  header.base_offset = cached->base_offset = place.offset;
  cached->last_offset = header.last_offset();
  place_batch(cached->bytes, Offset(place.offset));
  if (auto wrote = growing()->file->write_at(place.position, cached->bytes); !wrote) {
    take_back_write();
    return std::move(wrote).error().context("append");
  }
  place = {header.last_offset() + 1, place.position + cached->bytes.size()};
  return std::shared_ptr<const CachedBatch>(std::move(cached));
}

Partition::Place Partition::end_of_log() const {
  std::shared_ptr<Segment> segment = growing();
  return {segment->end, segment->size};
}

/// Removes bytes that were written and not adopted.
void Partition::take_back_write() {
  std::shared_ptr<Segment> segment = growing();
  auto cut = segment->file->truncate(segment->size);
  if (cut) return;
  log_error("log", "a half-written batch could not be taken back: the partition takes no more",
            "file={} error={}", segment->log_path, cut.error().to_string());
  std::lock_guard lock(mutex_);
  refusing_ = Error(Code::io, "{}: {}", segment->log_path, cut.error().message());
}

/// Makes a written batch the new end of the log and counts it as on its way to the order.
journal::PartitionEnd Partition::adopt(const BatchHeader& header,
                                       std::shared_ptr<const CachedBatch> batch, bool commits,
                                       int64_t time, journal::Dirty& dirty) {
  Segment& segment = active();
  segment.track(header, segment.size, shared_.options.index_interval_bytes);
  next_offset_ = segment.end;
  unchecked_bytes_ += batch->bytes.size();
  track_producer(header, commits, time, segment);
  while (!tail_.empty() && tail_.front().batch.expired()) tail_.pop_front();
  tail_.push_back({header.base_offset, header.last_offset(), batch});
  shared_.cache.add(std::move(batch));
  // Earlier segments that are not ordered yet have submissions of their own.
  dirty.files.push_back(segment.file);
  if (std::exchange(directory_dirty_, false)) dirty.directories.push_back(directory_);
  return {id_, Offset(next_offset_)};
}

/// The segment at the end. Only holders of the append lock change its end and size.
std::shared_ptr<Segment> Partition::growing() const {
  std::lock_guard lock(mutex_);
  return segments_.back();
}

/// Makes room in the growing segment for this many more records after the first, and bytes.
Status Partition::roll_if_full(int64_t records, size_t bytes) {
  std::shared_ptr<Segment> segment = growing();
  uint64_t limit = 0;
  {
    std::lock_guard lock(mutex_);
    limit = config_.segment_bytes;
  }
  constexpr int64_t kRelativeMax = std::numeric_limits<int32_t>::max();
  bool full = segment->size > 0 && segment->size + bytes > limit;
  if (!full && segment->end + records - segment->base <= kRelativeMax) return {};
  return roll();
}

/// Begins the next segment. Holds the append lock and not the other.
Status Partition::roll() {
  auto next = std::make_shared<Segment>(directory_, growing()->end);
  TRY(next->open_file(shared_.fs));
  if (next->file->size() > 0) TRY(next->file->truncate(0));
  std::lock_guard lock(mutex_);
  directory_dirty_ = true;
  segments_.push_back(std::move(next));
  size_t unsealed = 0;
  for (size_t i = segments_.size() - 1; i-- > 0 && !segments_[i]->sealed;) {
    if (++unsealed <= kUnsealedMax || segments_[i]->end > high_watermark_) continue;
    segments_[i]->seal(shared_.fs).ignore("the next checkpoint tries again, and reports it");
  }
  return {};
}

/// `segment` holds the batch.
void Partition::track_producer(const BatchHeader& header, bool commits, int64_t time,
                               Segment& segment) {
  if (header.producer_id < 0) return;
  if (!header.control()) {
    producers_.add(header, time);
    if (producers_.size() > kProducersMax) {
      producers_.expire(time - shared_.options.producer_expiry_ms / 2,
                        [&](int64_t id) { return open_by_producer_.contains(id); });
    }
    if (!header.transactional()) return;
    auto [at, opened] = open_by_producer_.try_emplace(header.producer_id, header.base_offset);
    auto& open = open_[at->second];
    open.producer_id = header.producer_id;
    open.producer_epoch = header.producer_epoch;
    open.time = time;
    return;
  }
  producers_.end_transaction(header.producer_id, header.producer_epoch, time);
  auto at = open_by_producer_.find(header.producer_id);
  if (at == open_by_producer_.end()) return;
  open_[at->second].last_offset = header.base_offset;
  if (!commits) segment.aborted.push({header.producer_id, at->second, header.base_offset});
  open_by_producer_.erase(at);
}

Result<std::vector<Partition::Written>> Partition::write_marker(int64_t producer_id, int16_t epoch,
                                                                bool commit) {
  {
    std::lock_guard lock(mutex_);
    TRY(check_open());
    auto known = producers_.epoch_of(producer_id);
    if (known && *known > epoch) {
      return Error(Code::conflict, "producer {} has epoch {} now, the transaction has {}",
                   producer_id, *known, epoch);
    }
  }
  TimestampMs now = shared_.clock.now();
  Bytes batch = encode_control_batch(commit, producer_id, epoch, now);
  Written marker{.header = TRY(parse_batch_header(batch)), .commits = commit, .time = now.value};
  TRY(roll_if_full(marker.header.last_offset_delta, batch.size()));
  Place place = end_of_log();
  marker.batch = TRY(write_batch(marker.header, batch, place));
  return std::vector{std::move(marker)};
}

Result<std::vector<Partition::Written>> Partition::write_batches(std::span<const Bytes> batches) {
  std::vector<Written> written;
  int64_t records = 0;
  size_t bytes = 0;
  for (const Bytes& batch : batches) {
    Written next{.header = TRY(check_batch(batch)), .time = shared_.clock.now().value};
    if (next.header.producer_id >= 0) return invalid("of a producer is appended alone");
    auto verdict = judge(next.header, batch.size());
    if (verdict.refused) return std::move(verdict.refused->error);
    records += next.header.count;
    bytes += batch.size();
    written.push_back(std::move(next));
  }
  TRY(roll_if_full(records, bytes));
  Place place = end_of_log();
  for (size_t i = 0; i < batches.size(); ++i)
    written[i].batch = TRY(write_batch(written[i].header, batches[i], place));
  return written;
}

journal::PartitionEnd Partition::adopt_written(std::vector<Written> written,
                                               journal::Dirty& dirty) {
  std::lock_guard lock(mutex_);
  journal::PartitionEnd end{id_, Offset(next_offset_)};
  for (Written& one : written) {
    shared_.appended_bytes.add(static_cast<double>(one.batch->bytes.size()));
    shared_.appended_batches.add();
    end = adopt(one.header, std::move(one.batch), one.commits, one.time, dirty);
  }
  ++in_flight_;
  return end;
}

void Partition::enqueue(Waiting waiting) {
  auto after = std::ranges::upper_bound(waiting_, waiting.end, {}, &Waiting::end);
  waiting_.insert(after, std::move(waiting));
}

void Partition::commit(int64_t end, EntryNumber entry, Wakes& wakes) {
  std::lock_guard lock(mutex_);
  if (end <= high_watermark_) return;
  CHECK(end <= next_offset_, "entry {} moves the end to {}, beyond {}", entry, end, next_offset_);
  add_end(end, entry);
  while (!waiting_.empty() && waiting_.front().end <= high_watermark_) {
    waiting_.front().outcome.entry = entry;
    ready_.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  std::erase_if(waiters_, [&](const Waiter& waiter) {
    auto wake = waiter.wake.lock();
    if (wake && waiter.offset >= high_watermark_) return false;
    if (wake) wakes.push_back(std::move(wake));
    return true;
  });
  moved_.notify_all();
}

/// Moves the high watermark and notes the entry in every segment that it touches.
void Partition::add_end(int64_t end, EntryNumber entry) {
  int64_t before = high_watermark_;
  high_watermark_ = end;
  last_entry_ = entry.value;
  std::erase_if(open_, [&](const auto& it) {
    return it.second.last_offset >= 0 && it.second.last_offset < end;
  });
  int64_t stable = stable_locked();
  for (size_t i = segment_of(before); i < segments_.size() && segments_[i]->base < end; ++i) {
    int64_t segment_end = i + 1 < segments_.size() ? segments_[i + 1]->base : end;
    if (segment_end > before)
      segments_[i]->ends.push({std::min(segment_end, end), stable, entry.value});
  }
}

int64_t Partition::stable_locked() const {
  if (open_.empty()) return high_watermark_;
  // Records of an open transaction may be deleted: what follows them stays unstable.
  return std::max(log_start_, std::min(high_watermark_, open_.begin()->first));
}

void Partition::submitted(const Result<EntryNumber>& result) {
  std::vector<Waiting> over;
  {
    std::lock_guard lock(mutex_);
    over.swap(ready_);
    --in_flight_;
    if (!result) {
      refusing_ = result.error();
      for (auto& waiting : waiting_) over.push_back(std::move(waiting));
      waiting_.clear();
    }
    moved_.notify_all();
  }
  for (auto& waiting : over) {
    if (waiting.outcome.entry.value != 0) {
      waiting.done(waiting.outcome, AppendRefusal::none);
    } else {
      Error error(Code::maybe_applied, "the batch may be in the log: {}", result.error().message());
      waiting.done(std::move(error), AppendRefusal::none);
    }
  }
}

void Partition::raise_log_start(int64_t start, EntryNumber entry) {
  std::lock_guard lock(mutex_);
  const int64_t wanted = std::min(start, high_watermark_);
  if (wanted <= log_start_) return;
  log_start_ = wanted;
  start_moved_ = entry;
}

}  // namespace ziwa::log
