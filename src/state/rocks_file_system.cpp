#include "state/manifest_check_internal.h"
#include "state/rocks_file_system_internal.h"

#include <rocksdb/file_system.h>
#include <rocksdb/system_clock.h>

#include <mutex>
#include <set>

namespace ziwa::state {
namespace {

using rocksdb::FileOptions;
using rocksdb::IODebugContext;
using rocksdb::IOOptions;
using rocksdb::IOStatus;
using rocksdb::Slice;

IOStatus to_io(const Error& error) {
  switch (error.code()) {
    case Code::not_found:
      return IOStatus::PathNotFound(error.message());
    case Code::exhausted:
      return IOStatus::NoSpace(error.message());
    case Code::corrupt:
      return IOStatus::Corruption(error.message());
    default:
      return IOStatus::IOError(error.message());
  }
}

IOStatus to_io(const Status& status) { return status ? IOStatus::OK() : to_io(status.error()); }

ByteView to_bytes(const Slice& slice) { return as_bytes({slice.data(), slice.size()}); }

IOStatus read_into(const File& file, uint64_t offset, size_t size, Slice* result, char* scratch) {
  auto got = file.read_at(offset, {reinterpret_cast<std::byte*>(scratch), size});
  if (!got) return to_io(got.error());
  *result = Slice(scratch, *got);
  return IOStatus::OK();
}

class SequentialFile final : public rocksdb::FSSequentialFile {
 public:
  explicit SequentialFile(std::unique_ptr<File> file) : file_(std::move(file)) {}
  IOStatus Read(size_t size, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) override {
    IOStatus done = read_into(*file_, position_, size, result, scratch);
    if (done.ok()) position_ += result->size();
    return done;
  }
  IOStatus Skip(uint64_t size) override {
    position_ += size;
    return IOStatus::OK();
  }

 private:
  std::unique_ptr<File> file_;
  uint64_t position_ = 0;
};

class RandomAccessFile final : public rocksdb::FSRandomAccessFile {
 public:
  explicit RandomAccessFile(std::unique_ptr<File> file) : file_(std::move(file)) {}
  IOStatus Read(uint64_t offset, size_t size, const IOOptions&, Slice* result, char* scratch,
                IODebugContext*) const override {
    return read_into(*file_, offset, size, result, scratch);
  }

 private:
  std::unique_ptr<File> file_;
};

bool is_manifest(std::string_view path) {
  return path.substr(path.rfind('/') + 1).starts_with("MANIFEST-");
}

using FusePtr = std::shared_ptr<WriteFuse>;

class WritableFile : public rocksdb::FSWritableFile {
 public:
  WritableFile(std::unique_ptr<File> file, FusePtr fuse, const FileOptions& options)
      : FSWritableFile(options),
        fuse_(std::move(fuse)),
        file_(std::move(file)),
        end_(file_->size()) {}
  using FSWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
    Status written = fuse_->check();
    if (written) written = file_->write_at(end_, to_bytes(data));
    if (written) end_ += data.size();
    return to_io(written);
  }
  IOStatus Truncate(uint64_t size, const IOOptions&, IODebugContext*) override {
    Status done = fuse_->check();
    if (done) done = file_->truncate(size);
    if (done) end_ = size;
    return to_io(done);
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    Status done = fuse_->check();
    return to_io(done ? file_->sync() : std::move(done));
  }
  bool IsSyncThreadSafe() const override { return true; }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return end_; }

 protected:
  File& file() { return *file_; }
  FusePtr fuse_;

 private:
  std::unique_ptr<File> file_;
  std::atomic<uint64_t> end_;
};

/// The write-ahead log: a failed write or sync is for the fuse alone, but for a full disk.
class LogFile final : public WritableFile {
 public:
  using WritableFile::Append;
  using WritableFile::WritableFile;
  IOStatus Append(const Slice& data, const IOOptions& options, IODebugContext* context) override {
    if (fuse_->burnt()) return IOStatus::OK();
    IOStatus done = WritableFile::Append(data, options, context);
    if (done.ok() || done.IsNoSpace()) return done;
    fuse_->burn(Error(Code::io, "{}", done.ToString()));
    return IOStatus::OK();
  }
  IOStatus Sync(const IOOptions&, IODebugContext*) override {
    if (!fuse_->check()) return IOStatus::OK();
    if (Status done = file().sync(); !done) fuse_->burn(done.error());
    return IOStatus::OK();
  }
};

/// Stands in for a write-ahead log that could not be made: nothing is acknowledged any more.
class NoLogFile final : public rocksdb::FSWritableFile {
 public:
  explicit NoLogFile(const FileOptions& options) : FSWritableFile(options) {}
  using FSWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
    size_ += data.size();
    return IOStatus::OK();
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  bool IsSyncThreadSafe() const override { return true; }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override { return size_; }

