#include "stream/topic_feed.h"

#include "duck/expression.h"
#include "log/record_batch.h"

#include <set>

namespace ziwa::stream {
namespace {

using duckdb::FlatVector;
using duckdb::LogicalType;
using duckdb::LogicalTypeId;

constexpr size_t kFetchBytes = 4u << 20;
constexpr size_t kFetchBytesMin = 256u << 10;  ///< When many partitions are read together.

/// Micros per unit of a timestamp column; 0 when the type is none.
int64_t micros_per_unit(const LogicalType& type) {
  switch (type.id()) {
    case LogicalTypeId::TIMESTAMP:
    case LogicalTypeId::TIMESTAMP_TZ:
      return 1;
    case LogicalTypeId::TIMESTAMP_MS:
      return 1'000;
    case LogicalTypeId::TIMESTAMP_SEC:
      return 1'000'000;
    default:
      return 0;
  }
}

}  // namespace

/// Records that are handed on together, and the bytes they point into.
struct TopicFeed::Portion {
  std::vector<std::shared_ptr<const Bytes>> buffers;
  size_t bytes = 0;
  struct Unreadable {
    size_t before;  ///< Position in records_.
    DeadLetter letter;
  };
  std::vector<Unreadable> batches;  ///< That cannot be read.
};

/// Reads one partition batch by batch.
class TopicFeed::Cursor {
 public:
  Cursor(const TopicFeed& feed, int32_t partition, size_t fetch_bytes)
      : feed_(feed),
        id_{feed.topic_, partition},
        first_(feed.position(partition)),
        from_(first_),
        fetch_bytes_(fetch_bytes) {}

  /// Appends the records of the next batch below `end` to `out`. False: there is none.
  Result<bool> next(const TopicCut& cut, std::vector<data::Record>& out, Portion& portion) {
    while (from_ < cut.end) {
      if (at_ == data_->batches.size()) TRY(fetch(cut.end));
      ByteView rest = ByteView(data_->batches).subspan(at_);
      auto header = TRY(log::parse_batch_header(rest));
      at_ += header.total_bytes();
      from_ = std::max(from_, Offset(header.last_offset() + 1));
      if (is_skipped(header)) continue;
      TRY(take(header, rest.subspan(0, header.total_bytes()), cut, out, portion));
      return true;
    }
    return false;
  }

 private:
  Status fetch(Offset end) {
    auto data = TRY(feed_.log_.fetch(id_, from_, fetch_bytes_, log::Isolation::read_committed));
    if (data.batches.empty()) {
      return Error(Code::unavailable, "records {} to {} of topic {}/{} cannot be read yet", from_,
                   end, id_.topic, id_.partition);
    }
    auto header = TRY(log::parse_batch_header(data.batches));
    if (header.last_offset() < from_.value) {
      return Error(Code::corrupt, "a fetch of topic {}/{} at {} gives no progress", id_.topic,
                   id_.partition, from_);
    }
    data_ = std::make_shared<log::FetchedData>(std::move(data));
    at_ = 0;
    next_aborted_ = 0;
    aborting_.clear();
    return {};
  }

  /// Control batches, and those of transactions that ended badly.
  bool is_skipped(const log::BatchHeader& header) {
    const auto& aborted = data_->aborted;
    while (next_aborted_ < aborted.size() &&
           aborted[next_aborted_].first_offset.value <= header.last_offset()) {
      aborting_.insert(aborted[next_aborted_++].producer_id);
    }
    if (header.control()) {
      aborting_.erase(header.producer_id);
      return true;
    }
    if (header.last_offset() < first_.value) return true;
    return header.transactional() && aborting_.contains(header.producer_id);
  }

  Status take(const log::BatchHeader& header, ByteView batch, const TopicCut& cut,
              std::vector<data::Record>& out, Portion& portion) {
    views_.clear();
    auto buffer = header.codec() == 0 ? nullptr : std::make_shared<Bytes>();
    Status read = log::read_stored_records(batch, views_, buffer == nullptr ? unused_ : *buffer);
    if (!read && !log::is_of_batch(read.error())) return read;
    if (!read) {
      DeadLetter letter{.topic = id_.topic,
                        .partition = id_.partition,
                        .offset = std::max(first_, Offset(header.base_offset)),
                        .end = Offset(header.last_offset() + 1),
                        .entry = cut.entry,
                        .reason = log::unreadable_reason(header, read.error()),
                        .value = {}};
      portion.batches.push_back({out.size(), std::move(letter)});
      return {};
    }
    if (buffer != nullptr) {
      portion.bytes += buffer->size();
      portion.buffers.push_back(std::move(buffer));
    } else {
      portion.bytes += batch.size();
      // Shares the life of the fetched bytes.
      if (portion.buffers.empty() || portion.buffers.back().get() != &data_->batches) {
        portion.buffers.emplace_back(data_, &data_->batches);
      }
    }
    for (const auto& record : views_) {
      if (record.offset < first_ || record.offset >= cut.end) continue;
      out.push_back({.offset = record.offset,
                     .partition = id_.partition,
                     .timestamp = record.timestamp,
                     .entry = cut.entry,
                     .key = record.key,
                     .value = record.value});
    }
    return {};
  }

