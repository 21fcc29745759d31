#include "log/file_cache_internal.h"

namespace ziwa::log {

Result<std::shared_ptr<File>> FileCache::open(const std::string& path) {
  {
    std::lock_guard lock(mutex_);
    if (auto found = by_path_.find(path); found != by_path_.end()) {
      uses_.splice(uses_.begin(), uses_, found->second);
      return found->second->second;
    }
  }
  std::shared_ptr<File> file = TRY(fs_.open(path, OpenMode::read));
  std::lock_guard lock(mutex_);
  if (auto found = by_path_.find(path); found != by_path_.end()) return found->second->second;
  uses_.emplace_front(path, file);
  by_path_[path] = uses_.begin();
  if (uses_.size() > files_max_) {
    by_path_.erase(uses_.back().first);
    uses_.pop_back();
  }
  return file;
}

void FileCache::erase(const std::string& path) {
  std::lock_guard lock(mutex_);
  auto found = by_path_.find(path);
  if (found == by_path_.end()) return;
  uses_.erase(found->second);
  by_path_.erase(found);
}

}  // namespace ziwa::log
