#include "base/file.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace ziwa {
namespace {

/// Owns a file descriptor.
class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&&) = delete;
  int get() const { return fd_; }
  bool ok() const { return fd_ >= 0; }

 private:
  int fd_;
};

Error failed(std::string_view call, const std::string& path) {
  return errno_error(errno, fmt::format("{} {}", call, path));
}

class PosixFile final : public File {
 public:
  PosixFile(Descriptor descriptor, std::string path)
      : descriptor_(std::move(descriptor)), path_(std::move(path)) {}

  Result<size_t> read_at(uint64_t position, std::span<std::byte> into) const override {
    size_t done = 0;
    while (done < into.size()) {
      ssize_t got = ::pread(descriptor_.get(), into.data() + done, into.size() - done,
                            static_cast<off_t>(position + done));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return failed("read", path_);
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

  Status write_at(uint64_t position, ByteView bytes) override {
    size_t done = 0;
    while (done < bytes.size()) {
      ssize_t put = ::pwrite(descriptor_.get(), bytes.data() + done, bytes.size() - done,
                             static_cast<off_t>(position + done));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return failed("write", path_);
      done += static_cast<size_t>(put);
    }
    return {};
  }

  Status append(ByteView bytes) override { return write_at(size(), bytes); }

  Status sync() override {
    if (::fdatasync(descriptor_.get()) != 0) return failed("sync", path_);
    return {};
  }

  Status truncate(uint64_t size) override {
    if (::ftruncate(descriptor_.get(), static_cast<off_t>(size)) != 0) {
      return failed("truncate", path_);
    }
    return {};
  }

  uint64_t size() const override {
    struct ::stat info{};
    // fstat of an open descriptor fails only for a bad descriptor, which would be a bug of ours.
    CHECK(::fstat(descriptor_.get(), &info) == 0, "fstat {}", path_);
    return static_cast<uint64_t>(info.st_size);
  }

  const std::string& path() const override { return path_; }
  int fd() const { return descriptor_.get(); }

 private:
  Descriptor descriptor_;
  std::string path_;
};

int open_flags(OpenMode mode) {
  switch (mode) {
    case OpenMode::read:
      return O_RDONLY;
    case OpenMode::read_write:
      return O_RDWR;
    case OpenMode::create:
      return O_RDWR | O_CREAT;
    case OpenMode::create_new:
      return O_RDWR | O_CREAT | O_EXCL;
    case OpenMode::truncate:
      return O_RDWR | O_CREAT | O_TRUNC;
  }
  return O_RDONLY;
}

Result<Descriptor> open_descriptor(const std::string& path, int flags) {
  Descriptor descriptor(::open(path.c_str(), flags | O_CLOEXEC, 0644));
  if (!descriptor.ok()) return failed("open", path);
  return descriptor;
}

FileInfo to_info(std::string name, const struct ::stat& info) {
  return {std::move(name), static_cast<uint64_t>(info.st_size),
          info.st_mtim.tv_sec * 1000 + info.st_mtim.tv_nsec / 1'000'000, S_ISDIR(info.st_mode)};
}

Status remove_tree(const std::string& path);

Status remove_children(const std::string& path) {
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return failed("open", path);
  std::vector<std::string> names;
  while (dirent* entry = ::readdir(directory)) {
    std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(std::move(name));
  }
  ::closedir(directory);
  for (const auto& name : names) TRY(remove_tree(join_path(path, name)));
  return {};
}

Status remove_tree(const std::string& path) {
  struct ::stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return failed("stat", path);
  }
  if (!S_ISDIR(info.st_mode)) {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return failed("remove", path);
    return {};
  }
  TRY(remove_children(path));
  if (::rmdir(path.c_str()) != 0 && errno != ENOENT) return failed("remove", path);
  return {};
}

/// "process 1234 (ziwa)" from the number that the holder of a lock wrote into the file.
std::string lock_owner(const PosixFile& file) {
  std::array<std::byte, 32> raw{};
  auto got = file.read_at(0, raw);
  if (!got || *got == 0) return "another process";
  long number = std::strtol(std::string(as_text({raw.data(), *got})).c_str(), nullptr, 10);
  if (number <= 0) return "another process";
  std::array<std::byte, 64> name{};
  auto comm = open_descriptor(fmt::format("/proc/{}/comm", number), O_RDONLY);
  if (!comm) return fmt::format("process {}", number);
  ssize_t size = ::read(comm->get(), name.data(), name.size());
  if (size <= 1) return fmt::format("process {}", number);
  return fmt::format("process {} ({})", number,
                     as_text({name.data(), static_cast<size_t>(size) - 1}));
}

class PosixFileSystem final : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override {
    // Opening a pipe would wait for its other end, for ever perhaps.
    Descriptor descriptor = TRY(open_descriptor(path, open_flags(mode) | O_NONBLOCK));
    struct ::stat info{};
    CHECK(::fstat(descriptor.get(), &info) == 0, "fstat {}", path);
    if (S_ISFIFO(info.st_mode) || S_ISSOCK(info.st_mode) || S_ISCHR(info.st_mode) ||
        S_ISBLK(info.st_mode)) {
      return Error(Code::invalid_argument, "\"{}\" is a pipe or a device, not a file", path);
    }
    return std::make_unique<PosixFile>(std::move(descriptor), path);
  }

