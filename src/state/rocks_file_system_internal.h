#pragma once

#include "base/file.h"

#include <rocksdb/env.h>

#include <memory>

namespace ziwa::state {

/// Shows `fs` to RocksDB: every byte, name, sync and lock of it goes through our file layer, so
/// that tests can cut the power under it. No mmap, no direct I/O. Threads are the process's RocksDB
/// threads. `fs` must outlive the result.
std::unique_ptr<rocksdb::Env> make_rocks_env(FileSystem& fs);

}  // namespace ziwa::state
