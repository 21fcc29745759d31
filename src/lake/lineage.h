#pragma once

#include "lake/table.h"

namespace ziwa::lake {

/// The files of `to` that hold the rows of `from`, an older version of the same table, and no
/// others: those that are still there, and what a compaction made of them. Blocks on reading the
/// commits between. Errors: conflict (a commit changed some of these rows, or a compaction mixed
/// them with rows that came later), not_found (commits between were cleaned up), io, corrupt.
Result<std::vector<DataFilePtr>> files_with_rows_of(const TableSnapshot& from,
                                                    const TableSnapshot& to);

}  // namespace ziwa::lake
