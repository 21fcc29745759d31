// A checkpoint as another writer may leave it: columns and fields missing or of another type, rows
// with NULLs anywhere. The input drives what is written as a real Parquet file.
#include "base/sim_file.h"
#include "duck/chunk.h"
#include "duck/parquet.h"
#include "lake/log_internal.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <fuzzer/FuzzedDataProvider.h>

namespace ziwa::lake {
namespace {

using duckdb::LogicalType;
using duckdb::Value;

constexpr size_t kRowsMax = 12;
constexpr size_t kTextMax = 24;
constexpr uint8_t kOdds = 24;  ///< One choice in so many is a strange one.

const std::vector<duck::NamedType>& right_columns() {
  static const std::vector<duck::NamedType> kColumns = [] {
    auto text = LogicalType::VARCHAR;
    auto number = LogicalType::BIGINT;
    auto flag = LogicalType::BOOLEAN;
    auto map = LogicalType::MAP(text, text);
    auto deletion_vector = LogicalType::STRUCT(
        {{"storageType", text}, {"pathOrInlineDv", text}, {"offset", LogicalType::INTEGER}});
    return std::vector<duck::NamedType>{
        {"metaData", LogicalType::STRUCT({{"id", text},
                                          {"format", LogicalType::STRUCT({{"provider", text}})},
                                          {"schemaString", text},
                                          {"partitionColumns", LogicalType::LIST(text)},
                                          {"configuration", map},
                                          {"createdTime", number}})},
        {"protocol", LogicalType::STRUCT({{"minReaderVersion", LogicalType::INTEGER},
                                          {"minWriterVersion", LogicalType::INTEGER},
                                          {"readerFeatures", LogicalType::LIST(text)}})},
        {"add", LogicalType::STRUCT({{"path", text},
                                     {"partitionValues", map},
                                     {"size", number},
                                     {"modificationTime", number},
                                     {"dataChange", flag},
                                     {"stats", text},
                                     {"deletionVector", deletion_vector}})},
        {"remove", LogicalType::STRUCT({{"path", text},
                                        {"deletionTimestamp", number},
                                        {"partitionValues", map},
                                        {"size", number}})},
        {"txn", LogicalType::STRUCT({{"appId", text}, {"version", number}})},
        {"sidecar", LogicalType::STRUCT({{"path", text}})},
    };
  }();
  return kColumns;
}

class Writer {
 public:
  explicit Writer(FuzzedDataProvider& input) : input_(input) {}

  std::vector<duck::NamedType> columns() {
    std::vector<duck::NamedType> columns;
    for (const auto& column : right_columns()) {
      if (!strange()) columns.push_back({column.name, bend(column.type)});
    }
    return columns;
  }

  /// A value of `type` for the field `name`.
  Value value(const LogicalType& type, const std::string& name) {
    // Nearly no file has a deletion vector; with one the table is refused.
    if (strange() != (name == "deletionVector")) return Value(type);
    switch (type.id()) {
      case duckdb::LogicalTypeId::STRUCT: {
        duckdb::child_list_t<Value> children;
        for (const auto& [child, child_type] : duckdb::StructType::GetChildTypes(type))
          children.emplace_back(child, value(child_type, child));
        return Value::STRUCT(std::move(children));
      }
      case duckdb::LogicalTypeId::LIST:
        return strange() ? Value::LIST(duckdb::ListType::GetChildType(type), {Value(text(name))})
                         : Value::LIST(duckdb::ListType::GetChildType(type), {});
      case duckdb::LogicalTypeId::MAP:
        return Value::MAP(LogicalType::VARCHAR, LogicalType::VARCHAR, {Value("m")},
                          {strange() ? Value(LogicalType::VARCHAR) : Value(text(name))});
      case duckdb::LogicalTypeId::VARCHAR:
        return Value(text(name));
      case duckdb::LogicalTypeId::BOOLEAN:
        return Value::BOOLEAN(input_.ConsumeBool());
      case duckdb::LogicalTypeId::INTEGER:
        return Value::INTEGER(strange() ? input_.ConsumeIntegral<int32_t>() : 1);
      case duckdb::LogicalTypeId::BIGINT:
        return Value::BIGINT(strange() ? input_.ConsumeIntegral<int64_t>() : 7);
      default:
        return Value::DOUBLE(1e300);
    }
  }

  size_t pick(size_t count) { return input_.ConsumeIntegralInRange<size_t>(0, count - 1); }
  bool more() { return input_.remaining_bytes() > 0; }

 private:
  /// False when the input is used up, so that a short one makes a right checkpoint.
  bool strange() { return input_.ConsumeIntegralInRange<uint8_t>(0, kOdds) == 1; }

