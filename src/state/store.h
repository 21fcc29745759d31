#pragma once

#include "base/file.h"
#include "base/metrics.h"
#include "base/result.h"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa::state {

/// A named, ordered key space inside a Store.
struct TableId {
  uint32_t index = 0;
  friend auto operator<=>(TableId, TableId) = default;
};

/// Changes that become visible and durable together. Not thread-safe.
class WriteBatch {
 public:
  WriteBatch();
  ~WriteBatch();
  WriteBatch(WriteBatch&&) noexcept;
  WriteBatch& operator=(WriteBatch&&) noexcept;
  void put(TableId table, std::string_view key, std::string_view value);
  void remove(TableId table, std::string_view key);
  /// Removes [begin, end).
  void remove_range(TableId table, std::string_view begin, std::string_view end);
  size_t bytes() const;
  size_t count() const;

  struct Rep;  ///< Known to the store only.

 private:
  friend class Store;
  std::unique_ptr<Rep> rep_;
};

/// A frozen view of a Store; holds old versions alive until destroyed.
class Snapshot {
 public:
  virtual ~Snapshot() = default;
};

/// Walks keys in byte order. One thread.
class Cursor {
 public:
  virtual ~Cursor() = default;
  virtual void seek(std::string_view key) = 0;  ///< First key >= `key`.
  virtual bool valid() const = 0;  ///< False at the end or after an error (see status()).
  virtual void next() = 0;
  virtual std::string_view key() const = 0;    ///< Until next().
  virtual std::string_view value() const = 0;  ///< Until next().
  virtual Status status() const = 0;
};

/// One RocksDB instance behind our file layer. Any thread. Nothing of RocksDB shows through.
class Store {
 public:
  struct Options {
    std::vector<std::string> tables;  ///< Key spaces to open; created when missing.
    uint64_t block_cache_bytes = 32u << 20;
    uint64_t write_buffer_bytes = 32u << 20;
  };
  static Result<std::unique_ptr<Store>> open(FileSystem& fs, const std::string& path,
                                             Options options);
  virtual ~Store() = default;

  virtual TableId table(
      std::string_view name) const = 0;  ///< The name must be one of Options::tables.
  virtual Result<std::optional<std::string>> get(TableId table, std::string_view key,
                                                 const Snapshot* at = nullptr) = 0;
  virtual Result<std::vector<std::optional<std::string>>> multi_get(
      TableId table, const std::vector<std::string>& keys, const Snapshot* at = nullptr) = 0;
  virtual std::unique_ptr<Cursor> cursor(TableId table, const Snapshot* at = nullptr) = 0;
  virtual std::shared_ptr<const Snapshot> snapshot() = 0;
  /// Applies `batch` atomically. `sync`: durable when it returns. A large batch (50,000 changes) is
  /// written as sorted files that are ingested together; it is durable in any case. Errors:
  /// exhausted (disk full: little room is left, nothing is visible, and the same batch can be
  /// written once recover() succeeds), corrupt: nothing is visible; maybe_applied: read after
  /// reopening to learn. After any error but exhausted the store refuses writes until it is opened
  /// again.
  virtual Status write(const WriteBatch& batch, bool sync) = 0;
  /// Whether the disk has room for an ordinary write. Errors: exhausted.
  virtual Status room() const = 0;
  /// Whether write() can succeed, after it said exhausted: takes up what a full disk stopped in the
  /// background. Blocks. Errors: exhausted (still too little room), and the failure after which
  /// only reopening helps.
  virtual Status recover() = 0;
  virtual uint64_t disk_bytes() const = 0;

 protected:
  struct BatchAccess {
    static const WriteBatch::Rep& rep(const WriteBatch& batch);
  };
};

}  // namespace ziwa::state
