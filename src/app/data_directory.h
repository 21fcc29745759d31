#pragma once

#include "base/file.h"
#include "base/result.h"

#include <memory>
#include <string>

namespace ziwa::app {

/// The format of the whole data directory; a newer one is refused by name. Each part has its own
/// format besides.
inline constexpr int kDataFormat = 1;

/// A data directory that this process owns: locked for the life of the object, of a format we know.
class DataDirectory {
 public:
  /// Makes the directory if it is not there. Errors: conflict (another process has it; named),
  /// unsupported (written by a newer Ziwa), invalid_argument (a directory with other things in it),
  /// io.
  static Result<DataDirectory> open(FileSystem& fs, const std::string& path);
  /// Errors: corrupt, when the folder of this part ("meta") is one of another data directory, or is
  /// another part. A folder that says nothing, or is not there, is taken for what it should be.
  Status check_owner(FileSystem& fs, std::string_view part) const;
  /// Writes into the folder of a part, if it says nothing, that it is one of this directory's.
  Status own(FileSystem& fs, std::string_view part) const;
  const std::string& path() const { return path_; }
  std::string below(std::string_view name) const { return join_path(path_, name); }

 private:
  DataDirectory() = default;
  /// What the folder of a part says of itself.
  Result<std::string> owner_of(FileSystem& fs, std::string_view part) const;
  std::string path_;
  std::string id_;  ///< Random; none in directories of older programs.
  std::unique_ptr<File> lock_;
};

}  // namespace ziwa::app
