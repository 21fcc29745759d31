#include "catalog/topic_name.h"
#include "duck/expression.h"
#include "sql/dead_letter_scan.h"
#include "sql/system_tables_internal.h"

#include <map>
#include <set>

namespace ziwa::sql {
namespace {

using duckdb::Value;
using Streams = std::vector<std::unique_ptr<data::ScanStream>>;

/// Rows of one scan behind a constant first column, the name of what they belong to.
class LabelledStream final : public data::ScanStream {
 public:
  LabelledStream(std::string label, std::vector<std::optional<size_t>> output,
                 duckdb::vector<duckdb::LogicalType> types, std::shared_ptr<data::Scan> scan,
                 std::unique_ptr<data::ScanStream> inner)
      : label_(std::move(label)),
        output_(std::move(output)),
        scan_(std::move(scan)),
        inner_(std::move(inner)) {
    chunk_.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  }
  Status next(duckdb::DataChunk& out) override {
    chunk_.Reset();
    TRY(inner_->next(chunk_));
    for (size_t i = 0; i < output_.size(); ++i) {
      if (output_[i]) {
        out.data[i].Reference(chunk_.data[*output_[i]]);
      } else {
        out.data[i].Reference(Value(label_));
      }
    }
    out.SetCardinality(chunk_.size());
    return {};
  }

 private:
  std::string label_;
  std::vector<std::optional<size_t>>
      output_;  ///< Per output column its place in the inner chunk; nothing: the label.
  std::shared_ptr<data::Scan> scan_;
  std::unique_ptr<data::ScanStream> inner_;
  duckdb::DataChunk chunk_;
};

/// The scans of many things one after another, each row with the thing's name in the first column.
class LabelledScan final : public data::Scan {
 public:
  using Part = std::pair<std::string, std::shared_ptr<data::Scan>>;
  LabelledScan(data::Schema schema, std::vector<Part> parts)
      : schema_(std::move(schema)), parts_(std::move(parts)) {}

  const data::Schema& schema() const override { return schema_; }
  Result<Streams> open(const data::ScanRequest& request, size_t) override {
    data::ScanRequest inner;
    std::vector<std::optional<size_t>> output;
    for (size_t column : request.columns) {
      output.push_back(column == 0 ? std::nullopt : std::optional(inner.columns.size()));
      if (column > 0) inner.columns.push_back(column - 1);
    }
    if (inner.columns.empty()) inner.columns.push_back(0);
    Streams streams;
    for (const auto& [label, scan] : parts_) {
      duckdb::vector<duckdb::LogicalType> types;
      for (size_t column : inner.columns)
        types.push_back(TRY(duck::parse_type(schema_.columns[column + 1].type)));
      for (auto& stream : TRY(scan->open(inner, 1))) {
        streams.push_back(
            std::make_unique<LabelledStream>(label, output, types, scan, std::move(stream)));
      }
    }
    return streams;
  }

