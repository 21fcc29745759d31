#include "stream/sink.h"

#include "base/text.h"
#include "catalog/stored_columns.h"

namespace ziwa::stream {
namespace {

std::string kept_row_key(ObjectId sink, uint64_t number) {
  std::string key = id_prefix(sink);
  char tail[8];
  store_be<uint64_t>(tail, number);
  key.append(tail, sizeof tail);
  return key;
}

uint64_t number_of(std::string_view kept_row_key) {
  return load_be<uint64_t>(kept_row_key.data() + sizeof(uint64_t));
}

constexpr size_t kPendingFilesMax = 100'000;

}  // namespace

void PendingFiles::save(ByteWriter& out) const {
  out.varint(epoch.value);
  out.varint(rows);
  out.sized(offsets);
  out.varint(files.size());
  for (const auto& file : files) out.sized(lake::data_file_to_json(file));
}

Result<PendingFiles> PendingFiles::load(ByteReader& in) {
  PendingFiles pending;
  pending.epoch = Epoch(in.varint());
  pending.rows = in.varint();
  pending.offsets = in.sized();
  auto count = in.varint();
  if (count > kPendingFilesMax) return Error(Code::corrupt, "a sink has {} pending files", count);
  for (uint64_t i = 0; i < count && in.ok(); ++i) {
    auto text = in.sized();
    if (in.ok()) pending.files.push_back(TRY(lake::data_file_from_json(text)));
  }
  TRY(in.status("the pending files of a sink"));
  return pending;
}

Result<std::unique_ptr<Sink>> Sink::create(catalog::ObjectPtr object,
                                           const Dependencies& dependencies) {
  std::unique_ptr<Sink> sink(new Sink(dependencies));
  sink->object_ = std::move(object);
  sink->open_ = dependencies.table;
  Status planned = sink->plan_columns(dependencies);
  if (!planned) {
    return std::move(planned).error().context("sink \"" + sink->object_->name + "\"");
  }
  return sink;
}

Status Sink::plan_columns(const Dependencies& dependencies) {
  const auto& definition = dependencies.into->table();
  std::vector<duck::NamedType> inputs;
  for (const auto& column : dependencies.source.columns) {
    source_types_.push_back(TRY(duck::parse_type(column.type)));
    inputs.push_back({column.name, source_types_.back()});
  }
  std::vector<std::string> expressions;
  std::vector<duck::NamedType> declared;
  for (const auto& column : definition.schema.columns) {
    auto from = dependencies.source.find(column.name);
    if (!from && column.not_null) {
      return Error(Code::invalid_argument, "column \"{}\" of table \"{}\" is not in the source",
                   column.name, dependencies.into->name);
    }
    expressions.push_back(fmt::format(
        "CAST({} AS {})", from ? quote_name(dependencies.source.columns[*from].name) : "NULL",
        column.type));
    declared.push_back({column.name, TRY(duck::parse_type(column.type))});
  }
  declared_ = TRY(duck::ExpressionProgram::compile(dependencies.instance, inputs, expressions));
  declared_rows_.Initialize(duckdb::Allocator::DefaultAllocator(), declared_->output_types());
  duckdb::vector<duckdb::LogicalType> stored = declared_->output_types();
  auto derived = catalog::stored_expressions(definition);
  if (!derived.empty()) {
    derived_ = TRY(duck::ExpressionProgram::compile(dependencies.instance, declared, derived));
    derived_rows_.Initialize(duckdb::Allocator::DefaultAllocator(), derived_->output_types());
    for (const auto& type : derived_->output_types()) stored.push_back(type);
  }
  stored_rows_.InitializeEmpty(stored);
  row_encoder_ = std::make_unique<data::RowEncoder>(TRY(data::RowEncoder::create(source_types_)));
  return {};
}

Status Sink::open_table() {
  if (table_ != nullptr) return {};
  auto opened = open_();
  if (!opened) {
    return Error(Code::unavailable, "its table cannot be opened: {}", opened.error().to_string());
  }
  table_ = std::move(*opened);
  return {};
}

Status Sink::write(const TopicChunk& chunk) {
  // The writer only reads; DuckDB's executor takes no const chunk.
  return write_rows(const_cast<duckdb::DataChunk&>(chunk.rows.rows));
}

Status Sink::consume(size_t, Delta& delta) {
  Status taken = take(delta);
  if (!taken && failure_) failure_ = std::move(taken);
  return {};
}

void Sink::restart() {
  writer_.reset();
  unsaved_rows_.clear();
  kept_bytes_ = 0;
  stalled.reset();
  failure_ = {};
  behind_ = false;
  retry_at_ns.reset();
}

Status Sink::take(Delta& delta) {
  bool repeats = false;
  for (size_t row = 0; row < delta.size(); ++row) {
    if (delta.weight(row) < 0) {
      return Error(Code::unsupported,
                   "the view takes back rows that it gave; a table takes new rows only")
          .with_hint("a sink takes a topic, or a view that only filters and computes columns");
    }
    repeats = repeats || delta.weight(row) != 1;
  }
  if (repeats) {
    take_repeated(delta);
  } else {
    take_rows(delta.rows);
  }
  return {};
}

/// Each row as often as its weight says.
void Sink::take_repeated(const Delta& delta) {
  duckdb::DataChunk rows;
  rows.Initialize(duckdb::Allocator::DefaultAllocator(), source_types_);
  auto flush = [&] {
    take_rows(rows);
    reset_chunk(rows);
  };
  for (size_t row = 0; row < delta.size(); ++row) {
    for (Weight copy = 0; copy < delta.weight(row); ++copy) {
      size_t to = rows.size();
      for (size_t column = 0; column < source_types_.size(); ++column)
        copy_value(delta.rows.data[column], row, rows.data[column], to);
      rows.SetCardinality(to + 1);
      if (rows.size() == STANDARD_VECTOR_SIZE) flush();
    }
  }
  flush();
}

/// Rows are kept whether they can be written or not: their view gives them once.
void Sink::take_rows(duckdb::DataChunk& rows) {
  keep_rows(rows);
  if (behind_) return;
  Status written = write_rows(rows);
  if (written) return;
  fall_behind();
  if (failure_) failure_ = std::move(written);
}

Status Sink::write_all(data::Scan& scan) {
  data::ScanRequest request;
  for (size_t i = 0; i < source_types_.size(); ++i) request.columns.push_back(i);
  duckdb::DataChunk rows;
  rows.Initialize(duckdb::Allocator::DefaultAllocator(), source_types_);
  for (auto& stream : TRY(scan.open(request, 1))) {
    while (true) {
      rows.Reset();
      TRY(stream->next(rows));
      if (rows.size() == 0) break;
      take_rows(rows);
      TRY(take_failure());
    }
  }
  return {};
}

void Sink::keep_rows(duckdb::DataChunk& rows) {
  std::vector<size_t> columns(source_types_.size());
  for (size_t i = 0; i < columns.size(); ++i) columns[i] = i;
  data::ByteBlock block;
  row_encoder_->encode(rows, std::span<const size_t>(columns), block);
  for (size_t row = 0; row < block.size(); ++row) {
    unsaved_rows_.emplace_back(block[row]);
    kept_bytes_ += unsaved_rows_.back().size();
  }
}

void Sink::fall_behind() {
  writer_.reset();
  behind_ = true;
  // Those that pending files have go with the next checkpoint.
  next_written_ = drop_kept_rows_ ? next_row_ : first_row_;
}

/// Writes encoded rows in chunks.
class Sink::KeptRows {
 public:
  explicit KeptRows(Sink& sink) : sink_(sink) {
    rows_.Initialize(duckdb::Allocator::DefaultAllocator(), sink.source_types_);
  }
  Status add(std::string_view row) {
    TRY(sink_.row_encoder_->decode(row, rows_, 0, rows_.size()));
    rows_.SetCardinality(rows_.size() + 1);
    if (rows_.size() < STANDARD_VECTOR_SIZE) return {};
    return end();
  }
  Status end() {
    TRY(sink_.write_rows(rows_));
    reset_chunk(rows_);
    return {};
  }

