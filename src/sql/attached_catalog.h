#pragma once

#include "duck/catalog_api.h"
#include "sql/core.h"
#include "sql/entries.h"
#include "sql/pin.h"
#include "sql/row_writer.h"
#include "sql/session_state.h"

#include <map>
#include <memory>
#include <mutex>
#include <vector>

namespace ziwa::sql {

/// A transaction of DuckDB's over our catalog: one pin, and the entries that were handed out. One
/// statement at a time, but the pin is read from any thread.
class PinnedTransaction final : public duckdb::Transaction {
 public:
  PinnedTransaction(duckdb::TransactionManager& manager, duckdb::ClientContext& context,
                    std::shared_ptr<Core> core, PinPtr pin, std::shared_ptr<EntrySet> entries)
      : duckdb::Transaction(manager, context),
        core_(std::move(core)),
        pin_(std::move(pin)),
        entries_(std::move(entries)),
        one_statement_(context.transaction.IsAutoCommit()) {}

  /// The transaction of `context`, started if need be.
  static PinnedTransaction& of(duckdb::ClientContext& context, duckdb::Catalog& catalog);

  Core& core() { return *core_; }
  const std::shared_ptr<Core>& shared_core() const { return core_; }
  Pin& pin() { return *pin_; }
  const PinPtr& shared_pin() const { return pin_; }
  EntrySet& entries() { return *entries_; }
  /// Not within BEGIN ... COMMIT.
  bool one_statement() const { return one_statement_; }
  /// The writer of a write inside BEGIN ... COMMIT: rows reach the topic or table when the
  /// transaction commits. Errors: unsupported for a second target.
  Result<RowWriter*> held_writer(const catalog::ObjectPtr& object);
  /// Writes what was held. The journal number, 0 when there was nothing.
  Result<EntryNumber> finish_held();
  /// The rows of `id` that only this transaction's catalog knows; null: look at what is published.
  std::shared_ptr<data::Scan> uncommitted(ObjectId id) const;
  void set_uncommitted(UncommittedScans scans) { uncommitted_ = std::move(scans); }
  /// Tells the session that its statement read this epoch.
  void note_read(duckdb::ClientContext& context);

 private:
  std::shared_ptr<Core> core_;
  PinPtr pin_;
  std::shared_ptr<EntrySet> entries_;
  const bool one_statement_;
  UncommittedScans uncommitted_;
  catalog::ObjectPtr held_object_;
  std::unique_ptr<RowWriter> held_writer_;
};

/// The database `db` inside DuckDB. Entries come from the transaction's pinned catalog; nothing is
/// created through DuckDB.
class AttachedCatalog final : public duckdb::Catalog {
 public:
  AttachedCatalog(duckdb::AttachedDatabase& database, std::shared_ptr<Core> core)
      : duckdb::Catalog(database), core_(std::move(core)) {}

  void Initialize(bool) override {}
  std::string GetCatalogType() override { return "ziwa"; }
  duckdb::string GetDefaultSchema() const override { return std::string(kDefaultSchema); }
  /// Functions and types are never ours: looking for them here would start a transaction for
  /// nothing.
  duckdb::CatalogLookupBehavior CatalogTypeLookupRule(duckdb::CatalogType type) const override {
    bool table =
        type == duckdb::CatalogType::TABLE_ENTRY || type == duckdb::CatalogType::VIEW_ENTRY;
    return table ? duckdb::CatalogLookupBehavior::STANDARD
                 : duckdb::CatalogLookupBehavior::NEVER_LOOKUP;
  }
  duckdb::optional_idx GetCatalogVersion(duckdb::ClientContext& context) override;
  duckdb::optional_ptr<duckdb::CatalogEntry> CreateSchema(duckdb::CatalogTransaction,
                                                          duckdb::CreateSchemaInfo&) override;
  duckdb::optional_ptr<duckdb::SchemaCatalogEntry> LookupSchema(
      duckdb::CatalogTransaction transaction, const duckdb::EntryLookupInfo& lookup,
      duckdb::OnEntryNotFound if_not_found) override;
  void ScanSchemas(duckdb::ClientContext& context,
                   std::function<void(duckdb::SchemaCatalogEntry&)> callback) override;
  duckdb::PhysicalOperator& PlanCreateTableAs(duckdb::ClientContext&,
                                              duckdb::PhysicalPlanGenerator&,
                                              duckdb::LogicalCreateTable&,
                                              duckdb::PhysicalOperator&) override;
  duckdb::PhysicalOperator& PlanInsert(
      duckdb::ClientContext& context, duckdb::PhysicalPlanGenerator& planner,
      duckdb::LogicalInsert& op, duckdb::optional_ptr<duckdb::PhysicalOperator> plan) override;
  using duckdb::Catalog::PlanDelete;
  using duckdb::Catalog::PlanUpdate;
  duckdb::PhysicalOperator& PlanDelete(duckdb::ClientContext&, duckdb::PhysicalPlanGenerator&,
                                       duckdb::LogicalDelete&, duckdb::PhysicalOperator&) override;
  duckdb::PhysicalOperator& PlanUpdate(duckdb::ClientContext&, duckdb::PhysicalPlanGenerator&,
                                       duckdb::LogicalUpdate&, duckdb::PhysicalOperator&) override;
  duckdb::DatabaseSize GetDatabaseSize(duckdb::ClientContext&) override { return {}; }
  bool InMemory() override { return true; }
  duckdb::string GetDBPath() override { return ""; }
  void DropSchema(duckdb::ClientContext&, duckdb::DropInfo&) override;

  /// The entries of one committed catalog version, shared by all transactions that see it.
  std::shared_ptr<EntrySet> entries_of(const catalog::SnapshotPtr& snapshot);
  const std::shared_ptr<Core>& core() const { return core_; }

 private:
  std::shared_ptr<Core> core_;
  std::mutex mutex_;
  std::shared_ptr<EntrySet> latest_;
};

/// Registers the storage extension on the instance and attaches the catalog as `db`. Call before
/// the instance is locked.
Status attach_catalog(const std::shared_ptr<Core>& core);
/// Takes it away again; no session may be left.
void detach_catalog(duck::Instance& instance);

}  // namespace ziwa::sql
