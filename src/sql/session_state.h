#pragma once

#include "base/ids.h"
#include "base/result.h"
#include "catalog/catalog.h"
#include "data/scan.h"
#include "duck/catalog_api.h"

#include <atomic>
#include <map>
#include <memory>

namespace ziwa::sql {

class Core;

/// The rows of objects that only an uncommitted catalog transaction knows, or knows differently.
using UncommittedScans = std::shared_ptr<const std::map<ObjectId, std::shared_ptr<data::Scan>>>;

/// What one statement turned out to do; shared by the session, its rows and the operators that run.
struct StatementOutcome {
  std::atomic<uint64_t> epoch = 0;    ///< What was read; 0: nothing of ours.
  std::atomic<uint64_t> written = 0;  ///< Journal number of the write; 0: none.
  std::optional<Error> refused;       ///< Why a commit failed, in our words.
};

/// What DuckDB's callbacks find on their ClientContext about the session they run for.
class SessionState final : public duckdb::ClientContextState {
 public:
  static constexpr const char* kKey = "ziwa";
  explicit SessionState(std::shared_ptr<Core> shared) : core(std::move(shared)) {}

  std::shared_ptr<Core> core;
  uint64_t id = 0;
  std::string user;
  std::shared_ptr<StatementOutcome> outcome = std::make_shared<StatementOutcome>();
  /// Binds against this catalog instead of the published one: for statements of a transaction that
  /// is not committed yet.
  catalog::SnapshotPtr catalog;
  /// What such a transaction has made, by object: nothing of it is published.
  UncommittedScans uncommitted;
  /// Files of this folder may be read, and relative paths start there; empty: no such folder.
  std::string folder;
  std::atomic<bool> cancelled = false;
  /// The transaction has an epoch: what others write from now on is not for it.
  std::atomic<bool> pinned = false;
  void TransactionBegin(duckdb::MetaTransaction&, duckdb::ClientContext&) override {
    pinned = false;
  }
  /// Grows with each statement that DuckDB binds or runs; that ends rows of earlier ones which are
  /// still open.
  uint64_t generation = 0;

  /// The state of `context`, or null for a connection that no session of ours opened.
  static duckdb::shared_ptr<SessionState> of(duckdb::ClientContext& context) {
    return context.registered_state->Get<SessionState>(kKey);
  }
};

/// A connection whose callbacks find `state`, and whose errors keep their positions: see
/// error_of().
Result<std::unique_ptr<duckdb::Connection>> open_connection(
    const duckdb::shared_ptr<SessionState>& state);

/// The error of a result or prepared statement of such a connection.
Error error_of(const duckdb::ErrorData& error);

}  // namespace ziwa::sql