 private:
  Sink& sink_;
  duckdb::DataChunk rows_;
};

Result<bool> Sink::catch_up(size_t rows_max) {
  TRY(open_table());
  KeptRows rows(*this);
  auto cursor = store_.cursor(tables_.state);
  const std::string end = kept_row_key(id(), next_row_);
  size_t count = 0;
  for (cursor->seek(kept_row_key(id(), next_written_));
       cursor->valid() && cursor->key() < end && count < rows_max; cursor->next()) {
    if (number_of(cursor->key()) != next_written_ + count) break;
    TRY(rows.add(cursor->value()));
    ++count;
  }
  TRY(cursor->status());
  TRY(rows.end());
  next_written_ += count;
  if (next_written_ < next_row_) {
    if (count == rows_max) return false;
    return Error(Code::corrupt, "data_lost: row {} that was kept for the table is gone",
                 next_written_);
  }
  for (const auto& row : unsaved_rows_) TRY(rows.add(row));
  TRY(rows.end());
  behind_ = false;
  return true;
}

Status Sink::write_rows(duckdb::DataChunk& rows) {
  if (rows.size() == 0) return {};
  if (writer_ == nullptr) {
    TRY(open_table());
    writer_ = TRY(table_->writer(object_->sink().file_bytes));
    writer_since_ns_ = clock_.monotonic_ns();
  }
  TRY(declared_->execute(rows, declared_rows_));
  declared_rows_.SetCardinality(rows.size());
  size_t at = 0;
  for (auto& column : declared_rows_.data) stored_rows_.data[at++].Reference(column);
  if (derived_ != nullptr) {
    TRY(derived_->execute(declared_rows_, derived_rows_));
    for (auto& column : derived_rows_.data) stored_rows_.data[at++].Reference(column);
  }
  stored_rows_.SetCardinality(rows.size());
  return writer_->write(stored_rows_);
}

int64_t Sink::due_at_ns() const {
  return writer_since_ns_ + object_->sink().commit_interval_ms * 1'000'000;
}

bool Sink::due(int64_t now_ns) const {
  if (writer_ == nullptr || pending_) return false;
  return now_ns >= due_at_ns() || writer_->bytes() >= object_->sink().file_bytes;
}

Status Sink::finish_files(Epoch epoch, std::string offsets) {
  CHECK(!pending_, "files are finished while others are pending");
  PendingFiles pending{.epoch = epoch, .files = {}, .rows = writer_->rows(), .offsets = offsets};
  pending.files = TRY(writer_->finish());
  writer_.reset();
  pending_ = std::move(pending);
  unsaved_rows_.clear();
  drop_kept_rows_ = true;
  kept_bytes_ = 0;
  tries = 0;
  return {};
}

Result<int64_t> Sink::commit(const PendingFiles& pending) {
  lake::Commit commit{.operation = "STREAMING UPDATE", .add = pending.files};
  commit.transaction = {.app_id = app_id(), .version = static_cast<int64_t>(pending.epoch.value)};
  commit.info = {{"ziwa.epoch", std::to_string(pending.epoch.value)},
                 {"ziwa.offsets", pending.offsets}};
  auto done = table_->commit(commit);
  if (done) return (*done)->version();
  if (done.error().code() != Code::already_exists && done.error().code() != Code::maybe_applied) {
    return std::move(done).error();
  }
  auto now = TRY(table_->refresh());
  auto seen = now->transaction_version(app_id());
  if (seen && *seen >= static_cast<int64_t>(pending.epoch.value)) return now->version();
  return std::move(done).error();
}

void Sink::confirm(int64_t new_version) {
  rows_written += pending_->rows;
  committed = pending_->epoch;
  version = new_version;
  pending_.reset();
}

// Positions, key "sink/" + 8 bytes id: varint rows written, varint committed epoch, svarint table
// version, sized feed position, sized error, flag pending, pending files. State, key id + 8 bytes
// number: a kept row.
Status Sink::save_to(state::WriteBatch& batch, Epoch epoch) {
  const bool lost = of_view && state == State::failed;
  if (drop_kept_rows_ || lost) {
    if (next_row_ > first_row_) {
      batch.remove_range(tables_.state, kept_row_key(id(), first_row_),
                         kept_row_key(id(), next_row_));
    }
    first_row_ = next_row_;
    drop_kept_rows_ = false;
  }
  for (const auto& row : unsaved_rows_)
    batch.put(tables_.state, kept_row_key(id(), next_row_++), row);
  unsaved_rows_.clear();
  ByteWriter out;
  out.varint(rows_written);
  out.varint(committed.value);
  out.svarint(version);
  out.sized(feed_position);
  // Rows of a view that were not written are lost to a failed sink: it must stay failed.
  out.sized(lost ? error : "");
  out.le<uint8_t>(pending_ ? 1 : 0);
  if (pending_) pending_->save(out);
  out.varint(epoch.value);
  batch.put(tables_.positions, "sink/" + id_prefix(id()), as_text(out.view()));
  return {};
}

Status Sink::load_from(const state::Snapshot& snapshot, std::string_view meta) {
  ByteReader in(as_bytes(meta));
  rows_written = in.varint();
  committed = Epoch(in.varint());
  version = in.svarint();
  feed_position = in.sized();
  error = in.sized();
  if (!error.empty()) state = State::failed;
  if (in.le<uint8_t>() != 0) pending_ = TRY(PendingFiles::load(in));
  if (in.ok() && in.remaining() > 0) followed = Epoch(in.varint());
  TRY(in.status("the stored facts of a sink"));
  auto prefix = id_prefix(id());
  auto cursor = store_.cursor(tables_.state, &snapshot);
  bool first = true;
  for (cursor->seek(prefix); cursor->valid() && cursor->key().starts_with(prefix); cursor->next()) {
    uint64_t number = number_of(cursor->key());
    if (std::exchange(first, false)) first_row_ = number;
    next_row_ = number + 1;
    kept_bytes_ += cursor->value().size();
  }
  TRY(cursor->status());
  if (next_row_ > first_row_) fall_behind();
  return {};
}

void Sink::erase(ObjectId id, const StoreTables& tables, state::WriteBatch& batch) {
  auto begin = id_prefix(id);
  batch.remove_range(tables.state, begin, data::RowKeyEncoder::after_prefix(begin));
  batch.remove(tables.positions, "sink/" + begin);
}

}  // namespace ziwa::stream
