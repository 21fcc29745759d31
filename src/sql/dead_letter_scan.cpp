#include "sql/dead_letter_scan.h"

#include "catalog/topic_name.h"
#include "duck/catalog_api.h"
#include "sql/system_tables_internal.h"
#include "sql/topic_decoder.h"

#include <algorithm>
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
      if (!reader_) {
        if (at_ == pieces_.size()) return {};
        reader_.emplace(log_, pieces_[at_++]);
      }
      auto records = TRY(reader_->records());
      if (records.empty()) {
        reader_.reset();
        continue;
      }
      auto taken = TRY(decoder_->decode(*reader_, records));
      TRY(fill(taken, out));
      reader_->take(taken.size());
      if (out.size() > 0) return {};
    }
  }

 private:
  Status fill(std::span<const log::RecordView> records, duckdb::DataChunk& out) {
    size_t row = 0;
    for (const data::Rejected& rejected : decoder_->rejected()) {
      if (known_->contains({rejected.partition, rejected.offset.value})) continue;
      auto record = std::ranges::lower_bound(records, rejected.offset, {},
                                             [](const auto& each) { return each.offset; });
      for (size_t i = 0; i < columns_.size(); ++i)
        out.SetValue(i, row, TRY(value_of(columns_[i], rejected, *record)));
      ++row;
    }
    out.SetCardinality(row);
    return {};
  }

  Result<Value> value_of(size_t column, const data::Rejected& rejected,
                         const log::RecordView& record) {
    switch (column) {
      case 0:
        return text_value(topic_);
      case 1:
        return Value::INTEGER(rejected.partition);
      case 2:
        return big(rejected.offset.value);
      case 3:
        return big(TRY(reader_->entry_of(rejected.offset)).value);
      case 4:
        return text_value(rejected.reason);
      default:
        return Value::BLOB(reinterpret_cast<duckdb::const_data_ptr_t>(record.value.data()),
                           record.value.size());
    }
  }

  const log::Log& log_;
  std::string topic_;  ///< Its name to Kafka clients.
  std::vector<size_t> columns_;
  std::vector<Piece> pieces_;
  std::shared_ptr<const RecordPlaces> known_;
  std::unique_ptr<TopicDecoder> decoder_;
  size_t at_ = 0;
  std::optional<PieceReader> reader_;
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
    streams.push_back(std::make_unique<DeadLetterStream>(
        log_, *topic_, request.columns, pieces_, known_, TRY(TopicDecoder::create(topic_))));
    return streams;
  }

 private:
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
