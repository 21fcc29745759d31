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

/// Records of one partition, and the bytes they point into.
struct TopicFeed::Fetched {
  std::vector<std::unique_ptr<Bytes>> buffers;
  std::vector<data::Record> records;
  int32_t partition = 0;
};

TopicFeed::TopicFeed(const catalog::Object& topic, log::Log& log, int64_t max_ahead_ms)
    : topic_(topic.id),
      log_(log),
      max_ahead_us_(max_ahead_ms * 1000),
      positions_(static_cast<size_t>(topic.topic().partitions)),
      tracker_(positions_.size(), topic.topic().watermark ? topic.topic().watermark->delay_us : 0) {
}

Result<std::unique_ptr<TopicFeed>> TopicFeed::create(const catalog::Object& topic, log::Log& log,
                                                     int64_t max_ahead_ms) {
  std::unique_ptr<TopicFeed> feed(new TopicFeed(topic, log, max_ahead_ms));
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
  std::map<int32_t, Offset> ends;
  for (const auto& cut : sorted) {
    auto& end = ends.try_emplace(cut.partition, cut.end).first->second;
    end = std::max(end, cut.end);
  }
  std::map<int32_t, Fetched> fetched;
  for (const auto& [partition, end] : ends) {
    fetched[partition].partition = partition;
    TRY(fetch(partition, end, fetched[partition]));
  }

  records_.clear();
  events_.clear();
  entry_times_ms_.clear();
  next_event_ = 0;
  std::map<int32_t, size_t> taken;
  for (const auto& cut : sorted) {
    auto& from = fetched[cut.partition].records;
    auto& next = taken[cut.partition];
    entry_times_ms_[cut.entry.value] = cut.time.value;
    events_.push_back({cut.entry.value, cut.partition, false});
    for (; next < from.size() && from[next].offset < cut.end; ++next) {
      records_.push_back(from[next]);
      records_.back().entry = cut.entry;
    }
  }
  for (const auto& idle : idles) events_.push_back({idle.entry.value, idle.partition, true});
  std::sort(events_.begin(), events_.end(), [](const Event& a, const Event& b) {
    return std::tie(a.entry, a.partition) < std::tie(b.entry, b.partition);
  });
  TRY(deliver(on_chunk, on_dead));
  for (const auto& [partition, end] : ends) {
    auto& position = positions_[static_cast<size_t>(partition)];
    position = std::max(position, end);
  }
  return records_.size();
}

Status TopicFeed::fetch(int32_t partition, Offset end, Fetched& out) {
  Offset from = position(partition);
  while (from < end) {
    auto data =
        TRY(log_.fetch({topic_, partition}, from, kFetchBytes, log::Isolation::read_committed));
    if (data.batches.empty()) {
      return Error(Code::unavailable, "records {} to {} of topic {}/{} cannot be read yet", from,
                   end, topic_, partition);
    }
    Offset begun = from;
    out.buffers.push_back(std::make_unique<Bytes>(std::move(data.batches)));
    TRY(add_batches(*out.buffers.back(), data.aborted, end, out, from));
    if (from == begun) {
      return Error(Code::corrupt, "a fetch of topic {}/{} at {} gives no progress", topic_,
                   partition, from);
    }
  }
  return {};
}

/// Adds the records of whole batches; `from` moves behind the last batch that was looked at.
Status TopicFeed::add_batches(ByteView batches, const std::vector<log::AbortedTransaction>& aborted,
                              Offset end, Fetched& out, Offset& from) {
  Offset first = position(out.partition);
  size_t next_aborted = 0;
  std::set<int64_t> aborting;  // Producers whose current transaction ended badly.
  std::vector<log::RecordView> records;
  for (size_t at = 0; at < batches.size() && from < end;) {
    auto header = TRY(log::parse_batch_header(batches.subspan(at)));
    ByteView batch = batches.subspan(at, header.total_bytes());
    at += header.total_bytes();
    from = std::max(from, Offset(header.last_offset() + 1));
    while (next_aborted < aborted.size() &&
           aborted[next_aborted].first_offset.value <= header.last_offset()) {
      aborting.insert(aborted[next_aborted++].producer_id);
    }
    if (header.control()) {
      aborting.erase(header.producer_id);
      continue;
    }
    if (header.last_offset() < first.value) continue;
    if (header.transactional() && aborting.contains(header.producer_id)) continue;
    records.clear();
    auto buffer = std::make_unique<Bytes>();
    TRY(log::read_records(batch, records, *buffer));
    if (header.codec() != 0) out.buffers.push_back(std::move(buffer));
    for (const auto& record : records) {
      if (record.offset < first || record.offset >= end) continue;
      out.records.push_back({.offset = record.offset,
                             .partition = out.partition,
                             .timestamp = record.timestamp,
                             .entry = {},
                             .key = record.key,
                             .value = record.value});
    }
  }
  return {};
}

Status TopicFeed::deliver(const OnChunk& on_chunk, const OnDead& on_dead) {
  for (size_t from = 0; from < records_.size();) {
    size_t used = decode(from, on_dead);
    CHECK(used > 0, "a codec makes no progress");
    fill_chunk(from, chunk_->rows.size());
    assign_watermarks();
    if (wants_blobs_) fill_blobs(from);
    if (chunk_->size() > 0) TRY(on_chunk(*chunk_));
    from += used;
  }
  while (next_event_ < events_.size()) {
    const Event& event = events_[next_event_++];
    tracker_.begin_entry(event.entry);
    event.idle ? tracker_.idle(static_cast<size_t>(event.partition))
               : tracker_.active(static_cast<size_t>(event.partition));
  }
  tracker_.end_entry();
  return {};
}

size_t TopicFeed::decode(size_t from, const OnDead& on_dead) {
  reset_chunk(chunk_->rows.rows);
  row_record_.clear();
  rejected_.clear();
  std::span<const data::Record> left(records_.data() + from, records_.size() - from);
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
  return tracker_.load(in);
}

}  // namespace ziwa::stream
