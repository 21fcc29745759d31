#include "duck/chunk.h"
#include "duck/expression.h"
#include "duck/parquet.h"
#include "lake/log_internal.h"
#include "lake/path_internal.h"
#include "lake/protocol_internal.h"

#include <algorithm>

namespace ziwa::lake {
namespace {

using duckdb::LogicalType;
using duckdb::Value;
using nlohmann::json;

LogicalType text() { return LogicalType(duckdb::LogicalTypeId::VARCHAR); }
LogicalType number() { return LogicalType(duckdb::LogicalTypeId::BIGINT); }
LogicalType flag() { return LogicalType(duckdb::LogicalTypeId::BOOLEAN); }
LogicalType text_map() { return LogicalType::MAP(text(), text()); }

/// The columns of a classic checkpoint, as far as we read and write them. Source: PROTOCOL.md,
/// "Checkpoint Schema".
std::vector<duck::NamedType> checkpoint_columns() {
  auto integer = LogicalType(duckdb::LogicalTypeId::INTEGER);
  return {
      {"txn",
       LogicalType::STRUCT({{"appId", text()}, {"version", number()}, {"lastUpdated", number()}})},
      {"add", LogicalType::STRUCT({{"path", text()},
                                   {"partitionValues", text_map()},
                                   {"size", number()},
                                   {"modificationTime", number()},
                                   {"dataChange", flag()},
                                   {"stats", text()}})},
      {"remove", LogicalType::STRUCT({{"path", text()},
                                      {"deletionTimestamp", number()},
                                      {"dataChange", flag()},
                                      {"extendedFileMetadata", flag()},
                                      {"partitionValues", text_map()},
                                      {"size", number()}})},
      {"metaData", LogicalType::STRUCT({{"id", text()},
                                        {"name", text()},
                                        {"description", text()},
                                        {"format", LogicalType::STRUCT({{"provider", text()},
                                                                        {"options", text_map()}})},
                                        {"schemaString", text()},
                                        {"partitionColumns", LogicalType::LIST(text())},
                                        {"configuration", text_map()},
                                        {"createdTime", number()}})},
      {"protocol", LogicalType::STRUCT({{"minReaderVersion", integer},
                                        {"minWriterVersion", integer},
                                        {"readerFeatures", LogicalType::LIST(text())},
                                        {"writerFeatures", LogicalType::LIST(text())}})},
  };
}

/// What reading adds: the deletion vector of a file, and the files that a v2 checkpoint leads to.
std::vector<duck::NamedType> columns_to_read(const std::vector<duck::NamedType>& in_file) {
  auto with_deletion_vector = [](const LogicalType& type) {
    auto children = duckdb::StructType::GetChildTypes(type);
    children.emplace_back("deletionVector", LogicalType::STRUCT({{"storageType", text()},
                                                                 {"pathOrInlineDv", text()},
                                                                 {"offset", number()}}));
    return LogicalType::STRUCT(std::move(children));
  };
  auto known = checkpoint_columns();
  known.push_back({"sidecar", LogicalType::STRUCT({{"path", text()}})});
  std::vector<duck::NamedType> columns;
  for (auto& column : known) {
    if (column.name == "add" || column.name == "remove")
      column.type = with_deletion_vector(column.type);
    auto is_it = [&](const duck::NamedType& other) { return other.name == column.name; };
    if (std::any_of(in_file.begin(), in_file.end(), is_it)) columns.push_back(std::move(column));
  }
  return columns;
}

/// Each action as JSON text, made by DuckDB: the same form as in a commit.
class CheckpointReader {
 public:
  explicit CheckpointReader(const TableContext& context) : context_(context) {}

  /// A v2 checkpoint may be JSON lines, as a commit is.
  Status read_json(const std::string& key, Actions& actions) {
    Actions more = TRY(parse_commit(TRY(context_.store->get(key))));
    return merge(std::move(more), actions);
  }

