#include "base/sim_file.h"

#include <cerrno>
#include <deque>
#include <limits>
#include <random>
#include <set>

namespace ziwa {
namespace {

struct Inode;
using InodePtr = std::shared_ptr<Inode>;

/// A change of a file's bytes that was not synced yet.
struct FileOp {
  bool truncate = false;
  uint64_t position = 0;  ///< Or the new size.
  Bytes bytes;
};

/// A change of a directory that was not synced yet. The parts of one rename share `op`.
struct EntryOp {
  uint64_t op = 0;
  std::string name;
  InodePtr inode;  ///< Null: the entry goes away.
};

struct Inode {
  bool is_directory = false;
  int64_t modified_ms = 0;
  // A file: what programs see, what the disk surely has, and the changes between the two in order.
  Bytes content;
  Bytes durable;
  std::deque<FileOp> pending;
  // A directory, likewise.
  std::map<std::string, InodePtr> entries;
  std::map<std::string, InodePtr> durable_entries;
  std::deque<EntryOp> pending_entries;
};

void replay(Bytes& content, const FileOp& op, size_t bytes_kept) {
  if (op.truncate) {
    content.resize(op.position);
    return;
  }
  if (bytes_kept == 0) return;
  content.resize(std::max<size_t>(content.size(), op.position + bytes_kept));
  std::memcpy(content.data() + op.position, op.bytes.data(), bytes_kept);
}

void replay(std::map<std::string, InodePtr>& entries, const EntryOp& op) {
  if (op.inode == nullptr) {
    entries.erase(op.name);
  } else {
    entries[op.name] = op.inode;
  }
}

void make_durable(Inode& inode) {
  for (const auto& op : inode.pending) replay(inode.durable, op, op.bytes.size());
  for (const auto& op : inode.pending_entries) replay(inode.durable_entries, op);
  inode.pending.clear();
  inode.pending_entries.clear();
}

std::vector<std::string> split_path(const std::string& path) {
  std::vector<std::string> parts;
  size_t begin = 0;
  while (begin <= path.size()) {
    size_t end = std::min(path.find('/', begin), path.size());
    std::string part = path.substr(begin, end - begin);
    if (part == ".." && !parts.empty()) parts.pop_back();
    if (!part.empty() && part != "." && part != "..") parts.push_back(std::move(part));
    begin = end + 1;
  }
  return parts;
}

Error no_file(const std::string& path) {
  return Error(Code::not_found, "{}: No such file or directory", path);
}
Error power_is_off(const std::string& path) {
  return Error(Code::io, "{}: the simulated machine is off", path);
}

}  // namespace

struct SimFileSystem::State {
  /// What a mutating call is to do: its work, nothing, or its work though the machine dies before
  /// it can say so.
  enum class Fate : unsigned char { lives, dies_before, dies_after };
  /// Where a path leads: the directory that holds its last part (null: missing) and that part.
  struct Place {
    InodePtr directory;
    std::string name;
    InodePtr inode;  ///< Null: no such entry.
  };

  explicit State(uint64_t seed) : random(seed) { root->is_directory = true; }

  uint64_t pick(uint64_t below) { return below == 0 ? 0 : random() % below; }

  Fate begin_mutation() {
    ++mutations;
    if (deaths_in == 0 || --deaths_in > 0) return Fate::lives;
    dead = true;
    return pick(2) == 0 ? Fate::dies_before : Fate::dies_after;
  }

  /// Runs `work` as one mutating call on `path`. The caller holds `mutex`.
  Status mutate(const std::string& path, const std::function<Status()>& work) {
    if (dead) return power_is_off(path);
    Fate fate = begin_mutation();
    if (fate == Fate::dies_before) return power_is_off(path);
    Status done = work();
    if (fate == Fate::dies_after) return power_is_off(path);
    return done;
  }

  Place locate(const std::string& path) const {
    auto parts = split_path(path);
    if (parts.empty()) return {nullptr, "", root};
    InodePtr at = root;
    for (size_t i = 0; i + 1 < parts.size(); ++i) {
      auto next = at->entries.find(parts[i]);
      if (next == at->entries.end() || !next->second->is_directory) return {};
      at = next->second;
    }
    auto last = at->entries.find(parts.back());
    return {at, parts.back(), last == at->entries.end() ? nullptr : last->second};
  }

