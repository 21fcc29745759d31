#include "base/advice.h"
#include "base/log.h"
#include "log/partition_internal.h"

#include <algorithm>
#include <charconv>

namespace ziwa::log {

namespace {

constexpr size_t kScanBytes = 1u << 20;
constexpr std::string_view kCheckpointName = "checkpoint";
constexpr std::string_view kLogExtension = ".log";

std::optional<int64_t> parse_segment_name(std::string_view name) {
  constexpr size_t kDigits = 20;
  if (name.size() != kDigits + kLogExtension.size() || !name.ends_with(kLogExtension))
    return std::nullopt;
  int64_t base = 0;
  const std::string_view digits = name.substr(0, kDigits);
  auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), base);
  if (code != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return base;
}

}  // namespace

Status Partition::create(EntryNumber now) {
  TRY(shared_.fs.make_dirs(directory_));
  auto segment = std::make_shared<Segment>(directory_, 0);
  TRY(segment->open_file(shared_.fs));
  TRY(segment->file->truncate(0));
  TRY(segment->file->sync());
  Checkpoint checkpoint{.entry = now.value, .max_timestamp = Segment::kNoTimestamp};
  TRY(write_file_atomically(shared_.fs, join_path(directory_, kCheckpointName),
                            encode_checkpoint(checkpoint)));
  segments_.push_back(std::move(segment));
  checkpoint_entry_ = now.value;
  serving_ = true;
  return {};
}

Status Partition::recover() {
  std::vector<int64_t> bases;
  for (const auto& info : TRY(shared_.fs.list(directory_))) {
    if (auto base = parse_segment_name(info.name)) bases.push_back(*base);
  }
  std::ranges::sort(bases);
  TRY(load_checkpoint());
  TRY(load_segments(std::move(bases)));
  return verify_from_checkpoint();
}

Status Partition::load_checkpoint() {
  auto bytes = read_file(shared_.fs, join_path(directory_, kCheckpointName));
  if (!bytes && bytes.error().code() == Code::not_found) return {};
  if (!bytes) return std::move(bytes).error();
  auto checkpoint = decode_checkpoint(*bytes);
  if (!checkpoint && checkpoint.error().code() == Code::unsupported)
    return std::move(checkpoint).error();
  if (!checkpoint) {
    log_warn("log", "the recovery checkpoint of a partition is damaged: everything is read",
             "directory={}", directory_);
    return {};
  }
  found_ = std::move(*checkpoint);
  log_start_ = found_->log_start;
  checkpoint_entry_ = found_->entry;
  checkpoint_segment_ = found_->segment;
  checkpoint_offset_ = found_->offset;
  checkpoint_log_start_ = found_->log_start;
  return {};
}

/// Segments before the checkpoint are sealed; those after it are read again, but for the points it
/// vouches for.
Status Partition::load_segments(std::vector<int64_t> bases) {
  for (size_t i = 0; i < bases.size(); ++i) {
    auto segment = std::make_shared<Segment>(directory_, bases[i]);
    if (found_ && bases[i] < found_->segment) {
      segment->end = i + 1 < bases.size() ? bases[i + 1] : found_->segment;
      segment->size = TRY(shared_.fs.stat(segment->log_path)).size;
      TRY(segment->aborted.load(shared_.fs, std::nullopt));
      segment->index.open_sealed();
      segment->times.open_sealed();
      segment->ends.open_sealed();
      segment->points_durable = true;
      segment->sealed = true;
    } else {
      TRY(segment->open_file(shared_.fs));
      if (!found_) {
        TRY(segment->ends.load(shared_.fs, std::nullopt));
        for (const auto& point : segment->ends.in_memory()) {
          known_ends_.push_back({Offset(point.end), EntryNumber(point.entry)});
          checkpoint_entry_ = std::max(checkpoint_entry_, point.entry);
        }
        segment->ends = PointFile<EndPoint>(segment->stem);
      }
    }
    segments_.push_back(std::move(segment));
  }
  return {};
}

