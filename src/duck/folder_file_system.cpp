#include "duck/folder_file_system.h"

#include "base/file.h"
#include "duck/file_system.h"
#include "duck/instance.h"

#include <duckdb/common/multi_file/multi_file_list.hpp>
#include <duckdb/common/opener_file_system.hpp>
#include <duckdb/main/client_data.hpp>
#include <duckdb/main/config.hpp>

namespace ziwa::duck {
namespace {

using duckdb::FileOpener;
using duckdb::FileOpenFlags;
using duckdb::optional_ptr;

/// The instance's file system without the checks that its configuration asks for.
duckdb::FileSystem& unchecked(duckdb::DatabaseInstance& database) {
  return *duckdb::DBConfig::GetConfig(database).file_system;
}

bool is_inside(duckdb::FileSystem& files, const std::string& real, const std::string& folder) {
  if (folder.empty()) return false;
  std::string inside = files.CanonicalizePath(folder);
  if (!inside.ends_with('/')) inside += '/';
  return real.starts_with(inside) || real + "/" == inside;
}

Error own_error(const std::string& path) {
  return Error(Code::permission, "file \"{}\" is in the data directory of this server", path)
      .with_hint(
          "statements read no files there and write none, whatever folder holds it: name the "
          "table, "
          "topic or view instead, or a file elsewhere");
}

/// Relative to the project's folder, if there is one.
std::string absolute_path(const FolderLimits& limits, const std::string& path) {
  return limits.folder.empty() || path.starts_with('/') ? path : join_path(limits.folder, path);
}

/// Errors: permission, where statements may not look; they say `path`.
Status check(duckdb::DatabaseInstance& database, const FolderLimits& limits,
             const std::string& absolute, const std::string& path) {
  auto& files = unchecked(database);
  const std::string& folder = limits.folder;
  auto& config = duckdb::DBConfig::GetConfig(database);
  std::string real = files.CanonicalizePath(absolute);
  if (is_inside(files, real, limits.own_directory)) return own_error(path);
  // DuckDB allows its own directory for spilling to everybody: there lies what others have spilt.
  bool allowed = !is_inside(files, real, config.options.temporary_directory) &&
                 (is_inside(files, real, folder) ||
                  config.CanAccessFile(absolute, duckdb::FileType::FILE_TYPE_REGULAR));
  if (allowed) return {};
  if (folder.empty()) {
    return Error(Code::permission, "file \"{}\" is outside of the allowed folders", path)
        .with_hint("name its folder in the setting sql.files");
  }
  return Error(Code::permission, "file \"{}\" is outside of the project", path)
      .with_hint("put it into the project's folder, or name its folder in the setting sql.files");
}

std::string resolve(duckdb::DatabaseInstance& database, const FolderLimits& limits,
                    const std::string& path) {
  std::string absolute = absolute_path(limits, path);
  if (Status allowed = check(database, limits, absolute, path); !allowed)
    throw_error(std::move(allowed).error());
  return absolute;
}

[[noreturn]] void refuse_write(const std::string& path) {
  throw_error(Error(Code::permission, "a project writes no files: \"{}\"", path));
}

class FolderFileSystem final : public duckdb::OpenerFileSystem {
 public:
  FolderFileSystem(duckdb::ClientContext& context, FolderLimits limits)
      : context_(context), database_(*context.db), limits_(std::move(limits)) {}

  duckdb::FileSystem& GetFileSystem() const override { return unchecked(database_); }
  /// None, so that what the base class checks by it is left to us.
  optional_ptr<FileOpener> GetOpener() const override { return nullptr; }

  bool DirectoryExists(const std::string& path, optional_ptr<FileOpener>) override {
    return GetFileSystem().DirectoryExists(resolved(path), opener());
  }
  bool FileExists(const std::string& path, optional_ptr<FileOpener>) override {
    return GetFileSystem().FileExists(resolved(path), opener());
  }
  bool IsPipe(const std::string&, optional_ptr<FileOpener>) override { return false; }
  duckdb::vector<duckdb::OpenFileInfo> Glob(const std::string& path, FileOpener*) override {
    return allowed(path, GetFileSystem().Glob(resolved(path), opener().get()));
  }