  void set_entry(Inode& directory, const std::string& name, const InodePtr& inode, uint64_t op) {
    EntryOp change{op, name, inode};
    replay(directory.entries, change);
    directory.pending_entries.push_back(std::move(change));
  }

  int64_t time() { return clock != nullptr ? clock->now().value : ++ticks; }

  InodePtr add_inode(Inode& directory, const std::string& name, bool is_directory) {
    auto inode = std::make_shared<Inode>();
    inode->is_directory = is_directory;
    inode->modified_ms = time();
    set_entry(directory, name, inode, next_op++);
    return inode;
  }

  Status change_file(Inode& inode, FileOp op) {
    uint64_t old_size = inode.content.size();
    if (op.truncate) {
      replay(inode.content, op, 0);
    } else {
      uint64_t end = std::max<uint64_t>(old_size, op.position + op.bytes.size());
      uint64_t room = capacity == 0 ? std::numeric_limits<uint64_t>::max()
                                    : capacity - std::min(capacity, used);
      if (end - old_size > room) {
        // A full disk takes a prefix.
        uint64_t end_fits = old_size + room;
        op.bytes.resize(end_fits > op.position ? end_fits - op.position : 0);
        TRY(change_file(inode, std::move(op)));
        return errno_error(ENOSPC, "write");
      }
      replay(inode.content, op, op.bytes.size());
    }
    used = used + inode.content.size() - old_size;
    inode.modified_ms = time();
    if (op.truncate || !op.bytes.empty()) inode.pending.push_back(std::move(op));
    return {};
  }

  Status rename(const std::string& from, const std::string& to) {
    auto source = locate(from);
    auto target = locate(to);
    if (source.inode == nullptr || target.directory == nullptr) return no_file(from);
    if (source.inode == target.inode) return {};
    if (target.inode != nullptr && target.inode->is_directory) {
      return Error(Code::already_exists, "{}: Is a directory", to);
    }
    if (target.inode != nullptr) forget(*target.inode);
    uint64_t op = next_op++;
    set_entry(*source.directory, source.name, nullptr, op);
    set_entry(*target.directory, target.name, source.inode, op);
    return {};
  }

  void remove_below(Inode& directory) {
    auto entries = directory.entries;
    for (const auto& [name, inode] : entries) {
      if (inode->is_directory) remove_below(*inode);
      forget(*inode);
      set_entry(directory, name, nullptr, next_op++);
    }
  }
  void forget(const Inode& inode) { used -= std::min<uint64_t>(used, inode.content.size()); }

  /// All inodes that programs can reach.
  void walk(const InodePtr& from, std::set<InodePtr>& seen) const {
    if (!seen.insert(from).second) return;
    for (const auto& [name, inode] : from->entries) walk(inode, seen);
  }

  void cut_file(Inode& inode) {
    uint64_t mode = pick(5);  // drop all, keep all, torn prefix, each for itself (twice as likely)
    uint64_t prefix = pick(inode.pending.size() + 1);
    uint64_t index = 0;
    for (const auto& op : inode.pending) {
      uint64_t torn = op.bytes.empty() ? 0 : pick(op.bytes.size() + 1);
      uint64_t whole = op.bytes.size();
      uint64_t lot = pick(3);
      bool kept = mode == 1 || (mode == 2 && index <= prefix) || (mode >= 3 && lot != 0);
      bool tears = (mode == 2 && index == prefix) || (mode >= 3 && lot == 2);
      ++index;
      if (kept) replay(inode.durable, op, tears ? torn : whole);
    }
    inode.pending.clear();
    inode.content = inode.durable;
  }

  void cut_tree(const InodePtr& inode, const std::function<bool(uint64_t op)>& kept,
                std::set<InodePtr>& seen) {
    if (!seen.insert(inode).second) return;
    if (!inode->is_directory) {
      cut_file(*inode);
      used += inode->content.size();
      return;
    }
    for (const auto& op : inode->pending_entries) {
      if (kept(op.op)) replay(inode->durable_entries, op);
    }
    inode->pending_entries.clear();
    inode->entries = inode->durable_entries;
    for (const auto& [name, child] : inode->entries) cut_tree(child, kept, seen);
  }

