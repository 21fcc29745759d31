#include "log/batch_reader_internal.h"
#include "log/segment_internal.h"

#include <algorithm>

namespace ziwa::log {

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
  // Several small batches at a time, not much of a large one.
  constexpr size_t kWindowBytes = 4u << 10;
  auto file = TRY(reader(files));
  BatchReader batches(*file, 0, size, kWindowBytes);
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

Result<uint64_t> Segment::hint_for_time(FileCache& files, int64_t time) const {
  size_t above =
      TRY(times.search(files, [&](const TimePoint& it) { return it.max_before < time; }));
  if (above == 0) return uint64_t{0};
  return TRY(times.at(files, above - 1)).position;
}

void Segment::forget(FileCache& files) const {
  for (const auto& path : {log_path, index.path(), times.path(), ends.path(), aborted.path()}) {
    files.erase(path);
  }
}

Status Segment::remove(FileSystem& fs, FileCache& files) const {
  forget(files);
  for (const auto& path : {log_path, index.path(), times.path(), ends.path(), aborted.path()}) {
    if (fs.exists(path)) TRY(fs.remove(path));
  }
  return {};
}

}  // namespace ziwa::log