  Status read(const std::string& key, Actions& actions) {
    std::string path = context_.store->path_of(key);
    auto probe = TRY(duck::ParquetReader::open(context_.instance, path, {}));
    auto columns = columns_to_read(probe->file_columns());
    if (columns.empty()) return Error(Code::corrupt, "no column of a checkpoint is in it");
    auto reader = TRY(duck::ParquetReader::open(context_.instance, path, columns));
    std::vector<std::string> expressions;
    duckdb::vector<LogicalType> types;
    for (const auto& column : columns) {
      types.push_back(column.type);
      expressions.push_back(fmt::format(
          "CASE WHEN \"{0}\" IS NOT NULL THEN to_json(\"{0}\")::VARCHAR END", column.name));
    }
    auto program = TRY(duck::ExpressionProgram::compile(context_.instance, columns, expressions));
    duck::Chunk rows(types);
    duck::Chunk texts(program->output_types());
    while (true) {
      TRY(reader->next(rows.rows));
      if (rows.size() == 0) return {};
      TRY(program->execute(rows.rows, texts.rows));
      TRY(take(texts.rows, columns, actions));
    }
  }

 private:
  /// Wraps each text as a line of a commit and lets the one parser read it.
  Status take(duckdb::DataChunk& texts, const std::vector<duck::NamedType>& columns,
              Actions& actions) {
    lines_.clear();
    for (size_t c = 0; c < columns.size(); ++c) {
      duckdb::UnifiedVectorFormat format;
      texts.data[c].ToUnifiedFormat(texts.size(), format);
      const auto* values = duckdb::UnifiedVectorFormat::GetData<duckdb::string_t>(format);
      for (size_t r = 0; r < texts.size(); ++r) {
        auto index = format.sel->get_index(r);
        if (!format.validity.RowIsValid(index)) continue;
        lines_ += "{\"" + columns[c].name + "\":";
        lines_.append(values[index].GetData(), values[index].GetSize());
        lines_ += "}\n";
      }
    }
    Actions more = TRY(parse_commit(as_bytes(lines_)));
    return merge(std::move(more), actions);
  }

  static Status merge(Actions more, Actions& actions) {
    if (more.protocol) actions.protocol = std::move(more.protocol);
    if (more.metadata) actions.metadata = std::move(more.metadata);
    auto append = [](auto& to, auto& from) {
      to.insert(to.end(), std::make_move_iterator(from.begin()),
                std::make_move_iterator(from.end()));
    };
    append(actions.adds, more.adds);
    append(actions.removes, more.removes);
    append(actions.transactions, more.transactions);
    append(actions.sidecars, more.sidecars);
    return {};
  }

  const TableContext& context_;
  std::string lines_;
};

Value map_value(const json& object) {
  duckdb::vector<Value> keys;
  duckdb::vector<Value> values;
  for (const auto& [key, value] : object.items()) {
    keys.emplace_back(key);
    values.push_back(value.is_null() ? Value(text()) : Value(value.get<std::string>()));
  }
  return Value::MAP(text(), text(), std::move(keys), std::move(values));
}

/// A JSON value as a value of `type`; missing fields are NULL.
Value to_value(const json& object, const LogicalType& type) {
  if (object.is_null()) return Value(type);
  switch (type.id()) {
    case duckdb::LogicalTypeId::MAP:
      return map_value(object);
    case duckdb::LogicalTypeId::LIST: {
      duckdb::vector<Value> items;
      for (const json& item : object)
        items.push_back(to_value(item, duckdb::ListType::GetChildType(type)));
      return Value::LIST(duckdb::ListType::GetChildType(type), std::move(items));
    }
    case duckdb::LogicalTypeId::STRUCT: {
      duckdb::child_list_t<Value> children;
      for (const auto& [name, child] : duckdb::StructType::GetChildTypes(type)) {
        children.emplace_back(name, to_value(object.contains(name) ? object[name] : json(), child));
      }
      return Value::STRUCT(std::move(children));
    }
    case duckdb::LogicalTypeId::BOOLEAN:
      return Value::BOOLEAN(object.get<bool>());
    case duckdb::LogicalTypeId::INTEGER:
      return Value::INTEGER(object.get<int32_t>());
    case duckdb::LogicalTypeId::BIGINT:
      return Value::BIGINT(object.get<int64_t>());
    default:
      return Value(object.get<std::string>());
  }
}

/// Gathers actions into chunks and writes them.
class CheckpointWriter {
 public:
  explicit CheckpointWriter(std::unique_ptr<duck::ParquetWriter> writer)
      : writer_(std::move(writer)), columns_(checkpoint_columns()), chunk_(types(columns_)) {}

