#pragma once

#include "catalog/catalog.h"
#include "data/scan.h"
#include "log/log.h"
#include "sql/topic_reader.h"

#include <memory>

namespace ziwa::sql {

/// The records of a topic up to `epoch`, decoded; its columns are topic_scan_schema(). Bounds on
/// _partition, _offset and (from below) _timestamp skip records unread. Records that do not decode
/// give no row: they are in ziwa.dead_letters. Errors: what the log says; unsupported formats;
/// unavailable by `deleted`.
Result<std::shared_ptr<data::Scan>> make_topic_scan(log::Log& log, const catalog::ObjectPtr& topic,
                                                    Epoch epoch, Deleted deleted);

}  // namespace ziwa::sql
