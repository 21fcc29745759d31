#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ziwa::protocol::postgres {

/// A statement in DuckDB's words.
struct PlainWords {
  std::string text;
  /// What was put in: where in `text`, and how many bytes; ascending. All else has kept its place.
  std::vector<std::pair<size_t, size_t>> added;

  /// Where that position of `text` was in the statement.
  size_t original(size_t position) const;
};

/// A question in words of Postgres that DuckDB's parser does not know: `OPERATOR(pg_catalog.~)` is
/// `~`, `COLLATE pg_catalog.default` nothing, functions and types lose `pg_catalog.`, and a cast to
/// regclass and its like is a call. Where a relation of pg_catalog stands in FROM, and behind
/// OPERATOR(pg_catalog.~), a constant pattern of ~ also finds a part of a text, as in Postgres.
/// Literals, quoted names and comments decide nothing, and statements that write or define
/// something stay as they are: they mean the same through every door.
PlainWords plain_catalog_words(std::string_view statement);

}  // namespace ziwa::protocol::postgres
