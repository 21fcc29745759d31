#include "duck/file_system.h"

#include <duckdb/common/multi_file/multi_file_list.hpp>
#include <duckdb/function/scalar/string_common.hpp>

#include <algorithm>
#include <filesystem>

namespace ziwa::duck {
namespace {

using duckdb::FileOpener;
using duckdb::FileOpenFlags;
using duckdb::idx_t;
using duckdb::optional_ptr;

/// How many entries one glob may visit.
constexpr size_t kGlobEntriesMax = 1'000'000;

template <typename T>
T value_or_throw(Result<T> result) {
  if (!result.has_value()) throw_error(result.error());
  if constexpr (!std::is_void_v<T>) return std::move(*result);
}

struct OpenHandle final : duckdb::FileHandle {
  OpenHandle(duckdb::FileSystem& owner, const std::string& path, FileOpenFlags open_flags,
             std::unique_ptr<File> opened)
      : FileHandle(owner, path, open_flags), file(std::move(opened)) {}
  ~OpenHandle() override = default;
  void Close() override { file.reset(); }

  std::unique_ptr<File> file;
  idx_t position = 0;
};

File& file_of(duckdb::FileHandle& handle) {
  auto& open = handle.Cast<OpenHandle>();
  if (!open.file) throw duckdb::IOException("file \"%s\" is closed", handle.path);
  return *open.file;
}

OpenMode mode_of(const FileOpenFlags& flags) {
  if (!flags.OpenForWriting()) return OpenMode::read;
  if (flags.ExclusiveCreate()) return OpenMode::create_new;
  if (flags.OverwriteExistingFile()) return OpenMode::truncate;
  if (flags.CreateFileIfNotExists() || flags.OpenForAppending()) return OpenMode::create;
  return OpenMode::read_write;
}

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> parts;
  std::string part;
  for (char c : path) {
    if (c != '/') {
      part += c;
    } else if (!part.empty()) {
      parts.push_back(std::exchange(part, {}));
    }
  }
  if (!part.empty()) parts.push_back(part);
  return parts;
}

/// Expands *, ?, [..] and ** over our file layer; results in byte order.
class Globber {
 public:
  Globber(FileSystem& fs, const std::string& pattern) : fs_(fs), parts_(split_path(pattern)) {
    walk(pattern.starts_with('/') ? "/" : "", 0);
    std::sort(found_.begin(), found_.end());
    found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
  }
  const std::vector<std::string>& found() const { return found_; }

 private:
  static std::string join(const std::string& directory, const std::string& name) {
    if (directory.empty() || directory.back() == '/') return directory + name;
    return directory + "/" + name;
  }

  void walk(const std::string& directory, size_t part) {
    const std::string& pattern = parts_[part];
    const bool last = part + 1 == parts_.size();
    if (pattern == "**") {
      crawl(directory, part);
    } else if (!duckdb::FileSystem::HasGlob(pattern)) {
      std::string path = join(directory, pattern);
      if (!last) {
        walk(path, part + 1);
      } else if (auto info = fs_.stat(path); info.has_value() && !info->is_directory) {
        found_.push_back(std::move(path));
      }
    } else {
      for (const FileInfo& entry : entries(directory)) {
        if (!matches(entry.name, pattern)) continue;
        if (last && !entry.is_directory) found_.push_back(join(directory, entry.name));
        if (!last && entry.is_directory) walk(join(directory, entry.name), part + 1);
      }
    }
  }

  /// "**": this directory and everything below it.
  void crawl(const std::string& directory, size_t part) {
    const bool last = part + 1 == parts_.size();
    if (!last) walk(directory, part + 1);
    for (const FileInfo& entry : entries(directory)) {
      if (entry.is_directory) {
        crawl(join(directory, entry.name), part);
      } else if (last) {
        found_.push_back(join(directory, entry.name));
      }
    }
  }

  static bool matches(const std::string& name, const std::string& pattern) {
    if (name.starts_with('.') && !pattern.starts_with('.')) return false;
    return duckdb::Glob(name.data(), name.size(), pattern.data(), pattern.size());
  }

  std::vector<FileInfo> entries(const std::string& directory) {
    auto listed = fs_.list(directory.empty() ? "." : directory);
    if (!listed.has_value()) return {};  // missing, or not a directory: no match
    visited_ += listed->size();
    if (visited_ > kGlobEntriesMax) {
      throw_error(Error(Code::exhausted, "a file pattern visits more than {} directory entries",
                        kGlobEntriesMax));
    }
    return std::move(*listed);
  }

