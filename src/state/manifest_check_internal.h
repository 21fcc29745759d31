#pragma once

#include "base/file.h"

#include <memory>
#include <string>

namespace ziwa::state {

/// What is known to be durable of one manifest of RocksDB: how long it is, and the checksum of that
/// much. RocksDB takes a damaged record for the torn end of a manifest, and goes on without what
/// follows; yet the logs that held it are gone. Kept beside the manifest, in `<manifest>.check`
/// (docs/formats/state-store.md). One thread.
class ManifestCheck {
 public:
  /// Of a new manifest.
  static Result<ManifestCheck> create(FileSystem& fs, const std::string& manifest);
  /// These bytes were written behind those before.
  void add(ByteView written);
  /// All that was written is durable. Not synced: an older note speaks of less, but of nothing that
  /// is not there.
  void note();

 private:
  explicit ManifestCheck(std::unique_ptr<File> file) : file_(std::move(file)) {}
  std::unique_ptr<File> file_;
  uint64_t number_ = 0;  ///< Of notes.
  uint64_t bytes_ = 0;
  uint32_t crc_ = 0;
};

/// `path` of the file that belongs to `manifest`.
std::string manifest_check_path(const std::string& manifest);

/// Compares the manifest that CURRENT of `directory` names with what is noted of it. Without notes,
/// or without a manifest, there is nothing to compare. Errors: corrupt.
Status check_manifest(FileSystem& fs, const std::string& directory);

}  // namespace ziwa::state