 private:
  std::atomic<uint64_t> size_ = 0;
};

/// RocksDB takes a manifest whose last record is cut short, but not one with a hole before it, as a
/// disk may leave that got the second of two unsynced writes. So what belongs to one sync goes to
/// the disk in one write. Its name is durable with its first sync: RocksDB syncs the directory only
/// after CURRENT leads to it.
class ManifestFile final : public rocksdb::FSWritableFile {
 public:
  ManifestFile(ziwa::FileSystem& fs, std::unique_ptr<File> file, ManifestCheck check, FusePtr fuse,
               const FileOptions& options)
      : FSWritableFile(options),
        fs_(fs),
        fuse_(std::move(fuse)),
        file_(std::move(file)),
        check_(std::move(check)),
        written_(file_->size()) {}
  using FSWritableFile::Append;
  IOStatus Append(const Slice& data, const IOOptions&, IODebugContext*) override {
    buffer_.append(data.data(), data.size());
    // Only the first content of a new manifest is this large, and nothing points to it yet.
    return to_io(buffer_.size() < kBufferMax ? Status() : write());
  }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return to_io(write()); }
  IOStatus Flush(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }
  IOStatus Sync(const IOOptions&, IODebugContext*) override { return to_io(sync()); }
  uint64_t GetFileSize(const IOOptions&, IODebugContext*) override {
    return written_ + buffer_.size();
  }

 private:
  static constexpr size_t kBufferMax = 1 << 20;
  Status write() {
    TRY(fuse_->check());
    if (buffer_.empty()) return {};
    Status done = file_->write_at(written_, as_bytes(buffer_));
    if (done) {
      check_.add(as_bytes(buffer_));
      written_ += buffer_.size();
    }
    buffer_.clear();
    return done;
  }
  Status sync() {
    TRY(write());
    TRY(file_->sync());
    if (!name_synced_) TRY(fs_.sync_dir(parent_path(file_->path())));
    name_synced_ = true;
    check_.note();
    return {};
  }

  ziwa::FileSystem& fs_;
  FusePtr fuse_;
  std::unique_ptr<File> file_;
  ManifestCheck check_;
  std::string buffer_;
  uint64_t written_;
  bool name_synced_ = false;
};

class Directory final : public rocksdb::FSDirectory {
 public:
  Directory(FileSystem& fs, std::string path) : fs_(fs), path_(std::move(path)) {}
  IOStatus Fsync(const IOOptions&, IODebugContext*) override { return to_io(fs_.sync_dir(path_)); }
  IOStatus Close(const IOOptions&, IODebugContext*) override { return IOStatus::OK(); }

 private:
  FileSystem& fs_;
  std::string path_;
};

class Lock final : public rocksdb::FileLock {
 public:
  explicit Lock(std::unique_ptr<File> file) : file_(std::move(file)) {}

 private:
  std::unique_ptr<File> file_;
};

class RocksFileSystem final : public rocksdb::FileSystem {
 public:
  RocksFileSystem(ziwa::FileSystem& fs, FusePtr fuse) : fs_(fs), fuse_(std::move(fuse)) {}
  const char* Name() const override { return "ziwa"; }

  IOStatus NewSequentialFile(const std::string& path, const FileOptions&,
                             std::unique_ptr<rocksdb::FSSequentialFile>* result,
                             IODebugContext*) override {
    return open<SequentialFile>(path, OpenMode::read, result);
  }
  IOStatus NewRandomAccessFile(const std::string& path, const FileOptions&,
                               std::unique_ptr<rocksdb::FSRandomAccessFile>* result,
                               IODebugContext*) override {
    return open<RandomAccessFile>(path, OpenMode::read, result);
  }
  IOStatus NewWritableFile(const std::string& path, const FileOptions& options,
                           std::unique_ptr<rocksdb::FSWritableFile>* result,
                           IODebugContext*) override {
    if (is_manifest(path)) {
      if (Status whole = fuse_->check(); !whole) return to_io(whole);
      auto file = fs_.open(path, OpenMode::truncate);
      if (!file) return to_io(file.error());
      auto check = ManifestCheck::create(fs_, path);
      if (!check) return to_io(check.error());
      *result =
          std::make_unique<ManifestFile>(fs_, std::move(*file), std::move(*check), fuse_, options);
      return IOStatus::OK();
    }
    return open_file(path, OpenMode::truncate, options, result);
  }
  IOStatus ReopenWritableFile(const std::string& path, const FileOptions& options,
                              std::unique_ptr<rocksdb::FSWritableFile>* result,
                              IODebugContext*) override {
    return open_file(path, OpenMode::create, options, result);
  }
  IOStatus NewDirectory(const std::string& path, const IOOptions&,
                        std::unique_ptr<rocksdb::FSDirectory>* result, IODebugContext*) override {
    if (!fs_.exists(path)) return IOStatus::PathNotFound(path);
    *result = std::make_unique<Directory>(fs_, path);
    return IOStatus::OK();
  }

