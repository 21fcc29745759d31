#include "catalog/catalog.h"

#include "base/log.h"
#include "catalog/object_json_internal.h"
#include "catalog/transaction_internal.h"

#include <nlohmann/json.hpp>

#include <atomic>
#include <mutex>
#include <thread>

// Table "catalog" (docs/formats/catalog.md):
//   "meta"              {"format": 1, "version": 12, "next_id": 40}
//   "entered"           {"version": 12}: the newest version that is known to be in the journal; may
//   lag "object/" + 16 hex  one object as JSON
// A commit is one synced batch of "meta" and the objects that changed.

namespace ziwa::catalog {
namespace {

constexpr int kFormat = 1;
constexpr std::string_view kMetaKey = "meta";
constexpr std::string_view kEnteredKey = "entered";
constexpr std::string_view kObjectPrefix = "object/";

std::string object_key(ObjectId id) { return fmt::format("{}{:016x}", kObjectPrefix, id.value); }

struct Meta {
  uint64_t version = 0;
  uint64_t next_id = 1;
};

Result<nlohmann::json> read_json(state::Store& store, state::TableId table, std::string_view key) {
  auto text = TRY(store.get(table, key));
  if (!text) return nlohmann::json();
  auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object()) return Error(Code::corrupt, "catalog: key \"{}\" is not JSON", key);
  return json;
}

Result<uint64_t> member(const nlohmann::json& json, const char* name) {
  if (json.contains(name) && json[name].is_number_unsigned()) return json[name].get<uint64_t>();
  return Error(Code::corrupt, "catalog: \"{}\" is missing", name);
}

Result<Meta> load_meta(state::Store& store, state::TableId table) {
  auto json = TRY(read_json(store, table, kMetaKey));
  if (json.is_null()) return Meta{};
  if (auto format = TRY(member(json, "format")); format != kFormat) {
    return Error(Code::unsupported, "the catalog has format {}; this program reads format {}",
                 format, kFormat)
        .with_hint("use the program that wrote it, or a newer one");
  }
  return Meta{TRY(member(json, "version")), TRY(member(json, "next_id"))};
}

Result<std::shared_ptr<SnapshotImage>> load_objects(state::Store& store, state::TableId table) {
  auto image = std::make_shared<SnapshotImage>();
  auto cursor = store.cursor(table);
  for (cursor->seek(kObjectPrefix); cursor->valid() && cursor->key().starts_with(kObjectPrefix);
       cursor->next()) {
    auto object = decode_object(cursor->value());
    if (!object) return std::move(object).error().context(cursor->key());
    if (object_key(object->id) != cursor->key()) {
      return Error(Code::corrupt, "catalog: {} holds object {}", cursor->key(), object->id);
    }
    image->put(std::make_shared<const Object>(std::move(*object)));
  }
  TRY(cursor->status());
  for (const auto& [id, object] : image->by_id()) {
    for (ObjectId dependency : object->depends_on) {
      if (image->find(dependency) == nullptr) {
        return Error(Code::corrupt, "catalog: object {} depends on {}, which is missing", id,
                     dependency);
      }
    }
  }
  return image;
}

class StoredCatalog final : public Catalog {
 public:
  StoredCatalog(state::Store& store, const Clock& clock, Meta meta, uint64_t entered_version,
                std::shared_ptr<const SnapshotImage> image)
      : store_(store),
        clock_(clock),
        table_(store.table("catalog")),
        next_id_(meta.next_id),
        entered_version_(entered_version),
        current_(std::move(image)) {}

  SnapshotPtr snapshot() const override { return image(); }

  Result<SnapshotPtr> commit(const std::function<Status(Transaction&)>& body) override {
    CHECK(writer_ != std::this_thread::get_id(), "commit() inside a commit()");
    std::lock_guard lock(writer_mutex_);
    writer_ = std::this_thread::get_id();
    // Also when the body throws.
    std::unique_ptr<StoredCatalog, void (*)(StoredCatalog*)> done(
        this, [](StoredCatalog* catalog) { catalog->writer_ = std::thread::id(); });
    return commit_locked(body);
  }

  void watch(Watcher watcher) override {
    std::lock_guard lock(writer_mutex_);
    watchers_.push_back(std::move(watcher));
  }

  void set_journal(std::function<Result<EntryNumber>(uint64_t)> enter) override {
    std::lock_guard lock(writer_mutex_);
    enter_ = std::move(enter);
    uint64_t version = image()->version();
    if (!enter_ || entered_version_ >= version) return;
    // The machine died between the catalog's write and the journal's.
    auto entered = enter_journal(version);
    if (!entered) {
      log_error("catalog", "the journal does not take the newest catalog version",
                "version={} error={}", version, entered.error().to_string());
    }
  }

