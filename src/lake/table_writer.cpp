#include "base/text.h"
#include "duck/chunk.h"
#include "lake/partition_value_internal.h"
#include "lake/path_internal.h"
#include "lake/statistics_internal.h"
#include "lake/table_writer_internal.h"

#include <algorithm>
#include <cctype>
#include <random>
#include <unordered_map>

namespace ziwa::lake {
namespace {

// The name of a data file: these around a UUID.
constexpr std::string_view kFileHead = "part-00000-";
constexpr std::string_view kFileTail = ".c000.zstd.parquet";

constexpr size_t kFolderBytesMax = 120;  // of one partition folder; longer values go without

using PartitionValues = std::map<std::string, std::optional<std::string>>;

/// One partition's file being written.
struct OpenFile {
  PartitionValues values;
  ObjectStore::Staged staged;
  std::unique_ptr<duck::ParquetWriter> writer;
  uint64_t used = 0;  ///< When it was last written to.
};

class Writer final : public TableWriter {
 public:
  Writer(SnapshotPtr snapshot, uint64_t file_bytes)
      : snapshot_(std::move(snapshot)), file_bytes_(file_bytes) {}

  ~Writer() override {
    for (auto& [key, file] : open_) discard(file);
    for (auto& staged : staged_) store().discard(staged);
  }

  Status prepare() {
    const TableColumns& columns = *snapshot_->columns();
    std::vector<duck::NamedType> inputs;
    std::vector<std::string> casts;
    bool differ = false;
    for (size_t i = 0; i < columns.declared.size(); ++i) {
      const std::string& name = columns.schema.columns[i].name;
      inputs.push_back({name, columns.declared[i]});
      differ |= columns.declared[i] != columns.stored[i];
      casts.push_back(
          fmt::format("CAST({} AS {})", quote_name(name), duck::type_name(columns.stored[i])));
      stored_types_.push_back(columns.stored[i]);
      if (columns.is_partition[i]) {
        partition_columns_.push_back(i);
      } else {
        data_columns_.push_back(i);
        file_columns_.push_back({name, columns.stored[i]});
        file_types_.push_back(columns.stored[i]);
      }
      if (columns.schema.columns[i].not_null) not_null_.push_back(i);
    }
    if (differ) {
      to_stored_ =
          TRY(duck::ExpressionProgram::compile(snapshot_->context()->instance, inputs, casts));
      stored_ = std::make_unique<duck::Chunk>(stored_types_);
    }
    part_.InitializeEmpty(file_types_);
    return {};
  }

  Status write(duckdb::DataChunk& rows) override {
    if (failed_) return Error(Code::invalid_argument, "the writer failed before; start another");
    if (rows.size() == 0) return {};
    Status written = write_rows(rows);
    failed_ = !written.has_value();
    return written;
  }

  uint64_t rows() const override { return rows_; }

  uint64_t bytes() const override {
    uint64_t bytes = finished_bytes_;
    for (const auto& [key, file] : open_) bytes += file.writer->estimated_bytes();
    return bytes;
  }

  Result<std::vector<DataFile>> finish() override {
    if (failed_) return Error(Code::invalid_argument, "the writer failed before; start another");
    failed_ = true;  // nothing may be written after this
    for (auto& [key, file] : open_) TRY(finish_file(file));
    open_.clear();
    TRY(store().publish(staged_));
    staged_.clear();
    return std::move(finished_);
  }

 private:
  ObjectStore& store() const { return *snapshot_->context()->store; }

  Status write_rows(duckdb::DataChunk& rows) {
    CHECK(rows.ColumnCount() == stored_types_.size(), "{} columns for a table of {}",
          rows.ColumnCount(), stored_types_.size());
    TRY(check_not_null(rows));
    duckdb::DataChunk* stored = &rows;
    if (to_stored_) {
      TRY(to_stored_->execute(rows, stored_->rows));
      stored = &stored_->rows;
    }
    if (partition_columns_.empty()) {
      TRY(write_part(PartitionValues(), "", *stored, nullptr, stored->size()));
    } else {
      TRY(write_parts(*stored));
    }
    rows_ += rows.size();
    return limit_memory();
  }