  Status put(const json& action) {
    const std::string& name = action.begin().key();
    for (size_t c = 0; c < columns_.size(); ++c) {
      chunk_.rows.SetValue(c, rows_,
                           columns_[c].name == name
                               ? to_value(action.begin().value(), columns_[c].type)
                               : Value(columns_[c].type));
    }
    ++total_;
    if (++rows_ == STANDARD_VECTOR_SIZE) return flush();
    return {};
  }

  Result<duck::WrittenFile> finish() {
    TRY(flush());
    return writer_->finish(false);
  }
  uint64_t total() const { return total_; }

 private:
  static duckdb::vector<LogicalType> types(const std::vector<duck::NamedType>& columns) {
    duckdb::vector<LogicalType> types;
    for (const auto& column : columns) types.push_back(column.type);
    return types;
  }
  Status flush() {
    chunk_.rows.SetCardinality(rows_);
    rows_ = 0;
    TRY(writer_->write(chunk_.rows));
    chunk_.rows.Reset();
    return {};
  }

  std::unique_ptr<duck::ParquetWriter> writer_;
  std::vector<duck::NamedType> columns_;
  duck::Chunk chunk_;
  size_t rows_ = 0;
  uint64_t total_ = 0;
};

struct Written {
  uint64_t actions = 0;
  uint64_t bytes = 0;
};

Result<Written> write_actions(const Snapshot& snapshot, const std::string& path) {
  const TableContext& context = *snapshot.context();
  CheckpointWriter writer(
      TRY(duck::ParquetWriter::create(context.instance, path, checkpoint_columns())));
  // A property that nobody understands keeps them all.
  auto kept_ms = deleted_file_retention_ms(snapshot.metadata());
  const int64_t oldest = kept_ms.has_value() ? context.clock.now().value - *kept_ms : 0;
  TRY(writer.put(to_json(snapshot.protocol())));
  TRY(writer.put(to_json(snapshot.metadata())));
  for (const auto& [app_id, transaction] : snapshot.transactions())
    TRY(writer.put(to_json(transaction)));
  for (const DataFilePtr& file : snapshot.files()) {
    TRY(writer.put(to_json(AddAction{.file = file, .data_change = false})));
  }
  for (RemoveAction tombstone : snapshot.tombstones()) {
    if (tombstone.deleted_ms < oldest) continue;
    tombstone.data_change = false;
    TRY(writer.put(to_json(tombstone)));
  }
  uint64_t actions = writer.total();
  duck::WrittenFile file = TRY(writer.finish());
  return Written{.actions = actions, .bytes = file.bytes};
}

}  // namespace

Result<Actions> read_checkpoint(const TableContext& context, const std::vector<std::string>& keys) {
  Actions actions;
  CheckpointReader reader(context);
  for (const std::string& key : keys) {
    Status read =
        key.ends_with(".json") ? reader.read_json(key, actions) : reader.read(key, actions);
    if (!read.has_value()) return std::move(read).error().context(key);
  }
  for (const std::string& sidecar : std::exchange(actions.sidecars, {})) {
    if (!inside_table(sidecar))
      return Error(Code::corrupt, "sidecar {} is outside the table", sidecar);
    std::string key = sidecar.find('/') == std::string::npos
                          ? fmt::format("{}_sidecars/{}", kLogFolder, sidecar)
                          : sidecar;
    Status read = reader.read(key, actions);
    if (!read.has_value()) return std::move(read).error().context(key);
  }
  return actions;
}

Status write_checkpoint(const Snapshot& snapshot) {
  ObjectStore& store = *snapshot.context()->store;
  auto staged = TRY(store.stage(checkpoint_key(snapshot.version())));
  auto written = duck::guarded([&] { return write_actions(snapshot, staged.path); });
  if (!written.has_value() || !written->has_value()) {
    store.discard(staged);
    return written.has_value() ? std::move(*written).error() : std::move(written).error();
  }
  TRY(store.publish({staged}));
  json last = {{"version", snapshot.version()},
               {"size", (*written)->actions},
               {"sizeInBytes", (*written)->bytes},
               {"numOfAddFiles", snapshot.files().size()}};
  return store.put(fmt::format("{}_last_checkpoint", kLogFolder), as_bytes(last.dump()));
}

}  // namespace ziwa::lake
