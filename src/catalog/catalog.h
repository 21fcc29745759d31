#pragma once

#include "base/clock.h"
#include "base/result.h"
#include "catalog/objects.h"
#include "state/store.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ziwa::catalog {

using ObjectPtr = std::shared_ptr<const Object>;

/// What exists at one catalog version. Immutable, shared; names are compared without regard to
/// case.
class Snapshot {
 public:
  virtual ~Snapshot() = default;
  virtual uint64_t version() const = 0;
  virtual ObjectPtr find(std::string_view schema, std::string_view name) const = 0;
  virtual ObjectPtr find(ObjectId id) const = 0;
  virtual std::vector<ObjectPtr> all() const = 0;                    ///< By schema and name.
  virtual std::vector<ObjectPtr> dependants(ObjectId id) const = 0;  ///< Direct ones.
  virtual std::vector<std::string> schemas() const = 0;
};
using SnapshotPtr = std::shared_ptr<const Snapshot>;

/// A set of changes that commits as one. One thread.
class Transaction {
 public:
  virtual ~Transaction() = default;
  /// What this transaction sees: the start snapshot and its own changes.
  virtual SnapshotPtr snapshot() const = 0;
  /// Adds an object; gives it an id. Errors: already_exists, not_found (a dependency).
  virtual Result<ObjectPtr> create(Object object) = 0;
  /// Replaces the object with the same id. Errors: not_found.
  virtual Result<ObjectPtr> replace(Object object) = 0;
  /// Errors: not_found; conflict naming the dependants, unless `cascade`, which drops them too
  /// (dependants first).
  virtual Status drop(ObjectId id, bool cascade) = 0;
};

/// What a commit did to one object.
struct Change {
  ObjectPtr before;  ///< Null when created.
  ObjectPtr after;   ///< Null when dropped.
};

/// What exists, kept in `store` (table "catalog"), atomically and durably. Any thread; one writer
/// at a time.
class Catalog {
 public:
  /// `store` must have a table "catalog" and outlive the catalog.
  static Result<std::unique_ptr<Catalog>> open(state::Store& store, const Clock& clock);
  virtual ~Catalog() = default;
  virtual SnapshotPtr snapshot() const = 0;

  /// Runs `body` on a fresh transaction and commits what it did: first the engines `prepare` (see
  /// watch), then durably the catalog, then the journal entry, then the engines `apply`. If `body`
  /// or a prepare fails, nothing has happened. snapshot() shows the new version from the durable
  /// write on, also inside `apply`. Blocks; one commit at a time. Errors: those of `body` and
  /// `prepare`; of the store; maybe_applied when the journal fails after the durable write.
  virtual Result<SnapshotPtr> commit(const std::function<Status(Transaction&)>& body) = 0;

  /// An engine that makes real what the catalog says. Called in order of registration, dependencies
  /// first, with the writer's lock held, so it must not call commit().
  struct Watcher {
    /// May refuse; must leave nothing behind that a start would not clean up. Optional.
    std::function<Status(const std::vector<Change>&)> prepare;
    /// Undoes `prepare` when a later step failed. Optional.
    std::function<void(const std::vector<Change>&)> abort;
    /// The change is durable at journal number `entry`. Errors here are logged and retried at the
    /// next start.
    std::function<Status(const std::vector<Change>&, EntryNumber entry)> apply;
  };
  virtual void watch(Watcher watcher) = 0;
  /// How commit() enters the journal (app sets it: submits CatalogChange and waits). Enters the
  /// newest version at once if the machine died before its entry; a version may come twice, the
  /// second time changes nothing.
  virtual void set_journal(std::function<Result<EntryNumber>(uint64_t catalog_version)> enter) = 0;
};

}  // namespace ziwa::catalog
