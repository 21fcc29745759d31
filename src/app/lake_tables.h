#pragma once

#include "base/clock.h"
#include "base/file.h"
#include "base/result.h"
#include "catalog/catalog.h"
#include "duck/instance.h"
#include "lake/table.h"

#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace ziwa::app {

/// The open Delta tables of the catalog, each at its own path for ever. Any thread.
class LakeTables {
 public:
  /// `directory` holds the tables that name no location: <directory>/<object id>.
  LakeTables(FileSystem& fs, duck::Instance& duck, const Clock& clock, std::string directory);
  /// The table of `object`, opened at the first call. Errors: those of lake::Table::open.
  Result<std::shared_ptr<lake::Table>> table(const catalog::Object& object);
  /// Removes directories of tables that the catalog does not know, left by a DROP or by a CREATE
  /// that did not commit.
  Status drop_unknown(const catalog::Snapshot& snapshot);
  /// Forgets what is dropped. Its files go at the next start: readers may still hold them.
  catalog::Catalog::Watcher watcher();

 private:
  std::string path_of(const catalog::Object& object) const;
  void forget(ObjectId id);

  FileSystem& fs_;
  duck::Instance& duck_;
  const Clock& clock_;
  std::string directory_;
  std::mutex mutex_;
  std::map<ObjectId, std::shared_ptr<lake::Table>> open_;  ///< Guarded by mutex_.
};

}  // namespace ziwa::app
