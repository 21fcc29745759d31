#pragma once

#include "base/result.h"
#include "lake/actions_internal.h"

namespace ziwa::lake {

/// Whether this table can be read. Errors: unsupported naming the feature.
Status check_readable(const Protocol& protocol, const Metadata& metadata);
/// Whether we may write to it; `removes` says that the commit takes rows away. Errors: unsupported
/// naming the feature, conflict (the table is append-only).
Status check_writable(const Protocol& protocol, const Metadata& metadata, bool removes);
/// The protocol of a new table with this schema.
Protocol protocol_for(bool has_timestamp_without_zone);

}  // namespace ziwa::lake
