#include "lake/testing/rows.h"

#include "duck/chunk.h"

#include <algorithm>

namespace ziwa::lake {

Result<std::vector<DataFile>> write_query(Table& table, duck::Instance& instance,
                                          const std::string& sql, uint64_t file_bytes) {
  const auto& columns = table.snapshot()->schema().columns;
  std::string casts;
  std::string names;
  for (size_t i = 0; i < columns.size(); ++i) {
    casts += fmt::format("{}CAST(c{} AS {})", i == 0 ? "" : ", ", i, columns[i].type);
    names += fmt::format("{}c{}", i == 0 ? "" : ", ", i);
  }
  auto connection = instance.connect();
  auto result = connection->Query(fmt::format("SELECT {} FROM ({}) AS q({})", casts, sql, names));
  if (result->HasError()) return duck::to_error(result->GetErrorObject());
  auto writer = TRY(table.writer(file_bytes));
  while (auto chunk = result->Fetch()) TRY(writer->write(*chunk));
  return writer->finish();
}

Result<std::vector<std::string>> read_rows(data::Scan& scan, data::ScanRequest request,
                                           size_t parts) {
  const auto& columns = scan.schema().columns;
  if (request.columns.empty()) {
    for (size_t i = 0; i < columns.size(); ++i) request.columns.push_back(i);
  }
  duckdb::vector<duckdb::LogicalType> types;
  for (size_t column : request.columns)
    types.push_back(TRY(duck::parse_type(columns[column].type)));
  duck::Chunk chunk(types);
  std::vector<std::string> rows;
  for (auto& stream : TRY(scan.open(request, parts))) {
    while (true) {
      TRY(stream->next(chunk.rows));
      if (chunk.size() == 0) break;
      for (size_t row = 0; row < chunk.size(); ++row) {
        std::string text;
        for (size_t i = 0; i < types.size(); ++i) {
          text += (i == 0 ? "" : "|") + chunk.rows.GetValue(i, row).ToString();
        }
        rows.push_back(std::move(text));
      }
    }
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace ziwa::lake
