#pragma once

#include "duck/catalog_api.h"
#include "sql/define.h"

#include <functional>
#include <string>

namespace ziwa::sql {

/// Gives the rows of a SELECT, chunk by chunk; null at the end. The last chunk is valid until the
/// next call.
using RowSource = std::function<Result<duckdb::DataChunk*>()>;

/// Commits what CREATE makes, and returns when it can be read: a view covers its own entry. `rows`
/// fills a CREATE TABLE AS before anybody sees the table, with the catalog's writer lock held.
/// Returns the journal number to wait for. Errors: as define(); already_exists; what the engines
/// refuse. Then nothing has happened.
Result<EntryNumber> run_create(const BindContext& context, const CreateStatement& create,
                               std::string_view sql, const RowSource& rows);

/// Makes the Delta table of an object that a catalog transaction has created, and fills it from
/// `rows`, if set. On failure its files are gone; if the commit fails, call discard_table().
Result<std::shared_ptr<lake::Table>> make_table(Core& core, const catalog::ObjectPtr& object,
                                                const RowSource& rows);
/// Removes the files of a table whose commit failed.
void discard_table(Core& core, const catalog::Object& object);

/// Errors: not_found unless IF EXISTS; conflict naming the dependants unless CASCADE.
Result<EntryNumber> run_drop(const BindContext& context, const Drop& drop);

/// What a deletion did to one partition.
struct DeletedRecords {
  int32_t partition = 0;
  Offset start;         ///< The new one.
  int64_t records = 0;  ///< Offsets that went.
};
/// Deletes the oldest records of a topic, on all partitions or one; `before` -1: up to the end.
/// Views do not change: a checkpoint of their state is forced first.
Result<std::vector<DeletedRecords>> run_delete_records(const BindContext& context,
                                                       const DeleteRecords& records);

}  // namespace ziwa::sql
