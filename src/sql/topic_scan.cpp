#include "sql/topic_scan.h"

#include "duck/catalog_api.h"
#include "sql/entries.h"
#include "sql/topic_decoder.h"

#include <algorithm>
#include <limits>
#include <numeric>

namespace ziwa::sql {
namespace {

/// A partition is split between threads in pieces of at least this many records.
constexpr int64_t kPieceRecordsMin = 50'000;

enum class Hidden : unsigned char { none, partition, offset, timestamp, key, value, entry };

Hidden hidden_of(const std::string& name) {
  if (name == "_partition") return Hidden::partition;
  if (name == "_offset") return Hidden::offset;
  if (name == "_timestamp") return Hidden::timestamp;
  if (name == "_key") return Hidden::key;
  if (name == "_value") return Hidden::value;
  if (name == "_entry") return Hidden::entry;
  return Hidden::none;
}

/// What all streams of a scan share.
struct Shape {
  catalog::ObjectPtr topic;
  data::Schema schema;  ///< topic_scan_schema().
  bool raw() const { return topic->topic().schema.columns.empty(); }
};

class TopicStream final : public data::ScanStream {
 public:
  TopicStream(const log::Log& log, std::shared_ptr<const Shape> shape, std::vector<size_t> columns,
              std::vector<Piece> pieces, std::unique_ptr<TopicDecoder> decoder)
      : log_(log),
        shape_(std::move(shape)),
        columns_(std::move(columns)),
        pieces_(std::move(pieces)),
        decoder_(std::move(decoder)) {
    for (size_t column : columns_)
      hidden_.push_back(hidden_of(shape_->schema.columns[column].name));
  }

  Status next(duckdb::DataChunk& out) override {
    while (true) {
      if (!reader_) {
        if (at_ == pieces_.size()) return {};
        reader_.emplace(log_, pieces_[at_++]);
      }
      auto records = TRY(reader_->records());
      if (records.empty()) {
        reader_.reset();
        continue;
      }
      if (decoder_) {
        records = TRY(decoder_->decode(*reader_, records));
      } else {
        records = take_raw(records);
      }
      if (!rows().empty()) TRY(fill(records, out));
      reader_->take(records.size());
      if (!rows().empty()) return {};
    }
  }

 private:
  std::span<const log::RecordView> take_raw(std::span<const log::RecordView> records) {
    records = records.first(std::min<size_t>(records.size(), STANDARD_VECTOR_SIZE));
    raw_rows_.resize(records.size());
    std::iota(raw_rows_.begin(), raw_rows_.end(), 0u);
    return records;
  }

  /// Per row, the index of its record.
  const std::vector<uint32_t>& rows() const { return decoder_ ? decoder_->records() : raw_rows_; }

  Status fill(std::span<const log::RecordView> records, duckdb::DataChunk& out) {
    for (size_t i = 0; i < columns_.size(); ++i) {
      if (hidden_[i] == Hidden::none) {
        out.data[i].Reference(decoder_->rows().data[columns_[i]]);
      } else {
        TRY(fill_hidden(hidden_[i], records, out.data[i]));
      }
    }
    out.SetCardinality(rows().size());
    return {};
  }

  Status fill_hidden(Hidden kind, std::span<const log::RecordView> records,
                     duckdb::Vector& vector) {
    vector.SetVectorType(duckdb::VectorType::FLAT_VECTOR);
    for (size_t row = 0; row < rows().size(); ++row) {
      const log::RecordView& record = records[rows()[row]];
      switch (kind) {
        case Hidden::partition:
          set(vector, row, reader_->id().partition);
          break;
        case Hidden::offset:
          set(vector, row, record.offset.value);
          break;
        case Hidden::timestamp:
          set(vector, row, duckdb::timestamp_t(record.timestamp.value * 1000));
          break;
        case Hidden::key:
          set_bytes(vector, row, record.key);
          break;
        case Hidden::value:
          set_bytes(vector, row, record.value);
          break;
        case Hidden::entry:
          set(vector, row, static_cast<int64_t>(TRY(reader_->entry_of(record.offset)).value));
          break;
        case Hidden::none:
          break;
      }
    }
    return {};
  }

  template <typename T>
  static void set(duckdb::Vector& vector, size_t row, T value) {
    duckdb::FlatVector::GetData<T>(vector)[row] = value;
  }

  static void set_bytes(duckdb::Vector& vector, size_t row, ByteView bytes) {
    if (bytes.data() == nullptr) {
      duckdb::FlatVector::SetNull(vector, row, true);
      return;
    }
    duckdb::FlatVector::GetData<duckdb::string_t>(vector)[row] =
        duckdb::StringVector::AddStringOrBlob(vector, reinterpret_cast<const char*>(bytes.data()),
                                              bytes.size());
  }