  Status check_not_null(duckdb::DataChunk& rows) const {
    for (size_t column : not_null_) {
      duckdb::UnifiedVectorFormat format;
      rows.data[column].ToUnifiedFormat(rows.size(), format);
      if (format.validity.AllValid()) continue;
      for (size_t row = 0; row < rows.size(); ++row) {
        if (!format.validity.RowIsValid(format.sel->get_index(row))) {
          return Error(Code::invalid_argument, "NULL in column {}, which is NOT NULL",
                       snapshot_->schema().columns[column].name)
              .because(Cause::not_null_violation);
        }
      }
    }
    return {};
  }

  struct Rows {
    PartitionValues values;
    std::vector<duckdb::sel_t> rows;
  };

  /// Groups the rows by partition, then writes each group.
  Status write_parts(duckdb::DataChunk& rows) {
    std::map<std::string, Rows> groups;
    std::string key;
    for (size_t row = 0; row < rows.size(); ++row) {
      key.clear();
      std::vector<std::optional<std::string>> texts;
      for (size_t column : partition_columns_) {
        texts.push_back(TRY(partition_text(rows.GetValue(column, row))));
        if (!texts.back() && snapshot_->schema().columns[column].not_null) {
          return Error(Code::invalid_argument,
                       "an empty string in partition column {} would be NULL, and it is NOT NULL",
                       snapshot_->schema().columns[column].name)
              .because(Cause::not_null_violation);
        }
        key +=
            texts.back() ? "=" + std::to_string(texts.back()->size()) + ":" + *texts.back() : "-";
      }
      Rows& group = groups[key];
      if (group.rows.empty()) {
        for (size_t i = 0; i < partition_columns_.size(); ++i) {
          group.values[snapshot_->schema().columns[partition_columns_[i]].name] = texts[i];
        }
      }
      group.rows.push_back(static_cast<duckdb::sel_t>(row));
    }
    for (auto& [group_key, group] : groups) {
      duckdb::SelectionVector selection(group.rows.data());
      TRY(write_part(group.values, group_key, rows, &selection, group.rows.size()));
    }
    return {};
  }

  Status write_part(const PartitionValues& values, const std::string& key, duckdb::DataChunk& rows,
                    const duckdb::SelectionVector* selection, size_t count) {
    OpenFile& file = *TRY(open_file(key, values));
    for (size_t i = 0; i < data_columns_.size(); ++i)
      part_.data[i].Reference(rows.data[data_columns_[i]]);
    part_.SetCardinality(rows.size());
    if (selection != nullptr && count < rows.size()) part_.Slice(*selection, count);
    file.used = ++tick_;
    TRY(file.writer->write(part_));
    if (file.writer->estimated_bytes() >= file_bytes_) return close(key);
    return {};
  }

  Result<OpenFile*> open_file(const std::string& key, const PartitionValues& values) {
    auto found = open_.find(key);
    if (found != open_.end()) return &found->second;
    if (open_.size() >= kOpenFilesMax) {
      auto oldest = std::min_element(open_.begin(), open_.end(), [](auto& a, auto& b) {
        return a.second.used < b.second.used;
      });
      TRY(close(oldest->first));
    }
    OpenFile file{.values = values, .staged = TRY(store().stage(new_key(values)))};
    auto writer = duck::ParquetWriter::create(snapshot_->context()->instance, file.staged.path,
                                              file_columns_);
    if (!writer.has_value()) {
      store().discard(file.staged);
      return std::move(writer).error();
    }
    file.writer = std::move(*writer);
    return &open_.emplace(key, std::move(file)).first->second;
  }

  std::string new_key(const PartitionValues& values) const {
    std::string folder;
    for (size_t column : partition_columns_) {
      const std::string& name = snapshot_->schema().columns[column].name;
      std::string part = partition_folder(name, values.at(name));
      if (part.size() > kFolderBytesMax) {
        folder.clear();
        break;
      }
      folder += part + "/";
    }
    return fmt::format("{}{}{}{}", folder, kFileHead, random_uuid(), kFileTail);
  }

