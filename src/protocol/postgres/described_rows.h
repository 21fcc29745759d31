#pragma once

#include "base/result.h"
#include "sql/database.h"

#include <memory>
#include <vector>

namespace ziwa::protocol::postgres {

/// The same rows with the types that the client was told before they were run: types that follow
/// from values may come out narrower or wider. Errors: unsupported when the number of columns is
/// another, or with `exactly` a name or type, since something was dropped and made anew.
Result<std::unique_ptr<sql::Rows>> as_described(std::unique_ptr<sql::Rows> rows,
                                                const std::vector<duck::NamedType>& told,
                                                bool exactly);

}  // namespace ziwa::protocol::postgres
