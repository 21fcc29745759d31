#include "base/log.h"
#include "log/batch_reader_internal.h"
#include "log/segment_internal.h"

#include <algorithm>

namespace ziwa::log {

namespace {

/// Several small batches at a time, not much of a large one.
constexpr size_t kHeaderWindowBytes = 4u << 10;

IndexPoint place_of(const TimePoint& point) { return {point.relative, point.position}; }

}  // namespace

std::string segment_stem(const std::string& directory, int64_t base) {
  return join_path(directory, fmt::format("{:020}", base));
}

Segment::Segment(const std::string& directory, int64_t base_offset)
    : stem(segment_stem(directory, base_offset)),
      log_path(stem + ".log"),
      base(base_offset),
      end(base_offset),
      index(stem),
      times(stem),
      ends(stem),
      aborted(stem) {}

Status Segment::open_file(FileSystem& fs) {
  file = TRY(fs.open(log_path, OpenMode::create));
  return {};
}

void Segment::track(const BatchHeader& header, uint64_t position, uint32_t index_interval_bytes) {
  if (size == 0 || position - indexed_position >= index_interval_bytes) {
    auto relative = static_cast<uint32_t>(header.base_offset - base);
    auto at = static_cast<uint32_t>(position);
    index.push({relative, at});
    const auto& known = times.in_memory();
    if (max_timestamp != kNoTimestamp &&
        (known.empty() || known.back().max_before < max_timestamp)) {
      times.push({max_timestamp, relative, at});
    }
    indexed_position = position;
  }
  max_timestamp = std::max(max_timestamp, header.max_timestamp);
  size = position + header.total_bytes();
  end = header.last_offset() + 1;
}

Status Segment::flush(FileSystem& fs) {
  TRY(index.flush(fs));
  TRY(times.flush(fs));
  TRY(ends.flush(fs));
  return aborted.flush(fs);
}

void Segment::collect_files(std::vector<std::shared_ptr<File>>& files) const {
  for (auto& one : {index.file(), times.file(), ends.file(), aborted.file()}) {
    if (one) files.push_back(one);
  }
}

Status Segment::finish(FileSystem& fs) {
  if (size > 0 && !std::exchange(finished, true)) {
    times.push({max_timestamp, static_cast<uint32_t>(end - base), static_cast<uint32_t>(size)});
  }
  return flush(fs);
}

Status Segment::seal(FileSystem& fs) {
  if (sealed) return {};
  TRY(finish(fs));
  if (!points_durable) {
    std::vector<std::shared_ptr<File>> files;
    collect_files(files);
    for (const auto& one : files) TRY(one->sync());
    points_durable = true;
  }
  index.seal();
  times.seal();
  ends.seal();
  file.reset();
  sealed = true;
  return {};
}

Result<std::shared_ptr<File>> Segment::reader(FileCache& files) const {
  if (!sealed) return file;
  return files.open(log_path);
}

Result<std::optional<int64_t>> Segment::newest_hint(FileCache& files) const {
  size_t count = TRY(times.count(files));
  if (count == 0) return std::optional<int64_t>();
  return std::optional(TRY(times.at(files, count - 1)).max_before);
}

Result<bool> Segment::is_old(FileSystem& fs, FileCache& files, int64_t newest, Ages ages) const {
  bool whole = true;
  if (sealed) {
    // A hint is enough to keep records, and not to delete them.
    auto hint = newest_hint(files);
    if (hint && *hint && **hint >= ages.cutoff && **hint <= ages.now) return false;
    newest = TRY(newest_in_headers(files, whole));
  }
  if (whole && newest <= ages.now) return newest < ages.cutoff;
  // The clock of a producer may be anything; the file was last written when its last batch came.
  int64_t written = TRY(fs.stat(log_path)).modified_ms;
  return (whole ? std::min(newest, written) : std::max(newest, written)) < ages.cutoff;
}

/// The points beside the segment are hints that nothing protects; what is deleted for its age is
/// asked itself. `whole` is false when not all headers can be read.
Result<int64_t> Segment::newest_in_headers(FileCache& files, bool& whole) const {
  if (newest_known_) return *newest_known_;
  auto file = TRY(reader(files));
  BatchReader batches(*file, 0, size, kHeaderWindowBytes);
  int64_t newest = kNoTimestamp;
  while (true) {
    auto next = batches.next();
    if (!next && next.error().code() != Code::corrupt) return std::move(next).error();
    whole = next.has_value();
    if (!next || !*next) break;
    newest = std::max(newest, batches.header().max_timestamp);
  }
  if (whole) newest_known_ = newest;
  return newest;
}

Result<IndexPoint> Segment::hint_for_offset(FileCache& files, int64_t offset) const {
  auto relative = static_cast<uint32_t>(offset - base);
  size_t above =
      TRY(index.search(files, [&](const IndexPoint& it) { return it.relative <= relative; }));
  if (above == 0) return IndexPoint{};
  return index.at(files, above - 1);
}

Result<std::optional<IndexPoint>> Segment::look_for_time(FileCache& files, int64_t time) const {
  if (!sealed && max_timestamp < time) return std::optional<IndexPoint>();
  auto found = look_in_times(files, time);
  bool damaged = !found && sealed &&
                 (found.error().code() == Code::corrupt || found.error().code() == Code::not_found);
  if (!damaged) return found;
  std::lock_guard lock(rebuild_mutex_);
  if (!rebuilt_) {
    log_warn("log", "a list of times is missing or damaged; the headers of the batches are read",
             "segment={} error={}", log_path, found.error().to_string());
    rebuilt_ = TRY(times_in_headers(files));
  }
  // One that could not be read to its end says nothing of what it has.
  if (rebuilt_->empty()) return std::optional(IndexPoint{});
  if (rebuilt_->back().max_before < time) return std::optional<IndexPoint>();
  auto above = std::ranges::lower_bound(*rebuilt_, time, {}, &TimePoint::max_before);
  return above == rebuilt_->begin() ? std::optional(IndexPoint{})
                                    : std::optional(place_of(*std::prev(above)));
}

Result<std::optional<IndexPoint>> Segment::look_in_times(FileCache& files, int64_t time) const {
  if (sealed && size > 0) {
    size_t count = TRY(times.count(files));
    TimePoint last = count == 0 ? TimePoint{} : TRY(times.at(files, count - 1));
    if (last.position != size) return Error(Code::corrupt, "{} is cut off", times.path());
    if (last.max_before < time) return std::optional<IndexPoint>();
  }
  size_t above =
      TRY(times.search(files, [&](const TimePoint& it) { return it.max_before < time; }));
  if (above == 0) return std::optional(IndexPoint{});
  return std::optional(place_of(TRY(times.at(files, above - 1))));
}

/// Coarser than what appending would have made: a segment in memory costs little. Empty when not
/// all headers can be read.
Result<std::vector<TimePoint>> Segment::times_in_headers(FileCache& files) const {
  constexpr uint64_t kPointsMax = 1'024;
  std::vector<TimePoint> points;
  auto file = TRY(reader(files));
  BatchReader batches(*file, 0, size, kHeaderWindowBytes);
  int64_t newest = kNoTimestamp;
  int64_t expected = base;
  uint64_t last_position = 0;
  auto add = [&](uint64_t position) {
    points.push_back(
        {newest, static_cast<uint32_t>(expected - base), static_cast<uint32_t>(position)});
    last_position = position;
  };
  while (true) {
    auto more = batches.next();
    if (!more && more.error().code() != Code::corrupt) return std::move(more).error();
    bool good = more && (!*more || batches.header().base_offset == expected);
    if (!good) return std::vector<TimePoint>();
    if (!*more) break;
    if (batches.position() - last_position >= size / kPointsMax && batches.position() > 0 &&
        (points.empty() || points.back().max_before < newest)) {
      add(batches.position());
    }
    newest = std::max(newest, batches.header().max_timestamp);
    expected = batches.header().last_offset() + 1;
  }
  add(size);
  return points;
}

void Segment::forget(FileCache& files) const {
  for (const auto& path : {log_path, index.path(), times.path(), ends.path(), aborted.path()}) {
    files.erase(path);
  }
}

Status Segment::remove(FileSystem& fs, FileCache& files) const {
  forget(files);
  const std::string old_times = stem + ".timeindex";  // Of earlier versions, without checksums.
  for (const auto& path :
       {log_path, index.path(), times.path(), ends.path(), aborted.path(), old_times}) {
    if (fs.exists(path)) TRY(fs.remove(path));
  }
  return {};
}

}  // namespace ziwa::log
