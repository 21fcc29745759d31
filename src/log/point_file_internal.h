#pragma once

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/file.h"
#include "log/file_cache_internal.h"

#include <string>
#include <vector>

namespace ziwa::log {

/// A sparse index: every 4 KiB of a segment, where the batch that begins at `base + relative`
/// stands. No checksum: readers treat it as a hint and check the batch header they find.
struct IndexPoint {
  uint32_t relative = 0;
  uint32_t position = 0;
  static constexpr size_t kBytes = 8;
  static constexpr std::string_view kExtension = ".index";
  void encode(std::byte* to) const {
    store_le(to, relative);
    store_le(to + 4, position);
  }
  static bool decode(const std::byte* from, IndexPoint& out) {
    out = {load_le<uint32_t>(from), load_le<uint32_t>(from + 4)};
    return true;
  }
};

/// All batches before `position` have timestamps <= `max_before`. The last point of a closed
/// segment stands at its end. With a checksum, for nothing that is read afterwards shows that a
/// time is wrong.
struct TimePoint {
  int64_t max_before = 0;
  uint32_t relative = 0;
  uint32_t position = 0;
  static constexpr size_t kBytes = 20;
  static constexpr std::string_view kExtension = ".times";
  void encode(std::byte* to) const {
    store_le(to, max_before);
    store_le(to + 8, relative);
    store_le(to + 12, position);
    store_le(to + 16, crc32c({to, 16}));
  }
  static bool decode(const std::byte* from, TimePoint& out) {
    out = {load_le<int64_t>(from), load_le<uint32_t>(from + 8), load_le<uint32_t>(from + 12)};
    return load_le<uint32_t>(from + 16) == crc32c({from, 16});
  }
};

/// Journal entry `entry` moved the end of the partition to `end` and its last stable offset to
/// `stable`. An entry that spans segments has a point in each, at most at the segment's end.
struct EndPoint {
  int64_t end = 0;
  int64_t stable = 0;
  uint64_t entry = 0;
  static constexpr size_t kBytes = 28;
  static constexpr std::string_view kExtension = ".entries";
  void encode(std::byte* to) const {
    store_le(to, end);
    store_le(to + 8, stable);
    store_le(to + 16, entry);
    store_le(to + 24, crc32c({to, 24}));
  }
  static bool decode(const std::byte* from, EndPoint& out) {
    out = {load_le<int64_t>(from), load_le<int64_t>(from + 8), load_le<uint64_t>(from + 16)};
    return load_le<uint32_t>(from + 24) == crc32c({from, 24});
  }
};

/// An aborted transaction whose control batch stands in the segment at `last_offset`.
struct AbortedPoint {
  int64_t producer_id = 0;
  int64_t first_offset = 0;
  int64_t last_offset = 0;
  static constexpr size_t kBytes = 28;
  static constexpr std::string_view kExtension = ".aborted";
  void encode(std::byte* to) const {
    store_le(to, producer_id);
    store_le(to + 8, first_offset);
    store_le(to + 16, last_offset);
    store_le(to + 24, crc32c({to, 24}));
  }
  static bool decode(const std::byte* from, AbortedPoint& out) {
    out = {load_le<int64_t>(from), load_le<int64_t>(from + 8), load_le<int64_t>(from + 16)};
    return load_le<uint32_t>(from + 24) == crc32c({from, 24});
  }
};

/// An append-only list of fixed-size points beside a segment: in memory while the segment grows, on
/// disk once sealed. Writers hold the partition's lock; a sealed list never changes again and is
/// read without it.
template <typename Point>
class PointFile {
 public:
  explicit PointFile(const std::string& stem) : path_(stem + std::string(Point::kExtension)) {}

  const std::string& path() const { return path_; }
  void push(Point point) { points_.push_back(point); }
  const std::vector<Point>& in_memory() const { return points_; }

  /// Writes what is new since the last flush; not durable before sync().
  Status flush(FileSystem& fs) {
    if (flushed_ == points_.size()) return {};
    if (!file_) {
      file_ = TRY(fs.open(path_, OpenMode::create));
      if (file_->size() > flushed_ * Point::kBytes) TRY(file_->truncate(flushed_ * Point::kBytes));
    }
    Bytes bytes((points_.size() - flushed_) * Point::kBytes);
    for (size_t i = flushed_; i < points_.size(); ++i) {
      points_[i].encode(bytes.data() + (i - flushed_) * Point::kBytes);
    }
    TRY(file_->write_at(flushed_ * Point::kBytes, bytes));
    flushed_ = points_.size();
    return {};
  }
  /// The file to sync after flush(), or null when nothing was ever written.
  std::shared_ptr<File> file() const { return file_; }
  /// Leaves memory; flush() came before.
  void seal() {
    count_ = points_.size();
    sealed_ = true;
    points_ = {};
    file_.reset();
  }
  /// Marks a list found on disk as sealed.
  void open_sealed() { sealed_ = true; }

  /// Takes points from the disk into memory: `count` of them (corrupt if fewer are whole), or as
  /// many as are.
  Status load(FileSystem& fs, std::optional<size_t> count) {
    points_.clear();
    flushed_ = 0;
    if ((count && *count == 0) || !fs.exists(path_)) {
      if (count.value_or(0) > 0) return Error(Code::corrupt, "{} is missing", path_);
      return {};
    }
    Bytes bytes = TRY(read_file(fs, path_));
    size_t whole = std::min(bytes.size() / Point::kBytes, count.value_or(SIZE_MAX));
    for (size_t i = 0; i < whole; ++i) {
      Point point;
      if (!Point::decode(bytes.data() + i * Point::kBytes, point)) break;
      points_.push_back(point);
    }
    flushed_ = points_.size();
    if (count && points_.size() < *count) {
      return Error(Code::corrupt, "{} has {} whole points, {} were written", path_, points_.size(),
                   *count);
    }
    return {};
  }

  Result<size_t> count(FileCache& files) const {
    if (!sealed_) return points_.size();
    if (count_) return *count_;
    auto file = files.open(path_);
    if (!file && file.error().code() == Code::not_found) return size_t{0};
    if (!file) return std::move(file).error();
    return (*file)->size() / Point::kBytes;
  }
  Result<Point> at(FileCache& files, size_t i) const {
    if (!sealed_) return points_[i];
    auto file = TRY(files.open(path_));
    std::byte bytes[Point::kBytes];
    size_t got = TRY(file->read_at(i * Point::kBytes, bytes));
    Point point;
    if (got < sizeof bytes || !Point::decode(bytes, point)) {
      return Error(Code::corrupt, "{} is damaged at point {}", path_, i);
    }
    return point;
  }
  /// The first index whose point is not `before`; points are ordered so that all `before` come
  /// first.
  template <typename Before>
  Result<size_t> search(FileCache& files, Before before) const {
    size_t low = 0;
    size_t high = TRY(count(files));
    while (low < high) {
      size_t middle = low + (high - low) / 2;
      if (before(TRY(at(files, middle)))) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }

 private:
  std::string path_;
  std::vector<Point> points_;
  size_t flushed_ = 0;
  bool sealed_ = false;
  std::optional<size_t> count_;
  std::shared_ptr<File> file_;
};

}  // namespace ziwa::log
