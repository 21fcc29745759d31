#include "duck/json_files.h"

#include "base/json_depth.h"
#include "duck/json_guard.h"
#include "duck/system_functions.h"

#include <duckdb/common/opener_file_system.hpp>
#include <duckdb/main/client_data.hpp>

#include <array>
#include <atomic>
#include <string>

namespace ziwa::duck {
namespace {

constexpr auto kReaders = std::to_array<const char*>(
    {"read_json", "read_json_auto", "read_json_objects", "read_json_objects_auto", "read_ndjson",
     "read_ndjson_auto", "read_ndjson_objects"});

/// What the connection is doing: shared by its file system and the files that were opened by it.
struct Watch {
  std::atomic<int> binding = 0;  ///< Readers of JSON that look for columns.
  std::atomic<JsonLines> lines = JsonLines::go_on;
};

/// Hands on to the file system that opened the inner handle, and looks at what is read while
/// columns are looked for. DuckDB reads a file from its beginning then, piece after piece.
class WatchedFiles final : public duckdb::FileSystem {
 public:
  WatchedFiles(duckdb::unique_ptr<duckdb::FileHandle> inner, std::shared_ptr<Watch> watch)
      : inner_(std::move(inner)), watch_(std::move(watch)), counter_(fresh()) {}

  void Read(duckdb::FileHandle&, void* buffer, int64_t size, duckdb::idx_t location) override {
    inner_->Read(buffer, static_cast<duckdb::idx_t>(size), location);
    look({static_cast<const char*>(buffer), static_cast<size_t>(size)}, location);
  }
  int64_t Read(duckdb::FileHandle&, void* buffer, int64_t size) override {
    const int64_t read = inner_->Read(buffer, static_cast<duckdb::idx_t>(size));
    look({static_cast<const char*>(buffer), static_cast<size_t>(read)}, position_);
    position_ += static_cast<size_t>(read);
    return read;
  }
  void Seek(duckdb::FileHandle&, duckdb::idx_t location) override {
    inner_->Seek(location);
    position_ = location;
  }
  void Reset(duckdb::FileHandle&) override {
    inner_->Reset();
    position_ = 0;
  }
  duckdb::idx_t SeekPosition(duckdb::FileHandle&) override { return inner_->SeekPosition(); }
  bool CanSeek() override { return inner_->CanSeek(); }
  bool IsPipe(const std::string&, duckdb::optional_ptr<duckdb::FileOpener>) override {
    return inner_->IsPipe();
  }
  bool OnDiskFile(duckdb::FileHandle&) override { return inner_->OnDiskFile(); }
  int64_t GetFileSize(duckdb::FileHandle&) override {
    return static_cast<int64_t>(inner_->GetFileSize());
  }
  duckdb::FileType GetFileType(duckdb::FileHandle&) override { return inner_->GetType(); }
  duckdb::FileMetadata Stats(duckdb::FileHandle&) override { return inner_->Stats(); }
  duckdb::timestamp_t GetLastModifiedTime(duckdb::FileHandle&) override {
    return inner_->file_system.GetLastModifiedTime(*inner_);
  }
  std::string GetVersionTag(duckdb::FileHandle&) override {
    return inner_->file_system.GetVersionTag(*inner_);
  }
  std::string GetName() const override { return "ZiwaJsonFiles"; }

  duckdb::FileHandle& inner() { return *inner_; }

 private:
  JsonDepthCounter fresh() const { return {kJsonTextDepthMax, watch_->lines}; }

  void look(std::string_view piece, size_t from) {
    if (watch_->binding == 0) return;
    if (from != looked_until_) {
      counter_ = fresh();
      looked_until_ = from;
    }
    looked_until_ += piece.size();
    if (!counter_.nests_deeper(piece)) return;
    throw duckdb::InvalidInputException("JSON file \"%s\" nests deeper than %llu levels",
                                        inner_->path,
                                        static_cast<unsigned long long>(kJsonTextDepthMax));
  }

  duckdb::unique_ptr<duckdb::FileHandle> inner_;
  std::shared_ptr<Watch> watch_;
  JsonDepthCounter counter_;
  size_t looked_until_ = 0;
  size_t position_ = 0;
};

class WatchedHandle final : public duckdb::FileHandle {
 public:
  WatchedHandle(duckdb::unique_ptr<WatchedFiles> files, std::string path,
                duckdb::FileOpenFlags flags)
      : FileHandle(*files, std::move(path), flags), files_(std::move(files)) {}
  void Close() override { files_->inner().Close(); }
  duckdb::idx_t GetProgress() override { return files_->inner().GetProgress(); }
  duckdb::FileCompressionType GetFileCompressionType() override {
    return files_->inner().GetFileCompressionType();
  }

