#include "catalog/topic_name.h"
#include "stream/core.h"

// Records that no view sees: a table of rows like any other, for all topics.
namespace ziwa::stream {
namespace {

const data::Schema& dead_letter_schema() {
  static const data::Schema kSchema = {{{1, "topic", "UBIGINT"},
                                        {2, "partition", "INTEGER"},
                                        {3, "offset", "BIGINT"},
                                        {4, "entry", "BIGINT"},
                                        {5, "reason", "VARCHAR"},
                                        {6, "value", "BLOB"}}};
  return kSchema;
}

/// Dead letters with the names of their topics.
class DeadLetterScan final : public data::Scan {
 public:
  DeadLetterScan(std::shared_ptr<data::Scan> inner, catalog::SnapshotPtr catalog)
      : inner_(std::move(inner)), catalog_(std::move(catalog)) {
    schema_ = dead_letter_schema();
    schema_.columns[0].type = "VARCHAR";
  }
  const data::Schema& schema() const override { return schema_; }
  std::optional<uint64_t> row_count() const override { return inner_->row_count(); }
  Result<std::vector<std::unique_ptr<data::ScanStream>>> open(const data::ScanRequest& request,
                                                              size_t parts_max) override {
    data::ScanRequest own{.columns = request.columns, .bounds = {}};
    auto streams = TRY(inner_->open(own, parts_max));
    duckdb::vector<duckdb::LogicalType> types;
    for (size_t column : request.columns) {
      types.push_back(TRY(duck::parse_type(dead_letter_schema().columns[column].type)));
    }
    for (auto& stream : streams) {
      stream = std::make_unique<Stream>(std::move(stream), request.columns, types, catalog_);
    }
    return streams;
  }

 private:
  class Stream final : public data::ScanStream {
   public:
    Stream(std::unique_ptr<data::ScanStream> inner, std::vector<size_t> columns,
           const duckdb::vector<duckdb::LogicalType>& types, catalog::SnapshotPtr catalog)
        : inner_(std::move(inner)), columns_(std::move(columns)), catalog_(std::move(catalog)) {
      rows_.Initialize(duckdb::Allocator::DefaultAllocator(), types);
    }
    Status next(duckdb::DataChunk& out) override {
      TRY(inner_->next(rows_));
      reset_chunk(out);
      for (size_t i = 0; i < columns_.size(); ++i) {
        for (size_t row = 0; row < rows_.size(); ++row) {
          if (columns_[i] != 0) {
            copy_value(rows_.data[i], row, out.data[i], row);
            continue;
          }
          ObjectId id(duckdb::FlatVector::GetData<uint64_t>(rows_.data[i])[row]);
          auto object = catalog_->find(id);
          auto name = object == nullptr ? fmt::format("{}", id) : catalog::topic_name(*object);
          duckdb::FlatVector::GetData<duckdb::string_t>(out.data[i])[row] =
              duckdb::StringVector::AddString(out.data[i], name);
        }
      }
      out.SetCardinality(rows_.size());
      return {};
    }

   private:
    std::unique_ptr<data::ScanStream> inner_;
    std::vector<size_t> columns_;
    catalog::SnapshotPtr catalog_;
    duckdb::DataChunk rows_;
  };
  std::shared_ptr<data::Scan> inner_;
  catalog::SnapshotPtr catalog_;
  data::Schema schema_;
};

using Bound = data::ScanRequest::Bound;

Bound bound(size_t column, Bound::Op op, duckdb::Value value) {
  return {column, op, std::make_shared<const duckdb::Value>(std::move(value))};
}
Bound of_topic(ObjectId topic) {
  return bound(0, Bound::Op::equal, duckdb::Value::UBIGINT(topic.value));
}

}  // namespace

std::shared_ptr<data::Scan> Core::dead_letters() {
  return std::make_shared<DeadLetterScan>(dead_letters_->version()->scan(),
                                          deps_.catalog.snapshot());
}

void Core::add_dead_letter(DeadLetter letter) {
  // Several pipelines may read a topic; each record is a dead letter once.
  auto& until = dead_until_[{letter.topic, letter.partition}];
  if (letter.offset < until) return;
  until = letter.end;
  dead_counter_.add();
  if (dead_rows_.size() == STANDARD_VECTOR_SIZE) {
    flush_dead_letters().ignore("the row table only collects");
  }
  size_t row = dead_rows_.size();
  auto text = [&](size_t column, const std::string& value) {
    auto& vector = dead_rows_.data[column];
    duckdb::FlatVector::GetData<duckdb::string_t>(vector)[row] =
        duckdb::StringVector::AddStringOrBlob(vector, value.data(), value.size());
  };
  duckdb::FlatVector::GetData<uint64_t>(dead_rows_.data[0])[row] = letter.topic.value;
  duckdb::FlatVector::GetData<int32_t>(dead_rows_.data[1])[row] = letter.partition;
  duckdb::FlatVector::GetData<int64_t>(dead_rows_.data[2])[row] = letter.offset.value;
  duckdb::FlatVector::GetData<int64_t>(dead_rows_.data[3])[row] =
      static_cast<int64_t>(letter.entry.value);
  text(4, letter.reason);
  text(5, letter.value);
  dead_rows_.SetCardinality(row + 1);
}

Status Core::flush_dead_letters() {
  if (dead_rows_.size() == 0) return {};
  Delta delta{.rows = dead_rows_};
  TRY(dead_letters_->consume(0, delta));
  reset_chunk(dead_rows_);
  dirty_ = true;
  return {};
}

Status Core::make_dead_letters() {
  auto layout = TRY(RowLayout::create(dead_letter_schema(), {0, 1, 2}));
  dead_rows_.Initialize(duckdb::Allocator::DefaultAllocator(), layout->types);
  dead_letters_ =
      std::make_unique<RowTable>(std::move(layout), deps_.store, tables_.dead_letters, "");
  return {};
}

/// Records before `start` were deleted.
Status Core::forget_dead_letters(PartitionId id, Offset start) {
  if (!dead_until_.contains(id)) return {};
  return take_dead_letters({of_topic(id.topic),
                            bound(1, Bound::Op::equal, duckdb::Value::INTEGER(id.partition)),
                            bound(2, Bound::Op::less, duckdb::Value::BIGINT(start.value))});
}

/// The topic is gone, and its dead letters with it.
Status Core::forget_topic(ObjectId topic) {
  size_t before = dead_until_.size();
  std::erase_if(dead_until_, [&](const auto& each) { return each.first.topic == topic; });
  if (dead_until_.size() == before) return {};
  TRY(flush_dead_letters());
  TRY(dead_letters_->apply(epoch_));
  TRY(take_dead_letters({of_topic(topic)}));
  TRY(dead_letters_->apply(epoch_));
  return {};
}

/// Of those that are applied.
Status Core::take_dead_letters(std::vector<data::ScanRequest::Bound> bounds) {
  duckdb::DataChunk rows;
  rows.Initialize(duckdb::Allocator::DefaultAllocator(), dead_letters_->layout()->types);
  const std::vector<Weight> gone(STANDARD_VECTOR_SIZE, -1);
  for (auto& stream : TRY(dead_letters_->version()->scan()->open(
           {.columns = {0, 1, 2, 3, 4, 5}, .bounds = std::move(bounds)}, 1))) {
    while (true) {
      TRY(stream->next(rows));
      if (rows.size() == 0) break;
      Delta delta{.rows = rows, .weights = gone.data()};
      TRY(dead_letters_->consume(0, delta));
      dirty_ = true;
    }
  }
  return {};
}

}  // namespace ziwa::stream
