#include "log/partition_internal.h"

#include <algorithm>

namespace ziwa::log {

namespace {

/// Pieces in which headers are walked from an index point to the wanted batch.
constexpr size_t kWalkBytes = 8u << 10;
constexpr size_t kTimeWalkBytes = 64u << 10;

}  // namespace

/// Where a fetch will find its bytes, decided under the lock and carried out without it.
struct Partition::FetchPlan {
  int64_t from = 0;
  int64_t upper = 0;  ///< Nothing at or above it.
  size_t max_bytes = 0;
  std::vector<std::shared_ptr<const CachedBatch>> cached;  ///< All of it, when not empty.
  std::shared_ptr<Segment> segment;
  std::shared_ptr<File> file;  ///< Null: the segment is sealed.
  uint64_t size = 0;           ///< Bytes of whole batches in the segment.
  IndexPoint hint;
};

size_t Partition::segment_of(int64_t offset) const {
  auto above =
      std::ranges::upper_bound(segments_, offset, {}, [](const auto& it) { return it->base; });
  return above == segments_.begin() ? 0 : static_cast<size_t>(above - segments_.begin()) - 1;
}

Error Partition::damaged(int64_t offset, const Error& cause) const {
  return Error(Code::corrupt, "partition {} of topic {} is damaged near offset {}: {}",
               id_.partition, id_.topic, offset, cause.message());
}

/// Takes the batches from memory if the first one is still there.
bool Partition::plan_from_cache(FetchPlan& plan) const {
  auto above = std::ranges::upper_bound(tail_, plan.from, {}, &TailBatch::base);
  if (above == tail_.begin()) return false;
  size_t bytes = 0;
  for (auto at = std::prev(above); at != tail_.end() && at->base < plan.upper; ++at) {
    auto batch = at->batch.lock();
    if (!batch || at->last < plan.from) return false;
    bytes += batch->bytes.size();
    if (!plan.cached.empty() && bytes > plan.max_bytes) break;
    plan.cached.push_back(std::move(batch));
  }
  return !plan.cached.empty();
}

/// False when there is nothing to read. The lock is held.
Result<bool> Partition::plan_fetch(FetchPlan& plan) const {
  if (plan.from < log_start_ || plan.from > high_watermark_) {
    return Error(Code::invalid_argument, "offset {} is out of range: the partition has [{}, {})",
                 plan.from, log_start_, high_watermark_);
  }
  if (plan.from >= plan.upper) return false;
  if (plan_from_cache(plan)) return true;
  plan.cached.clear();
  plan.segment = segments_[segment_of(plan.from)];
  plan.size = plan.segment->size;
  if (plan.segment->sealed) return true;
  plan.file = plan.segment->file;
  plan.hint = TRY(plan.segment->hint_for_offset(shared_.files, plan.from));
  return true;
}

/// The position of the batch that holds `offset`, walking from `hint` (or, if that lies, from the
/// start).
Result<uint64_t> Partition::find_batch(const Segment& segment, const File& file, IndexPoint hint,
                                       uint64_t size, int64_t offset) const {
  BatchReader reader(file, hint.position, size, kWalkBytes);
  int64_t expected = segment.base + hint.relative;
  while (true) {
    auto more = reader.next();
    bool good = more && *more && reader.header().base_offset == expected &&
                reader.header().leader_epoch == 0;
    if (!good && hint.position != 0) return find_batch(segment, file, {}, size, offset);
    if (!more) return damaged(expected, more.error());
    if (!good)
      return damaged(expected,
                     Error(Code::corrupt, "no batch begins at byte {}", reader.position()));
    expected = reader.header().last_offset() + 1;
    if (expected > offset) return reader.position();
  }
}

/// Reads whole batches from the segment file straight into `out` and checks each.
Status Partition::read_planned(const FetchPlan& plan, Bytes& out) const {
  std::shared_ptr<File> file = plan.file;
  IndexPoint hint = plan.hint;
  uint64_t size = plan.size;
  if (!file) {
    auto opened = shared_.files.open(plan.segment->log_path);
    if (!opened && opened.error().code() == Code::not_found) {
      return Error(Code::invalid_argument, "offset {} is out of range: it was just deleted",
                   plan.from);
    }
    file = TRY(std::move(opened));
    size = file->size();
    auto found = plan.segment->hint_for_offset(shared_.files, plan.from);
    hint = found ? *found : IndexPoint{};
  }
  uint64_t position = TRY(find_batch(*plan.segment, *file, hint, size, plan.from));
  std::byte header_bytes[kBatchHeaderBytes];
  TRY(file->read_at(position, header_bytes));
  BatchHeader first = TRY(parse_batch_header_alone(header_bytes));
  out.resize(std::min<uint64_t>(std::max(plan.max_bytes, first.total_bytes()), size - position));
  out.resize(TRY(file->read_at(position, out)));
  size_t used = 0;
  int64_t expected = first.base_offset;
  ByteView view(out);
  while (used < view.size()) {
    // The last batch may have been cut off by max_bytes; the first never is.
    if (used > 0 && view.size() - used < kBatchHeaderBytes) break;
    auto header = parse_batch_header_alone(view.subspan(used));
    if (!header) return damaged(expected, header.error());
    if (header->base_offset >= plan.upper && header->base_offset == expected) break;
    if (used > 0 && header->total_bytes() > view.size() - used) break;
    auto whole =
        verify_batch(view.subspan(used, std::min(view.size() - used, header->total_bytes())));
    if (!whole) return damaged(expected, whole.error());
    if (header->base_offset != expected || header->leader_epoch != 0) {
      return damaged(expected,
                     Error(Code::corrupt, "a batch says it begins at {}", header->base_offset));
    }
    expected = header->last_offset() + 1;
    used += header->total_bytes();
  }
  out.resize(used);
  return {};
}

Result<FetchedData> Partition::fetch(int64_t from, size_t max_bytes, Isolation isolation) const {
  FetchedData data;
  FetchPlan plan{.from = from, .max_bytes = max_bytes};
  {
    std::lock_guard lock(mutex_);
    if (!serving_) return Error(Code::unavailable, "the log is still starting");
    data.log_start = Offset(log_start_);
    data.high_watermark = Offset(high_watermark_);
    data.last_stable_offset = Offset(stable_locked());
    plan.upper = isolation == Isolation::read_committed ? stable_locked() : high_watermark_;
    if (!TRY(plan_fetch(plan))) return data;
    if (isolation == Isolation::read_committed) data.aborted = aborted_locked(from, plan.upper);
  }
  if (plan.cached.empty()) {
    shared_.cache_misses.add();
    TRY(read_planned(plan, data.batches));
  } else {
    shared_.cache_hits.add();
    size_t total = 0;
    for (const auto& batch : plan.cached) total += batch->bytes.size();
    data.batches.reserve(total);
    for (const auto& batch : plan.cached) {
      data.batches.insert(data.batches.end(), batch->bytes.begin(), batch->bytes.end());
    }
  }
  shared_.fetched_bytes.add(static_cast<double>(data.batches.size()));
  return data;
}

std::vector<AbortedTransaction> Partition::aborted_locked(int64_t from, int64_t upper) const {
  std::vector<AbortedTransaction> aborted;
  for (size_t i = segment_of(from); i < segments_.size(); ++i) {
    for (const auto& point : segments_[i]->aborted.in_memory()) {
      if (point.last_offset < from || point.first_offset >= upper) continue;
      aborted.push_back({point.producer_id, Offset(point.first_offset)});
    }
  }
  std::ranges::sort(aborted, {}, &AbortedTransaction::first_offset);
  return aborted;
}

PartitionInfo Partition::info() const {
  std::lock_guard lock(mutex_);
  PartitionInfo info{.id = id_,
                     .log_start = Offset(log_start_),
                     .start_moved = start_moved_,
                     .high_watermark = Offset(high_watermark_),
                     .last_stable_offset = Offset(stable_locked()),
                     .segments = static_cast<int>(segments_.size())};
  for (const auto& segment : segments_) info.bytes += segment->size;
  return info;
}

Result<std::optional<OffsetAndTime>> Partition::find_time(const Segment& segment, IndexPoint from,
                                                          uint64_t size, int64_t time,
                                                          int64_t start, int64_t upper) const {
  auto file = TRY(segment.reader(shared_.files));
  BatchReader reader(*file, from.position, size, kTimeWalkBytes);
  int64_t expected = segment.base + from.relative;
  while (true) {
    auto more = reader.next();
    if (!more) return damaged(expected, more.error());
    if (!*more) return std::nullopt;
    const BatchHeader& header = reader.header();
    if (header.base_offset != expected) {
      return damaged(expected,
                     Error(Code::corrupt, "no batch begins at byte {}", reader.position()));
    }
    if (header.base_offset >= upper) return std::nullopt;
    expected = header.last_offset() + 1;
    if (header.last_offset() < start) continue;
    ByteView batch = TRY(reader.whole());
    // Also of one that is passed by: its header says so.
    if (auto good = verify_batch(batch); !good) return damaged(header.base_offset, good.error());
    if (header.max_timestamp < time || header.control()) continue;
    if (auto found = TRY(find_time_in_batch(batch, time, start))) return found;
  }
}

Result<std::optional<OffsetAndTime>> Partition::find_time_in_batch(ByteView batch, int64_t time,
                                                                   int64_t start) const {
  std::vector<RecordView> records;
  Bytes buffer;
  auto read = read_stored_records(batch, records, buffer);
  if (!read && !is_of_batch(read.error())) return std::move(read).error();
  if (!read) {
    BatchHeader header = TRY(parse_batch_header(batch));
    return OffsetAndTime{Offset(std::max(header.base_offset, start)),
                         TimestampMs(header.max_timestamp)};
  }
  for (const auto& record : records) {
    if (record.timestamp.value < time || record.offset.value < start) continue;
    return OffsetAndTime{record.offset, record.timestamp};
  }
  return std::nullopt;
}

Result<std::optional<OffsetAndTime>> Partition::offset_for_time(TimestampMs time) const {
  struct Candidate {
    std::shared_ptr<Segment> segment;
    std::shared_ptr<File> keep;
    uint64_t size = 0;
    bool sealed = false;
    IndexPoint from;
  };
  std::vector<Candidate> candidates;
  int64_t start = 0;
  int64_t upper = 0;
  {
    std::lock_guard lock(mutex_);
    start = log_start_;
    upper = high_watermark_;
    for (size_t i = segment_of(start); i < segments_.size(); ++i) {
      const auto& segment = segments_[i];
      Candidate one{segment, segment->file, segment->size, segment->sealed, {}};
      if (!one.sealed) {
        auto from = TRY(segment->look_for_time(shared_.files, time.value));
        if (!from) continue;
        one.from = *from;
      }
      candidates.push_back(std::move(one));
    }
  }
  for (auto& one : candidates) {
    if (one.sealed) {
      auto from = TRY(one.segment->look_for_time(shared_.files, time.value));
      if (!from) continue;
      one.from = *from;
      one.keep = TRY(shared_.files.open(one.segment->log_path));
    }
    auto found = TRY(find_time(*one.segment, one.from, one.size, time.value, start, upper));
    if (found) return found;
  }
  return std::nullopt;
}

Result<EntryNumber> Partition::entry_of(int64_t offset) const {
  std::shared_ptr<Segment> segment;
  std::unique_lock lock(mutex_);
  if (offset < log_start_ || offset >= high_watermark_) {
    return Error(Code::invalid_argument, "offset {} is out of range: the partition has [{}, {})",
                 offset, log_start_, high_watermark_);
  }
  segment = segments_[segment_of(offset)];
  if (segment->sealed) lock.unlock();
  size_t at = TRY(
      segment->ends.search(shared_.files, [&](const EndPoint& it) { return it.end <= offset; }));
  if (at == TRY(segment->ends.count(shared_.files))) {
    return Error(Code::corrupt, "{} does not cover offset {}", segment->ends.path(), offset);
  }
  return EntryNumber(TRY(segment->ends.at(shared_.files, at)).entry);
}

Result<EndPoint> Partition::point_at(EntryNumber entry) const {
  std::vector<std::shared_ptr<Segment>> segments;
  std::unique_lock lock(mutex_);
  if (entry.value >= last_entry_) return EndPoint{high_watermark_, stable_locked(), entry.value};
  segments = segments_;
  for (size_t i = segments.size(); i-- > 0;) {
    const Segment& segment = *segments[i];
    if (segment.sealed && lock.owns_lock()) lock.unlock();
    size_t above = TRY(segment.ends.search(
        shared_.files, [&](const EndPoint& it) { return it.entry <= entry.value; }));
    if (above > 0) return segment.ends.at(shared_.files, above - 1);
  }
  int64_t start = segments.front()->base;
  return EndPoint{start, start, entry.value};
}

Result<std::vector<Log::EntryEnd>> Partition::entries_between(int64_t from, int64_t to) const {
  std::vector<Log::EntryEnd> out;
  std::vector<std::shared_ptr<Segment>> segments;
  std::unique_lock lock(mutex_);
  if (from < log_start_ || to > high_watermark_) {
    return Error(Code::invalid_argument,
                 "offsets [{}, {}) are out of range: the partition has [{}, {})", from, to,
                 log_start_, high_watermark_);
  }
  if (from >= to) return out;
  segments.assign(segments_.begin() + static_cast<ptrdiff_t>(segment_of(from)), segments_.end());
  // Sealed segments come first: read them without the lock, then take it again for those that grow.
  size_t growing = 0;
  while (growing < segments.size() && segments[growing]->sealed) ++growing;
  lock.unlock();
  for (size_t i = 0; i < segments.size() && segments[i]->base < to; ++i) {
    const Segment& segment = *segments[i];
    if (i >= growing && !lock.owns_lock()) lock.lock();
    size_t at =
        TRY(segment.ends.search(shared_.files, [&](const EndPoint& it) { return it.end <= from; }));
    size_t count = TRY(segment.ends.count(shared_.files));
    for (; at < count; ++at) {
      EndPoint point = TRY(segment.ends.at(shared_.files, at));
      if (!out.empty() &&
          (point.end <= out.back().end.value || point.entry < out.back().entry.value)) {
        return Error(Code::corrupt, "{}: the ends of its entries go back at offset {}",
                     segment.ends.path(), point.end);
      }
      out.push_back({Offset(point.end), EntryNumber(point.entry)});
      if (point.end >= to) return out;
    }
  }
  return Error(Code::corrupt, "{}: the entries of offsets [{}, {}) are incomplete", directory_,
               from, to);
}

bool Partition::wake_when_past(int64_t offset, const std::shared_ptr<Wake>& wake) {
  std::lock_guard lock(mutex_);
  if (high_watermark_ > offset) return true;
  std::erase_if(waiters_, [](const Waiter& waiter) { return waiter.wake.expired(); });
  waiters_.push_back({offset, wake});
  return false;
}

std::vector<Log::OpenTransactionInfo> Partition::open_transactions() const {
  std::lock_guard lock(mutex_);
  std::vector<Log::OpenTransactionInfo> out;
  for (const auto& [first, open] : open_) {
    if (open.last_offset >= 0) continue;
    out.push_back(
        {id_, open.producer_id, open.producer_epoch, Offset(first), TimestampMs(open.time)});
  }
  return out;
}

}  // namespace ziwa::log
