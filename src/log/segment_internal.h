#pragma once

#include "base/file.h"
#include "log/point_file_internal.h"
#include "log/record_batch.h"

#include <atomic>
#include <limits>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ziwa::log {

/// A stretch of a partition: batches in a .log file and what finds them. Fields are guarded by the
/// partition's lock until `sealed`; then only readers come, without it.
struct Segment {
  Segment(const std::string& directory, int64_t base);

  /// Opens or creates the .log file for appending.
  Status open_file(FileSystem& fs);
  /// Notes a batch that was written at `position`.
  void track(const BatchHeader& header, uint64_t position, uint32_t index_interval_bytes);
  /// Writes all new points to the index files; not durable.
  Status flush(FileSystem& fs);
  /// Adds to `files` what must be synced for the points to be durable.
  void collect_files(std::vector<std::shared_ptr<File>>& files) const;
  /// Flushes with the last time point: no batch and no end may come after.
  Status finish(FileSystem& fs);
  /// finish(), durable, and gives memory and handles back.
  Status seal(FileSystem& fs);
  /// The handle to read batches with.
  Result<std::shared_ptr<File>> reader(FileCache& files) const;
  /// The newest timestamp of a sealed segment by its last time point; nullopt without one.
  Result<std::optional<int64_t>> newest_hint(FileCache& files) const;
  struct Ages {
    int64_t now = 0;
    int64_t cutoff = 0;  ///< What is older may go.
  };
  /// Whether all its records are older than the cutoff. Their newest time is `newest`, or for a
  /// sealed segment what the headers of its batches say; when that lies after `now`, or cannot be
  /// read, it is the time when the file was last written. The partition's care lock is held, and
  /// not the other one: reads the disk.
  Result<bool> is_old(FileSystem& fs, FileCache& files, int64_t newest, Ages ages) const;
  /// Where to start walking to the batch of `offset`: an index hint.
  Result<IndexPoint> hint_for_offset(FileCache& files, int64_t offset) const;
  /// The batch from which to walk to the first timestamp >= `time`; nullopt: there is none in here.
  /// When the list of a sealed segment is not whole, the headers of its batches are asked, once.
  Result<std::optional<IndexPoint>> look_for_time(FileCache& files, int64_t time) const;
  /// Gives back handles that the cache holds.
  void forget(FileCache& files) const;
  /// Removes all its files.
  Status remove(FileSystem& fs, FileCache& files) const;

  static constexpr int64_t kNoTimestamp = std::numeric_limits<int64_t>::min();

  const std::string stem;  ///< <partition directory>/<base offset>
  const std::string log_path;
  const int64_t base;
  int64_t end;        ///< Offset after the last record.
  uint64_t size = 0;  ///< Bytes of whole batches.
  int64_t max_timestamp = kNoTimestamp;
  uint64_t indexed_position = 0;  ///< Of the last index point.
  std::shared_ptr<File> file;     ///< Null once sealed.
  PointFile<IndexPoint> index;
  PointFile<TimePoint> times;
  PointFile<EndPoint> ends;
  PointFile<AbortedPoint> aborted;  ///< Stays in memory: aborts are rare.
  bool finished = false;
  bool points_durable = false;
  std::atomic<bool> sealed{false};

 private:
  Result<int64_t> newest_in_headers(FileCache& files, bool& whole) const;
  Result<std::optional<IndexPoint>> look_in_times(FileCache& files, int64_t time) const;
  Result<std::vector<TimePoint>> times_in_headers(FileCache& files) const;
  /// What newest_in_headers() found; guarded by the partition's care lock.
  mutable std::optional<int64_t> newest_known_;
  /// What times_in_headers() found.
  mutable std::mutex rebuild_mutex_;
  mutable std::optional<std::vector<TimePoint>> rebuilt_;
};

std::string segment_stem(const std::string& directory, int64_t base);

}  // namespace ziwa::log
