#pragma once

#include "base/result.h"
#include "sql/statement.h"

#include <functional>
#include <string>
#include <vector>

namespace ziwa::sql {

/// One option that a kind of object takes.
struct OptionSpec {
  std::string name;
  std::function<Status(const std::string& value)> apply;
};

/// Applies each of `options`. Errors: invalid_argument at the option's position, unknown names with
/// the nearest known one.
Status apply_options(const std::vector<Option>& options, const std::vector<OptionSpec>& specs,
                     std::string_view kind);

/// Values as options spell them. Errors: invalid_argument saying what is accepted.
Result<int64_t> option_integer(const std::string& value, int64_t minimum, int64_t maximum);
Result<int64_t> option_duration_ms(const std::string& value, int64_t minimum_ms);
Result<int64_t> option_bytes(const std::string& value, int64_t minimum);

}  // namespace ziwa::sql
