#pragma once

#include "lake/snapshot_internal.h"

namespace ziwa::lake {

/// One round of Table::clean(): what is there is looked up first, then what is needed, then things
/// go. One thread.
class CleanUpRound {
 public:
  /// Lists everything in the table's folder.
  static Result<CleanUpRound> begin(const TableContextPtr& context);
  /// `now`: the newest version, looked up after `needs` were asked for.
  Status clean_log(const Snapshot& now, const Needs& needs);
  Status clean_data(const Snapshot& now, const Needs& needs);

  const Cleaned& cleaned() const { return cleaned_; }
  /// Whether commits stay only because somebody needs them.
  bool held_back() const { return held_back_; }

 private:
  explicit CleanUpRound(TableContextPtr context) : context_(std::move(context)) {}
  using Orphans = std::map<std::string, std::vector<std::string>>;  ///< Name -> keys.
  Status drop_named(Orphans& orphans) const;

  TableContextPtr context_;
  std::vector<ObjectInfo> log_;   ///< Of _delta_log/, in order of the names.
  std::vector<ObjectInfo> data_;  ///< Those with names that our writers give.
  int64_t begun_ms_ = 0;
  Cleaned cleaned_;
  bool held_back_ = false;
};

}  // namespace ziwa::lake