  IOStatus FileExists(const std::string& path, const IOOptions&, IODebugContext*) override {
    auto info = fs_.stat(path);
    if (info) return IOStatus::OK();
    return info.error().code() == Code::not_found ? IOStatus::NotFound(path) : to_io(info.error());
  }
  IOStatus GetChildren(const std::string& path, const IOOptions&, std::vector<std::string>* names,
                       IODebugContext*) override {
    auto entries = fs_.list(path);
    if (!entries) {
      return entries.error().code() == Code::not_found ? IOStatus::NotFound(path)
                                                       : to_io(entries.error());
    }
    names->clear();
    for (auto& entry : *entries) names->push_back(std::move(entry.name));
    return IOStatus::OK();
  }
  IOStatus GetFileSize(const std::string& path, const IOOptions&, uint64_t* size,
                       IODebugContext*) override {
    return with_info(path, [&](const FileInfo& info) { *size = info.size; });
  }
  IOStatus GetFileModificationTime(const std::string& path, const IOOptions&, uint64_t* seconds,
                                   IODebugContext*) override {
    return with_info(path, [&](const FileInfo& info) {
      *seconds = static_cast<uint64_t>(info.modified_ms / 1000);
    });
  }
  IOStatus IsDirectory(const std::string& path, const IOOptions&, bool* is_directory,
                       IODebugContext*) override {
    return with_info(path, [&](const FileInfo& info) { *is_directory = info.is_directory; });
  }

  IOStatus DeleteFile(const std::string& path, const IOOptions&, IODebugContext*) override {
    return change([&]() -> Status {
      Status removed = fs_.remove(path);
      if (removed && is_manifest(path)) {
        fs_.remove(manifest_check_path(path)).ignore("nobody looks at it without its manifest");
      }
      if (!removed && removed.error().code() == Code::not_found && forget_moved(path)) return {};
      return removed;
    });
  }
  IOStatus CreateDir(const std::string& path, const IOOptions&, IODebugContext*) override {
    return change([&] { return fs_.make_dirs(path); });
  }
  IOStatus CreateDirIfMissing(const std::string& path, const IOOptions&, IODebugContext*) override {
    return change([&] { return fs_.make_dirs(path); });
  }
  IOStatus DeleteDir(const std::string& path, const IOOptions&, IODebugContext*) override {
    return change([&] { return fs_.remove(path); });
  }
  IOStatus RenameFile(const std::string& from, const std::string& to, const IOOptions&,
                      IODebugContext*) override {
    return change([&] { return fs_.rename(from, to); });
  }
  /// RocksDB links files only to ingest them under a second name and then drops the first one: a
  /// rename does both, and our file layer needs no hard links.
  IOStatus LinkFile(const std::string& from, const std::string& to, const IOOptions&,
                    IODebugContext*) override {
    return change([&]() -> Status {
      TRY(fs_.rename_new(from, to));
      std::lock_guard lock(moved_mutex_);
      moved_.insert(from);
      return {};
    });
  }

  IOStatus LockFile(const std::string& path, const IOOptions&, rocksdb::FileLock** lock,
                    IODebugContext*) override {
    auto file = fs_.lock(path);
    if (!file) {
      return file.error().code() == Code::conflict ? IOStatus::Busy(file.error().message())
                                                   : to_io(file.error());
    }
    *lock = new Lock(std::move(*file));
    return IOStatus::OK();
  }
  IOStatus UnlockFile(rocksdb::FileLock* lock, const IOOptions&, IODebugContext*) override {
    delete lock;
    return IOStatus::OK();
  }
  IOStatus GetFreeSpace(const std::string& path, const IOOptions&, uint64_t* bytes,
                        IODebugContext*) override {
    auto free = fs_.free_bytes(path);
    if (!free) return to_io(free.error());
    *bytes = *free;
    return IOStatus::OK();
  }
  IOStatus GetAbsolutePath(const std::string& path, const IOOptions&, std::string* absolute,
                           IODebugContext*) override {
    *absolute = path;
    return IOStatus::OK();
  }
  IOStatus GetTestDirectory(const IOOptions&, std::string*, IODebugContext*) override {
    return IOStatus::NotSupported("GetTestDirectory");
  }

