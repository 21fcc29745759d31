#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa::sql {

/// A statement as DuckDB gets it, and where its bytes came from.
class Rewritten {
 public:
  std::string text;
  /// The position in the original statement of a position in `text`; inside text of ours, where
  /// that text stands.
  size_t original(size_t position) const;

 private:
  friend class Rewriter;
  struct Piece {
    size_t at = 0;  ///< In `text`.
    size_t original = 0;
    bool copied = true;  ///< Byte for byte; else all of it stands for `original`.
  };
  std::vector<Piece> pieces_;
};

/// Rewrites what DuckDB's grammar does not have: `tumble(t, ts, INTERVAL ...)`, `hop` and
/// `cumulate` and `session(t PARTITION BY k, ts, INTERVAL ...)` in FROM, also as
/// `TABLE(TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL ...))`, become a subquery over t that adds
/// window_start and window_end; and `ziwa.why('view')`, rows of ziwa.waits. Errors:
/// invalid_argument (arguments); unsupported (other windows).
enum class RewriteFor : uint8_t {
  query,  ///< DuckDB runs it.
  view,   ///< It is bound and translated.
};
Result<Rewritten> rewrite_statement(std::string_view sql, RewriteFor purpose = RewriteFor::query);

}  // namespace ziwa::sql
