#include "catalog/stored_columns.h"
#include "duck/catalog_api.h"
#include "duck/expression.h"
#include "sql/row_writer.h"

namespace ziwa::sql {
namespace {

constexpr uint64_t kFileBytes = 128u << 20;

class FileWriter final : public TableFileWriter {
 public:
  FileWriter(Core& core, catalog::ObjectPtr object) : core_(core), object_(std::move(object)) {}

  Status open(lake::Table& table) {
    writer_ = TRY(table.writer(kFileBytes));
    std::vector<duck::NamedType> inputs;
    for (const data::Column& column : object_->table().schema.columns) {
      inputs.push_back({column.name, TRY(duck::parse_type(column.type))});
      types_.push_back(inputs.back().type);
    }
    std::vector<std::string> expressions = catalog::stored_expressions(object_->table());
    if (expressions.empty()) return {};
    derive_ = TRY(duck::ExpressionProgram::compile(core_.deps.duck, inputs, expressions));
    derived_.Initialize(duckdb::Allocator::DefaultAllocator(), derive_->output_types());
    auto stored_types = types_;
    for (const auto& type : derive_->output_types()) stored_types.push_back(type);
    stored_.Initialize(duckdb::Allocator::DefaultAllocator(), stored_types);
    return {};
  }

  Status write(duckdb::DataChunk& rows) override {
    TRY(check_types(rows));
    rows.Flatten();
    TRY(check_not_null(object_->table().schema, rows));
    if (!derive_) return writer_->write(rows);
    derived_.Reset();
    TRY(derive_->execute(rows, derived_));
    for (size_t i = 0; i < rows.ColumnCount(); ++i) stored_.data[i].Reference(rows.data[i]);
    for (size_t i = 0; i < derived_.ColumnCount(); ++i)
      stored_.data[rows.ColumnCount() + i].Reference(derived_.data[i]);
    stored_.SetCardinality(rows.size());
    return writer_->write(stored_);
  }

  Result<std::vector<lake::DataFile>> finish() override { return TRY(writer_->finish()); }

 private:
  /// Vectors of another type would be taken for what they are not.
  Status check_types(const duckdb::DataChunk& rows) const {
    if (rows.ColumnCount() != types_.size()) {
      return Error(Code::internal, "{} columns for table \"{}\", which has {}", rows.ColumnCount(),
                   object_->name, types_.size());
    }
    for (size_t i = 0; i < types_.size(); ++i) {
      if (rows.data[i].GetType() == types_[i]) continue;
      return Error(Code::internal, "{} for column \"{}\" of table \"{}\", which is {}",
                   rows.data[i].GetType().ToString(), object_->table().schema.columns[i].name,
                   object_->name, types_[i].ToString());
    }
    return {};
  }

  Core& core_;
  catalog::ObjectPtr object_;
  std::unique_ptr<lake::TableWriter> writer_;
  duckdb::vector<duckdb::LogicalType> types_;        ///< Of the table's own columns.
  std::unique_ptr<duck::ExpressionProgram> derive_;  ///< Null: nothing is derived.
  duckdb::DataChunk derived_;
  duckdb::DataChunk stored_;
};

class TableRowWriter final : public RowWriter {
 public:
  TableRowWriter(Core& core, catalog::ObjectPtr object, std::shared_ptr<lake::Table> table,
                 TableWrite kind)
      : core_(core), object_(std::move(object)), table_(std::move(table)), kind_(kind) {}

  Status open() {
    files_ = TRY(make_table_file_writer(core_, object_, *table_));
    return {};
  }
  Status write(duckdb::DataChunk& rows) override { return files_->write(rows); }

  Result<EntryNumber> finish() override {
    lake::Commit commit{
        .operation = kind_ == TableWrite::create ? "CREATE TABLE AS SELECT" : "WRITE",
        .add = TRY(files_->finish())};
    if (commit.add.empty()) return EntryNumber();
    // A transaction may have begun before the table was dropped.
    if (kind_ != TableWrite::create && !core_.deps.catalog.snapshot()->find(object_->id)) {
      return Error(Code::conflict, "table \"{}\" was dropped meanwhile", object_->name)
          .with_hint("run it again");
    }
    lake::TableSnapshotPtr snapshot = TRY(table_->commit(commit));
    if (kind_ == TableWrite::create) return EntryNumber();
    return core_.deps.journal.submit_and_wait(
        journal::DeltaVersion{object_->id, snapshot->version()}, {});
  }

 private:
  Core& core_;
  catalog::ObjectPtr object_;
  std::shared_ptr<lake::Table> table_;
  TableWrite kind_;
  std::unique_ptr<TableFileWriter> files_;
};

}  // namespace

Result<std::unique_ptr<TableFileWriter>> make_table_file_writer(Core& core,
                                                                const catalog::ObjectPtr& object,
                                                                lake::Table& table) {
  auto writer = std::make_unique<FileWriter>(core, object);
  TRY(writer->open(table));
  return writer;
}

Result<std::unique_ptr<RowWriter>> make_table_writer(Core& core, const catalog::ObjectPtr& object,
                                                     std::shared_ptr<lake::Table> table,
                                                     TableWrite kind) {
  auto writer = std::make_unique<TableRowWriter>(core, object, std::move(table), kind);
  TRY(writer->open());
  return writer;
}

}  // namespace ziwa::sql
