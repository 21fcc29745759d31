#pragma once

#include "base/result.h"
#include "duck/duckdb.h"

#include <string>

namespace ziwa::duck {

/// What statements of users see of the instance's file system: `folder`, of which they write
/// nothing, and the allowed directories; without a `folder` those alone, to read and write.
/// `context` owns it.
duckdb::unique_ptr<duckdb::FileSystem> make_folder_file_system(duckdb::ClientContext& context,
                                                               const std::string& folder);

/// See Instance::readable_path().
Result<std::string> folder_path(duckdb::DatabaseInstance& database, const std::string& folder,
                                const std::string& path);

}  // namespace ziwa::duck