  /// Mostly `type` as it is, sometimes without a field or with another type in it.
  LogicalType bend(const LogicalType& type) {
    if (strange()) {
      const LogicalType others[] = {LogicalType::VARCHAR, LogicalType::BIGINT, LogicalType::DOUBLE,
                                    LogicalType::LIST(LogicalType::VARCHAR),
                                    LogicalType::STRUCT({{"path", LogicalType::VARCHAR}})};
      return others[pick(std::size(others))];
    }
    if (type.id() != duckdb::LogicalTypeId::STRUCT) return type;
    duckdb::child_list_t<LogicalType> children;
    for (const auto& [name, child] : duckdb::StructType::GetChildTypes(type)) {
      if (!strange()) children.emplace_back(name, bend(child));
    }
    return children.empty() ? type : LogicalType::STRUCT(std::move(children));
  }

  std::string text(const std::string& name) {
    if (strange()) {
      std::string any = input_.ConsumeRandomLengthString(kTextMax);
      return Value::StringIsValid(any) ? any : "x";
    }
    if (name == "schemaString") {
      return R"({"type":"struct","fields":[{"name":"m","type":"string","nullable":true,)"
             R"("metadata":{}}]})";
    }
    if (name == "provider") return "parquet";
    return name + std::to_string(input_.ConsumeIntegral<uint8_t>());
  }

  FuzzedDataProvider& input_;
};

Status write_file(duck::Instance& instance, const std::string& path, FuzzedDataProvider& input) {
  Writer maker(input);
  auto columns = maker.columns();
  if (columns.empty()) return Error(Code::invalid_argument, "no columns");
  duckdb::vector<LogicalType> types;
  for (const auto& column : columns) types.push_back(column.type);
  auto writer = TRY(duck::ParquetWriter::create(instance, path, columns));
  duck::Chunk chunk(types);
  // The first rows hold the actions that must be there, the others any.
  for (size_t row = 0;
       row < std::min<size_t>(columns.size(), 2) || (maker.more() && row < kRowsMax); ++row) {
    size_t chosen = row < 2 ? row : maker.pick(columns.size());
    for (size_t c = 0; c < columns.size(); ++c) {
      chunk.rows.SetValue(c, row,
                          c == chosen ? maker.value(types[c], columns[c].name) : Value(types[c]));
    }
    chunk.rows.SetCardinality(row + 1);
  }
  TRY(writer->write(chunk.rows));
  TRY(writer->finish(false));
  return {};
}

/// What a reader sees, in the order of names.
std::string state_of(const Snapshot& snapshot) {
  std::vector<std::string> lines = {to_json(snapshot.protocol()).dump(),
                                    to_json(snapshot.metadata()).dump()};
  for (const auto& file : snapshot.files()) {
    auto add = to_json(AddAction{.file = file, .data_change = false});
    lines.push_back(add.dump());
  }
  for (const auto& [app_id, transaction] : snapshot.transactions())
    lines.push_back(to_json(transaction).dump());
  std::sort(lines.begin(), lines.end());
  std::string text;
  for (const auto& line : lines) text += line + "\n";
  return text;
}

Result<SnapshotPtr> replay(const TableContextPtr& context, Actions actions) {
  Replay replay(context);
  TRY(replay.apply(std::move(actions), 1));
  return replay.finish();
}

/// What was read, written as a checkpoint of ours, is read as the same state.
void check(FuzzedDataProvider& input) {
  static SimFileSystem files;
  static auto instance = duck::Instance::open(files, {}).value();
  static const ManualClock clock;
  static const TableContextPtr context =
      std::make_shared<TableContext>(make_local_store(files, "/t"), *instance, clock);
  CHECK(files.sync_all("/"));  // Else the file system keeps every write.
  CHECK(files.make_dirs("/t/_delta_log"));
  const std::string key = std::string(kLogFolder) + "foreign.parquet";
  auto written = duck::guarded_result(
      [&] { return write_file(*instance, context->store->path_of(key), input); });
  if (!written) return;
  auto actions = read_checkpoint(*context, {key});
  if (!actions) {
    CHECK(actions.error().code() != Code::internal, "{}", actions.error().to_string());
    return;
  }
  auto snapshot = replay(context, std::move(*actions));
  if (!snapshot) return;
  auto ours = write_checkpoint(**snapshot);
  CHECK(ours, "{}", ours.error().to_string());
  auto again = read_checkpoint(*context, {checkpoint_key(1)});
  CHECK(again, "{}", again.error().to_string());
  auto second = replay(context, std::move(*again));
  CHECK(second, "{}", second.error().to_string());
  std::string before = state_of(**snapshot);
  std::string after = state_of(**second);
  CHECK(after == before, "\n{}is not\n{}", after, before);
}

}  // namespace
}  // namespace ziwa::lake

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  FuzzedDataProvider input(data, size);
  ziwa::lake::check(input);
  return 0;
}