  Status close(const std::string& key) {
    auto found = open_.find(key);
    Status finished = finish_file(found->second);
    open_.erase(found);
    return finished;
  }

  Status finish_file(OpenFile& file) {
    auto written = file.writer->finish(false);  // publish() syncs
    if (!written.has_value()) {
      discard(file);
      return std::move(written).error();
    }
    finished_.push_back({.path = file.staged.key,
                         .partition_values = file.values,
                         .size = written->bytes,
                         .modified_ms = snapshot_->context()->clock.now().value,
                         .stats = statistics_to_json(*written, file_columns_),
                         .rows = written->rows,
                         .deletion_vector = {}});
    finished_bytes_ += written->bytes;
    staged_.push_back(std::move(file.staged));
    return {};
  }

  void discard(OpenFile& file) {
    file.writer.reset();
    store().discard(file.staged);
  }

  /// Row groups end early when many partitions hold rows in memory.
  Status limit_memory() {
    while (true) {
      uint64_t total = 0;
      OpenFile* largest = nullptr;
      for (auto& [key, file] : open_) {
        uint64_t bytes = file.writer->buffered_bytes();
        total += bytes;
        if (largest == nullptr || bytes > largest->writer->buffered_bytes()) largest = &file;
      }
      if (total <= kBufferedBytesMax || largest == nullptr) return {};
      TRY(largest->writer->flush());
    }
  }

  SnapshotPtr snapshot_;
  uint64_t file_bytes_;
  duckdb::vector<duckdb::LogicalType> stored_types_;
  std::vector<size_t> partition_columns_;
  std::vector<size_t> data_columns_;
  std::vector<size_t> not_null_;
  std::vector<duck::NamedType> file_columns_;
  duckdb::vector<duckdb::LogicalType> file_types_;
  std::unique_ptr<duck::ExpressionProgram> to_stored_;
  std::unique_ptr<duck::Chunk> stored_;
  duckdb::DataChunk part_;
  std::unordered_map<std::string, OpenFile> open_;
  std::vector<ObjectStore::Staged> staged_;  ///< Finished, neither synced nor named.
  std::vector<DataFile> finished_;
  uint64_t finished_bytes_ = 0;
  uint64_t rows_ = 0;
  uint64_t tick_ = 0;
  bool failed_ = false;
};

}  // namespace

Result<std::unique_ptr<TableWriter>> make_table_writer(const SnapshotPtr& snapshot,
                                                       uint64_t file_bytes) {
  auto writer = std::make_unique<Writer>(snapshot, file_bytes);
  TRY(writer->prepare());
  return std::unique_ptr<TableWriter>(std::move(writer));
}

bool is_our_data_file(const std::string& key) {
  constexpr std::string_view kUuid = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  std::string_view name = key;
  // Folders that begin so are nobody's data, unless a column is named so.
  const bool hidden = name.starts_with('_') || name.starts_with('.');
  if (hidden && name.substr(0, name.find('/')).find('=') == std::string_view::npos) return false;
  name.remove_prefix(name.rfind('/') + 1);
  if (name.size() != kFileHead.size() + kUuid.size() + kFileTail.size()) return false;
  if (!name.starts_with(kFileHead) || !name.ends_with(kFileTail)) return false;
  return std::equal(
      kUuid.begin(), kUuid.end(), name.begin() + kFileHead.size(), [](char expected, char c) {
        return expected == '-' ? c == '-' : std::isxdigit(static_cast<unsigned char>(c));
      });
}

std::string random_uuid() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  uint64_t high = (random() & 0xFFFFFFFFFFFF0FFFull) | 0x4000;
  uint64_t low = (random() & 0x3FFFFFFFFFFFFFFFull) | 0x8000000000000000ull;
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:012x}", high >> 32, (high >> 16) & 0xFFFF,
                     high & 0xFFFF, low >> 48, low & 0xFFFFFFFFFFFFull);
}

}  // namespace ziwa::lake
