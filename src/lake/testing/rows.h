#pragma once

#include "lake/table.h"

#include <string>
#include <vector>

namespace ziwa::lake {

/// For tests: writes the rows of a query into new files of `table`. Its columns are cast to the
/// table's.
Result<std::vector<DataFile>> write_query(Table& table, duck::Instance& instance,
                                          const std::string& sql, uint64_t file_bytes = 128u << 20);

/// For tests: all rows of a scan as text, fields joined by "|", sorted. All columns if the request
/// names none.
Result<std::vector<std::string>> read_rows(data::Scan& scan, data::ScanRequest request = {},
                                           size_t parts = 3);

}  // namespace ziwa::lake
