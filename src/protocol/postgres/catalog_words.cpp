#include "protocol/postgres/catalog_words.h"

#include "sql/tokenizer.h"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

namespace ziwa::protocol::postgres {
namespace {

using sql::Token;
using sql::TokenKind;

/// Types whose values are numbers that show as names. The calls stand in pg_catalog.cpp; each is no
/// longer than the cast that it replaces.
struct NameType {
  std::string_view word;     ///< As Token::is() takes it.
  std::string_view to_oid;   ///< 'name'::regclass
  std::string_view to_name;  ///< c.oid::regclass; empty: shown as the number.
};
constexpr auto kNameTypes = std::to_array<NameType>({
    {"REGCLASS", "regclass", "regname"},
    {"REGTYPE", "regtype", "typname"},
    {"REGNAMESPACE", "regnamespace", "nspname"},
    {"REGPROC", "regproc", ""},
    {"REGROLE", "regrole", ""},
});

bool mentions_catalog(std::string_view statement) {
  auto equal = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  return std::ranges::any_of(
      std::array<std::string_view, 2>{"pg_", "::reg"},
      [&](std::string_view word) { return !std::ranges::search(statement, word, equal).empty(); });
}

bool is_name(const Token& token) {
  return token.kind == TokenKind::word || token.kind == TokenKind::quoted;
}

class Plain {
 public:
  Plain(std::string_view statement, const std::vector<Token>& tokens)
      : text_(statement), tokens_(tokens) {}

  std::string run() {
    for (size_t i = 0; i + 1 < tokens_.size(); ++i) {
      if (tokens_[i].is_symbol("::")) {
        i = cast(i);
      } else if (tokens_[i].is("OPERATOR") && tokens_[i + 1].is_symbol("(")) {
        plain_operator(i);
      } else if (tokens_[i].is("COLLATE")) {
        drop_collation(i);
      } else if (tokens_[i].is("PG_CATALOG") && tokens_[i + 1].is_symbol(".")) {
        drop_qualifier(i);
      }
      // ~~ is LIKE.
      bool like = tokens_[i + 1].is_symbol("~") || (i > 0 && tokens_[i - 1].is_symbol("~"));
      if (tokens_[i].is_symbol("~") && !like) operators_.push_back(i);
    }
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (tokens_[i].kind == TokenKind::string && follows_match(i)) widen_pattern(tokens_[i]);
    }
    std::ranges::sort(additions_, std::greater(), &Addition::at);
    for (const Addition& addition : additions_) text_.insert(addition.at, addition.text);
    return std::move(text_);
  }

 private:
  const Token& at(size_t i) const { return tokens_[std::min(i, tokens_.size() - 1)]; }

  void blank(size_t begin, size_t end) {
    std::fill(text_.begin() + begin, text_.begin() + end, ' ');
  }

  /// OPERATOR(pg_catalog.~): the operator without its dress.
  void plain_operator(size_t i) {
    size_t close = i + 2;
    while (close + 1 < tokens_.size() && !tokens_[close].is_symbol(")")) ++close;
    size_t first = at(i + 2).is("PG_CATALOG") && at(i + 3).is_symbol(".") ? i + 4 : i + 2;
    if (!at(close).is_symbol(")") || first >= close) return;
    blank(tokens_[i].position, tokens_[first].position);
    blank(tokens_[close].position, tokens_[close].end());
  }

  void drop_collation(size_t i) {
    size_t name = at(i + 1).is("PG_CATALOG") && at(i + 2).is_symbol(".") ? i + 3 : i + 1;
    bool ours = name == i + 3 || at(name).text == "\"default\"" || at(name).text == "\"C\"";
    if (ours && is_name(at(name))) blank(tokens_[i].position, at(name).end());
  }

  /// Functions and types are found without it; tables keep it.
  void drop_qualifier(size_t i) {
    bool function = is_name(at(i + 2)) && at(i + 3).is_symbol("(");
    bool type = i > 0 && (tokens_[i - 1].is_symbol("::") || tokens_[i - 1].is("AS"));
    if (function || type) blank(tokens_[i].position, tokens_[i + 1].end());
    if (at(i + 2).is("GENERATE_SERIES") && function) name_column(i + 3);
  }

  /// `generate_series(0, 9) s` has a column s in Postgres. `open` is the token "(".
  void name_column(size_t open) {
    int depth = 0;
    size_t close = open;
    for (; close + 1 < tokens_.size(); ++close) {
      if (tokens_[close].is_symbol("(")) ++depth;
      if (tokens_[close].is_symbol(")") && --depth == 0) break;
    }
    size_t alias = at(close + 1).is("AS") ? close + 2 : close + 1;
    bool named = is_name(at(alias)) && !at(alias + 1).is_symbol("(");
    if (named) additions_.push_back({at(alias).end(), fmt::format("({})", at(alias).text)});
  }

  /// Returns the last token that was dealt with.
  size_t cast(size_t i) {
    size_t name = at(i + 1).is("PG_CATALOG") && at(i + 2).is_symbol(".") ? i + 3 : i + 1;
    auto type = std::ranges::find_if(
        kNameTypes, [&](const NameType& candidate) { return at(name).is(candidate.word); });
    if (type == kNameTypes.end() || i == 0) return i;
    size_t operand = i - 1;
    bool text =
        tokens_[operand].kind == TokenKind::string || tokens_[operand].kind == TokenKind::parameter;
    std::string_view call = text ? type->to_oid : type->to_name;
    if (call.empty() || !(text || is_name(tokens_[operand]))) {
      put(at(i + 1).position, at(name).end(), "text");
      return name;
    }
    while (!text && operand >= 2 && tokens_[operand - 1].is_symbol(".")) operand -= 2;
    size_t begin = tokens_[operand].position;
    std::string value = text_.substr(begin, tokens_[i - 1].end() - begin);
    put(begin, at(name).end(), std::string(call) + "(" + value + ")");
    return name;
  }

  void put(size_t begin, size_t end, std::string what) {
    if (what.size() > end - begin) return;
    what.resize(end - begin, ' ');
    text_.replace(begin, what.size(), what);
  }

  /// The text right behind ~, !~ or OPERATOR(pg_catalog.~).
  bool follows_match(size_t i) const {
    if (i == 0) return false;
    size_t before = i - 1;
    if (tokens_[before].is_symbol(")") && before > 0) --before;
    return std::ranges::find(operators_, before) != operators_.end();
  }

  /// DuckDB's ~ wants the whole text to fit, Postgres's a part of it.
  void widen_pattern(const Token& token) {
    if (token.text.size() < 2 || !token.text.ends_with('\'') || !token.text.starts_with('\''))
      return;
    std::string_view pattern = token.text.substr(1, token.text.size() - 2);
    if (!pattern.ends_with('$')) additions_.push_back({token.end() - 1, ".*"});
    if (!pattern.starts_with('^')) additions_.push_back({token.position + 1, ".*"});
  }

  std::string text_;
  const std::vector<Token>& tokens_;
  std::vector<size_t> operators_;  ///< Tokens ~.
  struct Addition {
    size_t at = 0;
    std::string text;
  };
  std::vector<Addition> additions_;  ///< Put in last, since they move what follows.
};

}  // namespace

std::string plain_catalog_words(std::string_view statement) {
  if (!mentions_catalog(statement)) return std::string(statement);
  auto tokens = sql::tokenize(statement);
  if (!tokens) return std::string(statement);  // DuckDB says what is wrong with it.
  return Plain(statement, *tokens).run();
}

}  // namespace ziwa::protocol::postgres
