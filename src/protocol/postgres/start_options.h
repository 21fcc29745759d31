#pragma once

#include "base/result.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ziwa::protocol::postgres {

/// The settings in the start-up parameter `options` (psql's PGOPTIONS), in their order, names in
/// lower case: `-c name=value`, `-cname=value` and `--name=value`, separated by blanks; a backslash
/// keeps the blank or backslash after it, a minus in a name is an underscore. Errors:
/// invalid_argument for any other word.
/// Source: postgres src/backend/utils/init/postinit.c (pg_split_opts), tcop/postgres.c.
Result<std::vector<std::pair<std::string, std::string>>> parse_start_options(
    std::string_view options);

}  // namespace ziwa::protocol::postgres
