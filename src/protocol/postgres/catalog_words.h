#pragma once

#include <string>
#include <string_view>

namespace ziwa::protocol::postgres {

/// A statement about pg_catalog in words that DuckDB's parser knows: `OPERATOR(pg_catalog.~)` is
/// `~`, `COLLATE pg_catalog.default` nothing, functions and types lose `pg_catalog.`, a cast to
/// regclass and its like is a call, and a pattern of ~ finds a part of a text as in Postgres.
/// Statements that do not name pg_... stay as they are; positions before a pattern stay the same.
std::string plain_catalog_words(std::string_view statement);

}  // namespace ziwa::protocol::postgres
