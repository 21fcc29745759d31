#pragma once

#include "base/result.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa::sql {

/// What a piece of a statement is.
enum class TokenKind : unsigned char {
  word,       ///< A bare name or keyword.
  quoted,     ///< "a name".
  string,     ///< 'text', E'text' or $tag$text$tag$.
  number,     ///< 1, 1.5, 1e6, 0xFF, 1_000
  parameter,  ///< ?, $1, $name
  symbol,     ///< One character of punctuation; `::` and `=>` are one token.
  end,        ///< After the last one.
};

/// One piece of a statement; comments and blanks are between the pieces.
struct Token {
  TokenKind kind = TokenKind::end;
  std::string_view text;  ///< As written; a view into the statement.
  size_t position = 0;    ///< Byte offset of `text`.

  size_t end() const { return position + text.size(); }
  /// Compares a bare word without regard to case; `keyword` is upper case.
  bool is(std::string_view keyword) const;
  bool is_symbol(std::string_view symbol) const {
    return kind == TokenKind::symbol && text == symbol;
  }
  /// The name or text that is meant: without quotes, escapes undone.
  std::string value() const;
};

/// Cuts a statement into tokens as DuckDB's scanner does, the last one being `end`.
/// Errors: invalid_argument at the start of a quote or comment that is never closed.
Result<std::vector<Token>> tokenize(std::string_view sql);

/// A statement inside a longer text: [begin, end) without the blanks around it and without its
/// semicolon.
struct StatementSpan {
  size_t begin = 0;
  size_t end = 0;
};

/// Finds the statements of a text at the semicolons outside quotes and comments; empty ones vanish.
/// A quote that is never closed takes the rest of the text.
std::vector<StatementSpan> split_statements(std::string_view sql);

}  // namespace ziwa::sql
