#include "sql/attached_catalog.h"

#include "base/log.h"
#include "duck/file_system.h"
#include "sql/insert_operator.h"
#include "sql/session_state.h"

namespace ziwa::sql {
namespace {

constexpr const char* kExtensionName = "ziwa";

struct ExtensionInfo final : duckdb::StorageExtensionInfo {
  std::weak_ptr<Core> core;
};

duckdb::ErrorData as_duck_error(const Error& error) {
  try {
    duck::throw_error(error);
  } catch (const std::exception& thrown) {
    return duckdb::ErrorData(thrown);
  }
}

class PinnedTransactionManager final : public duckdb::TransactionManager {
 public:
  PinnedTransactionManager(duckdb::AttachedDatabase& database, AttachedCatalog& catalog)
      : duckdb::TransactionManager(database), catalog_(catalog) {}

  duckdb::Transaction& StartTransaction(duckdb::ClientContext& context) override {
    auto transaction = start(context);
    if (!transaction) duck::throw_error(transaction.error());
    duckdb::Transaction& started = **transaction;
    std::lock_guard lock(mutex_);
    transactions_[&started] = std::move(*transaction);
    return started;
  }
  duckdb::ErrorData CommitTransaction(duckdb::ClientContext& context,
                                      duckdb::Transaction& transaction) override {
    auto entry = static_cast<PinnedTransaction&>(transaction).finish_held();
    end(transaction);
    if (!entry) {
      // DuckDB makes a conflict of whatever fails in a commit.
      if (auto session = SessionState::of(context)) session->outcome->refused = entry.error();
      return as_duck_error(entry.error());
    }
    if (auto session = SessionState::of(context); session && entry->value > 0) {
      session->outcome->written = entry->value;
    }
    return {};
  }
  void RollbackTransaction(duckdb::Transaction& transaction) override { end(transaction); }
  void Checkpoint(duckdb::ClientContext&, bool) override {}

 private:
  using Started = std::unique_ptr<PinnedTransaction>;
  Result<Started> start(duckdb::ClientContext& context) {
    const auto& core = catalog_.core();
    stream::PublishedPtr published = core->deps.engine.published();
    if (!published)
      return Error(Code::unavailable, "nothing is readable yet")
          .with_hint("the server is starting");
    catalog::SnapshotPtr snapshot =
        published->catalog ? published->catalog : core->deps.catalog.snapshot();
    std::shared_ptr<EntrySet> entries;
    auto session = SessionState::of(context);
    if (session && session->catalog) {
      entries = std::make_shared<EntrySet>(catalog_, session->catalog);
    } else {
      entries = catalog_.entries_of(snapshot);
    }
    PinPtr pin = TRY(core->pins.take(std::move(published)));
    auto transaction = std::make_unique<PinnedTransaction>(*this, context, core, std::move(pin),
                                                           std::move(entries));
    if (session) {
      transaction->set_uncommitted(session->uncommitted);
      session->pinned = true;
    }
    return transaction;
  }
  void end(duckdb::Transaction& transaction) {
    Started gone;  // destroyed outside the lock
    std::lock_guard lock(mutex_);
    auto found = transactions_.find(&transaction);
    if (found == transactions_.end()) return;
    gone = std::move(found->second);
    transactions_.erase(found);
  }

