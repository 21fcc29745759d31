#pragma once

#include "stream/plan.h"

#include <functional>

namespace ziwa::sql {

/// What emit_on_close() has to know of a source.
enum class SourceKind : uint8_t {
  timed,  ///< A topic with a WATERMARK.
  grows,  ///< Another topic, or a view.
  still,  ///< A table.
};

/// EMIT ON WINDOW CLOSE: makes the aggregates that windows go into give a group once its window has
/// ended, and not before. Errors: unsupported, when the rows of the plan would not all be final
/// then: they have to come from such groups, and nothing above may change them again.
Status emit_on_close(stream::Plan& plan, const std::function<SourceKind(ObjectId)>& kind_of);

}  // namespace ziwa::sql
