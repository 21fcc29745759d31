#pragma once

#include "base/result.h"
#include "sql/statement.h"
#include "sql/tokenizer.h"

#include <string>
#include <string_view>
#include <vector>

namespace ziwa::sql {

/// A cursor over the tokens of one statement; the statement and the tokens must outlive it. One
/// thread.
class TokenCursor {
 public:
  TokenCursor(std::string_view sql, const std::vector<Token>& tokens)
      : sql_(sql), tokens_(tokens) {}

  const Token& peek(size_t ahead = 0) const;
  const Token& next();
  bool done() const { return peek().kind == TokenKind::end; }
  /// Consumes the word(s) if they come next.
  bool accept(std::string_view keyword);
  bool accept(std::string_view first, std::string_view second);
  bool accept_symbol(std::string_view symbol);
  /// Errors: invalid_argument saying what was expected and what stands there.
  Status expect(std::string_view keyword);
  Status expect_symbol(std::string_view symbol);
  Status expect_end();
  Result<std::string> identifier(std::string_view what);
  Result<QualifiedName> qualified_name(std::string_view what);
  Result<int64_t> integer(std::string_view what);
  /// "expected X, found Y", at the current token.
  Error unexpected(std::string_view expected) const;
  /// The statement from the current token to its end.
  TextSpan rest() const;
  /// The statement from token `first` to before the current one, without trailing blanks.
  TextSpan since(size_t first) const;
  size_t index() const { return at_; }

 private:
  std::string_view sql_;
  const std::vector<Token>& tokens_;
  size_t at_ = 0;
};

/// `INTERVAL 5 SECOND`, `INTERVAL '5 seconds'`, `INTERVAL (5) SECOND`: microseconds.
Result<int64_t> parse_interval(TokenCursor& cursor);
/// `WITH (name = value, ...)` if it comes next.
Result<std::vector<Option>> parse_options(TokenCursor& cursor);
/// Takes EMIT CHANGES, which is what views do anyway, or EMIT ON WINDOW CLOSE off the end of a
/// query; true: the latter.
Result<bool> strip_emit(TextSpan& query);
/// The CREATE statements of ours, after the word CREATE.
Result<Statement> parse_create(TokenCursor& cursor);

}  // namespace ziwa::sql
