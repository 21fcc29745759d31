#pragma once

#include "base/clock.h"
#include "base/file.h"

#include <functional>
#include <memory>
#include <string>

namespace ziwa {

/// A sync that a program asks for.
struct SyncCall {
  enum class Of : unsigned char { file, directory, everything };
  Of of = Of::file;
  const std::string& path;
};

/// A file system in memory that forgets what was not synced when its power is cut: bytes, sizes,
/// renames and directory entries separately, as a strict POSIX disk may. Any thread.
class SimFileSystem final : public FileSystem {
 public:
  /// `seed` drives everything that is left to chance at a cut: whether unsynced writes survive
  /// whole, torn or not at all.
  explicit SimFileSystem(uint64_t seed = 1);
  ~SimFileSystem() override;

  /// The power goes: unsynced bytes, renames and entries are kept, torn or dropped by the seed.
  /// Handles opened before fail with io from now on. The file system can then be used again, as
  /// after a reboot.
  void cut_power();
  /// Fails every operation from the `count`-th mutating call from now on, as if the machine died
  /// there; then cut_power(). Until then open handles still read, as from the cache: RocksDB's
  /// iterators end the process when a read fails. Used to place cuts at random points. 0 switches
  /// it off.
  void die_after(uint64_t count);
  /// Mutating calls (write, sync, rename, create, remove ...) so far.
  uint64_t mutations() const;
  bool dead() const;
  /// From now on a write that would take the total over `bytes` fails with exhausted. 0 = no limit.
  void set_capacity(uint64_t bytes);
  /// Makes syncs lie: those for which `skip` is true report success and sync nothing. For the test
  /// that proves that every fsync is needed. `skip` sees every sync, in any thread, and must not
  /// call this file system.
  void skip_syncs(std::function<bool(const SyncCall& sync)> skip);
  /// Called before each open with the path, in the thread that opens: so that a test comes between.
  /// Must not open files itself.
  void on_open(std::function<void(const std::string& path)> opening);
  /// Files are modified at the time of `clock`, which must outlive them; else a millisecond apart,
  /// from where a ManualClock begins.
  void set_clock(const Clock& clock);
  /// Flips one bit of the durable content.
  Status flip_bit(const std::string& path, uint64_t bit);

  Result<std::unique_ptr<File>> open(const std::string& path, OpenMode mode) override;
  Status make_dirs(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status rename_new(const std::string& from, const std::string& to) override;
  Status remove(const std::string& path) override;
  Status remove_all(const std::string& path) override;
  Status sync_dir(const std::string& path) override;
  Status sync_all(const std::string& path) override;
  Result<std::vector<FileInfo>> list(const std::string& path) override;
  Result<FileInfo> stat(const std::string& path) override;
  bool exists(const std::string& path) override;
  Result<std::unique_ptr<File>> lock(const std::string& path) override;
  Result<uint64_t> free_bytes(const std::string& path) override;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace ziwa
