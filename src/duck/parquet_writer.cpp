#include "duck/duckdb.h"

// As with ActiveTimer in duckdb.h: an inline constructor destroys a unique_ptr before the class is
// complete.
namespace duckdb {
class ParquetWriter;
}
template <>
struct std::default_delete<duckdb::ParquetWriter> {
  constexpr default_delete() noexcept = default;
  void operator()(duckdb::ParquetWriter* writer) const;
};

#include <parquet_writer.hpp>

inline void std::default_delete<duckdb::ParquetWriter>::operator()(
    duckdb::ParquetWriter* writer) const {
  delete writer;
}

#include "duck/parquet.h"

#include <duckdb/common/file_system.hpp>
#include <duckdb/parser/keyword_helper.hpp>
#include <duckdb/storage/buffer_manager.hpp>

#include <cmath>

namespace ziwa::duck {
namespace {

constexpr uint64_t kRowGroupRows = 122'880;
constexpr uint64_t kRowGroupBytes = 64u << 20;
constexpr int64_t kZstdLevel = 1;  // the time of snappy at two thirds of its size
constexpr uint64_t kDictionaryPageBytes = 1u << 20;

std::optional<duckdb::Value> parse_bound(
    const duckdb::case_insensitive_map_t<duckdb::Value>& statistics, const char* key,
    const duckdb::LogicalType& type) {
  auto found = statistics.find(key);
  if (found == statistics.end() || found->second.IsNull()) return std::nullopt;
  duckdb::Value value = found->second;
  if (!value.DefaultTryCastAs(type)) return std::nullopt;
  return value;
}

ColumnStatistics column_statistics(const duckdb::case_insensitive_map_t<duckdb::Value>& written,
                                   const duckdb::LogicalType& type, bool has_nan) {
  ColumnStatistics out;
  if (auto nulls = written.find("null_count"); nulls != written.end()) {
    out.null_count = static_cast<int64_t>(nulls->second.GetValue<uint64_t>());
  }
  if (has_nan) return out;
  out.min = parse_bound(written, "min", type);
  out.max = parse_bound(written, "max", type);
  return out;
}

template <typename Float>
bool any_nan(duckdb::Vector& vector, size_t count) {
  duckdb::UnifiedVectorFormat format;
  vector.ToUnifiedFormat(count, format);
  const auto* values = duckdb::UnifiedVectorFormat::GetData<Float>(format);
  for (size_t i = 0; i < count; ++i) {
    auto index = format.sel->get_index(i);
    if (format.validity.RowIsValid(index) && std::isnan(values[index])) return true;
  }
  return false;
}

class Writer final : public ParquetWriter {
 public:
  Writer(Instance& instance, std::string path, const std::vector<NamedType>& columns)
      : files_(instance.files()), path_(std::move(path)), connection_(instance.connect_trusted()) {
    for (const NamedType& column : columns) {
      names_.push_back(column.name);
      types_.push_back(column.type);
    }
    nan_.resize(types_.size());
    auto& context = *connection_->context;
    writer_ = std::make_unique<duckdb::ParquetWriter>(
        context, duckdb::FileSystem::GetFileSystem(context), path_, types_, names_,
        duckdb_parquet::CompressionCodec::ZSTD, duckdb::ChildFieldIDs(), duckdb::ShreddingType(),
        duckdb::vector<duckdb::pair<std::string, std::string>>(), nullptr, duckdb::optional_idx(),
        kDictionaryPageBytes, false, 0.01, kZstdLevel, duckdb::ParquetVersion::V1,
        duckdb::GeoParquetVersion::V1);
    writer_->SetWrittenStatistics(statistics_);
    start_buffer();
  }

  Status write(duckdb::DataChunk& rows) override {
    if (rows.size() == 0) return {};
    return guarded([&] {
      buffer_->Append(append_, rows);
      note_nan(rows);
      rows_ += rows.size();
      if (buffer_->Count() >= kRowGroupRows || buffer_->SizeInBytes() >= kRowGroupBytes)
        flush_buffer();
    });
  }

  uint64_t rows() const override { return rows_; }
  uint64_t buffered_bytes() const override { return buffer_ ? buffer_->SizeInBytes() : 0; }
  uint64_t estimated_bytes() const override {
    // Zstd takes about a third of the rows in memory.
    return (writer_ ? writer_->FileSize() : 0) + buffered_bytes() / 3;
  }

  Status flush() override {
    return guarded([&] { flush_buffer(); });
  }

  Result<WrittenFile> finish(bool sync) override {
    auto written = guarded([&] {
      flush_buffer();
      writer_->Finalize();
      WrittenFile file;
      file.rows = statistics_.row_count;
      file.bytes = statistics_.file_size_bytes;
      for (size_t i = 0; i < names_.size(); ++i) {
        auto found =
            statistics_.column_statistics.find(duckdb::KeywordHelper::WriteQuoted(names_[i], '"'));
        bool known = found != statistics_.column_statistics.end();
        file.columns.push_back(known ? column_statistics(found->second, types_[i], nan_[i])
                                     : ColumnStatistics());
      }
      writer_.reset();
      buffer_.reset();
      return file;
    });
    if (!written.has_value() || !sync) return written;
    auto file = TRY(files_.open(path_, OpenMode::read_write));
    TRY(file->sync());
    return written;
  }

 private:
  void start_buffer() {
    auto& allocator = duckdb::BufferAllocator::Get(*connection_->context);
    buffer_ = std::make_unique<duckdb::ColumnDataCollection>(allocator, types_);
    buffer_->InitializeAppend(append_);
  }

  /// DuckDB reports NaN of the last row group only, and bounds that leave it out.
  void note_nan(duckdb::DataChunk& rows) {
    for (size_t i = 0; i < types_.size(); ++i) {
      if (nan_[i]) continue;
      if (types_[i].id() == duckdb::LogicalTypeId::DOUBLE)
        nan_[i] = any_nan<double>(rows.data[i], rows.size());
      if (types_[i].id() == duckdb::LogicalTypeId::FLOAT)
        nan_[i] = any_nan<float>(rows.data[i], rows.size());
    }
  }

  void flush_buffer() {
    if (buffer_->Count() == 0) return;
    append_.current_chunk_state.handles.clear();
    duckdb::unique_ptr<duckdb::ParquetWriteTransformData> no_transform;
    writer_->Flush(*buffer_, no_transform);
    start_buffer();
  }

  FileSystem& files_;
  std::string path_;
  std::unique_ptr<duckdb::Connection> connection_;
  duckdb::vector<std::string> names_;
  duckdb::vector<duckdb::LogicalType> types_;
  duckdb::CopyFunctionFileStatistics statistics_;
  std::unique_ptr<duckdb::ParquetWriter> writer_;
  std::unique_ptr<duckdb::ColumnDataCollection> buffer_;
  duckdb::ColumnDataAppendState append_;
  std::vector<bool> nan_;
  uint64_t rows_ = 0;
};

}  // namespace

Result<std::unique_ptr<ParquetWriter>> ParquetWriter::create(
    Instance& instance, const std::string& path, const std::vector<NamedType>& columns) {
  if (columns.empty())
    return Error(Code::invalid_argument, "a Parquet file needs at least one column");
  return guarded([&]() -> std::unique_ptr<ParquetWriter> {
    return std::make_unique<Writer>(instance, path, columns);
  });
}

}  // namespace ziwa::duck
