#include "sql/dead_letter_scan.h"

#include "data/record_codec.h"
#include "duck/catalog_api.h"
#include "duck/expression.h"
#include "sql/system_tables_internal.h"
#include "sql/topic_reader.h"

#include <algorithm>
#include <optional>

namespace ziwa::sql {
namespace {

using duckdb::Value;

class DeadLetterStream final : public data::ScanStream {
 public:
  DeadLetterStream(const log::Log& log, catalog::ObjectPtr topic, std::vector<size_t> columns,
                   std::vector<Piece> pieces, std::shared_ptr<const RecordPlaces> known,
                   std::unique_ptr<data::RecordCodec> codec,
                   const duckdb::vector<duckdb::LogicalType>& types)
      : log_(log),
        topic_(std::move(topic)),
        columns_(std::move(columns)),
        pieces_(std::move(pieces)),
        known_(std::move(known)),
        codec_(std::move(codec)),
        decoded_(types) {}

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
      records = records.first(std::min<size_t>(records.size(), STANDARD_VECTOR_SIZE));
      size_t consumed = decode(records);
      if (consumed == 0)
        return Error(Code::internal, "the codec of topic \"{}\" made no progress", topic_->name);
      TRY(fill(records.first(consumed), out));
      reader_->take(consumed);
      if (out.size() > 0) return {};
    }
  }

 private:
  size_t decode(std::span<const log::RecordView> records) {
    inputs_.clear();
    for (const log::RecordView& record : records) {
      inputs_.push_back({.offset = record.offset,
                         .partition = reader_->id().partition,
                         .timestamp = record.timestamp,
                         .entry = {},
                         .key = record.key,
                         .value = record.value});
    }
    decoded_.rows.Reset();
    rows_.clear();
    rejected_.clear();
    return codec_->decode(inputs_, decoded_, rows_, rejected_);
  }

  Status fill(std::span<const log::RecordView> records, duckdb::DataChunk& out) {
    size_t row = 0;
    for (const data::Rejected& rejected : rejected_) {
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
        return text_value(topic_->name);
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
  catalog::ObjectPtr topic_;
  std::vector<size_t> columns_;
  std::vector<Piece> pieces_;
  std::shared_ptr<const RecordPlaces> known_;
  std::unique_ptr<data::RecordCodec> codec_;
  duck::Chunk decoded_;
  size_t at_ = 0;
  std::optional<PieceReader> reader_;
  std::vector<data::Record> inputs_;
  std::vector<uint32_t> rows_;
  std::vector<data::Rejected> rejected_;
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
    const auto& definition = topic_->topic();
    duckdb::vector<duckdb::LogicalType> types;
    for (const data::Column& column : definition.schema.columns)
      types.push_back(TRY(duck::parse_type(column.type)));
    auto codec = TRY(data::make_record_codec(definition.schema, definition.format));
    std::vector<std::unique_ptr<data::ScanStream>> streams;
    streams.push_back(std::make_unique<DeadLetterStream>(log_, topic_, request.columns, pieces_,
                                                         known_, std::move(codec), types));
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
