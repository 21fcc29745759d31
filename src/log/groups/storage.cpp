#include "log/groups/storage.h"

#include "base/bytes.h"

namespace ziwa::groups {
namespace {

constexpr std::string_view kTable = "groups";
constexpr uint8_t kOffsetFormat = 1;

std::string key_of(char kind, std::string_view group_id) {
  ByteWriter out;
  out.le(kind);
  out.sized(group_id);
  return std::string(as_text(out.view()));
}

/// The first key after all that start with `prefix`.
std::string after_prefix(std::string prefix) {
  while (!prefix.empty() && static_cast<uint8_t>(prefix.back()) == 0xFF) prefix.pop_back();
  if (!prefix.empty()) prefix.back() = static_cast<char>(prefix.back() + 1);
  return prefix;
}

}  // namespace

std::string group_key(std::string_view group_id) { return key_of('g', group_id); }
std::string offset_prefix(std::string_view group_id) { return key_of('o', group_id); }

std::string offset_key(std::string_view group_id, PartitionId partition) {
  ByteWriter out;
  out.raw(offset_prefix(group_id));
  out.be(partition.topic.value);
  out.be(partition.partition);
  return std::string(as_text(out.view()));
}

std::string encode_offset(const GroupOffset& offset) {
  ByteWriter out;
  out.le(kOffsetFormat);
  out.svarint(offset.offset.value);
  out.svarint(offset.leader_epoch);
  out.svarint(offset.committed.value);
  out.sized(offset.metadata);
  return std::string(as_text(out.view()));
}

Result<std::string> decode_group_key(std::string_view key) {
  ByteReader in(as_bytes(key));
  in.le<uint8_t>();
  std::string group_id(in.sized());
  TRY(in.status("a key of table groups"));
  return group_id;
}

Result<std::pair<std::string, GroupOffset>> decode_offset(std::string_view key,
                                                          std::string_view value) {
  ByteReader key_in(as_bytes(key));
  key_in.le<uint8_t>();
  std::string group_id(key_in.sized());
  GroupOffset offset;
  offset.partition.topic = ObjectId(key_in.be<uint64_t>());
  offset.partition.partition = key_in.be<int32_t>();
  TRY(key_in.status("a key of table groups"));
  ByteReader in(as_bytes(value));
  if (in.le<uint8_t>() != kOffsetFormat)
    return Error(Code::corrupt, "unknown format of a committed offset");
  offset.offset = Offset(in.svarint());
  offset.leader_epoch = static_cast<int32_t>(in.svarint());
  offset.committed = TimestampMs(in.svarint());
  offset.metadata = in.sized();
  TRY(in.status("a committed offset"));
  return std::pair(std::move(group_id), std::move(offset));
}

/// Shared with the write in flight. Fields belong to the owner's thread.
struct StoreStorage::State : std::enable_shared_from_this<State> {
  using Done = std::move_only_function<void(Status)>;

  State(state::Store& s, Threads t) : store(s), table(s.table(kTable)), threads(std::move(t)) {}

  void start_next() {
    if (writing || waiting.empty()) return;
    writing = true;
    auto batch = std::make_shared<state::WriteBatch>();
    auto dones = std::make_shared<std::vector<Done>>();
    for (auto& [changes, done] : waiting) {
      add(*batch, changes);
      dones->push_back(std::move(done));
    }
    waiting.clear();
    Status queued = threads.background([self = shared_from_this(), batch, dones] {
      self->finish_on_owner(self->store.write(*batch, /*sync=*/true), dones);
    });
    if (!queued) finish_on_owner(std::move(queued), dones);
  }

  void finish_on_owner(Status status, std::shared_ptr<std::vector<Done>> dones) {
    threads.owner([self = shared_from_this(), status = std::move(status), dones]() mutable {
      self->writing = false;
      for (auto& done : *dones) done(status);
      self->start_next();
    });
  }

  void add(state::WriteBatch& batch, const Changes& changes) const {
    for (const auto& prefix : changes.prefix_removes)
      batch.remove_range(table, prefix, after_prefix(prefix));
    for (const auto& key : changes.removes) batch.remove(table, key);
    for (const auto& [key, value] : changes.puts) batch.put(table, key, value);
  }

  state::Store& store;
  const state::TableId table;
  Threads threads;
  bool writing = false;
  std::vector<std::pair<Changes, Done>> waiting;
};

StoreStorage::StoreStorage(state::Store& store, Threads threads)
    : state_(std::make_shared<State>(store, std::move(threads))) {}
StoreStorage::~StoreStorage() = default;

void StoreStorage::write(Changes changes, std::move_only_function<void(Status)> done) {
  state_->waiting.emplace_back(std::move(changes), std::move(done));
  state_->start_next();
}

}  // namespace ziwa::groups