 private:
  duckdb::unique_ptr<WatchedFiles> files_;
};

/// A connection's file system, which it owns. Stays in its place for the life of the connection:
/// what was opened or listed may refer to it.
class WatchedOpener final : public duckdb::OpenerFileSystem {
 public:
  explicit WatchedOpener(duckdb::unique_ptr<duckdb::FileSystem> inner) : inner_(std::move(inner)) {}
  duckdb::FileSystem& GetFileSystem() const override { return *inner_; }
  duckdb::optional_ptr<duckdb::FileOpener> GetOpener() const override { return nullptr; }
  std::string CanonicalizePath(const std::string& path,
                               duckdb::optional_ptr<duckdb::FileOpener> opener) override {
    return inner_->CanonicalizePath(path, opener);
  }
  Watch& watch() { return *watch_; }

 protected:
  duckdb::unique_ptr<duckdb::FileHandle> OpenFileExtended(
      const duckdb::OpenFileInfo& file, duckdb::FileOpenFlags flags,
      duckdb::optional_ptr<duckdb::FileOpener>) override {
    auto opened = inner_->OpenFile(file, flags);
    if (opened == nullptr || watch_->binding == 0) return opened;
    auto path = opened->path;
    auto opened_with = opened->flags;
    return duckdb::make_uniq<WatchedHandle>(
        duckdb::make_uniq<WatchedFiles>(std::move(opened), watch_), std::move(path), opened_with);
  }

 private:
  duckdb::unique_ptr<duckdb::FileSystem> inner_;
  std::shared_ptr<Watch> watch_ = std::make_shared<Watch>();
};

/// Watches what a connection reads, for as long as it lives.
class Watching {
 public:
  Watching(duckdb::ClientContext& context, JsonLines lines) : watch_(watch_of(context)) {
    watch_.lines = lines;
    ++watch_.binding;
  }
  ~Watching() { --watch_.binding; }
  Watching(const Watching&) = delete;
  Watching& operator=(const Watching&) = delete;

 private:
  static Watch& watch_of(duckdb::ClientContext& context) {
    auto& files = duckdb::ClientData::Get(context).client_file_system;
    if (auto* watched = dynamic_cast<WatchedOpener*>(files.get())) return watched->watch();
    auto watched = duckdb::make_uniq<WatchedOpener>(std::move(files));
    Watch& watch = watched->watch();
    files = std::move(watched);
    return watch;
  }

  Watch& watch_;
};

/// Lines that are broken are skipped if they are values of their own and the statement says so:
/// then what they leave open means nothing.
JsonLines lines_of(const duckdb::TableFunctionBindInput& input) {
  if (input.table_function.name.starts_with("read_ndjson")) return JsonLines::are_values;
  auto format = input.named_parameters.find("format");
  if (format == input.named_parameters.end() || format->second.IsNull()) return JsonLines::go_on;
  const auto name = duckdb::StringUtil::Lower(format->second.ToString());
  return name == "nd" || name == "newline_delimited" ? JsonLines::are_values : JsonLines::go_on;
}

auto& binds() {
  static OriginalCallbacks<duckdb::table_function_bind_t> originals;
  return originals;
}

duckdb::unique_ptr<duckdb::FunctionData> watched_bind(duckdb::ClientContext& context,
                                                      duckdb::TableFunctionBindInput& input,
                                                      duckdb::vector<duckdb::LogicalType>& types,
                                                      duckdb::vector<std::string>& names) {
  Watching watching(context, lines_of(input));
  return binds().of(input.table_function.name)(context, input, types, names);
}

void guard(duckdb::TableFunction& function) {
  if (function.bind == watched_bind) return;
  if (function.bind == nullptr || function.bind_replace != nullptr)
    throw duckdb::InternalException("%s is bound in a way of its own", function.name);
  binds().keep(function.name, function.bind);
  function.bind = watched_bind;
}

}  // namespace

void guard_json_files(duckdb::DatabaseInstance& database) {
  change_table_functions(database, kReaders, guard);
}

}  // namespace ziwa::duck
