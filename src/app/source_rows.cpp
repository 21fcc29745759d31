#include "app/source_rows.h"

#include "base/settings.h"
#include "base/text.h"
#include "duck/chunk.h"
#include "duck/expression.h"
#include "protocol/rows/json_rows.h"
#include "protocol/rows/scalar_text.h"

#include <algorithm>
#include <set>

namespace ziwa::app {
namespace {

constexpr uint64_t kMemoryBytes = 2ull << 30;
constexpr int kThreads = 2;
constexpr std::string_view kPlace = "__ziwa_place";

Result<std::string> reader_of(const std::string& file) {
  auto ends = [&](std::string_view suffix) { return file.ends_with(suffix); };
  if (ends(".parquet")) return "read_parquet(" + quote_text(file) + ")";
  if (ends(".csv") || ends(".csv.gz") || ends(".tsv")) return "read_csv(" + quote_text(file) + ")";
  if (ends(".json") || ends(".jsonl") || ends(".ndjson")) {
    return "read_json(" + quote_text(file) + ")";
  }
  return Error(Code::invalid_argument, "cannot tell the format of \"{}\"", file)
      .with_hint("the name ends in .parquet, .csv, .json, .jsonl or .ndjson");
}

/// SELECT of the records' columns, then the place in the file, in sending order.
Result<std::string> source_sql(const SourceOptions& options) {
  std::string star = "*";
  for (const auto& [from, to] : options.rename) {
    star += (star == "*" ? " RENAME (" : ", ") + quote_name(from) + " AS " + quote_name(to);
  }
  if (star != "*") star += ")";
  std::string sql = "SELECT ";
  if (!options.sequence.empty())
    sql += fmt::format("{} AS {}, ", kPlace, quote_name(options.sequence));
  sql += fmt::format(
      "* EXCLUDE ({0}), {0} FROM (SELECT {1}, row_number() OVER () - 1 AS {0} FROM {2})", kPlace,
      star, TRY(reader_of(options.file)));
  if (!options.order_by.empty()) {
    sql += fmt::format(" ORDER BY {}, {}", quote_name(options.order_by), kPlace);
  }
  if (options.limit > 0) sql += fmt::format(" LIMIT {}", options.limit);
  return sql;
}

/// The type that carries the values of `type` in a record; empty: the type itself.
std::string carried_as(const duckdb::LogicalType& type) {
  using enum duckdb::LogicalTypeId;
  switch (type.id()) {
    case TIMESTAMP_SEC:
    case TIMESTAMP_MS:
    case TIMESTAMP_NS:
      return "TIMESTAMP";
    case TIME_NS:
      return "TIME";
    case ENUM:
      return "VARCHAR";
    default:
      return type.IsJSONType() ? "VARCHAR" : "";
  }
}

/// `sql` with its columns as types that records carry.
std::string carried(const std::string& sql, const std::vector<duckdb::LogicalType>& types,
                    const std::vector<std::string>& names) {
  std::string casts;
  for (size_t i = 0; i < types.size(); ++i) {
    const std::string to = carried_as(types[i]);
    if (to.empty()) continue;
    casts += fmt::format("{}CAST({} AS {}) AS {}", casts.empty() ? "" : ", ", quote_name(names[i]),
                         to, quote_name(names[i]));
  }
  return casts.empty() ? sql : fmt::format("SELECT * REPLACE ({}) FROM ({})", casts, sql);
}

Error named_twice(const std::string& name) {
  return Error(Code::invalid_argument, "two columns would be named \"{}\"", name)
      .with_hint("--seq and --rename need names that no other column has");
}

/// DuckDB gives a second column of a name another one, without a word.
Status check_renamed(duckdb::Connection& connection, const SourceOptions& options) {
  if (options.rename.empty()) return {};
  auto file = connection.Prepare("FROM " + TRY(reader_of(options.file)));
  if (file->HasError()) return duck::to_error(file->error);
  std::set<std::string> names;
  for (const auto& name : file->GetNames()) names.insert(lower(name));
  for (const auto& [from, to] : options.rename) names.erase(lower(from));
  for (const auto& [from, to] : options.rename) {
    if (!names.insert(lower(to)).second) return named_twice(to);
  }
  return {};
}

Result<size_t> find_column(const duckdb::QueryResult& result, size_t count,
                           const std::string& name) {
  std::vector<std::string> names(result.names.begin(),
                                 result.names.begin() + static_cast<ptrdiff_t>(count));
  for (size_t i = 0; i < count; ++i) {
    if (duckdb::StringUtil::CIEquals(names[i], name)) return i;
  }
  Error unknown(Code::not_found, "the file has no column \"{}\"", name);
  std::string nearest = nearest_name(name, names);
  if (nearest.empty()) return unknown;
  return std::move(unknown).with_hint(fmt::format("did you mean \"{}\"?", nearest));
}

}  // namespace

SourceRows::~SourceRows() {
  chunk_.reset();
  result_.reset();
  connection_.reset();
}

Result<std::unique_ptr<SourceRows>> SourceRows::open(const SourceOptions& options) {
  std::unique_ptr<SourceRows> rows(new SourceRows());
  if (!posix_file_system().exists(options.file)) {
    return Error(Code::not_found, "there is no file \"{}\"", options.file);
  }
  rows->instance_ = TRY(duck::Instance::open(posix_file_system(),
                                             {.memory_bytes = kMemoryBytes, .threads = kThreads}));
  TRY(rows->prepare(options));
  TRY(rows->find_columns(options));
  return rows;
}

Status SourceRows::prepare(const SourceOptions& options) {
  std::string sql = TRY(source_sql(options));
  std::string count = fmt::format("SELECT count(*) FROM {}", TRY(reader_of(options.file)));
  auto done = duck::guarded([&]() -> Status {
    connection_ = instance_->connect();
    TRY(check_renamed(*connection_, options));
    auto counted = connection_->Query(count);
    if (counted->HasError()) return duck::to_error(counted->GetErrorObject());
    total_ = counted->GetValue(0, 0).GetValue<uint64_t>();
    auto planned = connection_->Prepare(sql);
    if (planned->HasError()) return duck::to_error(planned->error);
    result_ = connection_->SendQuery(carried(sql, planned->GetTypes(), planned->GetNames()));
    if (result_->HasError()) return duck::to_error(result_->GetErrorObject());
    return {};
  });
  if (!done) return done.error();
  if (!*done) return done->error();
  if (options.limit > 0) total_ = std::min(total_, options.limit);
  return {};
}

Status SourceRows::find_columns(const SourceOptions& options) {
  shown_ = result_->names.size() - 1;
  for (const auto& [from, to] : options.rename) {
    if (!find_column(*result_, shown_, to))
      return Error(Code::not_found, "--rename: there is no column \"{}\" in {}", from,
                   options.file);
  }
  std::set<std::string> names;
  for (size_t i = 0; i < shown_; ++i) {
    if (!names.insert(lower(result_->names[i])).second) return named_twice(result_->names[i]);
  }
  if (!options.key.empty()) key_ = TRY(find_column(*result_, shown_, options.key));
  if (!options.order_by.empty()) {
    time_ = TRY(find_column(*result_, shown_, options.order_by));
    using enum duckdb::LogicalTypeId;
    auto type = result_->types[*time_].id();
    bool timestamp = type == TIMESTAMP || type == TIMESTAMP_TZ || type == TIMESTAMP_SEC ||
                     type == TIMESTAMP_MS || type == TIMESTAMP_NS;
    if (!timestamp) {
      return Error(Code::invalid_argument, "--order-by takes a timestamp column; {} is {}",
                   options.order_by, result_->types[*time_].ToString());
    }
  }
  data::Schema schema;
  for (size_t i = 0; i < shown_; ++i) {
    schema.columns.push_back({.id = static_cast<uint32_t>(i + 1),
                              .name = result_->names[i],
                              .type = duck::type_name(result_->types[i])});
  }
  codec_ = TRY(data::make_record_codec(schema, options.format));
  return {};
}

Result<bool> SourceRows::next_chunk() {
  auto fetched = duck::guarded([&]() -> Result<bool> {
    chunk_ = result_->Fetch();
    if (result_->HasError()) return duck::to_error(result_->GetErrorObject());
    return chunk_ && chunk_->size() > 0;
  });
  if (!fetched) return fetched.error();
  if (!*fetched) return fetched->error();
  if (!**fetched) return false;
  TRY(columns_.load(*chunk_));
  auto types = chunk_->GetTypes();
  types.resize(shown_);
  duck::Chunk values(types);
  for (size_t i = 0; i < shown_; ++i) values.rows.data[i].Reference(chunk_->data[i]);
  values.rows.SetCardinality(chunk_->size());
  encoded_.clear();
  if (auto encoded = codec_->encode(values, encoded_); !encoded) {
    return std::move(encoded).error().context(
        fmt::format("records {} to {}", read_ + 1, read_ + chunk_->size()));
  }
  read_ += chunk_->size();
  return true;
}

void SourceRows::read(size_t row, SourceRecord& record) {
  record.sequence = static_cast<uint64_t>(*static_cast<const int64_t*>(columns_.at(shown_, row)));
  record.time_us = 0;
  if (time_) {
    if (const void* at = columns_.at(*time_, row)) {
      record.time_us = protocol::timestamp_us(columns_.type(*time_), at);
    }
  }
  record.value.assign(as_text(encoded_[row]));
  const void* key = key_ ? columns_.at(*key_, row) : nullptr;
  if (key == nullptr) {
    record.key.reset();
    return;
  }
  if (!record.key) record.key.emplace();
  record.key->clear();
  const auto key_type = columns_.type(*key_).id();
  if (key_type == duckdb::LogicalTypeId::VARCHAR || key_type == duckdb::LogicalTypeId::BLOB) {
    const auto& text = *static_cast<const duckdb::string_t*>(key);
    record.key->append(text.GetData(), text.GetSize());
    return;
  }
  protocol::append_json_scalar(*record.key, columns_.type(*key_), key);
  if (record.key->starts_with('"')) *record.key = record.key->substr(1, record.key->size() - 2);
}

Status SourceRows::csv_to_parquet(const std::string& csv, const std::string& parquet) {
  auto instance = TRY(duck::Instance::open(posix_file_system(),
                                           {.memory_bytes = kMemoryBytes, .threads = kThreads}));
  auto done = duck::guarded([&]() -> Status {
    auto connection = instance->connect();
    auto copied = connection->Query(
        fmt::format("COPY (FROM read_csv({}, header = true)) TO {} (FORMAT parquet)",
                    quote_text(csv), quote_text(parquet)));
    if (copied->HasError()) return duck::to_error(copied->GetErrorObject());
    return {};
  });
  return done ? std::move(*done) : Status(done.error());
}

}  // namespace ziwa::app