  void cut() {
    uint64_t mode = pick(5);  // drop all, keep all, a prefix, each for itself (twice as likely)
    uint64_t prefix = pick(next_op + 1);
    uint64_t salt = random();
    auto kept = [&](uint64_t op) {
      if (mode == 0) return false;
      if (mode == 1) return true;
      if (mode == 2) return op < prefix;
      std::minstd_rand lot(static_cast<uint32_t>(salt ^ (op * 2654435761u)));
      lot.discard(3);
      return lot() % 2 == 0;
    };
    used = 0;
    std::set<InodePtr> seen;
    cut_tree(root, kept, seen);
    locked.clear();
    dead = false;
    deaths_in = 0;
    ++generation;
  }

  mutable std::mutex mutex;
  InodePtr root = std::make_shared<Inode>();
  std::mt19937_64 random;
  std::set<const Inode*> locked;
  std::function<bool(const SyncCall&)> skip;
  std::function<void(const std::string& path)> opening;
  bool skips(SyncCall::Of of, const std::string& path) const { return skip && skip({of, path}); }
  uint64_t generation = 0;  ///< Boots so far: handles of an earlier one are dead.
  uint64_t mutations = 0;
  uint64_t deaths_in = 0;
  uint64_t capacity = 0;
  uint64_t used = 0;
  uint64_t next_op = 1;
  const Clock* clock = nullptr;
  int64_t ticks = 1'000'000'000'000;
  bool dead = false;
};

namespace {

/// A handle: works until the power is cut.
template <typename State>
class SimFile final : public File {
 public:
  SimFile(std::shared_ptr<State> state, InodePtr inode, std::string path, bool writable, bool locks)
      : state_(std::move(state)),
        inode_(std::move(inode)),
        path_(std::move(path)),
        generation_(state_->generation),
        writable_(writable),
        locks_(locks) {}

  ~SimFile() override {
    std::lock_guard lock(state_->mutex);
    if (locks_ && generation_ == state_->generation) state_->locked.erase(inode_.get());
  }

  Result<size_t> read_at(uint64_t position, std::span<std::byte> into) const override {
    std::lock_guard lock(state_->mutex);
    if (generation_ != state_->generation) return power_is_off(path_);
    if (position >= inode_->content.size()) return size_t{0};
    size_t size = std::min<size_t>(into.size(), inode_->content.size() - position);
    if (size > 0) std::memcpy(into.data(), inode_->content.data() + position, size);
    return size;
  }

  Status write_at(uint64_t position, ByteView bytes) override {
    std::lock_guard lock(state_->mutex);
    return change({false, position, Bytes(bytes.begin(), bytes.end())});
  }

  Status append(ByteView bytes) override {
    std::lock_guard lock(state_->mutex);
    return change({false, inode_->content.size(), Bytes(bytes.begin(), bytes.end())});
  }

  Status truncate(uint64_t size) override {
    std::lock_guard lock(state_->mutex);
    return change({true, size, {}});
  }

  Status sync() override {
    std::lock_guard lock(state_->mutex);
    if (off()) return power_is_off(path_);
    return state_->mutate(path_, [&]() -> Status {
      if (!state_->skips(SyncCall::Of::file, path_)) make_durable(*inode_);
      return {};
    });
  }

  uint64_t size() const override {
    std::lock_guard lock(state_->mutex);
    return inode_->content.size();
  }
  const std::string& path() const override { return path_; }

 private:
  bool off() const { return state_->dead || generation_ != state_->generation; }
  Status change(FileOp op) {
    if (off()) return power_is_off(path_);
    if (!writable_) return Error(Code::io, "{}: opened for reading only", path_);
    return state_->mutate(path_, [&] { return state_->change_file(*inode_, std::move(op)); });
  }

