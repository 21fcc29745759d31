#pragma once

#include "base/file.h"
#include "base/ids.h"
#include "base/result.h"

#include <set>
#include <string>

namespace ziwa::log {

/// Which topics the folder of a log has, durably: one that the catalog knows, is listed and not
/// there was lost. A topic is listed once the catalog has it, and until it is gone. What a sick
/// disk does not take is written with the next change, at the latest by the next start: a list that
/// is behind accuses nobody. One thread at a time.
class TopicList {
 public:
  TopicList(FileSystem& fs, std::string path) : fs_(fs), path_(std::move(path)) {}
  /// The folder of an older program has no list: none is listed. Errors: corrupt; unsupported (a
  /// newer format).
  Status load();
  const std::set<ObjectId>& topics() const { return topics_; }
  void add(ObjectId id);
  void remove(ObjectId id);
  void replace(std::set<ObjectId> topics);

 private:
  Error damaged(std::string_view why) const;
  void write();

  FileSystem& fs_;
  const std::string path_;
  std::set<ObjectId> topics_;
  std::set<ObjectId> written_;
};

}  // namespace ziwa::log
