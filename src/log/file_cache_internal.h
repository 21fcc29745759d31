#pragma once

#include "base/file.h"
#include "base/result.h"

#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>

namespace ziwa::log {

/// Open files of closed segments, the least recently used closed first, so that a long log does not
/// run out of handles. Any thread; open() may block.
class FileCache {
 public:
  FileCache(FileSystem& fs, size_t files_max) : fs_(fs), files_max_(files_max) {}
  Result<std::shared_ptr<File>> open(const std::string& path);
  /// Forgets a file that was removed.
  void erase(const std::string& path);

 private:
  using Uses = std::list<std::pair<std::string, std::shared_ptr<File>>>;
  FileSystem& fs_;
  const size_t files_max_;
  std::mutex mutex_;
  Uses uses_;  ///< Most recent first.
  std::unordered_map<std::string, Uses::iterator> by_path_;
};

}  // namespace ziwa::log