  std::shared_ptr<State> state_;
  InodePtr inode_;
  std::string path_;
  uint64_t generation_;
  bool writable_;
  bool locks_;
};

}  // namespace

SimFileSystem::SimFileSystem(uint64_t seed) : state_(std::make_shared<State>(seed)) {}
SimFileSystem::~SimFileSystem() = default;

void SimFileSystem::cut_power() {
  std::lock_guard lock(state_->mutex);
  state_->cut();
}

void SimFileSystem::die_after(uint64_t count) {
  std::lock_guard lock(state_->mutex);
  state_->deaths_in = count;
}

uint64_t SimFileSystem::mutations() const {
  std::lock_guard lock(state_->mutex);
  return state_->mutations;
}

bool SimFileSystem::dead() const {
  std::lock_guard lock(state_->mutex);
  return state_->dead;
}

void SimFileSystem::set_capacity(uint64_t bytes) {
  std::lock_guard lock(state_->mutex);
  state_->capacity = bytes;
}

void SimFileSystem::skip_syncs(std::function<bool(const SyncCall& sync)> skip) {
  std::lock_guard lock(state_->mutex);
  state_->skip = std::move(skip);
}

void SimFileSystem::on_open(std::function<void(const std::string& path)> opening) {
  std::lock_guard lock(state_->mutex);
  state_->opening = std::move(opening);
}

void SimFileSystem::set_clock(const Clock& clock) {
  std::lock_guard lock(state_->mutex);
  state_->clock = &clock;
}

Status SimFileSystem::flip_bit(const std::string& path, uint64_t bit) {
  std::lock_guard lock(state_->mutex);
  auto place = state_->locate(path);
  if (place.inode == nullptr) return no_file(path);
  if (bit / 8 >= place.inode->content.size()) {
    return Error(Code::invalid_argument, "{} has no bit {}", path, bit);
  }
  auto mask = static_cast<std::byte>(1u << (bit % 8));
  place.inode->content[bit / 8] ^= mask;
  if (bit / 8 < place.inode->durable.size()) place.inode->durable[bit / 8] ^= mask;
  return {};
}

Result<std::unique_ptr<File>> SimFileSystem::open(const std::string& path, OpenMode mode) {
  std::unique_lock lock(state_->mutex);
  if (auto opening = state_->opening) {
    lock.unlock();
    opening(path);
    lock.lock();
  }
  if (state_->dead) return power_is_off(path);
  auto place = state_->locate(path);
  bool may_create = mode != OpenMode::read && mode != OpenMode::read_write;
  if (place.inode != nullptr && place.inode->is_directory) {
    return Error(Code::io, "{}: Is a directory", path);
  }
  if (place.inode != nullptr && mode == OpenMode::create_new) {
    return Error(Code::already_exists, "{}: File exists", path);
  }
  if (place.inode == nullptr && (!may_create || place.directory == nullptr)) return no_file(path);
  if (place.inode == nullptr) {
    TRY(state_->mutate(path, [&]() -> Status {
      place.inode = state_->add_inode(*place.directory, place.name, false);
      return {};
    }));
  } else if (mode == OpenMode::truncate) {
    TRY(state_->mutate(path, [&] { return state_->change_file(*place.inode, {true, 0, {}}); }));
  }
  return std::make_unique<SimFile<State>>(state_, place.inode, path, mode != OpenMode::read, false);
}

Status SimFileSystem::make_dirs(const std::string& path) {
  std::lock_guard lock(state_->mutex);
  if (state_->dead) return power_is_off(path);
  InodePtr at = state_->root;
  for (const auto& part : split_path(path)) {
    auto next = at->entries.find(part);
    if (next != at->entries.end()) {
      if (!next->second->is_directory) return Error(Code::io, "{}: Not a directory", path);
      at = next->second;
      continue;
    }
    TRY(state_->mutate(path, [&]() -> Status {
      at = state_->add_inode(*at, part, true);
      return {};
    }));
  }
  return {};
}

Status SimFileSystem::rename(const std::string& from, const std::string& to) {
  std::lock_guard lock(state_->mutex);
  return state_->mutate(from, [&] { return state_->rename(from, to); });
}

Status SimFileSystem::rename_new(const std::string& from, const std::string& to) {
  std::lock_guard lock(state_->mutex);
  return state_->mutate(from, [&]() -> Status {
    if (state_->locate(to).inode != nullptr) {
      return Error(Code::already_exists, "{}: File exists", to);
    }
    return state_->rename(from, to);
  });
}

Status SimFileSystem::remove(const std::string& path) {
  std::lock_guard lock(state_->mutex);
  return state_->mutate(path, [&]() -> Status {
    auto place = state_->locate(path);
    if (place.inode == nullptr || place.directory == nullptr) return no_file(path);
    if (!place.inode->entries.empty()) return Error(Code::io, "{}: Directory not empty", path);
    state_->forget(*place.inode);
    state_->set_entry(*place.directory, place.name, nullptr, state_->next_op++);
    return {};
  });
}

Status SimFileSystem::remove_all(const std::string& path) {
  std::lock_guard lock(state_->mutex);
  return state_->mutate(path, [&]() -> Status {
    auto place = state_->locate(path);
    if (place.inode == nullptr || place.directory == nullptr) return {};
    state_->remove_below(*place.inode);
    state_->forget(*place.inode);
    state_->set_entry(*place.directory, place.name, nullptr, state_->next_op++);
    return {};
  });
}

Status SimFileSystem::sync_dir(const std::string& path) {
  std::lock_guard lock(state_->mutex);
  return state_->mutate(path, [&]() -> Status {
    auto place = state_->locate(path);
    if (place.inode == nullptr || !place.inode->is_directory) return no_file(path);
    if (!state_->skips(SyncCall::Of::directory, path)) make_durable(*place.inode);
    return {};
  });
}

Status SimFileSystem::sync_all(const std::string& path) {
  std::lock_guard lock(state_->mutex);
  return state_->mutate(path, [&]() -> Status {
    if (state_->skips(SyncCall::Of::everything, path)) return {};
    std::set<InodePtr> reachable;
    state_->walk(state_->root, reachable);
    for (const auto& inode : reachable) make_durable(*inode);
    return {};
  });
}

Result<std::vector<FileInfo>> SimFileSystem::list(const std::string& path) {
  std::lock_guard lock(state_->mutex);
  if (state_->dead) return power_is_off(path);
  auto place = state_->locate(path);
  if (place.inode == nullptr || !place.inode->is_directory) return no_file(path);
  std::vector<FileInfo> entries;
  for (const auto& [name, inode] : place.inode->entries) {
    entries.push_back({name, inode->content.size(), inode->modified_ms, inode->is_directory});
  }
  return entries;
}

Result<FileInfo> SimFileSystem::stat(const std::string& path) {
  std::lock_guard lock(state_->mutex);
  if (state_->dead) return power_is_off(path);
  auto place = state_->locate(path);
  if (place.inode == nullptr) return no_file(path);
  const Inode& inode = *place.inode;
  return FileInfo{place.name, inode.content.size(), inode.modified_ms, inode.is_directory};
}

bool SimFileSystem::exists(const std::string& path) {
  std::lock_guard lock(state_->mutex);
  return !state_->dead && state_->locate(path).inode != nullptr;
}

Result<std::unique_ptr<File>> SimFileSystem::lock(const std::string& path) {
  auto opened = open(path, OpenMode::create);
  if (!opened) return opened;
  std::lock_guard lock(state_->mutex);
  auto place = state_->locate(path);
  if (place.inode == nullptr) return no_file(path);
  if (!state_->locked.insert(place.inode.get()).second) {
    return Error(Code::conflict, "{} is in use by this process", parent_path(path))
        .with_hint("stop that process, or use another directory");
  }
  return std::make_unique<SimFile<State>>(state_, place.inode, path, true, true);
}

Result<uint64_t> SimFileSystem::free_bytes(const std::string& path) {
  std::lock_guard lock(state_->mutex);
  if (state_->dead) return power_is_off(path);
  if (state_->capacity == 0) return uint64_t{1} << 40;
  return state_->capacity - std::min(state_->capacity, state_->used);
}

}  // namespace ziwa