  void CreateDirectory(const std::string& path, optional_ptr<FileOpener>) override {
    GetFileSystem().CreateDirectory(written(path), opener());
  }
  void RemoveDirectory(const std::string& path, optional_ptr<FileOpener>) override {
    GetFileSystem().RemoveDirectory(taken(path), opener());
  }
  void MoveFile(const std::string& from, const std::string& to, optional_ptr<FileOpener>) override {
    GetFileSystem().MoveFile(taken(from), taken(to), opener());
  }
  void RemoveFile(const std::string& path, optional_ptr<FileOpener>) override {
    GetFileSystem().RemoveFile(written(path), opener());
  }
  bool TryRemoveFile(const std::string& path, optional_ptr<FileOpener>) override {
    return GetFileSystem().TryRemoveFile(written(path), opener());
  }
  void RemoveFiles(const duckdb::vector<std::string>& paths, optional_ptr<FileOpener>) override {
    for (const auto& path : paths) GetFileSystem().RemoveFile(written(path), opener());
  }
  std::string GetName() const override { return "ZiwaFolderFileSystem"; }

 protected:
  duckdb::unique_ptr<duckdb::FileHandle> OpenFileExtended(const duckdb::OpenFileInfo& file,
                                                          FileOpenFlags flags,
                                                          optional_ptr<FileOpener>) override {
    duckdb::OpenFileInfo inside = file;
    inside.path = flags.OpenForWriting() ? written(file.path) : resolved(file.path);
    return GetFileSystem().OpenFile(inside, flags, opener());
  }
  bool ListFilesExtended(const std::string& directory,
                         const std::function<void(duckdb::OpenFileInfo&)>& callback,
                         optional_ptr<FileOpener>) override {
    return GetFileSystem().ListFiles(resolved(directory), callback, opener().get());
  }
  duckdb::unique_ptr<duckdb::MultiFileList> GlobFilesExtended(const std::string& path,
                                                              const duckdb::FileGlobInput& input,
                                                              optional_ptr<FileOpener>) override {
    auto found = GetFileSystem().Glob(resolved(path), input, opener());
    return duckdb::make_uniq<duckdb::SimpleMultiFileList>(allowed(path, found->GetAllFiles()));
  }

 private:
  std::string resolved(const std::string& path) const { return resolve(database_, limits_, path); }
  std::string written(const std::string& path) const {
    if (!limits_.folder.empty()) refuse_write(path);
    return resolved(path);
  }
  /// As written(), for what takes along all that is below.
  std::string taken(const std::string& path) const {
    std::string absolute = written(path);
    const std::string& own = limits_.own_directory;
    auto& files = GetFileSystem();
    if (!own.empty() && is_inside(files, files.CanonicalizePath(own), absolute))
      throw_error(own_error(path));
    return absolute;
  }

  /// What a pattern found, less what is the server's and what lies behind links that lead out of
  /// the allowed folders. Errors: permission, when nothing else is left.
  duckdb::vector<duckdb::OpenFileInfo> allowed(const std::string& pattern,
                                               duckdb::vector<duckdb::OpenFileInfo> found) const {
    std::string last;  // Neighbours mostly lie in one directory.
    Status of_last;
    Status refused;
    auto is_refused = [&](const duckdb::OpenFileInfo& file) {
      std::string directory = parent_path(file.path);
      if (last != directory) {
        of_last = check(database_, limits_, join_path(directory, "-"), pattern);
        last = std::move(directory);
      }
      // A file may be allowed by itself. A link is listed where it is, wherever it leads.
      if (of_last || check(database_, limits_, file.path, pattern)) return false;
      refused = of_last;
      return true;
    };
    std::erase_if(found, is_refused);
    if (found.empty() && !refused) throw_error(refused.error());
    return found;
  }

  /// The connection's, for what the instance's file systems look up by it.
  optional_ptr<FileOpener> opener() const {
    return duckdb::ClientData::Get(context_).file_opener.get();
  }

  duckdb::ClientContext& context_;
  duckdb::DatabaseInstance& database_;
  const FolderLimits limits_;
};

}  // namespace

duckdb::unique_ptr<duckdb::FileSystem> make_folder_file_system(duckdb::ClientContext& context,
                                                               FolderLimits limits) {
  return duckdb::make_uniq<FolderFileSystem>(context, std::move(limits));
}

Result<std::string> folder_path(duckdb::DatabaseInstance& database, const FolderLimits& limits,
                                const std::string& path) {
  return guarded([&] { return resolve(database, limits, path); });
}

}  // namespace ziwa::duck
