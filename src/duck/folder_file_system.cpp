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

std::string resolve(duckdb::DatabaseInstance& database, const std::string& folder,
                    const std::string& path) {
  auto& files = unchecked(database);
  std::string absolute = path.starts_with('/') ? path : join_path(folder, path);
  std::string real = files.CanonicalizePath(absolute);
  std::string inside = files.CanonicalizePath(folder);
  if (!inside.ends_with('/')) inside += '/';
  bool allowed = real.starts_with(inside) || real + "/" == inside ||
                 duckdb::DBConfig::GetConfig(database).CanAccessFile(
                     absolute, duckdb::FileType::FILE_TYPE_REGULAR);
  if (!allowed) {
    throw_error(
        Error(Code::permission, "file \"{}\" is outside of the project", path)
            .with_hint("put it into the project's folder, or name its folder in the setting "
                       "sql.files"));
  }
  return absolute;
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
    refuse_write(path);
  }
  void RemoveDirectory(const std::string& path, optional_ptr<FileOpener>) override {
    refuse_write(path);
  }
  void MoveFile(const std::string& from, const std::string&, optional_ptr<FileOpener>) override {
    refuse_write(from);
  }
  void RemoveFile(const std::string& path, optional_ptr<FileOpener>) override {
    refuse_write(path);
  }
  bool TryRemoveFile(const std::string& path, optional_ptr<FileOpener>) override {
    refuse_write(path);
  }
  void RemoveFiles(const duckdb::vector<std::string>& paths, optional_ptr<FileOpener>) override {
    for (const auto& path : paths) refuse_write(path);
  }
  std::string GetName() const override { return "ZiwaFolderFileSystem"; }

 protected:
  duckdb::unique_ptr<duckdb::FileHandle> OpenFileExtended(const duckdb::OpenFileInfo& file,
                                                          FileOpenFlags flags,
                                                          optional_ptr<FileOpener>) override {
    if (flags.OpenForWriting()) refuse_write(file.path);
    duckdb::OpenFileInfo inside = file;
    inside.path = resolved(file.path);
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