  Status make_dirs(const std::string& path) override {
    if (::mkdir(path.c_str(), 0755) == 0) return {};
    if (errno == ENOENT && parent_path(path) != path) {
      TRY(make_dirs(parent_path(path)));
      if (::mkdir(path.c_str(), 0755) == 0) return {};
    }
    int reason = errno;
    struct ::stat info{};
    if (reason == EEXIST && ::stat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode)) return {};
    return errno_error(reason, fmt::format("make directory {}", path));
  }

  Status rename(const std::string& from, const std::string& to) override {
    if (::rename(from.c_str(), to.c_str()) != 0) return failed("rename", from);
    return {};
  }

  Status rename_new(const std::string& from, const std::string& to) override {
    if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return {};
    if (errno != EINVAL && errno != ENOSYS) return failed("rename to", to);
    // File systems without RENAME_NOREPLACE: a hard link fails when the name is taken.
    if (::link(from.c_str(), to.c_str()) != 0) return failed("rename to", to);
    if (::unlink(from.c_str()) != 0) return failed("remove", from);
    return {};
  }

  Status remove(const std::string& path) override {
    if (::remove(path.c_str()) != 0) return failed("remove", path);
    return {};
  }

  Status remove_all(const std::string& path) override { return remove_tree(path); }

  Status sync_dir(const std::string& path) override {
    Descriptor directory = TRY(open_descriptor(path, O_RDONLY | O_DIRECTORY));
    if (::fsync(directory.get()) != 0) return failed("sync directory", path);
    return {};
  }

  Status sync_all(const std::string& path) override {
    Descriptor any = TRY(open_descriptor(path, O_RDONLY));
    if (::syncfs(any.get()) != 0) return failed("sync file system of", path);
    return {};
  }

  Result<std::vector<FileInfo>> list(const std::string& path) override {
    DIR* directory = ::opendir(path.c_str());
    if (directory == nullptr) return failed("list", path);
    std::vector<FileInfo> entries;
    while (dirent* entry = ::readdir(directory)) {
      std::string name = entry->d_name;
      struct ::stat info{};
      if (name == "." || name == "..") continue;
      // An entry that vanished meanwhile is no entry.
      if (::fstatat(::dirfd(directory), entry->d_name, &info, 0) != 0) continue;
      entries.push_back(to_info(std::move(name), info));
    }
    ::closedir(directory);
    return entries;
  }

  Result<FileInfo> stat(const std::string& path) override {
    struct ::stat info{};
    if (::stat(path.c_str(), &info) != 0) return failed("stat", path);
    return to_info(path.substr(path.rfind('/') + 1), info);
  }

  bool exists(const std::string& path) override { return ::access(path.c_str(), F_OK) == 0; }

  Result<std::unique_ptr<File>> lock(const std::string& path) override {
    auto file = std::make_unique<PosixFile>(TRY(open_descriptor(path, O_RDWR | O_CREAT)), path);
    if (::flock(file->fd(), LOCK_EX | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK) return failed("lock", path);
      return Error(Code::conflict, "{} is in use by {}", parent_path(path), lock_owner(*file))
          .with_hint("stop that process, or use another directory");
    }
    TRY(file->truncate(0));
    TRY(file->write_at(0, as_bytes(fmt::format("{}\n", ::getpid()))));
    return file;
  }

  Result<uint64_t> free_bytes(const std::string& path) override {
    struct ::statvfs info{};
    if (::statvfs(path.c_str(), &info) != 0) return failed("stat file system of", path);
    return static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  }
};

}  // namespace

FileSystem& posix_file_system() {
  static PosixFileSystem instance;
  return instance;
}

Result<Bytes> read_file(FileSystem& fs, const std::string& path, uint64_t limit) {
  auto file = TRY(fs.open(path, OpenMode::read));
  uint64_t size = file->size();
  if (size > limit) {
    return Error(Code::exhausted, "{} has {} bytes, more than the limit of {}", path, size, limit);
  }
  Bytes content(size);
  size_t got = TRY(file->read_at(0, content));
  content.resize(got);
  return content;
}

Status write_file_atomically(FileSystem& fs, const std::string& path, ByteView content) {
  std::string temporary = path + ".tmp";
  {
    auto file = TRY(fs.open(temporary, OpenMode::truncate));
    TRY(file->append(content));
    TRY(file->sync());
  }
  TRY(fs.rename(temporary, path));
  return fs.sync_dir(parent_path(path));
}

Status make_dirs_durably(FileSystem& fs, const std::string& path) {
  std::string parent = parent_path(path);
  // One that exists may be known to the page cache alone: whoever made it may have died before the
  // sync.
  if (fs.exists(path)) {
    TRY(fs.make_dirs(path));
    return fs.sync_dir(parent);
  }
  if (parent != path) TRY(make_dirs_durably(fs, parent));
  TRY(fs.make_dirs(path));
  return fs.sync_dir(parent);
}

std::string join_path(std::string_view directory, std::string_view name) {
  if (directory.empty()) return std::string(name);
  std::string path(directory);
  if (path.back() != '/') path += '/';
  return path += name;
}

std::string parent_path(std::string_view path) {
  while (path.size() > 1 && path.back() == '/') path.remove_suffix(1);
  size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  if (slash == 0) return "/";
  return std::string(path.substr(0, slash));
}

}  // namespace ziwa
