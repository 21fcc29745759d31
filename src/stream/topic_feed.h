#pragma once

#include "catalog/objects.h"
#include "data/record_codec.h"
#include "log/log.h"
#include "stream/delta.h"
#include "stream/watermark.h"

#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ziwa::stream {

/// From `entry` on, readers see the records of a partition below `end`.
struct TopicCut {
  EntryNumber entry;
  TimestampMs time;  ///< Of the entry; 0: not known.
  int32_t partition = 0;
  Offset end;
};

/// A partition was marked idle by `entry`.
struct IdleEvent {
  EntryNumber entry;
  int32_t partition = 0;
};

/// A record that no view sees, and why.
struct DeadLetter {
  ObjectId topic;
  int32_t partition = 0;
  Offset offset;
  Offset end;  ///< After it: one of a batch stands for all its records.
  EntryNumber entry;
  std::string reason;
  std::string value;
};

/// Follows one topic: fetches records, decodes each once, and knows the watermark before each
/// record's entry. One thread.
class TopicFeed {
 public:
  struct Options {
    int64_t max_ahead_ms = 0;       ///< As Engine::Options::watermark_max_ahead_ms.
    size_t read_bytes = 64u << 20;  ///< Of unpacked records that are in memory at once.
  };
  /// `topic` is a topic. Errors: what the codec refuses.
  static Result<std::unique_ptr<TopicFeed>> create(const catalog::Object& topic, log::Log& log,
                                                   const Options& options);

  /// Begins at the first record that is kept.
  Status seek_to_start();
  /// Topics may get more partitions.
  void set_definition(const catalog::Object& topic);
  ObjectId topic() const { return topic_; }
  int32_t partitions() const { return static_cast<int32_t>(positions_.size()); }
  /// Every record below is processed.
  Offset position(int32_t partition) const { return positions_[static_cast<size_t>(partition)]; }
  int64_t watermark() const { return tracker_.merged(); }
  bool has_watermark() const { return watermark_column_.has_value(); }
  /// Of a record, unpacked, in what was read last; at first what the log says.
  size_t record_bytes() {
    if (record_bytes_ == 0) guess_record_bytes();
    return std::max<size_t>(record_bytes_, 1);
  }
  const WatermarkTracker& tracker() const { return tracker_; }
  /// Goes on at `offset`.
  void seek(int32_t partition, Offset offset) {
    positions_[static_cast<size_t>(partition)] = offset;
  }
  /// The entry up to which this feed is complete: its records and its idle marks.
  EntryNumber last_entry() const { return last_entry_; }
  void set_last_entry(EntryNumber entry) { last_entry_ = entry; }
  /// The positions in what save() wrote.
  static Result<std::vector<Offset>> saved_positions(std::string_view saved);
  /// Whether chunks get `_key` and `_value`.
  void set_wants_blobs(bool wants) { wants_blobs_ = wants; }

  using OnChunk = std::function<Status(const TopicChunk&)>;
  using OnDead = std::function<void(DeadLetter)>;
  /// Processes the records up to the last end of each partition in `cuts`, and the idle marks, both
  /// in the order of their entries. Chunks hold up to 2,048 rows; they are reused after `on_chunk`.
  /// A batch that cannot be read is one dead letter, unless memory was short. At most about
  /// Options::read_bytes of records are in memory at once. Returns the number of records. On an
  /// error nothing is known of what was delivered: begin again from a checkpoint.
  Result<uint64_t> read(std::span<const TopicCut> cuts, std::span<const IdleEvent> idles,
                        const OnChunk& on_chunk, const OnDead& on_dead);

  void save(ByteWriter& out) const;
  Status load(ByteReader& in);

 private:
  TopicFeed(const catalog::Object& topic, log::Log& log, const Options& options);
  class Cursor;
  struct Portion;
  Status deliver(const Portion& portion, const OnChunk& on_chunk, const OnDead& on_dead);
  void end_events();
  Status deliver_records(size_t from, size_t to, const OnChunk& on_chunk, const OnDead& on_dead);
  void guess_record_bytes();
  EntryNumber entry_of_positions() const;
  size_t decode(size_t from, size_t to, const OnDead& on_dead);
  void fill_chunk(size_t from, size_t rows);
  int64_t watermark_limit(uint64_t entry) const;
  void assign_watermarks();
  void fill_blobs(size_t from);
  void reject(const data::Record& record, std::string reason, const OnDead& on_dead) const;

  ObjectId topic_;
  log::Log& log_;
  int64_t max_ahead_us_;
  size_t read_bytes_;
  size_t record_bytes_ = 0;  ///< 0: not known.
  bool raw_ = false;
  bool wants_blobs_ = false;
  std::optional<size_t> watermark_column_;
  int64_t watermark_scale_ = 1;  ///< Column value times this is micros.
  std::vector<Offset> positions_;
  EntryNumber last_entry_;
  WatermarkTracker tracker_;
  std::unique_ptr<data::RecordCodec> codec_;
  std::unique_ptr<TopicChunk> chunk_;

  // One read.
  struct Event {
    uint64_t entry;
    int32_t partition;
    bool idle;
  };
  std::vector<Event> events_;
  size_t next_event_ = 0;
  std::vector<data::Record> records_;
  std::map<uint64_t, int64_t> entry_times_ms_;
  std::vector<uint32_t> row_record_;
  std::vector<data::Rejected> rejected_;
};

}  // namespace ziwa::stream
