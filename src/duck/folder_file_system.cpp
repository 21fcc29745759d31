#include "duck/folder_file_system.h"

#include "duck/file_system.h"
#include "duck/instance.h"

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

/// `folder` may be empty: then only the allowed directories count.
std::string resolve(duckdb::DatabaseInstance& database, const std::string& folder,
                    const std::string& path) {
  auto& files = unchecked(database);
  auto& config = duckdb::DBConfig::GetConfig(database);
  std::string absolute = folder.empty() || path.starts_with('/') ? path : join_path(folder, path);
  std::string real = files.CanonicalizePath(absolute);
  // DuckDB allows its own directory for spilling to everybody: there lies what others have spilt.
  bool allowed = !is_inside(files, real, config.options.temporary_directory) &&
                 (is_inside(files, real, folder) ||
                  config.CanAccessFile(absolute, duckdb::FileType::FILE_TYPE_REGULAR));
  if (allowed) return absolute;
  if (folder.empty()) {
    throw_error(Error(Code::permission, "file \"{}\" is outside of the allowed folders", path)
                    .with_hint("name its folder in the setting sql.files"));
  }
  throw_error(Error(Code::permission, "file \"{}\" is outside of the project", path)
                  .with_hint("put it into the project's folder, or name its folder in the setting "
                             "sql.files"));
}

[[noreturn]] void refuse_write(const std::string& path) {
  throw_error(Error(Code::permission, "a project writes no files: \"{}\"", path));
}

class FolderFileSystem final : public duckdb::OpenerFileSystem {
 public:
  FolderFileSystem(duckdb::ClientContext& context, std::string folder)
      : context_(context), database_(*context.db), folder_(std::move(folder)) {}

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
    return GetFileSystem().Glob(resolved(path), opener().get());
  }

  void CreateDirectory(const std::string& path, optional_ptr<FileOpener>) override {
    GetFileSystem().CreateDirectory(written(path), opener());
  }
  void RemoveDirectory(const std::string& path, optional_ptr<FileOpener>) override {
    GetFileSystem().RemoveDirectory(written(path), opener());
  }
  void MoveFile(const std::string& from, const std::string& to, optional_ptr<FileOpener>) override {
    GetFileSystem().MoveFile(written(from), written(to), opener());
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
    return GetFileSystem().Glob(resolved(path), input, opener());
  }

 private:
  std::string resolved(const std::string& path) const { return resolve(database_, folder_, path); }
  std::string written(const std::string& path) const {
    if (!folder_.empty()) refuse_write(path);
    return resolved(path);
  }

  /// The connection's, for what the instance's file systems look up by it.
  optional_ptr<FileOpener> opener() const {
    return duckdb::ClientData::Get(context_).file_opener.get();
  }

  duckdb::ClientContext& context_;
  duckdb::DatabaseInstance& database_;
  const std::string folder_;
};

}  // namespace

duckdb::unique_ptr<duckdb::FileSystem> make_folder_file_system(duckdb::ClientContext& context,
                                                               const std::string& folder) {
  return duckdb::make_uniq<FolderFileSystem>(context, folder);
}

Result<std::string> folder_path(duckdb::DatabaseInstance& database, const std::string& folder,
                                const std::string& path) {
  return guarded([&] { return resolve(database, folder, path); });
}

}  // namespace ziwa::duck