  const TopicFeed& feed_;
  const PartitionId id_;
  const Offset first_;
  Offset from_;
  const size_t fetch_bytes_;
  std::shared_ptr<log::FetchedData> data_ = std::make_shared<log::FetchedData>();
  size_t at_ = 0;
  size_t next_aborted_ = 0;
  std::set<int64_t> aborting_;  ///< Producers whose current transaction ended badly.
  std::vector<log::RecordView> views_;
  Bytes unused_;
};

TopicFeed::TopicFeed(const catalog::Object& topic, log::Log& log, const Options& options)
    : topic_(topic.id),
      log_(log),
      max_ahead_us_(options.max_ahead_ms * 1000),
      read_bytes_(options.read_bytes),
      positions_(static_cast<size_t>(topic.topic().partitions)),
      tracker_(positions_.size(), topic.topic().watermark ? topic.topic().watermark->delay_us : 0) {
}

Result<std::unique_ptr<TopicFeed>> TopicFeed::create(const catalog::Object& topic, log::Log& log,
                                                     const Options& options) {
  std::unique_ptr<TopicFeed> feed(new TopicFeed(topic, log, options));
  const auto& definition = topic.topic();
  duckdb::vector<LogicalType> types;
  for (const auto& column : definition.schema.columns) {
    types.push_back(TRY(duck::parse_type(column.type)));
  }
  feed->raw_ = definition.schema.columns.empty() || definition.format == "raw";
  if (!feed->raw_) {
    feed->codec_ = TRY(data::make_record_codec(definition.schema, definition.format));
  }
  feed->chunk_ = std::make_unique<TopicChunk>(types);
  feed->chunk_->topic = topic.id;
  feed->chunk_->blobs.Initialize(duckdb::Allocator::DefaultAllocator(),
                                 {LogicalType::BLOB, LogicalType::BLOB});
  if (definition.watermark) {
    auto column = definition.schema.find(definition.watermark->column);
    int64_t scale = column ? micros_per_unit(types[*column]) : 0;
    if (scale == 0) {
      return Error(Code::invalid_argument,
                   "the watermark of topic \"{}\" is on \"{}\", no timestamp", topic.name,
                   definition.watermark->column);
    }
    feed->watermark_column_ = column;
    feed->watermark_scale_ = scale;
  }
  return feed;
}

void TopicFeed::guess_record_bytes() {
  uint64_t bytes = 0;
  int64_t records = 0;
  for (int32_t p = 0; p < partitions(); ++p) {
    auto info = log_.info({topic_, p});
    if (!info) continue;  // Reading it will say so.
    bytes += info->bytes;
    records += info->high_watermark.value - info->log_start.value;
  }
  if (records > 0) record_bytes_ = std::max<size_t>(1, bytes / static_cast<uint64_t>(records));
}

Status TopicFeed::seek_to_start() {
  for (size_t i = 0; i < positions_.size(); ++i) {
    auto info = TRY(log_.info({topic_, static_cast<int32_t>(i)}));
    positions_[i] = info.log_start;
  }
  return {};
}

void TopicFeed::set_definition(const catalog::Object& topic) {
  auto partitions = static_cast<size_t>(topic.topic().partitions);
  if (partitions <= positions_.size()) return;
  positions_.resize(partitions);
  tracker_.add_partitions(partitions);
}

Result<uint64_t> TopicFeed::read(std::span<const TopicCut> cuts, std::span<const IdleEvent> idles,
                                 const OnChunk& on_chunk, const OnDead& on_dead) {
  std::vector<TopicCut> sorted(cuts.begin(), cuts.end());
  std::sort(sorted.begin(), sorted.end(), [](const TopicCut& a, const TopicCut& b) {
    return std::tie(a.entry, a.partition, a.end) < std::tie(b.entry, b.partition, b.end);
  });
  events_.clear();
  entry_times_ms_.clear();
  next_event_ = 0;
  std::map<int32_t, size_t> cuts_of;
  for (const auto& cut : sorted) {
    entry_times_ms_[cut.entry.value] = cut.time.value;
    events_.push_back({cut.entry.value, cut.partition, false});
    ++cuts_of[cut.partition];
  }
  const size_t fetch_bytes =
      std::clamp(read_bytes_ / std::max<size_t>(1, cuts_of.size()), kFetchBytesMin, kFetchBytes);
  std::map<int32_t, Cursor> cursors;
  for (const auto& [partition, count] : cuts_of) {
    cursors.try_emplace(partition, *this, partition, fetch_bytes);
  }
  for (const auto& idle : idles) events_.push_back({idle.entry.value, idle.partition, true});
  std::sort(events_.begin(), events_.end(), [](const Event& a, const Event& b) {
    return std::tie(a.entry, a.partition) < std::tie(b.entry, b.partition);
  });
  Portion portion;
  uint64_t total = 0;
  size_t bytes = 0;
  auto hand_on = [&]() -> Status {
    total += records_.size();
    bytes += portion.bytes;
    TRY(deliver(portion, on_chunk, on_dead));
    portion = {};
    records_.clear();
    return {};
  };
  records_.clear();
  for (const auto& cut : sorted) {
    auto& cursor = cursors.at(cut.partition);
    while (TRY(cursor.next(cut, records_, portion))) {
      if (portion.bytes >= read_bytes_) TRY(hand_on());
    }
  }
  TRY(hand_on());
  end_events();
  if (total > 0) record_bytes_ = std::max<size_t>(1, bytes / total);
  for (const auto& cut : sorted) {
    auto& position = positions_[static_cast<size_t>(cut.partition)];
    position = std::max(position, cut.end);
  }
  return total;
}

Status TopicFeed::deliver(const Portion& portion, const OnChunk& on_chunk, const OnDead& on_dead) {
  // Dead letters come in the order of their offsets.
  size_t from = 0;
  for (const auto& [before, letter] : portion.batches) {
    TRY(deliver_records(from, before, on_chunk, on_dead));
    on_dead(letter);
    from = before;
  }
  return deliver_records(from, records_.size(), on_chunk, on_dead);
}

Status TopicFeed::deliver_records(size_t from, size_t to, const OnChunk& on_chunk,
                                  const OnDead& on_dead) {
  while (from < to) {
    size_t used = decode(from, to, on_dead);
    CHECK(used > 0, "a codec makes no progress");
    fill_chunk(from, chunk_->rows.size());
    assign_watermarks();
    if (wants_blobs_) fill_blobs(from);
    if (chunk_->size() > 0) TRY(on_chunk(*chunk_));
    from += used;
  }
  return {};
}

/// The last entries say no more: what their records and marks did to the watermark counts.
void TopicFeed::end_events() {
  while (next_event_ < events_.size()) {
    const Event& event = events_[next_event_++];
    tracker_.begin_entry(event.entry);
    event.idle ? tracker_.idle(static_cast<size_t>(event.partition))
               : tracker_.active(static_cast<size_t>(event.partition));
  }
  tracker_.end_entry();
}

size_t TopicFeed::decode(size_t from, size_t to, const OnDead& on_dead) {
  reset_chunk(chunk_->rows.rows);
  row_record_.clear();
  rejected_.clear();
  std::span<const data::Record> left(records_.data() + from, to - from);
  if (raw_) {
    size_t used = std::min<size_t>(left.size(), STANDARD_VECTOR_SIZE);
    for (size_t i = 0; i < used; ++i) row_record_.push_back(static_cast<uint32_t>(i));
    chunk_->rows.rows.SetCardinality(used);
    return used;
  }
  size_t used = codec_->decode(left, chunk_->rows, row_record_, rejected_);
  size_t at = from;
  for (auto& bad : rejected_) {
    while (records_[at].offset != bad.offset || records_[at].partition != bad.partition) ++at;
    reject(records_[at], std::move(bad.reason), on_dead);
  }
  return used;
}

void TopicFeed::reject(const data::Record& record, std::string reason,
                       const OnDead& on_dead) const {
  on_dead({.topic = topic_,
           .partition = record.partition,
           .offset = record.offset,
           .end = record.offset.next(),
           .entry = record.entry,
           .reason = std::move(reason),
           .value = std::string(as_text(record.value))});
}

void TopicFeed::fill_chunk(size_t from, size_t rows) {
  TopicChunk& chunk = *chunk_;
  chunk.partitions.resize(rows);
  chunk.offsets.resize(rows);
  chunk.timestamps_ms.resize(rows);
  chunk.entries.resize(rows);
  chunk.watermarks.resize(rows);
  for (size_t row = 0; row < rows; ++row) {
    const auto& record = records_[from + row_record_[row]];
    chunk.partitions[row] = record.partition;
    chunk.offsets[row] = record.offset.value;
    chunk.timestamps_ms[row] = record.timestamp.value;
    chunk.entries[row] = record.entry.value;
  }
}

/// A record from a clock that runs ahead is a row like any other, but would close all windows for
/// everybody: above this time of the watermark column it does not move the watermark.
int64_t TopicFeed::watermark_limit(uint64_t entry) const {
  auto found = entry_times_ms_.find(entry);
  if (max_ahead_us_ == 0 || found == entry_times_ms_.end() || found->second <= 0) {
    return std::numeric_limits<int64_t>::max();
  }
  return (found->second * 1000 + max_ahead_us_) / watermark_scale_;
}

void TopicFeed::assign_watermarks() {
  TopicChunk& chunk = *chunk_;
  size_t rows = chunk.size();
  const int64_t* times = nullptr;
  const duckdb::ValidityMask* validity = nullptr;
  if (watermark_column_) {
    auto& column = chunk.rows.rows.data[*watermark_column_];
    times = FlatVector::GetData<int64_t>(column);
    validity = &FlatVector::Validity(column);
  }
  for (size_t row = 0; row < rows;) {
    uint64_t entry = chunk.entries[row];
    while (next_event_ < events_.size() && events_[next_event_].entry <= entry) {
      const Event& event = events_[next_event_++];
      tracker_.begin_entry(event.entry);
      event.idle ? tracker_.idle(static_cast<size_t>(event.partition))
                 : tracker_.active(static_cast<size_t>(event.partition));
    }
    tracker_.begin_entry(entry);
    const int64_t before = tracker_.merged();
    const int64_t limit = watermark_limit(entry);
    for (; row < rows && chunk.entries[row] == entry; ++row) {
      chunk.watermarks[row] = before;
      if (times == nullptr || !validity->RowIsValid(row) || times[row] > limit) continue;
      auto time = duckdb::timestamp_t(times[row]);
      if (time == duckdb::timestamp_t::infinity() || time == duckdb::timestamp_t::ninfinity()) {
        continue;
      }
      tracker_.observe(static_cast<size_t>(chunk.partitions[row]), times[row] * watermark_scale_);
    }
  }
}

void TopicFeed::fill_blobs(size_t from) {
  TopicChunk& chunk = *chunk_;
  reset_chunk(chunk.blobs);
  auto put = [](duckdb::Vector& vector, size_t row, ByteView bytes) {
    if (bytes.data() == nullptr) {
      FlatVector::SetNull(vector, row, true);
    } else {
      auto text = as_text(bytes);
      FlatVector::GetData<duckdb::string_t>(vector)[row] =
          duckdb::StringVector::AddStringOrBlob(vector, text.data(), text.size());
    }
  };
  for (size_t row = 0; row < chunk.size(); ++row) {
    const auto& record = records_[from + row_record_[row]];
    put(chunk.blobs.data[0], row, record.key);
    put(chunk.blobs.data[1], row, record.value);
  }
  chunk.blobs.SetCardinality(chunk.size());
}

void TopicFeed::save(ByteWriter& out) const {
  out.varint(positions_.size());
  for (Offset offset : positions_) out.varint(static_cast<uint64_t>(offset.value));
  tracker_.save(out);
  out.varint(last_entry_.value);
}

Result<std::vector<Offset>> TopicFeed::saved_positions(std::string_view saved) {
  ByteReader in(as_bytes(saved));
  std::vector<Offset> positions;
  auto count = in.varint();
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    positions.emplace_back(static_cast<int64_t>(in.varint()));
  }
  TRY(in.status("a stored position"));
  return positions;
}

Status TopicFeed::load(ByteReader& in) {
  auto count = in.varint();
  if (!in.ok() || count > in.remaining()) return Error(Code::corrupt, "a stored position is cut");
  if (count > positions_.size()) positions_.resize(count);
  tracker_.add_partitions(positions_.size());
  for (uint64_t i = 0; i < count; ++i) positions_[i] = Offset(static_cast<int64_t>(in.varint()));
  TRY(tracker_.load(in));
  // Earlier versions did not write it.
  last_entry_ = in.remaining() > 0 ? EntryNumber(in.varint()) : entry_of_positions();
  return in.status("a stored position");
}

/// The entry of the last record below the positions: marks up to it are in the watermark, and those
/// that came later say the same again.
EntryNumber TopicFeed::entry_of_positions() const {
  EntryNumber last;
  for (int32_t p = 0; p < partitions(); ++p) {
    if (position(p) == Offset()) continue;
    auto entry = log_.entry_of({topic_, p}, Offset(position(p).value - 1));
    if (entry) last = std::max(last, *entry);  // Else the record was deleted.
  }
  return last;
}

}  // namespace ziwa::stream