  const log::Log& log_;
  std::shared_ptr<const Shape> shape_;
  std::vector<size_t> columns_;
  std::vector<Hidden> hidden_;  ///< As `columns_`.
  std::vector<Piece> pieces_;
  size_t at_ = 0;
  std::optional<PieceReader> reader_;
  std::unique_ptr<TopicDecoder> decoder_;  ///< Null on a raw topic.
  std::vector<uint32_t> raw_rows_;
};

using Bound = data::ScanRequest::Bound;

/// Narrows [from, to) to where `value` of a whole number column satisfies the bound.
void narrow(const Bound& bound, int64_t& from, int64_t& to) {
  auto value = bound.value->GetValue<int64_t>();
  bool last = value == std::numeric_limits<int64_t>::max();
  switch (bound.op) {
    case Bound::Op::equal:
      from = std::max(from, value);
      if (!last) to = std::min(to, value + 1);
      break;
    case Bound::Op::less:
      to = std::min(to, value);
      break;
    case Bound::Op::less_equal:
      if (!last) to = std::min(to, value + 1);
      break;
    case Bound::Op::greater:
      from = last ? to : std::max(from, value + 1);
      break;
    case Bound::Op::greater_equal:
      from = std::max(from, value);
      break;
  }
}

class TopicScan final : public data::Scan {
 public:
  TopicScan(log::Log& log, std::shared_ptr<const Shape> shape, std::vector<Piece> partitions)
      : log_(log), shape_(std::move(shape)), partitions_(std::move(partitions)) {}

  const data::Schema& schema() const override { return shape_->schema; }

  std::optional<uint64_t> row_count() const override {
    uint64_t rows = 0;
    for (const Piece& piece : partitions_)
      rows += static_cast<uint64_t>(piece.to.value - piece.from.value);
    return rows;
  }

  Result<std::vector<std::unique_ptr<data::ScanStream>>> open(const data::ScanRequest& request,
                                                              size_t parts_max) override {
    std::vector<std::vector<Piece>> buckets =
        deal(TRY(prune(request)), std::max<size_t>(parts_max, 1));
    std::vector<std::unique_ptr<data::ScanStream>> streams;
    for (auto& bucket : buckets) {
      std::unique_ptr<TopicDecoder> decoder;
      if (!shape_->raw()) decoder = TRY(TopicDecoder::create(shape_->topic));
      streams.push_back(std::make_unique<TopicStream>(log_, shape_, request.columns,
                                                      std::move(bucket), std::move(decoder)));
    }
    return streams;
  }

 private:
  Result<std::vector<Piece>> prune(const data::ScanRequest& request) const {
    std::vector<Piece> pieces;
    for (Piece piece : partitions_) {
      int64_t partition_from = piece.id.partition;
      int64_t partition_to = partition_from + 1;
      for (const Bound& bound : request.bounds) {
        switch (hidden_of(shape_->schema.columns[bound.column].name)) {
          case Hidden::partition:
            narrow(bound, partition_from, partition_to);
            break;
          case Hidden::offset:
            narrow(bound, piece.from.value, piece.to.value);
            break;
          case Hidden::timestamp:
            TRY(narrow_by_time(bound, piece));
            break;
          default:
            break;
        }
      }
      if (partition_from < partition_to && piece.from < piece.to) pieces.push_back(piece);
    }
    return pieces;
  }

  /// Records before the first one that is young enough are all too old; those after it may be
  /// anything.
  Status narrow_by_time(const Bound& bound, Piece& piece) const {
    if (bound.op == Bound::Op::less || bound.op == Bound::Op::less_equal) return {};
    auto us = bound.value->GetValue<duckdb::timestamp_t>().value;
    int64_t ms = us / 1000 - (us % 1000 < 0 ? 1 : 0);
    auto found = TRY(log_.offset_for_time(piece.id, TimestampMs(ms)));
    piece.from = found ? std::max(piece.from, found->offset) : piece.to;
    return {};
  }

  /// Spreads the pieces over at most `parts` buckets of about the same size, in order.
  static std::vector<std::vector<Piece>> deal(const std::vector<Piece>& pieces, size_t parts) {
    int64_t total = 0;
    for (const Piece& piece : pieces) total += piece.to.value - piece.from.value;
    int64_t share = std::max(kPieceRecordsMin, total / static_cast<int64_t>(parts) + 1);
    std::vector<std::vector<Piece>> buckets;
    int64_t room = 0;
    for (Piece piece : pieces) {
      while (piece.from < piece.to) {
        if (room == 0) {
          buckets.emplace_back();
          room = share;
        }
        Offset end(std::min(piece.to.value, piece.from.value + room));
        buckets.back().push_back({piece.id, piece.from, end, piece.deleted});
        room -= end.value - piece.from.value;
        piece.from = end;
      }
    }
    return buckets;
  }

  log::Log& log_;
  std::shared_ptr<const Shape> shape_;
  std::vector<Piece> partitions_;
};

}  // namespace

Result<std::shared_ptr<data::Scan>> make_topic_scan(log::Log& log, const catalog::ObjectPtr& topic,
                                                    Epoch epoch, Deleted deleted) {
  auto shape = std::make_shared<Shape>();
  shape->topic = topic;
  shape->schema = topic_scan_schema(topic->topic());
  std::vector<Piece> partitions = TRY(readable_pieces(log, *topic, epoch, deleted));
  return std::make_shared<TopicScan>(log, std::move(shape), std::move(partitions));
}

}  // namespace ziwa::sql
