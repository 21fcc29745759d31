#pragma once

#include "lake/snapshot_internal.h"

#include <memory>
#include <vector>

namespace ziwa::lake {

/// A scan over the files of `snapshot`, or over `files` if given (with the columns of the
/// snapshot).
std::shared_ptr<data::Scan> make_scan(TableContextPtr context,
                                      std::shared_ptr<const TableColumns> columns,
                                      std::shared_ptr<const Snapshot> snapshot,
                                      std::shared_ptr<const std::vector<DataFilePtr>> files);

}  // namespace ziwa::lake