 private:
  data::Schema schema_;
  std::vector<Part> parts_;
};

/// Errors: internal when an engine gives other columns than the table promises.
Status check_columns(const data::Schema& have, std::span<const data::Column> want) {
  bool same = have.columns.size() == want.size();
  for (size_t i = 0; same && i < want.size(); ++i) same = have.columns[i].type == want[i].type;
  if (same) return {};
  std::string columns;
  for (const data::Column& column : have.columns) columns += column.name + " " + column.type + ", ";
  return Error(Code::internal, "the stream engine's table has other columns: {}", columns);
}

const data::Schema& late_schema() {
  static const data::Schema kSchema = make_system_schema({{"view", "VARCHAR"},
                                                          {"partition", "INTEGER"},
                                                          {"offset", "BIGINT"},
                                                          {"entry", "BIGINT"},
                                                          {"window_start", "TIMESTAMP"},
                                                          {"window_end", "TIMESTAMP"},
                                                          {"watermark", "TIMESTAMP"},
                                                          {"row", "VARCHAR"}});
  return kSchema;
}

const data::Schema& errors_schema() {
  static const data::Schema kSchema = make_system_schema({{"view", "VARCHAR"},
                                                          {"operator", "VARCHAR"},
                                                          {"error", "VARCHAR"},
                                                          {"partition", "INTEGER"},
                                                          {"offset", "BIGINT"},
                                                          {"row", "VARCHAR"}});
  return kSchema;
}

/// A table of each view, one after another, with the view's name before its columns.
Result<std::shared_ptr<data::Scan>> open_per_view(
    const SystemContext& context, const data::Schema& schema,
    const std::map<ObjectId, std::shared_ptr<const stream::ViewVersion>>& tables) {
  std::vector<LabelledScan::Part> parts;
  for (const catalog::ObjectPtr& object : context.published.catalog->all()) {
    if (object->kind() != catalog::Kind::view) continue;
    auto table = tables.find(object->id);
    if (table == tables.end() || !table->second) continue;
    auto scan = table->second->scan();
    TRY(check_columns(scan->schema(), std::span(schema.columns).subspan(1)));
    parts.emplace_back(shown_name(*object), std::move(scan));
  }
  return std::make_shared<LabelledScan>(schema, std::move(parts));
}

Result<std::shared_ptr<data::Scan>> open_late_rows(const SystemContext& context) {
  return open_per_view(context, late_schema(), context.published.late_rows);
}

Result<std::shared_ptr<data::Scan>> open_row_errors(const SystemContext& context) {
  return open_per_view(context, errors_schema(), context.published.row_errors);
}

std::string time_text(int64_t us) { return duckdb::Timestamp::ToString(duckdb::timestamp_t(us)); }

/// What a row of ziwa.waits means, in a sentence.
std::string explain_wait(const stream::Wait& wait, const std::string& topic,
                         const catalog::Object& object, const std::string& where) {
  std::string text = fmt::format("partition {} of {} ", wait.partition, topic);
  if (wait.idle) return text + "is idle: it holds nothing back";
  if (!wait.watermark_us) {
    text += "has had no time yet";
  } else {
    text += fmt::format("is at {}", time_text(*wait.watermark_us));
  }
  if (!wait.holds_back) return text + ": others are behind it";
  text += fmt::format(" and holds the watermark back; its last record came {} s ago",
                      wait.silent_ms / 1000);
  const auto& watermark = object.topic().watermark;
  if (watermark && watermark->idle_timeout_ms > 0)
    text += fmt::format(", after {} s without any it is idle", watermark->idle_timeout_ms / 1000);
  if (wait.closes_us) text += fmt::format("; {} waits for {}", where, time_text(*wait.closes_us));
  return text;
}

Result<SystemRows> wait_rows(const SystemContext& context) {
  auto optional_time = [](const std::optional<int64_t>& us) {
    return us ? Value::TIMESTAMP(duckdb::timestamp_t(*us)) : Value(duckdb::LogicalType::TIMESTAMP);
  };
  SystemRows rows;
  for (const stream::Wait& wait : context.core.deps.engine.waits()) {
    auto view = context.published.catalog->find(wait.view);
    auto topic = context.published.catalog->find(wait.topic);
    if (!view || !topic) continue;  // Dropped since.
    auto in = context.published.catalog->find(wait.operator_view);
    std::string where = wait.operator_label;
    if (in && in != view) where += " of " + shown_name(*in);
    rows.push_back({text_value(shown_name(*view)), text_value(shown_name(*topic)),
                    Value::INTEGER(wait.partition), optional_time(wait.watermark_us),
                    Value::BOOLEAN(wait.idle), Value::BOOLEAN(wait.holds_back),
                    optional_time(wait.merged_us), optional_text(wait.closes_us ? where : ""),
                    optional_time(wait.closes_us),
                    text_value(explain_wait(wait, shown_name(*topic), *topic, where))});
  }
  return rows;
}

/// The rows of several scans of one schema, one after another.
class ChainedScan final : public data::Scan {
 public:
  ChainedScan(data::Schema schema, std::vector<std::shared_ptr<data::Scan>> parts)
      : schema_(std::move(schema)), parts_(std::move(parts)) {}
  const data::Schema& schema() const override { return schema_; }
  Result<Streams> open(const data::ScanRequest& request, size_t parts_max) override {
    Streams streams;
    for (const auto& part : parts_) {
      for (auto& stream : TRY(part->open(request, parts_max))) streams.push_back(std::move(stream));
    }
    return streams;
  }

