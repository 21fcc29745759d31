#pragma once

#include "stream/plan_facts.h"

#include <functional>

namespace ziwa::sql {

/// EMIT ON WINDOW CLOSE: makes the aggregates that windows go into give a group once its window has
/// ended, and not before. Errors: unsupported, when the rows of the plan would not all be final
/// then: they have to come from such groups, and nothing above may change them again.
Status emit_on_close(stream::Plan& plan,
                     const std::function<stream::SourceFacts(ObjectId)>& facts_of);

}  // namespace ziwa::sql
