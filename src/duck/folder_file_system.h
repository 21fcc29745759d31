#pragma once

#include "base/result.h"
#include "duck/duckdb.h"

#include <string>

namespace ziwa::duck {

/// What a connection of Instance::connect_within() reads files through: the instance's own file
/// system, limited to `folder` and the allowed directories. Refuses every write. `context` owns it.
duckdb::unique_ptr<duckdb::FileSystem> make_folder_file_system(duckdb::ClientContext& context,
                                                               const std::string& folder);

/// See Instance::readable_path().
Result<std::string> folder_path(duckdb::DatabaseInstance& database, const std::string& folder,
                                const std::string& path);

}  // namespace ziwa::duck
