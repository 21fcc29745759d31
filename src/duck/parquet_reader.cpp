#include "duck/duckdb.h"
#include "duck/parquet.h"

#include <duckdb/execution/expression_executor.hpp>
#include <duckdb/planner/expression/bound_cast_expression.hpp>
#include <duckdb/planner/expression/bound_constant_expression.hpp>
#include <duckdb/planner/expression/bound_reference_expression.hpp>

#include <map>
#include <parquet_reader.hpp>

namespace ziwa::duck {
namespace {

using duckdb::idx_t;

class Reader final : public ParquetReader {
 public:
  Reader(Instance& instance, const std::string& path, const std::vector<NamedType>& columns)
      : connection_(instance.connect_trusted()) {
    auto& context = *connection_->context;
    reader_ = duckdb::make_shared_ptr<duckdb::ParquetReader>(context, duckdb::OpenFileInfo(path),
                                                             duckdb::ParquetOptions());
    for (const auto& column : reader_->GetColumns())
      file_columns_.push_back({column.name, column.type});
    choose_columns(context, columns);
    duckdb::vector<idx_t> groups;
    for (idx_t i = 0; i < reader_->NumRowGroups(); ++i) groups.push_back(i);
    reader_->InitializeScan(context, scan_, std::move(groups));
    rows_.Initialize(duckdb::Allocator::DefaultAllocator(), read_types_);
    executor_ = std::make_unique<duckdb::ExpressionExecutor>(context, outputs_);
  }

  Status next(duckdb::DataChunk& out) override {
    return guarded([&] {
      out.Reset();
      while (read_some()) {
        if (rows_.size() == 0) continue;  // a new row group
        executor_->Execute(rows_, out);
        return;
      }
    });
  }
  uint64_t row_count() const override { return reader_->NumRows(); }
  const std::vector<NamedType>& file_columns() const override { return file_columns_; }

 private:
  /// One output expression per asked column: the file's column, cast if it differs, or NULL.
  void choose_columns(duckdb::ClientContext& context, const std::vector<NamedType>& columns) {
    std::map<idx_t, idx_t> positions;  // file column -> column of rows_
    for (const NamedType& column : columns) {
      auto file_column = find(column.name);
      if (!file_column) {
        outputs_.push_back(
            duckdb::make_uniq<duckdb::BoundConstantExpression>(duckdb::Value(column.type)));
        continue;
      }
      auto [position, added] = positions.try_emplace(*file_column, read_types_.size());
      const auto& type = file_columns_[*file_column].type;
      if (added) {
        reader_->column_ids.push_back(duckdb::MultiFileLocalColumnId(*file_column));
        reader_->column_indexes.emplace_back(*file_column);
        read_types_.push_back(type);
      }
      duckdb::unique_ptr<duckdb::Expression> value =
          duckdb::make_uniq<duckdb::BoundReferenceExpression>(column.name, type, position->second);
      outputs_.push_back(
          duckdb::BoundCastExpression::AddCastToType(context, std::move(value), column.type));
    }
  }

  std::optional<idx_t> find(const std::string& name) const {
    std::optional<idx_t> found;
    for (idx_t i = 0; i < file_columns_.size(); ++i) {
      if (file_columns_[i].name == name) return i;
      if (!found && duckdb::StringUtil::CIEquals(file_columns_[i].name, name)) found = i;
    }
    return found;
  }

  bool read_some() {
    auto result = reader_->Scan(*connection_->context, scan_, rows_);
    if (result.HasTasks()) result.ExecuteTasksSynchronously();
    return result.GetResultType() == duckdb::AsyncResultType::HAVE_MORE_OUTPUT;
  }

  std::unique_ptr<duckdb::Connection> connection_;
  duckdb::shared_ptr<duckdb::ParquetReader> reader_;
  std::vector<NamedType> file_columns_;
  duckdb::vector<duckdb::LogicalType> read_types_;
  duckdb::vector<duckdb::unique_ptr<duckdb::Expression>> outputs_;
  duckdb::ParquetReaderScanState scan_;
  duckdb::DataChunk rows_;
  std::unique_ptr<duckdb::ExpressionExecutor> executor_;
};

}  // namespace

Result<std::unique_ptr<ParquetReader>> ParquetReader::open(Instance& instance,
                                                           const std::string& path,
                                                           const std::vector<NamedType>& columns) {
  auto reader = guarded([&]() -> std::unique_ptr<ParquetReader> {
    return std::make_unique<Reader>(instance, path, columns);
  });
  if (!reader.has_value()) return std::move(reader).error().context(path);
  return reader;
}

}  // namespace ziwa::duck