 private:
  data::Schema schema_;
  std::vector<std::shared_ptr<data::Scan>> parts_;
};

/// Topics that no view and no sink reads.
std::vector<catalog::ObjectPtr> unread_topics(const catalog::Snapshot& catalog) {
  std::set<ObjectId> read;
  for (const auto& object : catalog.all()) {
    bool reads = object->kind() == catalog::Kind::view || object->kind() == catalog::Kind::sink;
    if (reads) read.insert(object->depends_on.begin(), object->depends_on.end());
  }
  std::vector<catalog::ObjectPtr> unread;
  for (const auto& object : catalog.all()) {
    if (object->kind() == catalog::Kind::topic && !read.contains(object->id))
      unread.push_back(object);
  }
  return unread;
}

/// By topic, what the stream engine has found.
Result<std::map<std::string, RecordPlaces>> places_of(data::Scan& dead_letters) {
  std::map<std::string, RecordPlaces> places;
  duckdb::DataChunk rows;
  rows.Initialize(
      duckdb::Allocator::DefaultAllocator(),
      {duckdb::LogicalType::VARCHAR, duckdb::LogicalType::INTEGER, duckdb::LogicalType::BIGINT});
  for (auto& stream : TRY(dead_letters.open({.columns = {0, 1, 2}, .bounds = {}}, 1))) {
    while (true) {
      rows.Reset();
      TRY(stream->next(rows));
      if (rows.size() == 0) break;
      for (size_t row = 0; row < rows.size(); ++row) {
        places[rows.GetValue(0, row).ToString()].emplace(rows.GetValue(1, row).GetValue<int32_t>(),
                                                         rows.GetValue(2, row).GetValue<int64_t>());
      }
    }
  }
  return places;
}

Result<std::shared_ptr<data::Scan>> open_dead_letters(const SystemContext& context) {
  std::vector<std::shared_ptr<data::Scan>> parts;
  std::map<std::string, RecordPlaces> known;
  const auto unread = unread_topics(*context.published.catalog);
  if (auto kept = context.core.deps.engine.dead_letters()) {
    TRY(check_columns(kept->schema(), dead_letter_schema().columns));
    if (!unread.empty()) known = TRY(places_of(*kept));
    parts.push_back(std::move(kept));
  }
  for (const auto& topic : unread) {
    parts.push_back(TRY(scan_dead_letters(context.core.deps.log, topic, context.published.epoch,
                                          std::move(known[catalog::topic_name(*topic)]))));
  }
  return std::make_shared<ChainedScan>(dead_letter_schema(), std::move(parts));
}

std::string partition_text(const catalog::Snapshot* catalog, PartitionId id) {
  catalog::ObjectPtr object = catalog ? catalog->find(id.topic) : nullptr;
  return fmt::format("{}/{}",
                     object ? catalog::topic_name(*object) : std::to_string(id.topic.value),
                     id.partition);
}

/// What an entry says, in words.
struct EntryText {
  const catalog::Snapshot* catalog;
  std::pair<std::string, std::string> operator()(const journal::LogCommit& body) const {
    return {"log", ends(body.ends)};
  }
  std::pair<std::string, std::string> operator()(const journal::TransactionDecision& body) const {
    return {"transaction", fmt::format("{} {}: {}", body.transactional_id,
                                       body.commit ? "commit" : "abort", ends(body.ends))};
  }
  std::pair<std::string, std::string> operator()(const journal::SourceCut& body) const {
    return {"source", fmt::format("{} at {}", body.source, body.position)};
  }
  std::pair<std::string, std::string> operator()(const journal::DeltaVersion& body) const {
    catalog::ObjectPtr table = catalog ? catalog->find(body.table) : nullptr;
    return {"table", fmt::format("{} version {}",
                                 table ? shown_name(*table) : std::to_string(body.table.value),
                                 body.version)};
  }
  std::pair<std::string, std::string> operator()(const journal::CatalogChange& body) const {
    return {"catalog", fmt::format("version {}", body.catalog_version)};
  }
  std::pair<std::string, std::string> operator()(const journal::IdleMark& body) const {
    return {"idle", partition_text(catalog, body.id)};
  }
  std::pair<std::string, std::string> operator()(const journal::ClockTick&) const {
    return {"clock", ""};
  }
  std::pair<std::string, std::string> operator()(const journal::LogStart& body) const {
    return {"log_start", ends({body.start})};
  }
  std::pair<std::string, std::string> operator()(const journal::Opened& body) const {
    return {"opened", body.clean ? "after a clean stop" : "after an unclean stop"};
  }
  std::string ends(const std::vector<journal::PartitionEnd>& all) const {
    std::string text;
    for (const auto& end : all) {
      text += fmt::format("{}{} to {}", text.empty() ? "" : ", ", partition_text(catalog, end.id),
                          end.end);
    }
    return text;
  }
};

/// Entries of the journal as rows, read as they are asked for.
class JournalStream final : public data::ScanStream {
 public:
  using MakeRow = std::function<std::optional<std::vector<Value>>(const journal::Entry&)>;
  JournalStream(const journal::Journal& journal, EntryNumber after, EntryNumber last,
                std::vector<size_t> columns, MakeRow row)
      : journal_(journal),
        after_(after),
        last_(last),
        columns_(std::move(columns)),
        row_(std::move(row)) {}
  Status next(duckdb::DataChunk& out) override {
    size_t count = 0;
    while (count == 0 && after_ < last_) {
      std::vector<journal::Entry> entries = TRY(journal_.read(after_, STANDARD_VECTOR_SIZE));
      if (entries.empty()) break;
      after_ = entries.back().number;
      for (const journal::Entry& entry : entries) {
        if (entry.number > last_) break;
        auto row = row_(entry);
        if (!row) continue;
        for (size_t i = 0; i < columns_.size(); ++i) out.SetValue(i, count, (*row)[columns_[i]]);
        ++count;
      }
    }
    out.SetCardinality(count);
    return {};
  }