/// Finds how far the batches are whole: every CRC right, every offset where its predecessor ends.
Status Partition::verify_from_checkpoint() {
  int64_t first = found_ ? found_->segment : (segments_.empty() ? 0 : segments_.front()->base);
  int64_t offset = found_ ? found_->offset : first;
  bool found_first = false;
  for (auto& segment : segments_) {
    if (segment->base < first) continue;
    bool is_first = segment->base == first;
    found_first = found_first || is_first;
    if (!found_first || (!is_first && segment->base != offset)) break;
    uint64_t position = is_first && found_ ? found_->position : 0;
    if (position > segment->file->size()) {
      recovered_end_ = first;
      return {};
    }
    if (!TRY(verify_segment(*segment, position, offset))) break;
  }
  recovered_end_ = found_first || !found_ || found_->position == 0 ? offset : first;
  return {};
}

/// False when the segment ends in something else than a whole batch.
Result<bool> Partition::verify_segment(Segment& segment, uint64_t position, int64_t& offset) {
  BatchReader reader(*segment.file, position, segment.file->size(), kScanBytes);
  while (true) {
    auto more = reader.next();
    if (!more && more.error().code() == Code::io) return std::move(more).error();
    if (!more) return false;
    if (!*more) return true;
    if (reader.header().base_offset != offset || reader.header().leader_epoch != 0) return false;
    if (!verify_batch(TRY(reader.whole()))) return false;
    offset = reader.header().last_offset() + 1;
  }
}

Error Partition::not_of_one_time(std::string_view why) const {
  return Error(Code::corrupt, "partition {} of topic {} and the journal are not of one time: {}",
               id_.partition, id_.topic, why)
      .with_hint(kRestoreBackup);
}

Status Partition::start(const Replay& replay) {
  std::lock_guard lock(mutex_);
  int64_t known_end = found_ ? found_->offset : 0;
  int64_t journal_end = known_end;
  if (!known_ends_.empty()) journal_end = std::max(journal_end, known_ends_.back().end.value);
  if (!replay.ends.empty()) journal_end = std::max(journal_end, replay.ends.back().end.value);
  if (recovered_end_ < journal_end) {
    return Error(Code::corrupt,
                 "partition {} of topic {} lost acknowledged records: it should end at offset {}, "
                 "and {} is whole up "
                 "to {}",
                 id_.partition, id_.topic, journal_end, directory_, recovered_end_)
        .with_hint(kRestoreBackup);
  }
  if (replay.end_min > journal_end || replay_after() > replay.newest) {
    return not_of_one_time(fmt::format(
        "the journal goes to entry {} and offset {}, what {} knows goes to entry {} and offset {}",
        replay.newest, replay.end_min, directory_, checkpoint_entry_, journal_end));
  }
  log_start_ =
      std::max({log_start_, replay.log_start, segments_.empty() ? 0 : segments_.front()->base});
  if (found_) {
    producers_ = found_->producers;
    open_ = found_->open;
    for (const auto& [first, open] : open_) open_by_producer_[open.producer_id] = first;
  }
  TRY(replay_batches(journal_end));
  replay_ends(known_ends_);
  replay_ends(replay.ends);
  if (next_offset_ != high_watermark_) {
    return not_of_one_time(
        fmt::format("it should end at offset {}, and a batch of {} goes up to {}", high_watermark_,
                    directory_, next_offset_));
  }
  TRY(cut_beyond(journal_end));
  last_entry_ = std::max(last_entry_, checkpoint_entry_);
  log_start_ = std::min(log_start_, high_watermark_);
  found_.reset();
  known_ends_ = {};
  serving_ = true;
  return {};
}

