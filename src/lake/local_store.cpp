#include "lake/object_store.h"
#include "lake/path_internal.h"

#include <algorithm>
#include <charconv>
#include <mutex>
#include <optional>
#include <random>
#include <set>

namespace ziwa::lake {
namespace {

constexpr std::string_view kTemporary = ".tmp";

uint32_t random_number() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return static_cast<uint32_t>(random());
}

/// The writer that a name of ours says; nothing for other names.
std::optional<StagingId> staged_by(std::string_view name) {
  constexpr size_t kDigits = 16;
  if (!name.starts_with('.') || !name.ends_with(kTemporary)) return std::nullopt;
  name.remove_suffix(kTemporary.size());
  if (name.size() < kDigits + 3 || name[name.size() - kDigits - 1] != '.') return std::nullopt;
  std::string_view digits = name.substr(name.size() - kDigits);
  if (digits.find_first_not_of("0123456789abcdef") != std::string_view::npos) return std::nullopt;
  StagingId writer = 0;
  std::from_chars(digits.data(), digits.data() + kDigits / 2, writer, 16);
  return writer;
}

class LocalStore final : public ObjectStore {
 public:
  LocalStore(FileSystem& fs, std::string root, StagingId writer)
      : fs_(fs), root_(std::move(root)), writer_(writer) {
    while (root_.size() > 1 && root_.back() == '/') root_.pop_back();
  }

  Status put(const std::string& key, ByteView content) override {
    Staged staged = TRY(write_staged(key, content));
    TRY(fs_.rename(staged.path, path_of(key)));
    return make_durable({parent_path(path_of(key))});
  }

  Status put_new(const std::string& key, ByteView content) override {
    Staged staged = TRY(write_staged(key, content));
    std::string path = path_of(key);
    Status renamed = fs_.rename_new(staged.path, path);
    if (!renamed.has_value()) {
      Error error = std::move(renamed).error();
      if (error.code() == Code::io) {
        return Error(Code::maybe_applied, "{}", error.message());
      }
      discard(staged);
      return error;
    }
    Status synced = make_durable({parent_path(path)});
    if (!synced.has_value()) return Error(Code::maybe_applied, "{}", synced.error().message());
    return {};
  }

  Result<Bytes> get(const std::string& key) override {
    TRY(check(key));
    return read_file(fs_, path_of(key));
  }

  Result<Bytes> get_range(const std::string& key, uint64_t from, uint64_t size) override {
    TRY(check(key));
    auto file = TRY(fs_.open(path_of(key), OpenMode::read));
    Bytes bytes(std::min(size, file->size() - std::min(from, file->size())));
    size_t got = TRY(file->read_at(from, bytes));
    bytes.resize(got);
    return bytes;
  }

  Result<ObjectInfo> head(const std::string& key) override {
    TRY(check(key));
    FileInfo info = TRY(fs_.stat(path_of(key)));
    if (info.is_directory) return Error(Code::not_found, "no object {}", key);
    return ObjectInfo{.key = key, .size = info.size, .modified_ms = info.modified_ms};
  }

  Result<std::vector<ObjectInfo>> list(const std::string& prefix, const std::string& after,
                                       size_t limit) override {
    std::vector<ObjectInfo> found;
    size_t slash = prefix.rfind('/');
    std::string folder = slash == std::string::npos ? "" : prefix.substr(0, slash);
    TRY(collect(folder, prefix, after, found));
    std::sort(found.begin(), found.end(), [](auto& a, auto& b) { return a.key < b.key; });
    if (found.size() > limit) found.resize(limit);
    return found;
  }

  Status remove(const std::string& key) override {
    TRY(check(key));
    TRY(fs_.remove(path_of(key)));
    return fs_.sync_dir(parent_path(path_of(key)));
  }

  Status remove_many(const std::vector<std::string>& keys) override {
    std::set<std::string> folders;
    for (const std::string& key : keys) {
      TRY(check(key));
      Status removed = fs_.remove(path_of(key));
      if (!removed.has_value() && removed.error().code() != Code::not_found) return removed;
      folders.insert(parent_path(path_of(key)));
    }
    for (const std::string& folder : folders) TRY(fs_.sync_dir(folder));
    return {};
  }

  std::string path_of(const std::string& key) const override { return join_path(root_, key); }

  Result<Staged> stage(const std::string& key) override {
    TRY(check(key));
    std::string path = path_of(key);
    std::string folder = parent_path(path);
    TRY(make_folder(folder));
    std::string name = path.substr(folder.size() + 1);
    return Staged{.key = key,
                  .path = join_path(folder, fmt::format(".{}.{:08x}{:08x}{}", name, writer_,
                                                        random_number(), kTemporary))};
  }

  Status publish(const std::vector<Staged>& objects) override {
    if (objects.empty()) return {};
    if (objects.size() >= kMany) {
      TRY(fs_.sync_all(root_));
    } else {
      for (const Staged& object : objects)
        TRY(TRY(fs_.open(object.path, OpenMode::read_write))->sync());
    }
    std::set<std::string> folders;
    for (const Staged& object : objects) {
      TRY(fs_.rename(object.path, path_of(object.key)));
      folders.insert(parent_path(path_of(object.key)));
    }
    return make_durable(folders);
  }

