#pragma once

#include "base/result.h"
#include "catalog/objects.h"

#include <string>
#include <string_view>

namespace ziwa::catalog {

/// How Kafka clients call a topic: one in schema public by its own name, others "schema.name".
std::string topic_name(const Object& topic);
/// Errors: invalid_argument, for a name that Kafka clients do not take.
Status check_topic_name(std::string_view name);

}  // namespace ziwa::catalog
