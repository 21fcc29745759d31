#pragma once

#include "catalog/catalog.h"
#include "sql/core.h"
#include "sql/ddl.h"
#include "sql/define.h"
#include "sql/view_planner.h"

#include <memory>
#include <string>
#include <vector>

namespace ziwa::sql {

/// What gives a table its rows when a project is applied.
struct LoadQuery {
  std::string text;  ///< A SELECT with the table's columns in order, not yet of its types.
  std::string file;  ///< The `file` option, for messages; empty: none.
};

/// The query behind `create`: its own, or everything in its file with the columns matched by name.
/// Binds it, reads no rows. Errors: invalid_argument naming column and file when they do not fit;
/// permission for files outside of `context.folder`.
Result<LoadQuery> plan_load(const BindContext& context, const CreateTable& create,
                            const catalog::Object& table);

/// Content hash of the table's file. Errors: not_found, permission, io.
Result<std::string> hash_file(const BindContext& context, const catalog::TableDefinition& table);

/// The rows of `load`, cast to the columns of `table` as INSERT would. Errors on the way name the
/// file, the row or line, the column and the types.
Result<RowSource> open_load(const BindContext& context, const LoadQuery& load,
                            const catalog::Object& table);

/// What is in a table that a project's file was loaded into.
struct LoadedState {
  int64_t version = -1;     ///< Delta version that was looked at.
  bool other_rows = false;  ///< It has rows that no load of the file wrote.
};
Result<LoadedState> loaded_state(Core& core, const catalog::Object& table);

/// Rows written as data files that the table does not know yet.
struct StagedLoad {
  std::vector<lake::DataFile> files;
  lake::TableSnapshotPtr preview;  ///< The table as it will be.
};
/// Reads all of `rows` into synced files of the existing table. Errors: as open_load() and
/// TableWriter; then no file is left.
Result<StagedLoad> stage_load(Core& core, const catalog::ObjectPtr& table, const RowSource& rows);
/// Removes the files of a load that will not happen.
void discard_load(Core& core, const catalog::Object& table, const StagedLoad& staged);

/// Carries out the loads that the catalog promises: rows into Delta tables, each once however often
/// this runs, then the promise is taken off. At the start and after each apply. Errors: those of
/// the lake; what is left is done by the next call. conflict: another engine has rewritten the rows
/// that a load replaces; that load is given up, and the next apply plans it anew.
Status finish_loads(Core& core);

}  // namespace ziwa::sql
