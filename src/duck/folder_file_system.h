#pragma once

#include "base/result.h"
#include "duck/duckdb.h"

#include <string>

namespace ziwa::duck {

/// What statements of users reach besides the allowed directories, and what never.
struct FolderLimits {
  std::string folder;         ///< They read it and write nothing at all; empty: none.
  std::string own_directory;  ///< Nothing in it is theirs, whatever is allowed; empty: none.
};

/// What statements of users see of the instance's file system: the folder, of which they write
/// nothing, and the allowed directories; without a folder those alone, to read and write. A pattern
/// does not find what is in the own directory, and a path into it is refused. `context` owns it.
duckdb::unique_ptr<duckdb::FileSystem> make_folder_file_system(duckdb::ClientContext& context,
                                                               FolderLimits limits);

/// See Instance::readable_path().
Result<std::string> folder_path(duckdb::DatabaseInstance& database, const FolderLimits& limits,
                                const std::string& path);

}  // namespace ziwa::duck
