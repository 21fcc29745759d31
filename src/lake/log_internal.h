#pragma once

#include "lake/snapshot_internal.h"

#include <optional>
#include <vector>

namespace ziwa::lake {

inline constexpr const char* kLogFolder = "_delta_log/";

/// "_delta_log/00000000000000000012.json".
std::string commit_key(int64_t version);
/// "_delta_log/00000000000000000012.checkpoint.parquet".
std::string checkpoint_key(int64_t version);

/// The version of a key like commit_key().
std::optional<int64_t> commit_of(const std::string& key);
/// Whether a checkpoint of `version` makes an object of the log needless: commits, checkpoints and
/// checksums of lower versions, and compacted commits that begin at it or lower. Never of others.
bool is_covered(const std::string& key, int64_t version);

/// A complete checkpoint.
struct CheckpointFiles {
  int64_t version = -1;
  std::vector<std::string> keys;
};
/// The newest up to `limit` among the objects of the log.
std::optional<CheckpointFiles> newest_checkpoint(const std::vector<std::string>& log,
                                                 int64_t limit);

/// Loads the newest state, or that at `version`. Errors: not_found (no table, or no such version),
/// corrupt, unsupported.
Result<SnapshotPtr> load_snapshot(const TableContextPtr& context, std::optional<int64_t> version);

/// The actions of one commit. Errors: not_found, corrupt.
Result<Actions> read_commit(const TableContext& context, int64_t version);

/// The version that `_last_checkpoint` names; none without one, or if it makes no sense. A hint: it
/// may be stale. Errors: of the store.
Result<std::optional<int64_t>> last_checkpoint(const TableContext& context);

/// Follows the commits after `base` one by one until there is none; where another engine has
/// cleaned them up, goes on from its checkpoint. Errors: as load_snapshot().
Result<SnapshotPtr> follow(const SnapshotPtr& base);

/// Reads the Parquet files of a checkpoint. Errors: corrupt, unsupported (v2 checkpoints with
/// sidecars).
Result<Actions> read_checkpoint(const TableContext& context, const std::vector<std::string>& keys);

/// Writes a classic checkpoint of `snapshot` and `_last_checkpoint`.
Status write_checkpoint(const Snapshot& snapshot);

}  // namespace ziwa::lake
