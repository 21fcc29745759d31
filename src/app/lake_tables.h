#pragma once

#include "base/clock.h"
#include "base/file.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/standing_errors.h"
#include "catalog/catalog.h"
#include "duck/instance.h"
#include "lake/object_store.h"
#include "lake/table.h"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace ziwa::app {

/// The open Delta tables of the catalog, each at its own path below the data directory for ever. A
/// table is managed if it lies at <directory>/<object id>: its folder goes with it, others are
/// never removed. Any thread.
class LakeTables {
 public:
  LakeTables(FileSystem& fs, duck::Instance& duck, const Clock& clock, std::string directory);
  /// The table of `object`, opened at the first call. Errors: not_found (it was dropped); those of
  /// lake::Table::open.
  Result<std::shared_ptr<lake::Table>> table(const catalog::Object& object);
  /// For a start: folders of managed tables that the catalog does not know, left by a DROP or by a
  /// CREATE that did not commit, get a name that no table will have. clean() removes them.
  Status set_aside_unknown(const catalog::Snapshot& snapshot);
  /// Forgets what is dropped. Its folder goes when nobody reads from it any more.
  catalog::Catalog::Watcher watcher();

  /// What must be left of the table of an object, see lake::CleanUp::needs.
  using NeedsOf = std::function<Result<lake::Needs>(const catalog::Object&)>;
  /// Removes folders of dropped tables that nobody uses, and cleans up the open tables. Blocks for
  /// long. What fails is logged and tried again at later calls. One thread.
  void clean(const catalog::Snapshot& snapshot, const NeedsOf& needs);

 private:
  struct Open {
    std::shared_ptr<lake::Table> table;
    std::weak_ptr<void> in_use;  ///< Held by the table and by all that read from it.
  };
  /// A folder that is to be removed.
  struct Dropped {
    ObjectId id;
    std::string path;
    std::weak_ptr<void> in_use;
    bool failed = false;  ///< That was logged.
  };

  std::string path_of(const catalog::Object& object) const;
  std::string managed_path(ObjectId id) const;
  void drop(const catalog::Object& object);
  void remove_dropped();
  void clean_table(const catalog::Object& object, lake::Table& table, const NeedsOf& needs);

  FileSystem& fs_;
  duck::Instance& duck_;
  const Clock& clock_;
  const std::string directory_;
  const lake::StagingId staging_ = lake::new_staging_id();
  std::mutex mutex_;
  std::map<ObjectId, Open> open_;          ///< Guarded by mutex_.
  std::vector<Dropped> dropped_;           ///< Likewise.
  StandingErrors<ObjectId> clean_errors_;  ///< Of clean().
};

}  // namespace ziwa::app
