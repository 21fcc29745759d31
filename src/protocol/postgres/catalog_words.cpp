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

// Around a pattern of Postgres's ~, which may fit anywhere: DuckDB's wants the whole text to fit.
constexpr std::string_view kAnywhereBegin = "(?s:.*)(?:";
constexpr std::string_view kAnywhereEnd = ")(?s:.*)";

/// Relations of pg_catalog as clients name them without its name; sorted.
constexpr auto kRelations = std::to_array<std::string_view>({
    "pg_aggregate",
    "pg_am",
    "pg_attrdef",
    "pg_attribute",
    "pg_auth_members",
    "pg_authid",
    "pg_cast",
    "pg_class",
    "pg_collation",
    "pg_constraint",
    "pg_conversion",
    "pg_database",
    "pg_default_acl",
    "pg_depend",
    "pg_description",
    "pg_enum",
    "pg_event_trigger",
    "pg_extension",
    "pg_foreign_data_wrapper",
    "pg_foreign_server",
    "pg_foreign_table",
    "pg_index",
    "pg_indexes",
    "pg_inherits",
    "pg_language",
    "pg_locks",
    "pg_matviews",
    "pg_namespace",
    "pg_opclass",
    "pg_operator",
    "pg_partitioned_table",
    "pg_policy",
    "pg_prepared_statements",
    "pg_proc",
    "pg_publication",
    "pg_publication_namespace",
    "pg_publication_rel",
    "pg_range",
    "pg_rewrite",
    "pg_roles",
    "pg_sequence",
    "pg_sequences",
    "pg_settings",
    "pg_shdescription",
    "pg_stat_activity",
    "pg_statistic_ext",
    "pg_subscription",
    "pg_tables",
    "pg_tablespace",
    "pg_trigger",
    "pg_type",
    "pg_user",
    "pg_views",
});
static_assert(std::ranges::is_sorted(kRelations));

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

/// Cheap, and true too often: literals count.
bool may_mention_catalog(std::string_view statement) {
  auto equal = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
  return std::ranges::any_of(
      std::array<std::string_view, 2>{"pg_", "::reg"},
      [&](std::string_view word) { return !std::ranges::search(statement, word, equal).empty(); });
}

bool is_name(const Token& token) {
  return token.kind == TokenKind::word || token.kind == TokenKind::quoted;
}

/// Only questions: what is stored or written means the same through every door.
bool only_asks(const std::vector<Token>& tokens) {
  size_t first = 0;
  while (tokens[first].is_symbol("(")) ++first;
  bool asks = std::ranges::any_of(
      std::array<std::string_view, 5>{"SELECT", "WITH", "VALUES", "TABLE", "EXPLAIN"},
      [&](std::string_view word) { return tokens[first].is(word); });
  if (!asks) return false;
  return std::ranges::none_of(tokens, [](const Token& token) {
    return token.is("INSERT") || token.is("UPDATE") || token.is("DELETE") || token.is("MERGE") ||
           token.is("CREATE") || token.is("COPY");
  });
}

bool is_catalog(const Token& token) {
  return token.is("PG_CATALOG") ||
         (token.kind == TokenKind::quoted && token.value() == "pg_catalog");
}

