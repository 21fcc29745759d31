#pragma once

#include "base/file.h"
#include "base/result.h"

#include <string>
#include <vector>

namespace ziwa::sql {

/// One statement of a project and where it stands.
struct ProjectStatement {
  std::string file;  ///< Relative to the project.
  size_t line = 0;   ///< From 1.
  std::string text;  ///< Without the semicolon.
};

/// A folder with `ziwa.yaml` and `*.sql`, read.
struct ProjectFiles {
  std::string name;       ///< `name` in ziwa.yaml: letters, digits, "_" and "-".
  std::string directory;  ///< Where it lies; file functions of its statements are relative to it.
  std::vector<ProjectStatement> statements;  ///< By file name, then as written.
};

/// Bytes of one file, and files of one project, at most.
inline constexpr uint64_t kProjectFileBytesMax = 16u << 20;
inline constexpr size_t kProjectFilesMax = 10'000;

/// Reads ziwa.yaml and every *.sql of the folder and the folders below it (hidden ones and `data`
/// left out). Errors: not_found (no ziwa.yaml), invalid_argument naming file and line (unknown key,
/// no name), exhausted.
Result<ProjectFiles> read_project(FileSystem& fs, const std::string& directory);

}  // namespace ziwa::sql
