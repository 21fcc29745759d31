#pragma once

#include "lake/table.h"

#include <functional>
#include <memory>
#include <string_view>

namespace ziwa::stream::testing {

/// Asked before a call of a table ("open", "changes", "write", "finish", "commit"); an error is
/// what the call gives.
using Fault = std::function<Status(std::string_view call)>;

/// `table`, which fails as `fault` says. `fault` must outlive it.
std::shared_ptr<lake::Table> make_faulty_table(std::shared_ptr<lake::Table> table,
                                               const Fault& fault);

}  // namespace ziwa::stream::testing
