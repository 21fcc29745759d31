#pragma once

#include "base/result.h"
#include "catalog/objects.h"

#include <string>
#include <string_view>

namespace ziwa::catalog {

/// One object as JSON text (docs/formats/catalog.md). Errors: invalid_argument when a text is not
/// UTF-8.
Result<std::string> encode_object(const Object& object);
/// Errors: corrupt; unsupported when a newer program wrote it.
Result<Object> decode_object(std::string_view text);

}  // namespace ziwa::catalog