  void discard(const Staged& object) override {
    fs_.remove(object.path).ignore("a temporary file that stays is never listed nor read");
  }

  Result<size_t> discard_abandoned(int64_t before_ms) override {
    size_t found = 0;
    TRY(discard_in(root_, before_ms, found));
    return found;
  }

 private:
  static Status check(const std::string& key) {
    if (inside_table(key)) return {};
    return Error(Code::invalid_argument, "\"{}\" is not the key of an object", key);
  }

  Result<Staged> write_staged(const std::string& key, ByteView content) {
    Staged staged = TRY(stage(key));
    auto write = [&]() -> Status {
      auto file = TRY(fs_.open(staged.path, OpenMode::create_new));
      TRY(file->append(content));
      return file->sync();
    };
    Status written = write();
    if (!written.has_value()) {
      discard(staged);
      return std::move(written).error();
    }
    return staged;
  }

  /// Makes a folder at or below the root; make_durable() later syncs what leads to it.
  Status make_folder(const std::string& folder) {
    std::lock_guard guard(mutex_);
    // Folders above the root are ours to sync only if we make them.
    std::string above = parent_path(root_);
    while (!fs_.exists(above) && parent_path(above) != above) {
      above = parent_path(above);
      unsynced_above_.insert(above);
    }
    return fs_.make_dirs(folder);
  }

  /// Syncs these folders and those that lead to them. An entry counts as durable only once this
  /// process has synced it: a crash may have left it in memory alone.
  Status make_durable(const std::set<std::string>& folders) {
    std::lock_guard guard(mutex_);
    std::set<std::string> sync = folders;
    std::set<std::string> reached;
    for (std::string folder : folders) {
      while (folder.size() >= root_.size() && !durable_.contains(folder) &&
             reached.insert(folder).second) {
        folder = parent_path(folder);
        sync.insert(folder);
      }
    }
    sync.insert(unsynced_above_.begin(), unsynced_above_.end());
    if (sync.size() >= kMany) {
      TRY(fs_.sync_all(root_));
    } else {
      for (const std::string& folder : sync) TRY(fs_.sync_dir(folder));
    }
    unsynced_above_.clear();
    if (durable_.size() + reached.size() > kFoldersMax) durable_.clear();
    durable_.merge(reached);
    return {};
  }

  Status discard_in(const std::string& folder, int64_t before_ms, size_t& found) {
    auto entries = fs_.list(folder);
    if (!entries.has_value()) {
      if (entries.error().code() == Code::not_found) return {};
      return std::move(entries).error();
    }
    for (const FileInfo& entry : *entries) {
      if (entry.is_directory) {
        TRY(discard_in(join_path(folder, entry.name), before_ms, found));
        continue;
      }
      auto writer = staged_by(entry.name);
      if (!writer || *writer == writer_ || entry.modified_ms >= before_ms) continue;
      Status removed = fs_.remove(join_path(folder, entry.name));
      if (removed.has_value()) ++found;
      if (!removed.has_value() && removed.error().code() != Code::not_found) return removed;
    }
    return {};
  }

  Status collect(const std::string& folder, const std::string& prefix, const std::string& after,
                 std::vector<ObjectInfo>& found) {
    auto entries = fs_.list(folder.empty() ? root_ : path_of(folder));
    if (!entries.has_value()) {
      if (entries.error().code() == Code::not_found) return {};
      return std::move(entries).error();
    }
    for (const FileInfo& entry : *entries) {
      if (entry.name.starts_with('.') && entry.name.ends_with(kTemporary)) continue;
      std::string key = folder.empty() ? entry.name : folder + "/" + entry.name;
      if (entry.is_directory) {
        std::string inside = key + "/";
        if (inside.starts_with(prefix) || prefix.starts_with(inside))
          TRY(collect(key, prefix, after, found));
      } else if (key.starts_with(prefix) && key > after) {
        found.push_back(
            {.key = std::move(key), .size = entry.size, .modified_ms = entry.modified_ms});
      }
    }
    return {};
  }

  static constexpr size_t kFoldersMax = 100'000;
  /// From this many on, one syncfs is cheaper than syncing each.
  static constexpr size_t kMany = 8;

  FileSystem& fs_;
  std::string root_;
  StagingId writer_;
  std::mutex mutex_;
  std::set<std::string> durable_;         ///< Folders whose own entry is on the disk.
  std::set<std::string> unsynced_above_;  ///< Folders above the root with entries that we made.
};

}  // namespace

StagingId new_staging_id() { return random_number(); }

std::unique_ptr<ObjectStore> make_local_store(FileSystem& fs, std::string root, StagingId writer) {
  return std::make_unique<LocalStore>(fs, std::move(root), writer);
}

}  // namespace ziwa::lake
