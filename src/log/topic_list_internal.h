#pragma once

#include "base/file.h"
#include "base/ids.h"
#include "base/result.h"

#include <set>
#include <string>

namespace ziwa::log {

/// Which topics the folder of a log has, durably: one that the catalog knows, is listed and not
/// there was lost. A topic is listed once it is whole, and until it is gone. One thread at a time.
class TopicList {
 public:
  TopicList(FileSystem& fs, std::string path) : fs_(fs), path_(std::move(path)) {}
  /// The folder of an older program has no list: none is listed. Errors: corrupt; unsupported (a
  /// newer format).
  Status load();
  const std::set<ObjectId>& topics() const { return topics_; }
  /// Errors: io; nothing has changed.
  Status add(ObjectId id);
  Status remove(ObjectId id);
  Status replace(std::set<ObjectId> topics);

 private:
  Error damaged(std::string_view why) const;

  FileSystem& fs_;
  const std::string path_;
  std::set<ObjectId> topics_;
};

}  // namespace ziwa::log
