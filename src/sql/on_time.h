#pragma once

#include "catalog/catalog.h"
#include "stream/plan_facts.h"

#include <functional>

namespace ziwa::sql {

/// What a plan that reads an object can build on. `endless` is not told.
stream::SourceFacts source_facts(const catalog::Object& object);

/// Makes joins let go of rows: where a join compares the times of two sides, rows of a topic that
/// are later than its WATERMARK (plus `lateness_us`) become late rows, if that tells when rows of
/// the other side have no matches to come. Limits of joins that no watermark bounds are removed.
void keep_on_time(stream::Plan& plan, int64_t lateness_us,
                  const std::function<const catalog::Object&(ObjectId)>& source);

}  // namespace ziwa::sql
