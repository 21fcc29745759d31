#pragma once

#include "base/result.h"
#include "lake/actions_internal.h"

namespace ziwa::lake {

inline constexpr int64_t kMsPerDay = 86'400'000;

/// Whether this table can be read. Errors: unsupported naming the feature.
Status check_readable(const Protocol& protocol, const Metadata& metadata);
/// Whether we may write to it; `removes` says that the commit takes rows away. Errors: unsupported
/// naming the feature, conflict (the table is append-only).
Status check_writable(const Protocol& protocol, const Metadata& metadata, bool removes);
/// A property like "interval 30 days" (or "30 days", "1 week 12 hours") in milliseconds;
/// `otherwise` when it is not set. Errors: invalid_argument, also for months, which have no length.
Result<int64_t> duration_property_ms(const Metadata& metadata, const std::string& name,
                                     int64_t otherwise);
/// Whether a property is set to "true" or "false"; `otherwise` when it is neither.
bool flag_property(const Metadata& metadata, const std::string& name, bool otherwise);
/// delta.deletedFileRetentionDuration: how long a file that is in no version is kept.
Result<int64_t> deleted_file_retention_ms(const Metadata& metadata);
/// The protocol of a new table with this schema.
Protocol protocol_for(bool has_timestamp_without_zone);

}  // namespace ziwa::lake