  FileSystem& fs_;
  std::vector<std::string> parts_;
  std::vector<std::string> found_;
  size_t visited_ = 0;
};

/// How many links that lead to nothing one path may have, as in the operating system.
constexpr int kLinksMax = 40;

/// The first link on the way to `path`; empty: none.
std::filesystem::path first_link(const std::filesystem::path& path) {
  std::filesystem::path walked;
  std::error_code ignored;
  for (const auto& part : path) {
    walked /= part;
    if (std::filesystem::is_symlink(walked, ignored)) return walked;
  }
  return {};
}

/// `path` with all links resolved, also those that lead to nothing: what is created by their name
/// is created where they lead. weakly_canonical() leaves these.
std::filesystem::path real_path(std::filesystem::path path, std::error_code& failed) {
  for (int links = 0; links <= kLinksMax; ++links) {
    path = std::filesystem::weakly_canonical(path, failed).lexically_normal();
    if (failed || std::filesystem::exists(path, failed)) return path;
    failed.clear();
    const auto link = first_link(path);
    if (link.empty()) return path;
    auto target = link.parent_path() / std::filesystem::read_symlink(link, failed);
    if (failed) return path;
    const auto rest = path.lexically_relative(link);
    path = rest == "." ? target : target / rest;
  }
  failed = std::make_error_code(std::errc::too_many_symbolic_link_levels);
  return path;
}

class Adapter final : public duckdb::FileSystem {
 public:
  explicit Adapter(ziwa::FileSystem& fs) : fs_(fs) {}

  duckdb::unique_ptr<duckdb::FileHandle> OpenFile(const std::string& path, FileOpenFlags flags,
                                                  optional_ptr<FileOpener> opener) override {
    return open(path, flags, opener);
  }

  void Read(duckdb::FileHandle& handle, void* buffer, int64_t size, idx_t location) override {
    size_t done = read_some(handle, buffer, size, location);
    if (done != static_cast<size_t>(size)) {
      throw_error(Error(Code::corrupt, "file \"{}\" ends at byte {}, wanted {} bytes from byte {}",
                        handle.path, location + done, size, location));
    }
  }
  int64_t Read(duckdb::FileHandle& handle, void* buffer, int64_t size) override {
    auto& position = handle.Cast<OpenHandle>().position;
    size_t done = read_some(handle, buffer, size, position);
    position += done;
    return static_cast<int64_t>(done);
  }
  void Write(duckdb::FileHandle& handle, void* buffer, int64_t size, idx_t location) override {
    ByteView bytes(static_cast<const std::byte*>(buffer), static_cast<size_t>(size));
    value_or_throw(file_of(handle).write_at(location, bytes));
  }
  int64_t Write(duckdb::FileHandle& handle, void* buffer, int64_t size) override {
    auto& position = handle.Cast<OpenHandle>().position;
    Write(handle, buffer, size, position);
    position += static_cast<idx_t>(size);
    return size;
  }
  bool Trim(duckdb::FileHandle&, idx_t, idx_t) override { return false; }

  int64_t GetFileSize(duckdb::FileHandle& handle) override {
    return static_cast<int64_t>(file_of(handle).size());
  }
  duckdb::timestamp_t GetLastModifiedTime(duckdb::FileHandle& handle) override {
    FileInfo info = value_or_throw(fs_.stat(file_of(handle).path()));
    return duckdb::timestamp_t(info.modified_ms * 1000);
  }
  std::string GetVersionTag(duckdb::FileHandle&) override { return {}; }
  duckdb::FileType GetFileType(duckdb::FileHandle&) override {
    return duckdb::FileType::FILE_TYPE_REGULAR;
  }
  duckdb::FileMetadata Stats(duckdb::FileHandle& handle) override {
    duckdb::FileMetadata metadata;
    metadata.file_size = GetFileSize(handle);
    metadata.last_modification_time = GetLastModifiedTime(handle);
    metadata.file_type = duckdb::FileType::FILE_TYPE_REGULAR;
    return metadata;
  }
  void Truncate(duckdb::FileHandle& handle, int64_t size) override {
    value_or_throw(file_of(handle).truncate(static_cast<uint64_t>(size)));
  }
  void FileSync(duckdb::FileHandle& handle) override { value_or_throw(file_of(handle).sync()); }