/// Does a relation of pg_catalog stand in a FROM list?
bool reads_catalog(const std::vector<Token>& tokens) {
  for (size_t i = 1; i + 1 < tokens.size(); ++i) {
    const bool first = tokens[i - 1].is("FROM") || tokens[i - 1].is("JOIN");
    const bool place = first || tokens[i - 1].is_symbol(",") || tokens[i - 1].is_symbol("(");
    if (!place || !is_name(tokens[i])) continue;
    if (is_catalog(tokens[i]) && tokens[i + 1].is_symbol(".")) {
      const bool relation = i + 3 < tokens.size() && is_name(tokens[i + 2]) &&
                            !tokens[i + 3].is_symbol("(") && !tokens[i + 3].is_symbol(".");
      if (relation) return true;
    } else if (first && !tokens[i + 1].is_symbol(".") && !tokens[i + 1].is_symbol("(")) {
      std::string name = tokens[i].value();
      std::ranges::transform(name, name.begin(),
                             [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
      if (std::ranges::binary_search(kRelations, std::string_view(name))) return true;
    }
  }
  return false;
}

class Plain {
 public:
  Plain(std::string_view statement, const std::vector<Token>& tokens)
      : text_(statement), tokens_(tokens), catalog_(reads_catalog(tokens)) {}

  PlainWords run() {
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
      // OPERATOR(pg_catalog.~) says whose ~ it means.
      bool theirs =
          catalog_ || (i > 1 && tokens_[i - 1].is_symbol(".") && is_catalog(tokens_[i - 2]));
      if (tokens_[i].is_symbol("~") && !like && theirs) operators_.push_back(i);
    }
    for (size_t i = 0; i < tokens_.size(); ++i) {
      if (follows_match(i)) widen_pattern(tokens_[i]);
    }
    // What was noted first stands first, also in an empty pattern.
    for (size_t i = 0; i < additions_.size(); ++i) additions_[i].number = i;
    std::ranges::sort(additions_, {}, [](const Addition& a) { return std::pair(a.at, a.number); });
    PlainWords plain;
    size_t copied = 0;
    for (const Addition& addition : additions_) {
      plain.text.append(text_, copied, addition.at - copied);
      copied = addition.at;
      plain.added.emplace_back(plain.text.size(), addition.text.size());
      plain.text += addition.text;
    }
    plain.text.append(text_, copied);
    return plain;
  }

 private:
  const Token& at(size_t i) const { return tokens_[std::min(i, tokens_.size() - 1)]; }

  void add(size_t at, std::string text) { additions_.push_back({at, std::move(text), 0}); }

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
    bool plain = at(name).text == "\"default\"" || at(name).text == "\"C\"";
    bool ours = name == i + 3 || (catalog_ && plain);
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
    if (named) add(at(alias).end(), fmt::format("({})", at(alias).text));
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

  /// What stands right behind ~, !~ or OPERATOR(pg_catalog.~).
  bool follows_match(size_t i) const {
    if (i == 0) return false;
    size_t before = i - 1;
    if (tokens_[before].is_symbol(")") && before > 0) --before;
    return std::ranges::binary_search(operators_, before);
  }

  /// 'text', E'text', $$text$$ and parameters; a pattern that is computed stays as it is.
  void widen_pattern(const Token& token) {
    if (token.kind == TokenKind::parameter) {
      add(token.position, fmt::format("('{}' || ", kAnywhereBegin));
      add(token.end(), fmt::format(" || '{}')", kAnywhereEnd));
      return;
    }
    if (token.kind != TokenKind::string) return;
    size_t quote = token.text.find_first_of("'$");
    if (quote == std::string_view::npos) return;
    bool dollars = token.text[quote] == '$';
    size_t open = dollars ? token.text.find('$', quote + 1) : quote;
    size_t close = dollars ? open - quote + 1 : 1;
    if (open == std::string_view::npos || open + 1 + close > token.text.size()) return;
    add(token.position + open + 1, std::string(kAnywhereBegin));
    add(token.end() - close, std::string(kAnywhereEnd));
  }

  std::string text_;
  const std::vector<Token>& tokens_;
  const bool catalog_;             ///< Asks a relation of pg_catalog: ~ is Postgres's.
  std::vector<size_t> operators_;  ///< Tokens ~.
  struct Addition {
    size_t at = 0;
    std::string text;
    size_t number = 0;
  };
  std::vector<Addition> additions_;  ///< Put in last, since they move what follows.
};

}  // namespace

size_t PlainWords::original(size_t position) const {
  size_t before = 0;
  for (const auto& [at, size] : added) {
    if (position < at) break;
    before += std::min(size, position - at);
  }
  return position - before;
}

PlainWords plain_catalog_words(std::string_view statement) {
  PlainWords same{.text = std::string(statement), .added = {}};
  if (!may_mention_catalog(statement)) return same;
  auto tokens = sql::tokenize(statement);
  // DuckDB says what is wrong with it.
  if (!tokens || tokens->size() < 2 || !only_asks(*tokens)) return same;
  return Plain(statement, *tokens).run();
}

}  // namespace ziwa::protocol::postgres
