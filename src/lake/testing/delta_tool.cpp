// Writes and reads Delta tables from the command line, so that tests can let other implementations
// judge them.
//   ziwa_delta_tool create DIR '[{"name":"id","type":"BIGINT"}]' '["partition", ...]'
//   ziwa_delta_tool insert DIR SQL             one commit with the rows of a query
//   ziwa_delta_tool drop-file DIR              one commit that removes the first data file
//   ziwa_delta_tool read DIR OUT.parquet [VERSION]
#include "duck/chunk.h"
#include "lake/testing/rows.h"

#include <nlohmann/json.hpp>

#include <cstdio>
#include <cstdlib>

namespace ziwa::lake {
namespace {

using Arguments = std::vector<std::string>;

Result<Table::Create> parse_create(const std::string& columns, const std::string& partitions) {
  auto parsed = nlohmann::json::parse(columns, nullptr, false);
  auto names = nlohmann::json::parse(partitions, nullptr, false);
  if (!parsed.is_array() || !names.is_array())
    return Error(Code::invalid_argument, "columns are not a JSON list");
  Table::Create create;
  for (const auto& column : parsed) {
    create.schema.columns.push_back({.id = static_cast<uint32_t>(create.schema.columns.size() + 1),
                                     .name = column.value("name", ""),
                                     .type = column.value("type", ""),
                                     .not_null = column.value("not_null", false)});
  }
  for (const auto& name : names) create.partition_columns.push_back(name.get<std::string>());
  return create;
}

Status read_to(duck::Instance& instance, const std::string& path, const TableSnapshot& snapshot) {
  std::vector<duck::NamedType> columns;
  duckdb::vector<duckdb::LogicalType> types;
  data::ScanRequest request;
  for (const auto& column : snapshot.schema().columns) {
    request.columns.push_back(request.columns.size());
    types.push_back(TRY(duck::parse_type(column.type)));
    columns.push_back({column.name, types.back()});
  }
  auto writer = TRY(duck::ParquetWriter::create(instance, path, columns));
  duck::Chunk chunk(types);
  for (auto& stream : TRY(snapshot.scan()->open(request, 1))) {
    while (true) {
      TRY(stream->next(chunk.rows));
      if (chunk.size() == 0) break;
      TRY(writer->write(chunk.rows));
    }
  }
  TRY(writer->finish());
  return {};
}

Status run(const Arguments& arguments) {
  if (arguments.size() < 3)
    return Error(Code::invalid_argument,
                 "usage: ziwa_delta_tool create|insert|drop-file|read DIR ...");
  auto& files = posix_file_system();
  SystemClock clock;
  auto instance = TRY(duck::Instance::open(files, {}));
  std::shared_ptr<ObjectStore> store = make_local_store(files, arguments[2]);
  const std::string& what = arguments[1];
  if (what == "create" && arguments.size() == 5) {
    auto create = TRY(parse_create(arguments[3], arguments[4]));
    TRY(Table::create(store, *instance, clock, create));
    return {};
  }
  auto table = TRY(Table::open(store, *instance, clock));
  if (what == "insert" && arguments.size() == 4) {
    Commit commit{.add = TRY(write_query(*table, *instance, arguments[3]))};
    TRY(table->commit(commit));
    return {};
  }
  if (what == "drop-file") {
    Commit commit{.operation = "DELETE", .remove = {*table->snapshot()->files().at(0)}};
    TRY(table->commit(commit));
    return {};
  }
  if (what == "read" && arguments.size() >= 4) {
    auto snapshot = table->snapshot();
    if (arguments.size() == 5)
      snapshot = TRY(table->at_version(std::strtoll(arguments[4].c_str(), nullptr, 10)));
    return read_to(*instance, arguments[3], *snapshot);
  }
  return Error(Code::invalid_argument, "unknown command {}", what);
}

}  // namespace
}  // namespace ziwa::lake

int main(int count, char** arguments) {
  auto done = ziwa::lake::run({arguments, arguments + count});
  if (done.has_value()) return 0;
  std::fprintf(stderr, "%s\n", done.error().to_string().c_str());
  return 1;
}
