#pragma once

#include "base/bytes.h"
#include "base/result.h"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa {

/// An open file. Reads and writes at positions may come from any thread; sizes are bytes.
/// After a failed sync() the bytes may be lost: never retry it, reopen and recover (fsyncgate,
/// 2018).
class File {
 public:
  virtual ~File() = default;
  /// Reads up to `into.size()` bytes from `position`; fewer only at the end of the file. Blocks.
  virtual Result<size_t> read_at(uint64_t position, std::span<std::byte> into) const = 0;
  /// Writes all of `bytes` at `position`, growing the file with zeroes if needed. Blocks. Errors:
  /// exhausted (disk full; a prefix may be written), io.
  virtual Status write_at(uint64_t position, ByteView bytes) = 0;
  /// Writes at the end; one appender at a time. Blocks.
  virtual Status append(ByteView bytes) = 0;
  /// Makes all bytes and the size durable (fdatasync), not the directory entry: see
  /// FileSystem::sync_dir. Blocks.
  virtual Status sync() = 0;
  virtual Status truncate(uint64_t size) = 0;
  virtual uint64_t size() const = 0;
  virtual const std::string& path() const = 0;
};

/// One entry of a directory.
struct FileInfo {
  std::string name;  ///< Without the directory.
  uint64_t size = 0;
  int64_t modified_ms = 0;
  bool is_directory = false;
};

/// How to open a file, and what to do when it is there or not.
enum class OpenMode : unsigned char {
  read,        ///< Must exist.
  read_write,  ///< Must exist.
  create,      ///< Creates, or opens an existing one for reading and writing.
  create_new,  ///< Creates; already_exists if it is there.
  truncate,    ///< Creates, or empties an existing one.
};

/// The one way to the disk for our files, RocksDB's and DuckDB's, so that tests can cut the power
/// anywhere. Paths are absolute or relative to the working directory; "/" separates. Any thread;
/// every call may block.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) = 0;
  /// Creates missing parents too; an existing directory is fine. Not durable before sync_dir of the
  /// parents.
  virtual Status make_dirs(const std::string& path) = 0;
  /// Atomic; replaces `to`. Durable after sync_dir of both parents.
  virtual Status rename(const std::string& from, const std::string& to) = 0;
  /// Atomic; already_exists if `to` is there (the put-if-absent of local commits).
  virtual Status rename_new(const std::string& from, const std::string& to) = 0;
  virtual Status remove(const std::string& path) = 0;
  /// Removes a directory and all below; a missing one is fine.
  virtual Status remove_all(const std::string& path) = 0;
  /// Makes creations, renames and removals of entries of this directory durable.
  virtual Status sync_dir(const std::string& path) = 0;
  /// Makes everything written so far on the file system that holds `path` durable (one syncfs).
  virtual Status sync_all(const std::string& path) = 0;
  /// Entries in no order, without "." and "..".
  virtual Result<std::vector<FileInfo>> list(const std::string& path) = 0;
  virtual Result<FileInfo> stat(const std::string& path) = 0;
  virtual bool exists(const std::string& path) = 0;
  /// Takes an exclusive lock on the file for the life of the returned handle, so that a second
  /// process cannot open the same data directory. Errors: conflict (the message names the owning
  /// process when it can be known).
  virtual Result<std::unique_ptr<File>> lock(const std::string& path) = 0;
  /// Bytes an unprivileged writer may still use on the file system of `path`.
  virtual Result<uint64_t> free_bytes(const std::string& path) = 0;
};

/// The operating system's files. Lives for the whole program.
FileSystem& posix_file_system();

/// Reads a whole file of at most `limit` bytes; exhausted above.
Result<Bytes> read_file(FileSystem& fs, const std::string& path, uint64_t limit = 1u << 30);
/// Writes a file so that after a crash either the old or the whole new content is there: temporary
/// name, sync, rename, sync of the directory.
Status write_file_atomically(FileSystem& fs, const std::string& path, ByteView content);
/// make_dirs() whose new directories survive a power cut: syncs the parent of each.
Status make_dirs_durably(FileSystem& fs, const std::string& path);
/// "a/b" + "c" = "a/b/c".
std::string join_path(std::string_view directory, std::string_view name);
/// "a/b/c" = "a/b"; "c" = ".".
std::string parent_path(std::string_view path);

}  // namespace ziwa
