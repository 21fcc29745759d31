#pragma once

#include "base/bytes.h"
#include "base/file.h"
#include "base/result.h"

#include <memory>
#include <string>
#include <vector>

namespace ziwa::lake {

/// One object of a listing.
struct ObjectInfo {
  std::string key;  ///< Relative to the store's root, "/" separated.
  uint64_t size = 0;
  int64_t modified_ms = 0;
};

/// A bucket of immutable objects: local files now, S3, GCS and Azure behind the same calls. Keys
/// never start with "/" nor hold "..". Any thread; every call blocks.
class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  /// Durable when it returns.
  virtual Status put(const std::string& key, ByteView content) = 0;
  /// Only if the key is absent: already_exists otherwise; maybe_applied when the outcome is unknown
  /// (read before retrying).
  virtual Status put_new(const std::string& key, ByteView content) = 0;
  virtual Result<Bytes> get(const std::string& key) = 0;
  virtual Result<Bytes> get_range(const std::string& key, uint64_t from, uint64_t size) = 0;
  virtual Result<ObjectInfo> head(const std::string& key) = 0;
  /// All objects whose key starts with `prefix` and is greater than `after`, in key order, at most
  /// `limit`.
  virtual Result<std::vector<ObjectInfo>> list(const std::string& prefix, const std::string& after,
                                               size_t limit) = 0;
  virtual Status remove(const std::string& key) = 0;
  /// Removes many; missing ones are fine. On an error some may be gone.
  virtual Status remove_many(const std::vector<std::string>& keys) = 0;
  /// Where DuckDB's Parquet reader finds an object: a path of the file layer (local) or a URL.
  virtual std::string path_of(const std::string& key) const = 0;
  /// An object that is written by path: its file is at `path` until publish() gives it its name.
  struct Staged {
    std::string key;
    std::string path;
  };
  /// A new path of the file layer for the object `key`; its folder exists.
  virtual Result<Staged> stage(const std::string& key) = 0;
  /// Gives staged files, written and synced, their names; durable when it returns. On an error some
  /// may have theirs.
  virtual Status publish(const std::vector<Staged>& objects) = 0;
  /// Removes a staged file that will not be published.
  virtual void discard(const Staged& object) = 0;
  /// Removes what was staged, was last written before `before_ms` and has a name that only we give:
  /// what a crash left. Never what this store staged itself, nor one with the same `writer` (see
  /// make_local_store). Returns how many.
  virtual Result<size_t> discard_abandoned(int64_t before_ms) = 0;
};

/// Tells the staged files of one run of a program from those of others. Random.
using StagingId = uint32_t;
StagingId new_staging_id();

/// Objects are files under `root`, which is made when first written to; put_new is rename_new of a
/// synced temporary file. Temporary files are named `.<name>.<16 hex digits>.tmp`, of which the
/// first 8 are `writer`, and are never listed.
std::unique_ptr<ObjectStore> make_local_store(FileSystem& fs, std::string root,
                                              StagingId writer = new_staging_id());

}  // namespace ziwa::lake