 private:
  const journal::Journal& journal_;
  EntryNumber after_;
  EntryNumber last_;
  std::vector<size_t> columns_;
  MakeRow row_;
};

class JournalScan final : public data::Scan {
 public:
  JournalScan(data::Schema schema, const SystemContext& context, JournalStream::MakeRow row)
      : schema_(std::move(schema)),
        journal_(context.core.deps.journal),
        last_(context.published.epoch),
        row_(std::move(row)) {}
  const data::Schema& schema() const override { return schema_; }
  /// The first column is the entry's number: bounds on it skip what is outside.
  Result<Streams> open(const data::ScanRequest& request, size_t) override {
    EntryNumber first = journal_.first();
    EntryNumber last = last_;
    for (const auto& bound : request.bounds) {
      if (bound.column != 0) continue;
      using Op = data::ScanRequest::Bound::Op;
      EntryNumber value(
          static_cast<uint64_t>(std::max<int64_t>(0, bound.value->GetValue<int64_t>())));
      if (bound.op == Op::equal || bound.op == Op::greater || bound.op == Op::greater_equal)
        first = std::max(first, value);
      if (bound.op == Op::equal || bound.op == Op::less || bound.op == Op::less_equal)
        last = std::min(last, value);
    }
    EntryNumber after(first.value > 0 ? first.value - 1 : 0);
    Streams streams;
    streams.push_back(
        std::make_unique<JournalStream>(journal_, after, last, request.columns, row_));
    return streams;
  }

 private:
  data::Schema schema_;
  const journal::Journal& journal_;
  EntryNumber last_;
  JournalStream::MakeRow row_;
};

}  // namespace

SystemTable row_errors_table() { return {"row_errors", errors_schema(), open_row_errors}; }

SystemTable waits_table() {
  return rows_table("waits",
                    make_system_schema({{"view", "VARCHAR"},
                                        {"topic", "VARCHAR"},
                                        {"partition", "INTEGER"},
                                        {"partition_watermark", "TIMESTAMP"},
                                        {"idle", "BOOLEAN"},
                                        {"holds_back", "BOOLEAN"},
                                        {"watermark", "TIMESTAMP"},
                                        {"operator", "VARCHAR"},
                                        {"window_closes", "TIMESTAMP"},
                                        {"why", "VARCHAR"}}),
                    wait_rows);
}

SystemTable late_rows_table() { return {"late_rows", late_schema(), open_late_rows}; }
SystemTable dead_letters_table() {
  return {"dead_letters", dead_letter_schema(), open_dead_letters};
}

SystemTable journal_table() {
  data::Schema schema = make_system_schema(
      {{"number", "BIGINT"}, {"time", "TIMESTAMP"}, {"kind", "VARCHAR"}, {"detail", "VARCHAR"}});
  auto open = [schema](const SystemContext& context) -> Result<std::shared_ptr<data::Scan>> {
    auto row = [catalog = context.published.catalog](
                   const journal::Entry& entry) -> std::optional<std::vector<Value>> {
      auto [kind, detail] = std::visit(EntryText{catalog.get()}, entry.body);
      return std::vector<Value>{big(entry.number.value), time_value(entry.time), text_value(kind),
                                text_value(detail)};
    };
    return std::make_shared<JournalScan>(schema, context, row);
  };
  return {"journal", schema, open};
}

SystemTable idle_marks_table() {
  data::Schema schema = make_system_schema(
      {{"entry", "BIGINT"}, {"time", "TIMESTAMP"}, {"topic", "VARCHAR"}, {"partition", "INTEGER"}});
  auto open = [schema](const SystemContext& context) -> Result<std::shared_ptr<data::Scan>> {
    auto row = [catalog = context.published.catalog](
                   const journal::Entry& entry) -> std::optional<std::vector<Value>> {
      const auto* mark = std::get_if<journal::IdleMark>(&entry.body);
      if (!mark) return std::nullopt;
      catalog::ObjectPtr topic = catalog ? catalog->find(mark->id.topic) : nullptr;
      return std::vector<Value>{
          big(entry.number.value), time_value(entry.time),
          text_value(topic ? catalog::topic_name(*topic) : std::to_string(mark->id.topic.value)),
          Value::INTEGER(mark->id.partition)};
    };
    return std::make_shared<JournalScan>(schema, context, row);
  };
  return {"idle_marks", schema, open};
}

}  // namespace ziwa::sql
