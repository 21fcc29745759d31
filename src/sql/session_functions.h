#pragma once

#include "base/result.h"
#include "duck/instance.h"

#include <string>

namespace ziwa::sql {

/// current_user, session_user and user of the session, and version(), instead of DuckDB's own.
Status register_session_functions(duck::Instance& instance, const std::string& version);

}  // namespace ziwa::sql
