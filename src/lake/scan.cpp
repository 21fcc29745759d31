#include "lake/partition_value_internal.h"
#include "lake/scan_internal.h"
#include "lake/statistics_internal.h"

#include <algorithm>
#include <atomic>

namespace ziwa::lake {
namespace {

/// The files of one scan, handed out one at a time to whoever asks next.
struct Work {
  TableContextPtr context;
  std::shared_ptr<const TableColumns> columns;
  std::vector<size_t> wanted;  ///< Columns in output order.
  std::vector<DataFilePtr> files;
  std::atomic<size_t> next{0};
};

/// What a Parquet reader is asked for: extension types over strings are strings to it.
duckdb::LogicalType read_type(const duckdb::LogicalType& declared) {
  return declared.id() == duckdb::LogicalTypeId::VARCHAR
             ? duckdb::LogicalType(duckdb::LogicalTypeId::VARCHAR)
             : declared;
}

class Stream final : public data::ScanStream {
 public:
  explicit Stream(std::shared_ptr<Work> work) : work_(std::move(work)) {
    for (size_t column : work_->wanted) {
      if (work_->columns->is_partition[column]) continue;
      duckdb::LogicalType type = read_type(work_->columns->declared[column]);
      types_.push_back(type);
      file_columns_.push_back({work_->columns->schema.columns[column].name, std::move(type)});
    }
    if (!types_.empty()) rows_.Initialize(duckdb::Allocator::DefaultAllocator(), types_);
  }

  Status next(duckdb::DataChunk& out) override {
    out.Reset();
    while (true) {
      if (!reader_) {
        if (!TRY(open_next())) return {};
      }
      Status read = reader_->next(rows_);
      if (!read.has_value()) return std::move(read).error().context(file_->path);
      if (rows_.size() > 0) break;
      reader_.reset();
    }
    return duck::guarded([&] { fill(out); });
  }

 private:
  Result<bool> open_next() {
    size_t index = work_->next.fetch_add(1);
    if (index >= work_->files.size()) return false;
    file_ = work_->files[index];
    constants_.clear();
    for (size_t column : work_->wanted) {
      if (work_->columns->is_partition[column]) constants_.push_back(TRY(constant(column)));
    }
    const TableContext& context = *work_->context;
    reader_ = TRY(duck::ParquetReader::open(context.instance, context.store->path_of(file_->path),
                                            file_columns_));
    return true;
  }

  Result<duckdb::Value> constant(size_t column) const {
    const auto& declared = work_->columns->declared[column];
    auto found = file_->partition_values.find(work_->columns->schema.columns[column].name);
    if (found == file_->partition_values.end()) return duckdb::Value(declared);
    auto value = TRY(partition_value(found->second, work_->columns->stored[column]));
    if (!value.DefaultTryCastAs(declared)) {
      return Error(Code::corrupt, "partition value \"{}\" is not a {}", value.ToString(),
                   declared.ToString());
    }
    return value;
  }

  void fill(duckdb::DataChunk& out) {
    size_t read = 0;
    size_t constant = 0;
    for (size_t i = 0; i < work_->wanted.size(); ++i) {
      if (work_->columns->is_partition[work_->wanted[i]]) {
        out.data[i].Reference(constants_[constant++]);
      } else {
        out.data[i].Reinterpret(rows_.data[read++]);
      }
    }
    out.SetCardinality(rows_.size());
  }

  std::shared_ptr<Work> work_;
  duckdb::vector<duckdb::LogicalType> types_;
  std::vector<duck::NamedType> file_columns_;
  duckdb::DataChunk rows_;
  DataFilePtr file_;
  std::vector<duckdb::Value> constants_;
  std::unique_ptr<duck::ParquetReader> reader_;
};

class LakeScan final : public data::Scan {
 public:
  LakeScan(TableContextPtr context, std::shared_ptr<const TableColumns> columns,
           std::shared_ptr<const Snapshot> snapshot,
           std::shared_ptr<const std::vector<DataFilePtr>> files)
      : context_(std::move(context)),
        columns_(std::move(columns)),
        snapshot_(std::move(snapshot)),
        files_(std::move(files)) {}

  const data::Schema& schema() const override { return columns_->schema; }

  Result<std::vector<std::unique_ptr<data::ScanStream>>> open(const data::ScanRequest& request,
                                                              size_t parts_max) override {
    if (snapshot_) TRY(snapshot_->readable());
    auto work = std::make_shared<Work>();
    work->context = context_;
    work->columns = columns_;
    work->wanted = request.columns;
    for (size_t column : request.columns) {
      CHECK(column < columns_->declared.size(), "column {} of {}", column,
            columns_->declared.size());
    }
    FilePruner pruner(*columns_, request.bounds);
    for (const DataFilePtr& file : files()) {
      if (pruner.may_match(*file)) work->files.push_back(file);
    }
    // Large files first, so that no thread is left with one at the end.
    std::sort(work->files.begin(), work->files.end(),
              [](auto& a, auto& b) { return a->size > b->size; });
    size_t parts = std::clamp<size_t>(work->files.size(), 1, std::max<size_t>(parts_max, 1));
    std::vector<std::unique_ptr<data::ScanStream>> streams;
    for (size_t i = 0; i < parts; ++i) streams.push_back(std::make_unique<Stream>(work));
    return streams;
  }

  std::optional<uint64_t> row_count() const override {
    uint64_t rows = 0;
    for (const DataFilePtr& file : files()) {
      if (!file->rows) return std::nullopt;
      rows += *file->rows;
    }
    return rows;
  }

 private:
  const std::vector<DataFilePtr>& files() const { return files_ ? *files_ : snapshot_->files(); }

  TableContextPtr context_;
  std::shared_ptr<const TableColumns> columns_;
  std::shared_ptr<const Snapshot> snapshot_;
  std::shared_ptr<const std::vector<DataFilePtr>> files_;
};

}  // namespace

std::shared_ptr<data::Scan> make_scan(TableContextPtr context,
                                      std::shared_ptr<const TableColumns> columns,
                                      std::shared_ptr<const Snapshot> snapshot,
                                      std::shared_ptr<const std::vector<DataFilePtr>> files) {
  return std::make_shared<LakeScan>(std::move(context), std::move(columns), std::move(snapshot),
                                    std::move(files));
}

}  // namespace ziwa::lake
