#pragma once

#include "base/file.h"

#include <rocksdb/env.h>

#include <memory>
#include <mutex>
#include <optional>

namespace ziwa::state {

/// The first failure of a write. From then on nothing of the store changes on disk until it is
/// reopened. Thread-safe.
class WriteFuse {
 public:
  /// Only the first failure counts, unless a later one is for good.
  void blow(const Error& error);
  /// The same for good: what a failed sync left is unknown.
  void burn(const Error& error);
  bool burnt() const;
  /// Forgets a full disk. False: the failure was another.
  bool mend();
  /// Errors: the code of the failure that stopped the store; nothing was written.
  Status check() const;

 private:
  mutable std::mutex mutex_;
  std::optional<Error> failure_;
  bool burnt_ = false;
};

/// Shows `fs` to RocksDB: every byte, name, sync and lock of it goes through our file layer, so
/// that tests can cut the power under it. No mmap, no direct I/O. Threads are the process's RocksDB
/// threads. `fs` must outlive the result.
///
/// A failure of RocksDB's log (to make, write or sync it; not a full disk) is kept from RocksDB,
/// whose assertions end the process when a background job and a writer meet at such a log, and
/// which forgets to let go of tables when it cannot begin a new one: it burns `fuse`, which refuses
/// all later writes. Whoever wrote asks the fuse.
std::unique_ptr<rocksdb::Env> make_rocks_env(FileSystem& fs, std::shared_ptr<WriteFuse> fuse);

}  // namespace ziwa::state
