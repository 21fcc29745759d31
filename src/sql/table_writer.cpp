#include "catalog/stored_columns.h"
#include "duck/catalog_api.h"
#include "duck/expression.h"
#include "sql/row_writer.h"

namespace ziwa::sql {
namespace {

constexpr uint64_t kFileBytes = 128u << 20;

class TableRowWriter final : public RowWriter {
 public:
  TableRowWriter(Core& core, catalog::ObjectPtr object, std::shared_ptr<lake::Table> table,
                 TableWrite kind)
      : core_(core), object_(std::move(object)), table_(std::move(table)), kind_(kind) {}

  Status open() {
    writer_ = TRY(table_->writer(kFileBytes));
    std::vector<std::string> expressions = catalog::stored_expressions(object_->table());
    if (expressions.empty()) return {};
    std::vector<duck::NamedType> inputs;
    for (const data::Column& column : object_->table().schema.columns) {
      inputs.push_back({column.name, TRY(duck::parse_type(column.type))});
      types_.push_back(inputs.back().type);
    }
    derive_ = TRY(duck::ExpressionProgram::compile(core_.deps.duck, inputs, expressions));
    derived_.Initialize(duckdb::Allocator::DefaultAllocator(), derive_->output_types());
    for (const auto& type : derive_->output_types()) types_.push_back(type);
    stored_.Initialize(duckdb::Allocator::DefaultAllocator(), types_);
    return {};
  }

  Status write(duckdb::DataChunk& rows) override {
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

  Result<EntryNumber> finish() override {
    lake::Commit commit{
        .operation = kind_ == TableWrite::create ? "CREATE TABLE AS SELECT" : "WRITE",
        .add = TRY(writer_->finish())};
    if (kind_ == TableWrite::replace) {
      lake::TableSnapshotPtr before = TRY(table_->refresh());
      for (const auto& file : before->files()) commit.remove.push_back(*file);
      commit.read_version = before->version();
    }
    if (commit.add.empty() && commit.remove.empty()) return EntryNumber();
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
  std::unique_ptr<lake::TableWriter> writer_;
  std::unique_ptr<duck::ExpressionProgram> derive_;  ///< Null: nothing is derived.
  duckdb::DataChunk derived_;
  duckdb::DataChunk stored_;
  duckdb::vector<duckdb::LogicalType> types_;
};

}  // namespace

Result<std::unique_ptr<RowWriter>> make_table_writer(Core& core, const catalog::ObjectPtr& object,
                                                     std::shared_ptr<lake::Table> table,
                                                     TableWrite kind) {
  auto writer = std::make_unique<TableRowWriter>(core, object, std::move(table), kind);
  TRY(writer->open());
  return writer;
}

}  // namespace ziwa::sql
