#include "sql/dead_letter_scan.h"

#include "catalog/topic_name.h"
#include "duck/catalog_api.h"
#include "sql/system_tables_internal.h"
#include "sql/topic_decoder.h"

#include <algorithm>
#include <deque>
#include <iterator>
#include <optional>

namespace ziwa::sql {
namespace {

using duckdb::Value;

class DeadLetterStream final : public data::ScanStream {
 public:
  DeadLetterStream(const log::Log& log, const catalog::Object& topic, std::vector<size_t> columns,
                   std::vector<Piece> pieces, std::shared_ptr<const RecordPlaces> known,
                   std::unique_ptr<TopicDecoder> decoder)
      : log_(log),
        topic_(catalog::topic_name(topic)),
        columns_(std::move(columns)),
        pieces_(std::move(pieces)),
        known_(std::move(known)),
        decoder_(std::move(decoder)) {}

  Status next(duckdb::DataChunk& out) override {
    while (true) {
      if (!unreadable_.empty()) {
        TRY(fill_unreadable(out));
        if (out.size() > 0) return {};
        continue;
      }
      if (!reader_) {
        if (at_ == pieces_.size()) return {};
        reader_.emplace(log_, pieces_[at_++], true);
      }
      auto records = TRY(reader_->records());
      std::ranges::move(reader_->take_unreadable(), std::back_inserter(unreadable_));
      if (!unreadable_.empty()) continue;
      if (records.empty()) {
        reader_.reset();
        continue;
      }
      if (decoder_ == nullptr) {
        reader_->take(records.size());
        continue;
      }
      auto taken = TRY(decoder_->decode(*reader_, records));
      TRY(fill(taken, out));
      reader_->take(taken.size());
      if (out.size() > 0) return {};
    }
  }

 private:
  /// Up to a chunk of the batches that cannot be read.
  Status fill_unreadable(duckdb::DataChunk& out) {
    size_t row = 0;
    const PartitionId id = reader_->id();
    for (; row < STANDARD_VECTOR_SIZE && !unreadable_.empty(); unreadable_.pop_front()) {
      const UnreadableBatch& batch = unreadable_.front();
      if (known_->contains({id.partition, batch.offset.value})) continue;
      // Not the reader's: it wants offsets in order, and some records before are not taken yet.
      auto entry = log_.entry_of(id, batch.offset);
      if (!entry && entry.error().code() == Code::invalid_argument) continue;  // Deleted meanwhile.
      if (!entry) return std::move(entry).error();
      const data::Rejected letter{
          .offset = batch.offset, .partition = id.partition, .reason = batch.reason};
      for (size_t i = 0; i < columns_.size(); ++i)
        out.SetValue(i, row, cell(columns_[i], letter, *entry, {}));
      ++row;
    }
    out.SetCardinality(row);
    return {};
  }

  Status fill(std::span<const log::RecordView> records, duckdb::DataChunk& out) {
    size_t row = 0;
    for (const data::Rejected& rejected : decoder_->rejected()) {
      if (known_->contains({rejected.partition, rejected.offset.value})) continue;
      auto record = std::ranges::lower_bound(records, rejected.offset, {},
                                             [](const auto& each) { return each.offset; });
      EntryNumber entry = TRY(reader_->entry_of(rejected.offset));
      for (size_t i = 0; i < columns_.size(); ++i)
        out.SetValue(i, row, cell(columns_[i], rejected, entry, record->value));
      ++row;
    }
    out.SetCardinality(row);
    return {};
  }

  Value cell(size_t column, const data::Rejected& rejected, EntryNumber entry,
             ByteView value) const {
    switch (column) {
      case 0:
        return text_value(topic_);
      case 1:
        return Value::INTEGER(rejected.partition);
      case 2:
        return big(rejected.offset.value);
      case 3:
        return big(entry.value);
      case 4:
        return text_value(rejected.reason);
      default:
        return Value::BLOB(reinterpret_cast<duckdb::const_data_ptr_t>(value.data()), value.size());
    }
  }

  const log::Log& log_;
  std::string topic_;  ///< Its name to Kafka clients.
  std::vector<size_t> columns_;
  std::vector<Piece> pieces_;
  std::shared_ptr<const RecordPlaces> known_;
  std::unique_ptr<TopicDecoder> decoder_;  ///< Null on a raw topic.
  size_t at_ = 0;
  std::optional<PieceReader> reader_;
  std::deque<UnreadableBatch> unreadable_;  ///< Of `reader_`.
};

class UnreadTopicScan final : public data::Scan {
 public:
  UnreadTopicScan(log::Log& log, catalog::ObjectPtr topic, std::vector<Piece> pieces,
                  RecordPlaces known)
      : log_(log),
        topic_(std::move(topic)),
        pieces_(std::move(pieces)),
        known_(std::make_shared<const RecordPlaces>(std::move(known))) {}

  const data::Schema& schema() const override { return dead_letter_schema(); }

  Result<std::vector<std::unique_ptr<data::ScanStream>>> open(const data::ScanRequest& request,
                                                              size_t) override {
    std::vector<std::unique_ptr<data::ScanStream>> streams;
    if (!is_asked_for(request)) return streams;
    std::unique_ptr<TopicDecoder> decoder;
    if (!topic_->topic().schema.columns.empty()) decoder = TRY(TopicDecoder::create(topic_));
    streams.push_back(std::make_unique<DeadLetterStream>(log_, *topic_, request.columns, pieces_,
                                                         known_, std::move(decoder)));
    return streams;
  }

 private:
  /// A condition on the topic spares the others.
  bool is_asked_for(const data::ScanRequest& request) const {
    using Bound = data::ScanRequest::Bound;
    return std::ranges::all_of(request.bounds, [&](const Bound& bound) {
      return bound.column != 0 || bound.op != Bound::Op::equal ||
             bound.value->ToString() == catalog::topic_name(*topic_);
    });
  }

  log::Log& log_;
  catalog::ObjectPtr topic_;
  std::vector<Piece> pieces_;
  std::shared_ptr<const RecordPlaces> known_;
};

}  // namespace

const data::Schema& dead_letter_schema() {
  static const data::Schema kSchema = make_system_schema({{"topic", "VARCHAR"},
                                                          {"partition", "INTEGER"},
                                                          {"offset", "BIGINT"},
                                                          {"entry", "BIGINT"},
                                                          {"reason", "VARCHAR"},
                                                          {"value", "BLOB"}});
  return kSchema;
}

Result<std::shared_ptr<data::Scan>> scan_dead_letters(log::Log& log,
                                                      const catalog::ObjectPtr& topic, Epoch epoch,
                                                      RecordPlaces known) {
  auto pieces = TRY(readable_pieces(log, *topic, epoch));
  return std::make_shared<UnreadTopicScan>(log, topic, std::move(pieces), std::move(known));
}

}  // namespace ziwa::sql
