#pragma once

#include "lake/snapshot_internal.h"

#include <memory>

namespace ziwa::lake {

inline constexpr size_t kOpenFilesMax = 32;
inline constexpr uint64_t kBufferedBytesMax = 64u << 20;

/// A writer of data files with the columns of `snapshot`. `file_bytes`: a file is finished when it
/// is about that large.
Result<std::unique_ptr<TableWriter>> make_table_writer(const SnapshotPtr& snapshot,
                                                       uint64_t file_bytes);

/// Whether a key has the form of a data file that a writer of ours makes.
bool is_our_data_file(const std::string& key);

/// 128 random bits as "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx".
std::string random_uuid();

}  // namespace ziwa::lake