  bool DirectoryExists(const std::string& path, optional_ptr<FileOpener>) override {
    auto info = fs_.stat(path);
    return info.has_value() && info->is_directory;
  }
  void CreateDirectory(const std::string& path, optional_ptr<FileOpener>) override {
    value_or_throw(fs_.make_dirs(path));
  }
  void RemoveDirectory(const std::string& path, optional_ptr<FileOpener>) override {
    value_or_throw(fs_.remove_all(path));
  }
  void MoveFile(const std::string& from, const std::string& to, optional_ptr<FileOpener>) override {
    value_or_throw(fs_.rename(from, to));
  }
  bool FileExists(const std::string& path, optional_ptr<FileOpener>) override {
    auto info = fs_.stat(path);
    return info.has_value() && !info->is_directory;
  }
  bool IsPipe(const std::string&, optional_ptr<FileOpener>) override { return false; }
  void RemoveFile(const std::string& path, optional_ptr<FileOpener>) override {
    value_or_throw(fs_.remove(path));
  }
  bool TryRemoveFile(const std::string& path, optional_ptr<FileOpener>) override {
    auto removed = fs_.remove(path);
    if (removed.has_value()) return true;
    if (removed.error().code() == Code::not_found) return false;
    throw_error(removed.error());
  }

  void Seek(duckdb::FileHandle& handle, idx_t location) override {
    handle.Cast<OpenHandle>().position = location;
  }
  void Reset(duckdb::FileHandle& handle) override { Seek(handle, 0); }
  idx_t SeekPosition(duckdb::FileHandle& handle) override {
    return handle.Cast<OpenHandle>().position;
  }
  bool CanSeek() override { return true; }
  bool OnDiskFile(duckdb::FileHandle&) override { return true; }
  bool CanHandleFile(const std::string&) override { return false; }
  std::string GetName() const override { return "ZiwaFileSystem"; }
  std::string PathSeparator(const std::string&) override { return "/"; }
  std::string CanonicalizePath(const std::string& path, optional_ptr<FileOpener>) override {
    std::error_code failed;
    auto real = real_path(std::filesystem::absolute(path, failed), failed);
    if (failed)
      throw duckdb::IOException("path \"%s\" cannot be resolved: %s", path, failed.message());
    return real.string();
  }

 protected:
  duckdb::unique_ptr<duckdb::FileHandle> OpenFileExtended(
      const duckdb::OpenFileInfo& file, FileOpenFlags flags,
      optional_ptr<FileOpener> opener) override {
    return open(file.path, flags, opener);
  }
  bool SupportsOpenFileExtended() const override { return true; }
  bool ListFilesExtended(const std::string& directory,
                         const std::function<void(duckdb::OpenFileInfo&)>& callback,
                         optional_ptr<FileOpener>) override {
    auto entries = fs_.list(directory);
    if (!entries.has_value()) return false;
    std::sort(entries->begin(), entries->end(), [](auto& a, auto& b) { return a.name < b.name; });
    for (const FileInfo& entry : *entries) {
      duckdb::OpenFileInfo info(entry.name);
      info.extended_info = duckdb::make_shared_ptr<duckdb::ExtendedOpenFileInfo>();
      info.extended_info->options["type"] =
          duckdb::Value(entry.is_directory ? "directory" : "file");
      callback(info);
    }
    return true;
  }
  bool SupportsListFilesExtended() const override { return true; }
  duckdb::unique_ptr<duckdb::MultiFileList> GlobFilesExtended(const std::string& path,
                                                              const duckdb::FileGlobInput&,
                                                              optional_ptr<FileOpener>) override {
    duckdb::vector<duckdb::OpenFileInfo> files;
    if (!path.empty()) {
      for (const std::string& found : Globber(fs_, path).found()) files.emplace_back(found);
    }
    return duckdb::make_uniq<duckdb::SimpleMultiFileList>(std::move(files));
  }
  bool SupportsGlobExtended() const override { return true; }

 private:
  duckdb::unique_ptr<duckdb::FileHandle> open(const std::string& path, FileOpenFlags flags,
                                              optional_ptr<FileOpener>) {
    auto info = fs_.stat(path);
    if (info.has_value() && info->is_directory)
      throw duckdb::IOException("\"%s\" is a directory", path);
    auto file = fs_.open(path, mode_of(flags));
    if (!file.has_value()) {
      Code code = file.error().code();
      if (code == Code::not_found && flags.ReturnNullIfNotExists()) return nullptr;
      if (code == Code::already_exists && flags.ReturnNullIfExists()) return nullptr;
      throw_error(file.error());
    }
    auto handle = duckdb::make_uniq<OpenHandle>(*this, path, flags, std::move(*file));
    if (flags.OpenForAppending()) handle->position = handle->file->size();
    return handle;
  }
  static size_t read_some(duckdb::FileHandle& handle, void* buffer, int64_t size, idx_t location) {
    std::span<std::byte> into(static_cast<std::byte*>(buffer), static_cast<size_t>(size));
    return value_or_throw(file_of(handle).read_at(location, into));
  }

  ziwa::FileSystem& fs_;
};

}  // namespace

duckdb::unique_ptr<duckdb::FileSystem> make_file_system(FileSystem& fs) {
  return duckdb::make_uniq<Adapter>(fs);
}

}  // namespace ziwa::duck