/// Goes through the batches from the checkpoint to `journal_end` and rebuilds what appending them
/// once built.
Status Partition::replay_batches(int64_t journal_end) {
  int64_t first = found_ ? found_->segment : (segments_.empty() ? 0 : segments_.front()->base);
  next_offset_ = high_watermark_ = found_ ? found_->offset : first;
  for (auto& segment : segments_) {
    if (segment->base < first || segment->base > journal_end) continue;
    bool restore = found_ && segment->base == first;
    if (restore) TRY(restore_segment(*segment));
    TRY(replay_segment(*segment, restore ? found_->position : 0, journal_end));
  }
  return {};
}

/// Takes over what the checkpoint vouches for in the segment that it stands in.
Status Partition::restore_segment(Segment& segment) {
  TRY(segment.ends.load(shared_.fs, found_->end_points));
  TRY(segment.aborted.load(shared_.fs, found_->aborted_points));
  const auto& ends = segment.ends.in_memory();
  // The rest up to the checkpoint's offset belongs to an entry that the journal still has.
  high_watermark_ = ends.empty() ? segment.base : ends.back().end;
  auto index = segment.index.load(shared_.fs, found_->index_points);
  auto times = segment.times.load(shared_.fs, found_->time_points);
  if (index && times) {
    segment.size = found_->position;
    segment.end = found_->offset;
    segment.max_timestamp = found_->max_timestamp;
    segment.indexed_position = found_->indexed_position;
    return {};
  }
  log_warn("log", "a damaged index is built again", "segment={}", segment.log_path);
  segment.index = PointFile<IndexPoint>(segment.stem);
  segment.times = PointFile<TimePoint>(segment.stem);
  BatchReader reader(*segment.file, 0, found_->position, kScanBytes);
  while (TRY(reader.next()))
    segment.track(reader.header(), reader.position(), shared_.options.index_interval_bytes);
  if (segment.end == found_->offset) return {};
  return not_of_one_time(fmt::format("offset {} should begin at byte {} of {}, and {} does",
                                     found_->offset, found_->position, segment.log_path,
                                     segment.end));
}

Status Partition::replay_segment(Segment& segment, uint64_t position, int64_t journal_end) {
  // Producers count as heard from now: the clients' timestamps may be of any age.
  int64_t now = shared_.clock.now().value;
  BatchReader reader(*segment.file, position, segment.file->size(), kScanBytes);
  while (next_offset_ < journal_end && TRY(reader.next())) {
    BatchHeader header = reader.header();
    bool commits = header.control() && TRY(control_commits(TRY(reader.whole())));
    segment.track(header, reader.position(), shared_.options.index_interval_bytes);
    next_offset_ = segment.end;
    unchecked_bytes_ += header.total_bytes();
    track_producer(header, commits, now, segment);
  }
  return {};
}

/// All batches are known by now, so each end finds the transactions that were open at it.
void Partition::replay_ends(const std::vector<Log::EntryEnd>& ends) {
  for (const auto& end : ends) {
    if (end.end.value > high_watermark_) add_end(end.end.value, end.entry);
  }
}

/// Removes everything at or above `end` from the disk, durably: it was never acknowledged.
Status Partition::cut_beyond(int64_t end) {
  bool removed = false;
  while (segments_.size() > 1 && segments_.back()->base > end) {
    TRY(segments_.back()->remove(shared_.fs, shared_.files));
    segments_.pop_back();
    removed = true;
  }
  if (segments_.empty() || active().sealed) {  // The one that the checkpoint names was empty.
    segments_.push_back(std::make_shared<Segment>(directory_, end));
    TRY(active().open_file(shared_.fs));
    removed = true;
  }
  if (active().file->size() > active().size) {
    log_info("log", "a tail that was never acknowledged is cut", "file={} bytes={}",
             active().log_path, active().file->size() - active().size);
    TRY(active().file->truncate(active().size));
    TRY(active().file->sync());
  }
  if (removed) TRY(shared_.fs.sync_dir(directory_));
  return {};
}

}  // namespace ziwa::log