  AttachedCatalog& catalog_;
  std::mutex mutex_;
  std::map<duckdb::Transaction*, Started> transactions_;
};

duckdb::unique_ptr<duckdb::Catalog> attach(duckdb::optional_ptr<duckdb::StorageExtensionInfo> info,
                                           duckdb::ClientContext&,
                                           duckdb::AttachedDatabase& database, const std::string&,
                                           duckdb::AttachInfo&, duckdb::AttachOptions&) {
  auto core = static_cast<ExtensionInfo&>(*info).core.lock();
  if (!core) throw duckdb::PermissionException("only the server attaches its catalog");
  return duckdb::make_uniq<AttachedCatalog>(database, std::move(core));
}

duckdb::unique_ptr<duckdb::TransactionManager> make_manager(
    duckdb::optional_ptr<duckdb::StorageExtensionInfo>, duckdb::AttachedDatabase& database,
    duckdb::Catalog& catalog) {
  return duckdb::make_uniq<PinnedTransactionManager>(database,
                                                     static_cast<AttachedCatalog&>(catalog));
}

[[noreturn]] void refuse(std::string_view what, std::string hint) {
  duck::throw_error(Error(Code::unsupported, "{} is not built for topics, tables and views", what)
                        .with_hint(std::move(hint)));
}

}  // namespace

PinnedTransaction& PinnedTransaction::of(duckdb::ClientContext& context, duckdb::Catalog& catalog) {
  return static_cast<PinnedTransaction&>(duckdb::Transaction::Get(context, catalog));
}

void PinnedTransaction::note_read(duckdb::ClientContext& context) {
  if (auto session = SessionState::of(context)) session->outcome->epoch = pin_->epoch().value;
}

std::shared_ptr<data::Scan> PinnedTransaction::uncommitted(ObjectId id) const {
  if (!uncommitted_) return nullptr;
  auto found = uncommitted_->find(id);
  return found == uncommitted_->end() ? nullptr : found->second;
}

Result<RowWriter*> PinnedTransaction::held_writer(const catalog::ObjectPtr& object) {
  if (held_writer_ && held_object_->id != object->id) {
    return Error(Code::unsupported,
                 "a transaction writes into one topic or table; this one has written into \"{}\"",
                 held_object_->name)
        .with_hint("COMMIT first");
  }
  if (!held_writer_) {
    held_writer_ = TRY(make_row_writer(*core_, object, AppendWhen::finished));
    held_object_ = object;
  }
  return held_writer_.get();
}

Result<EntryNumber> PinnedTransaction::finish_held() {
  if (!held_writer_) return EntryNumber();
  return held_writer_->finish();
}

duckdb::optional_idx AttachedCatalog::GetCatalogVersion(duckdb::ClientContext& context) {
  return PinnedTransaction::of(context, *this).entries().snapshot()->version();
}

duckdb::optional_ptr<duckdb::CatalogEntry> AttachedCatalog::CreateSchema(
    duckdb::CatalogTransaction, duckdb::CreateSchemaInfo&) {
  duck::throw_error(Error(Code::unsupported, "CREATE SCHEMA is not built")
                        .with_hint("a schema is there as soon as an object is created in it"));
}

duckdb::optional_ptr<duckdb::SchemaCatalogEntry> AttachedCatalog::LookupSchema(
    duckdb::CatalogTransaction transaction, const duckdb::EntryLookupInfo& lookup,
    duckdb::OnEntryNotFound if_not_found) {
  SchemaEntry* schema = nullptr;
  if (transaction.transaction) {
    schema = static_cast<PinnedTransaction&>(*transaction.transaction)
                 .entries()
                 .schema(lookup.GetEntryName());
  }
  if (!schema && if_not_found == duckdb::OnEntryNotFound::THROW_EXCEPTION) {
    throw duckdb::CatalogException(lookup.GetErrorContext(), "Schema with name %s does not exist!",
                                   lookup.GetEntryName());
  }
  return schema;
}

void AttachedCatalog::ScanSchemas(duckdb::ClientContext& context,
                                  std::function<void(duckdb::SchemaCatalogEntry&)> callback) {
  for (SchemaEntry* schema : PinnedTransaction::of(context, *this).entries().schemas())
    callback(*schema);
}

duckdb::PhysicalOperator& AttachedCatalog::PlanCreateTableAs(duckdb::ClientContext&,
                                                             duckdb::PhysicalPlanGenerator&,
                                                             duckdb::LogicalCreateTable&,
                                                             duckdb::PhysicalOperator&) {
  refuse("this form of CREATE TABLE AS", "CREATE TABLE name AS SELECT ...");
}

duckdb::PhysicalOperator& AttachedCatalog::PlanInsert(
    duckdb::ClientContext& context, duckdb::PhysicalPlanGenerator& planner,
    duckdb::LogicalInsert& op, duckdb::optional_ptr<duckdb::PhysicalOperator> plan) {
  return plan_insert(context, planner, op, plan);
}

duckdb::PhysicalOperator& AttachedCatalog::PlanDelete(duckdb::ClientContext&,
                                                      duckdb::PhysicalPlanGenerator&,
                                                      duckdb::LogicalDelete&,
                                                      duckdb::PhysicalOperator&) {
  refuse("DELETE", "DELETE FROM topic WHERE _offset < n drops the oldest records of a topic");
}

duckdb::PhysicalOperator& AttachedCatalog::PlanUpdate(duckdb::ClientContext&,
                                                      duckdb::PhysicalPlanGenerator&,
                                                      duckdb::LogicalUpdate&,
                                                      duckdb::PhysicalOperator&) {
  refuse("UPDATE", "INSERT appends rows");
}

void AttachedCatalog::DropSchema(duckdb::ClientContext&, duckdb::DropInfo&) {
  refuse("DROP SCHEMA", "drop the objects in it");
}

std::shared_ptr<EntrySet> AttachedCatalog::entries_of(const catalog::SnapshotPtr& snapshot) {
  std::lock_guard lock(mutex_);
  if (latest_ && latest_->snapshot()->version() == snapshot->version()) return latest_;
  auto entries = std::make_shared<EntrySet>(*this, snapshot);
  // Transactions still pinned to an older version get sets of their own.
  if (!latest_ || latest_->snapshot()->version() < snapshot->version()) latest_ = entries;
  return entries;
}

Status attach_catalog(const std::shared_ptr<Core>& core) {
  return duck::guarded([&] {
    auto& instance = *core->deps.duck.database().instance;
    auto& config = duckdb::DBConfig::GetConfig(instance);
    auto info = duckdb::make_shared_ptr<ExtensionInfo>();
    info->core = core;
    auto extension = duckdb::make_shared_ptr<duckdb::StorageExtension>();
    extension->attach = attach;
    extension->create_transaction_manager = make_manager;
    extension->storage_info = info;
    duckdb::StorageExtension::Register(config, kExtensionName, extension);
    auto connection = core->deps.duck.connect();
    auto result = connection->Query("ATTACH '' AS db (TYPE ziwa)");
    if (result->HasError()) result->ThrowError();
    info->core.reset();
  });
}

void detach_catalog(duck::Instance& instance) {
  auto detached = duck::guarded([&] {
    auto connection = instance.connect();
    connection->BeginTransaction();
    duckdb::DatabaseManager::Get(*connection->context)
        .DetachDatabase(*connection->context, std::string(kDatabaseName),
                        duckdb::OnEntryNotFound::RETURN_NULL);
    connection->Commit();
  });
  if (!detached)
    log_warn("sql", "the catalog could not be detached", "error={}", detached.error().to_string());
}

}  // namespace ziwa::sql