 private:
  template <typename Ours, typename Theirs>
  IOStatus open(const std::string& path, OpenMode mode, std::unique_ptr<Theirs>* result) {
    auto file = fs_.open(path, mode);
    if (!file) return to_io(file.error());
    *result = std::make_unique<Ours>(std::move(*file));
    return IOStatus::OK();
  }
  template <typename Ours>
  IOStatus open_to_write(const std::string& path, OpenMode mode, const FileOptions& options,
                         std::unique_ptr<rocksdb::FSWritableFile>* result) {
    if (Status whole = fuse_->check(); !whole) return to_io(whole);
    auto file = fs_.open(path, mode);
    if (!file) return to_io(file.error());
    *result = std::make_unique<Ours>(std::move(*file), fuse_, options);
    return IOStatus::OK();
  }
  IOStatus open_file(const std::string& path, OpenMode mode, const FileOptions& options,
                     std::unique_ptr<rocksdb::FSWritableFile>* result) {
    return path.ends_with(".log") ? open_log(path, mode, options, result)
                                  : open_to_write<WritableFile>(path, mode, options, result);
  }
  IOStatus open_log(const std::string& path, OpenMode mode, const FileOptions& options,
                    std::unique_ptr<rocksdb::FSWritableFile>* result) {
    if (!fuse_->burnt()) {
      IOStatus done = open_to_write<LogFile>(path, mode, options, result);
      if (done.ok() || done.IsNoSpace()) return done;
      fuse_->burn(Error(Code::io, "{}", done.ToString()));
    }
    *result = std::make_unique<NoLogFile>(options);
    return IOStatus::OK();
  }
  /// Whether LinkFile() moved `path` away and nobody deleted the name since.
  bool forget_moved(const std::string& path) {
    std::lock_guard lock(moved_mutex_);
    return moved_.erase(path) > 0;
  }
  template <typename Change>
  IOStatus change(Change change) {
    Status done = fuse_->check();
    return to_io(done ? change() : std::move(done));
  }
  template <typename Use>
  IOStatus with_info(const std::string& path, Use use) {
    auto info = fs_.stat(path);
    if (!info) return to_io(info.error());
    use(*info);
    return IOStatus::OK();
  }

  ziwa::FileSystem& fs_;
  FusePtr fuse_;
  std::mutex moved_mutex_;
  std::set<std::string> moved_;  ///< First names of linked files, until RocksDB deletes them.
};

/// RocksDB sleeps for a second after a failed background job, to be gentle to a job that it will
/// retry. Ours are never retried, and closing waits for the sleeper.
class ImpatientClock final : public rocksdb::SystemClockWrapper {
 public:
  using SystemClockWrapper::SystemClockWrapper;
  const char* Name() const override { return "ziwa"; }
  void SleepForMicroseconds(int micros) override {
    SystemClockWrapper::SleepForMicroseconds(std::min(micros, kSleepMaxMicros));
  }

 private:
  static constexpr int kSleepMaxMicros = 5'000;
};

class RocksEnv final : public rocksdb::EnvWrapper {
 public:
  explicit RocksEnv(std::unique_ptr<rocksdb::Env> inner) : EnvWrapper(std::move(inner)) {
    system_clock_ = std::make_shared<ImpatientClock>(system_clock_);
  }
  const char* Name() const override { return "ziwa"; }
};

}  // namespace

void WriteFuse::blow(const Error& error) {
  std::lock_guard lock(mutex_);
  if (!failure_) failure_ = error;
}

void WriteFuse::burn(const Error& error) {
  std::lock_guard lock(mutex_);
  if (!burnt_) failure_ = error;
  burnt_ = true;
}

bool WriteFuse::burnt() const {
  std::lock_guard lock(mutex_);
  return burnt_;
}

bool WriteFuse::mend() {
  std::lock_guard lock(mutex_);
  if (failure_ && (burnt_ || failure_->code() != Code::exhausted)) return false;
  failure_.reset();
  return true;
}

Status WriteFuse::check() const {
  std::lock_guard lock(mutex_);
  if (!failure_) return {};
  Code code = failure_->code() == Code::maybe_applied ? Code::unavailable : failure_->code();
  Error error(code, "writing stopped after a failure: {}", failure_->message());
  if (failure_->cause()) error = std::move(error).because(*failure_->cause());
  return std::move(error).with_hint("free disk space or mend the disk, then restart the server");
}

std::unique_ptr<rocksdb::Env> make_rocks_env(FileSystem& fs, std::shared_ptr<WriteFuse> fuse) {
  auto file_system = std::make_shared<RocksFileSystem>(fs, std::move(fuse));
  return std::make_unique<RocksEnv>(rocksdb::NewCompositeEnv(file_system));
}

}  // namespace ziwa::state
