#pragma once

#include "catalog/catalog.h"
#include "data/scan.h"
#include "log/log.h"

#include <memory>
#include <set>
#include <utility>

namespace ziwa::sql {

/// Partition and offset of records.
using RecordPlaces = std::set<std::pair<int32_t, int64_t>>;

/// Columns of ziwa.dead_letters.
const data::Schema& dead_letter_schema();

/// The records of a topic up to `epoch` that do not decode, and batches that cannot be read, found
/// by reading all of it, but for those in `known`. For topics that no view and no sink reads: of
/// others the stream engine keeps them. Errors: what the log says; unsupported formats.
Result<std::shared_ptr<data::Scan>> scan_dead_letters(log::Log& log,
                                                      const catalog::ObjectPtr& topic, Epoch epoch,
                                                      RecordPlaces known);

}  // namespace ziwa::sql
