#pragma once

#include "base/result.h"
#include "duck/instance.h"

namespace ziwa::protocol::postgres {

/// Fills pg_catalog, and information_schema.tables, with what psql and drivers ask: our topics,
/// tables and views with Postgres's types, and empty tables for what there is not. For all sessions
/// of `instance`; once, before there are any.
Status register_pg_catalog(duck::Instance& instance);

}  // namespace ziwa::protocol::postgres
