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
  std::optional<Refusal> refused;
  std::optional<ProducerTable::Batch> repeated;
  {
    std::lock_guard lock(mutex_);
    refused = append_locked(*header, batch, done, repeated);
  }
  if (refused) return done(std::move(refused->error), refused->refusal);
  if (!repeated) return;
  // The entry of a batch that was deleted since is not known any more; the batch is still not
  // appended again.
  auto entry = entry_of(repeated->last_offset);
  Appended outcome{Offset(repeated->base_offset), entry.value_or(EntryNumber(0)),
                   TimestampMs(repeated->time), info().log_start};
  done(outcome, AppendRefusal::none);
}

/// Takes `done` over, unless it returns a refusal or `repeated`: a batch that is already in the
/// order.
std::optional<Partition::Refusal> Partition::append_locked(
    BatchHeader header, ByteView batch, Log::AppendDone& done,
    std::optional<ProducerTable::Batch>& repeated) {
  if (auto open = check_open(); !open) return Refusal{std::move(open).error()};
  if (batch.size() > config_.batch_bytes_max) {
    return Refusal{Error(Code::exhausted,
                         "record batch of {} bytes is larger than the topic's limit of {}",
                         batch.size(), config_.batch_bytes_max)};
  }
  int64_t now = shared_.clock.now().value;
  if (header.producer_id >= 0) {
    auto verdict = producers_.check(header);
    if (verdict.refusal != AppendRefusal::none) {
      return Refusal{Error(Code::conflict, "{}", verdict.reason), verdict.refusal};
    }
    if (verdict.duplicate) {
      const auto& first = *verdict.duplicate;
      if (first.last_offset < high_watermark_) {
        repeated = first;
        return std::nullopt;
      }
      enqueue({first.last_offset + 1,
               {Offset(first.base_offset), {}, TimestampMs(first.time), Offset(log_start_)},
               std::move(done)});
      return std::nullopt;
    }
  }
  auto written = write_batch(header, batch);
  if (!written) return Refusal{std::move(written).error()};
  adopt(header, std::move(*written), false, now);
  shared_.appended_bytes.add(static_cast<double>(batch.size()));
  shared_.appended_batches.add();
  enqueue({next_offset_,
           {Offset(header.base_offset), {}, TimestampMs(now), Offset(log_start_)},
           std::move(done)});
  ++in_flight_;
  // Under the lock, so that ends enter the order as they grow.
  shared_.journal->submit(journal::LogCommit{{{id_, Offset(next_offset_)}}}, take_dirty(),
                          [this](Result<EntryNumber> result) { submitted(result); });
  return std::nullopt;
}

/// Writes the batch after the end of the log, where nobody sees it before adopt(). On an error the
/// log is as before.
Result<std::shared_ptr<const CachedBatch>> Partition::write_batch(BatchHeader& header,
                                                                  ByteView batch) {
  bool full = active().size > 0 && active().size + batch.size() > config_.segment_bytes;
  constexpr int64_t kRelativeMax = std::numeric_limits<int32_t>::max();
  if (full || next_offset_ + header.last_offset_delta - active().base > kRelativeMax) TRY(roll());
  Segment& segment = active();
  auto cached = std::make_shared<CachedBatch>();
  cached->bytes.assign(batch.begin(), batch.end());
  header.base_offset = cached->base_offset = next_offset_;
  cached->last_offset = header.last_offset();
  place_batch(cached->bytes, Offset(next_offset_));
  uint64_t position = segment.size;
  if (auto wrote = segment.file->write_at(position, cached->bytes); !wrote) {
    take_back_write();
    return std::move(wrote).error().context("append");
  }
  return std::shared_ptr<const CachedBatch>(std::move(cached));
}

/// Removes bytes that were written and not adopted.
void Partition::take_back_write() {
  Segment& segment = active();
  auto cut = segment.file->truncate(segment.size);
  if (cut) return;
  refusing_ = Error(Code::io, "{}: {}", segment.log_path, cut.error().message());
  log_error("log", "a half-written batch could not be taken back: the partition takes no more",
            "file={} error={}", segment.log_path, cut.error().to_string());
}

/// Makes a written batch the new end of the log.
void Partition::adopt(const BatchHeader& header, std::shared_ptr<const CachedBatch> batch,
                      bool commits, int64_t time) {
  Segment& segment = active();
  segment.track(header, segment.size, shared_.options.index_interval_bytes);
  next_offset_ = segment.end;
  unchecked_bytes_ += batch->bytes.size();
  track_producer(header, commits, time, segment);
  while (!tail_.empty() && tail_.front().batch.expired()) tail_.pop_front();
  tail_.push_back({header.base_offset, header.last_offset(), batch});
  shared_.cache.add(std::move(batch));
}

Status Partition::roll() {
  auto next = std::make_shared<Segment>(directory_, next_offset_);
  TRY(next->open_file(shared_.fs));
  if (next->file->size() > 0) TRY(next->file->truncate(0));
  directory_dirty_ = true;
  segments_.push_back(std::move(next));
  size_t unsealed = 0;
  for (size_t i = segments_.size() - 1; i-- > 0 && !segments_[i]->sealed;) {
    if (++unsealed <= kUnsealedMax || segments_[i]->end > high_watermark_) continue;
    segments_[i]->seal(shared_.fs).ignore("the next checkpoint tries again, and reports it");
  }
  return {};
}

journal::Dirty Partition::take_dirty() {
  journal::Dirty dirty{{active().file}, {}};
  // Sealed ones were ordered before; an earlier segment that is not carries its own submissions.
  if (std::exchange(directory_dirty_, false)) dirty.directories.push_back(directory_);
  return dirty;
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

Result<Partition::Marker> Partition::write_marker(int64_t producer_id, int16_t epoch, bool commit) {
  TRY(check_open());
  auto known = producers_.epoch_of(producer_id);
  if (known && *known > epoch) {
    return Error(Code::conflict, "producer {} has epoch {} now, the transaction has {}",
                 producer_id, *known, epoch);
  }
  TimestampMs now = shared_.clock.now();
  Bytes batch = encode_control_batch(commit, producer_id, epoch, now);
  Marker marker;
  marker.header = TRY(parse_batch_header(batch));
  marker.commits = commit;
  marker.time = now.value;
  marker.batch = TRY(write_batch(marker.header, batch));
  return marker;
}

journal::PartitionEnd Partition::adopt_marker(Marker marker, journal::Dirty& dirty) {
  adopt(marker.header, std::move(marker.batch), marker.commits, marker.time);
  ++in_flight_;
  auto mine = take_dirty();
  std::ranges::move(mine.files, std::back_inserter(dirty.files));
  std::ranges::move(mine.directories, std::back_inserter(dirty.directories));
  return {id_, Offset(next_offset_)};
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
  return open_.empty() ? high_watermark_ : std::min(high_watermark_, open_.begin()->first);
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

void Partition::raise_log_start(int64_t start) {
  std::lock_guard lock(mutex_);
  log_start_ = std::max(log_start_, std::min(start, high_watermark_));
}

}  // namespace ziwa::log
