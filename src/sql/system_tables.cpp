#include "sql/system_tables.h"

#include "duck/catalog_api.h"
#include "sql/system_tables_internal.h"

namespace ziwa::sql {
namespace {

class RowsStream final : public data::ScanStream {
 public:
  RowsStream(std::shared_ptr<const std::vector<std::vector<duckdb::Value>>> rows,
             std::vector<size_t> columns)
      : rows_(std::move(rows)), columns_(std::move(columns)) {}
  Status next(duckdb::DataChunk& out) override {
    return duck::guarded([&] {
      size_t count = 0;
      for (; count < STANDARD_VECTOR_SIZE && at_ < rows_->size(); ++count, ++at_) {
        for (size_t i = 0; i < columns_.size(); ++i)
          out.SetValue(i, count, (*rows_)[at_][columns_[i]]);
      }
      out.SetCardinality(count);
    });
  }

 private:
  std::shared_ptr<const std::vector<std::vector<duckdb::Value>>> rows_;
  std::vector<size_t> columns_;
  size_t at_ = 0;
};

class RowsScan final : public data::Scan {
 public:
  RowsScan(data::Schema schema, std::vector<std::vector<duckdb::Value>> rows)
      : schema_(std::move(schema)),
        rows_(std::make_shared<const std::vector<std::vector<duckdb::Value>>>(std::move(rows))) {}
  const data::Schema& schema() const override { return schema_; }
  std::optional<uint64_t> row_count() const override { return rows_->size(); }
  Result<std::vector<std::unique_ptr<data::ScanStream>>> open(const data::ScanRequest& request,
                                                              size_t) override {
    std::vector<std::unique_ptr<data::ScanStream>> streams;
    streams.push_back(std::make_unique<RowsStream>(rows_, request.columns));
    return streams;
  }

 private:
  data::Schema schema_;
  std::shared_ptr<const std::vector<std::vector<duckdb::Value>>> rows_;
};

std::vector<SystemTable> make_tables() {
  std::vector<SystemTable> tables = {
      topics_table(),    partitions_table(), tables_table(),          views_table(),
      sinks_table(),     objects_table(),    consumer_groups_table(), settings_table(),
      metrics_table(),   sessions_table(),   statements_table(),      epoch_table(),
      late_rows_table(), row_errors_table(), waits_table(),           dead_letters_table(),
      journal_table(),   idle_marks_table(),
  };
  return tables;
}

}  // namespace

const std::vector<SystemTable>& system_tables() {
  static const std::vector<SystemTable> kTables = make_tables();
  return kTables;
}

const SystemTable* find_system_table(std::string_view name) {
  for (const SystemTable& table : system_tables()) {
    if (duckdb::StringUtil::CIEquals(table.name, std::string(name))) return &table;
  }
  return nullptr;
}

std::shared_ptr<data::Scan> rows_scan(const data::Schema& schema,
                                      std::vector<std::vector<duckdb::Value>> rows) {
  for (const auto& row : rows) {
    CHECK(row.size() == schema.columns.size(), "a row of {} values for {} columns", row.size(),
          schema.columns.size());
  }
  return std::make_shared<RowsScan>(schema, std::move(rows));
}

data::Schema make_system_schema(
    std::initializer_list<std::pair<const char*, const char*>> columns) {
  data::Schema schema;
  for (const auto& [name, type] : columns) {
    schema.columns.push_back(
        {.id = static_cast<uint32_t>(schema.columns.size() + 1), .name = name, .type = type});
  }
  return schema;
}

SystemTable rows_table(std::string name, data::Schema schema,
                       std::function<Result<SystemRows>(const SystemContext&)> make_rows) {
  auto open = [schema, make_rows = std::move(make_rows)](
                  const SystemContext& context) -> Result<std::shared_ptr<data::Scan>> {
    return rows_scan(schema, TRY(make_rows(context)));
  };
  return {std::move(name), schema, std::move(open)};
}

}  // namespace ziwa::sql