 private:
  std::shared_ptr<const SnapshotImage> image() const {
    std::lock_guard lock(current_mutex_);
    return current_;
  }

  Result<SnapshotPtr> commit_locked(const std::function<Status(Transaction&)>& body) {
    auto before = image();
    TransactionImage transaction(*before, next_id_, clock_.now());
    TRY(body(transaction));
    auto after = transaction.image();
    auto changes = difference(*before, *after);
    if (changes.empty()) return SnapshotPtr(before);
    auto batch = TRY(encode(changes, after->version()));
    TRY(prepare(changes));
    if (Status written = store_.write(batch, true); !written) {
      abort(changes, watchers_.size());
      const bool unknown = written.error().code() == Code::maybe_applied;
      return std::move(written).error().context(
          unknown ? "the next start tells whether the catalog was changed"
                  : "the catalog was not changed");
    }
    {
      std::lock_guard lock(current_mutex_);
      current_ = after;
    }
    auto entry = enter_journal(after->version());
    if (!entry) {
      return Error(Code::maybe_applied,
                   "catalog version {} is stored, but the journal refused it: {}", after->version(),
                   entry.error().message())
          .with_hint("restart the server: it enters the version then");
    }
    apply(changes, *entry);
    return SnapshotPtr(after);
  }

  Result<state::WriteBatch> encode(const std::vector<Change>& changes, uint64_t version) const {
    state::WriteBatch batch;
    nlohmann::json meta = {{"format", kFormat}, {"version", version}, {"next_id", next_id_}};
    batch.put(table_, kMetaKey, meta.dump());
    for (const auto& change : changes) {
      if (change.after == nullptr) {
        batch.remove(table_, object_key(change.before->id));
      } else {
        batch.put(table_, object_key(change.after->id), TRY(encode_object(*change.after)));
      }
    }
    return batch;
  }

  Status prepare(const std::vector<Change>& changes) {
    for (size_t i = 0; i < watchers_.size(); ++i) {
      if (!watchers_[i].prepare) continue;
      Status prepared = watchers_[i].prepare(changes);
      if (prepared) continue;
      abort(changes, i);
      return prepared;
    }
    return {};
  }

  /// Undoes the first `count` watchers' prepare, last one first.
  void abort(const std::vector<Change>& changes, size_t count) {
    while (count-- > 0) {
      if (watchers_[count].abort) watchers_[count].abort(changes);
    }
  }

  Result<EntryNumber> enter_journal(uint64_t version) {
    if (!enter_) return EntryNumber();
    EntryNumber entry = TRY(enter_(version));
    entered_version_ = version;
    state::WriteBatch batch;
    batch.put(table_, kEnteredKey, nlohmann::json{{"version", version}}.dump());
    // Not synced: if it is lost, the version is entered a second time, which changes nothing.
    store_.write(batch, false).ignore("only spares the next start an entry");
    return entry;
  }

  void apply(const std::vector<Change>& changes, EntryNumber entry) {
    for (auto& watcher : watchers_) {
      if (!watcher.apply) continue;
      Status applied = watcher.apply(changes, entry);
      if (!applied) {
        log_error("catalog", "a change was stored, but not carried out; a restart tries again",
                  "entry={} error={}", entry, applied.error().to_string());
      }
    }
  }

  state::Store& store_;
  const Clock& clock_;
  state::TableId table_;

  std::mutex writer_mutex_;  ///< Guards what follows: one commit at a time.
  std::atomic<std::thread::id> writer_;
  uint64_t next_id_;
  uint64_t entered_version_;
  std::vector<Watcher> watchers_;
  std::function<Result<EntryNumber>(uint64_t)> enter_;

  mutable std::mutex current_mutex_;
  std::shared_ptr<const SnapshotImage> current_;  ///< Guarded by current_mutex_.
};

}  // namespace

Result<std::unique_ptr<Catalog>> Catalog::open(state::Store& store, const Clock& clock) {
  auto table = store.table("catalog");
  Meta meta = TRY(load_meta(store, table));
  auto image = TRY(load_objects(store, table));
  image->set_version(meta.version);
  for (const auto& [id, object] : image->by_id()) {
    if (id.value >= meta.next_id || object->version > meta.version) {
      return Error(Code::corrupt, "catalog: object {} is newer than the catalog", id);
    }
  }
  auto entered = TRY(read_json(store, table, kEnteredKey));
  uint64_t entered_version = entered.is_null() ? 0 : TRY(member(entered, "version"));
  return std::make_unique<StoredCatalog>(store, clock, meta, entered_version, std::move(image));
}

}  // namespace ziwa::catalog
