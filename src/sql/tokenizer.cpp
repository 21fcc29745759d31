#include "sql/tokenizer.h"

#include <optional>

namespace ziwa::sql {
namespace {

bool is_space(char c) {
  return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word_start(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
         static_cast<unsigned char>(c) >= 0x80;
}
bool is_word(char c) { return is_word_start(c) || is_digit(c); }
/// The length of a Unicode blank at `at`, or 0: DuckDB's parser takes each for a space.
size_t unicode_space(std::string_view sql, size_t at) {
  auto byte = [&](size_t i) {
    return at + i < sql.size() ? static_cast<unsigned char>(sql[at + i]) : 0u;
  };
  if (byte(0) == 0xC2 && byte(1) == 0xA0) return 2;  // no-break space
  if (byte(0) == 0xE2 && byte(1) == 0x80 && byte(2) >= 0x80 && byte(2) <= 0x8D) return 3;
  if (byte(0) == 0xE2 && byte(1) == 0x80 && byte(2) == 0xAF) return 3;
  if (byte(0) == 0xE2 && byte(1) == 0x81 && (byte(2) == 0x9F || byte(2) == 0xA0)) return 3;
  if (byte(0) == 0xE3 && byte(1) == 0x80 && byte(2) == 0x80) return 3;  // ideographic space
  if (byte(0) == 0xEF && byte(1) == 0xBB && byte(2) == 0xBF) return 3;  // byte order mark
  return 0;
}
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

/// Walks over a text piece by piece. Each read_ function stands on the first character and returns
/// the end of the piece, or nothing when the piece is never closed.
class Scanner {
 public:
  explicit Scanner(std::string_view sql) : sql_(sql) {}

  /// Skips blanks and comments from `at`; nothing: an open comment that begins at `*opened`.
  std::optional<size_t> skip_blanks(size_t at, size_t* opened) const {
    while (at < sql_.size()) {
      if (is_space(sql_[at])) {
        ++at;
      } else if (size_t blank = unicode_space(sql_, at); blank > 0) {
        at += blank;
      } else if (starts(at, "--")) {
        while (at < sql_.size() && sql_[at] != '\n') ++at;
      } else if (starts(at, "/*")) {
        auto after = read_comment(at);
        if (!after) {
          *opened = at;
          return std::nullopt;
        }
        at = *after;
      } else {
        break;
      }
    }
    return at;
  }

  /// The end of the token at `at` and its kind; nothing: never closed.
  std::optional<size_t> read_token(size_t at, TokenKind& kind) const {
    char c = sql_[at];
    if ((c == 'e' || c == 'E') && starts(at + 1, "'")) {
      kind = TokenKind::string;
      return read_quoted(at + 1, '\'', true);
    }
    if (is_word_start(c)) {
      kind = TokenKind::word;
      return read_word(at);
    }
    if (is_digit(c) || (c == '.' && at + 1 < sql_.size() && is_digit(sql_[at + 1]))) {
      kind = TokenKind::number;
      return read_number(at);
    }
    if (c == '\'') {
      kind = TokenKind::string;
      return read_quoted(at, '\'', false);
    }
    if (c == '"') {
      kind = TokenKind::quoted;
      return read_quoted(at, '"', false);
    }
    if (c == '$') return read_dollar(at, kind);
    kind = c == '?' ? TokenKind::parameter : TokenKind::symbol;
    return at + (starts(at, "::") || starts(at, "=>") ? 2 : 1);
  }

 private:
  bool starts(size_t at, std::string_view what) const {
    return at <= sql_.size() && sql_.substr(at).starts_with(what);
  }

  size_t read_word(size_t at) const {
    while (at < sql_.size() && is_word(sql_[at]) && unicode_space(sql_, at) == 0) ++at;
    return at;
  }

  size_t read_number(size_t at) const {
    bool hex = starts(at, "0x") || starts(at, "0X");
    for (; at < sql_.size(); ++at) {
      char c = sql_[at];
      bool exponent_sign = !hex && (c == '+' || c == '-') && upper(sql_[at - 1]) == 'E';
      if (!is_word(c) && c != '.' && !exponent_sign) break;
    }
    return at;
  }

  std::optional<size_t> read_quoted(size_t at, char quote, bool backslash) const {
    for (++at; at < sql_.size(); ++at) {
      if (backslash && sql_[at] == '\\') {
        ++at;
      } else if (sql_[at] == quote) {
        if (at + 1 >= sql_.size() || sql_[at + 1] != quote) return at + 1;
        ++at;
      }
    }
    return std::nullopt;
  }

  // $1 and $name are parameters; $$ and $tag$ open a quote.
  std::optional<size_t> read_dollar(size_t at, TokenKind& kind) const {
    size_t after = at + 1;
    while (after < sql_.size() && is_word(sql_[after])) ++after;
    bool tag = !(after > at + 1 && is_digit(sql_[at + 1])) && starts(after, "$");
    if (!tag) {
      kind = after > at + 1 ? TokenKind::parameter : TokenKind::symbol;
      return after;
    }
    kind = TokenKind::string;
    std::string_view delimiter = sql_.substr(at, after + 1 - at);
    size_t close = sql_.find(delimiter, after + 1);
    if (close == std::string_view::npos) return std::nullopt;
    return close + delimiter.size();
  }

  std::optional<size_t> read_comment(size_t at) const {
    int depth = 0;
    while (at < sql_.size()) {
      if (starts(at, "/*")) {
        ++depth;
        at += 2;
      } else if (starts(at, "*/")) {
        at += 2;
        if (--depth == 0) return at;
      } else {
        ++at;
      }
    }
    return std::nullopt;
  }

  std::string_view sql_;
};

std::string undouble(std::string_view inside, char quote) {
  std::string out;
  out.reserve(inside.size());
  for (size_t i = 0; i < inside.size(); ++i) {
    out += inside[i];
    if (inside[i] == quote) ++i;
  }
  return out;
}

char unescape(char c) {
  switch (c) {
    case 'n':
      return '\n';
    case 't':
      return '\t';
    case 'r':
      return '\r';
    case 'b':
      return '\b';
    case 'f':
      return '\f';
    default:
      return c;
  }
}

std::string unescape_string(std::string_view inside) {
  std::string out;
  for (size_t i = 0; i < inside.size(); ++i) {
    if (inside[i] == '\\' && i + 1 < inside.size()) {
      out += unescape(inside[++i]);
    } else {
      out += inside[i];
      if (inside[i] == '\'') ++i;
    }
  }
  return out;
}

std::string string_value(std::string_view text) {
  if (text[0] == '$') {
    size_t tag = text.find('$', 1) + 1;
    return std::string(text.substr(tag, text.size() - 2 * tag));
  }
  if (text[0] == '\'') return undouble(text.substr(1, text.size() - 2), '\'');
  return unescape_string(text.substr(2, text.size() - 3));
}

}  // namespace

bool Token::is(std::string_view keyword) const {
  if (kind != TokenKind::word || text.size() != keyword.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    if (upper(text[i]) != keyword[i]) return false;
  }
  return true;
}

std::string Token::value() const {
  if (kind == TokenKind::quoted) return undouble(text.substr(1, text.size() - 2), '"');
  if (kind == TokenKind::string) return string_value(text);
  return std::string(text);
}

Result<std::vector<Token>> tokenize(std::string_view sql) {
  Scanner scanner(sql);
  std::vector<Token> tokens;
  size_t at = 0;
  while (true) {
    size_t opened = 0;
    auto next = scanner.skip_blanks(at, &opened);
    if (!next)
      return Error(Code::invalid_argument, "comment is never closed")
          .because(Cause::syntax_error)
          .at(opened);
    at = *next;
    if (at >= sql.size()) break;
    TokenKind kind = TokenKind::symbol;
    auto after = scanner.read_token(at, kind);
    if (!after) {
      return Error(Code::invalid_argument, "quote is never closed")
          .because(Cause::syntax_error)
          .with_hint("a quote inside a text is written twice: 'it''s'")
          .at(at);
    }
    tokens.push_back({kind, sql.substr(at, *after - at), at});
    at = *after;
  }
  tokens.push_back({TokenKind::end, sql.substr(sql.size()), sql.size()});
  return tokens;
}

std::vector<StatementSpan> split_statements(std::string_view sql) {
  Scanner scanner(sql);
  std::vector<StatementSpan> spans;
  std::optional<StatementSpan> current;
  size_t at = 0;
  while (at < sql.size()) {
    size_t opened = 0;
    auto next = scanner.skip_blanks(at, &opened);
    if (!next) {
      // An open comment is left to whoever runs the statement: it can say where the comment begins.
      current = StatementSpan{current ? current->begin : opened, sql.size()};
      break;
    }
    size_t begin = *next;
    if (begin >= sql.size()) break;
    TokenKind kind = TokenKind::symbol;
    size_t end = scanner.read_token(begin, kind).value_or(sql.size());
    if (kind == TokenKind::symbol && sql[begin] == ';') {
      if (current) spans.push_back(*current);
      current.reset();
    } else if (current) {
      current->end = end;
    } else {
      current = {begin, end};
    }
    at = end;
  }
  if (current) spans.push_back(*current);
  return spans;
}

}  // namespace ziwa::sql
