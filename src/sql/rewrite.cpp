#include "sql/rewrite.h"

#include "sql/core.h"
#include "sql/event_windows.h"
#include "sql/tokenizer.h"

#include <algorithm>
#include <array>

namespace ziwa::sql {
namespace {

/// Words that can follow a table in FROM and are not its alias.
constexpr std::array<std::string_view, 31> kNotAnAlias = {
    "WHERE",  "GROUP",       "ORDER",  "HAVING",  "LIMIT", "OFFSET",  "JOIN",       "INNER",
    "LEFT",   "RIGHT",       "FULL",   "CROSS",   "ON",    "USING",   "UNION",      "INTERSECT",
    "EXCEPT", "QUALIFY",     "WINDOW", "SELECT",  "ASOF",  "NATURAL", "POSITIONAL", "SEMI",
    "ANTI",   "TABLESAMPLE", "PIVOT",  "UNPIVOT", "FETCH", "FOR",     "EMIT"};

struct WindowWords {
  std::string_view keyword;
  stream::WindowShape::Kind kind;
  size_t arguments_min;  ///< And one more: the offset.
  std::string_view arguments;
  std::string_view example;
};
constexpr WindowWords kWindows[] = {
    {"TUMBLE", stream::WindowShape::Kind::tumble, 3, "a table, a time column and a size",
     "tumble(t, ts, INTERVAL 1 MINUTE)"},
    {"HOP", stream::WindowShape::Kind::hop, 4, "a table, a time column, a step and a size",
     "hop(t, ts, INTERVAL 1 MINUTE, INTERVAL 5 MINUTES)"},
    {"CUMULATE", stream::WindowShape::Kind::cumulate, 4,
     "a table, a time column, a step and the longest size",
     "cumulate(t, ts, INTERVAL 1 HOUR, INTERVAL 1 DAY)"}};

const WindowWords* window_at(const Token& token) {
  for (const auto& window : kWindows) {
    if (token.is(window.keyword)) return &window;
  }
  return nullptr;
}

bool may_be_alias(const Token& token) {
  if (token.kind == TokenKind::quoted) return true;
  if (token.kind != TokenKind::word) return false;
  return std::none_of(kNotAnAlias.begin(), kNotAnAlias.end(),
                      [&](std::string_view word) { return token.is(word); });
}

/// Says, token by token, where table functions stand: behind FROM, JOIN or a comma between tables.
class FromLists {
 public:
  explicit FromLists(bool expects_table) : expects_table_(expects_table) {}
  /// Goes past `token`; afterwards expects_table() is about the next one.
  void pass(const Token& token) {
    const bool comma = token.is_symbol(",");
    const bool expected = expects_table_;
    expects_table_ = token.is("FROM") || token.is("JOIN") || (comma && in_list_.back());
    if (token.is_symbol("(")) {
      in_list_.push_back(expected);
      expects_table_ = expected;
    } else if (token.is_symbol(")")) {
      if (in_list_.size() > 1) in_list_.pop_back();
    } else if (token.is("FROM")) {
      in_list_.back() = true;
    } else if (std::ranges::any_of(kEnds, [&](auto word) { return token.is(word); })) {
      in_list_.back() = false;
    }
  }
  bool expects_table() const { return expects_table_; }

 private:
  static constexpr std::array<std::string_view, 13> kEnds = {
      "SELECT", "WHERE",   "GROUP", "HAVING",    "ORDER",  "LIMIT",    "OFFSET",
      "WINDOW", "QUALIFY", "UNION", "INTERSECT", "EXCEPT", "RETURNING"};
  std::vector<bool> in_list_ = {false};  ///< Per open parenthesis.
  bool expects_table_;
};

struct Argument {
  size_t first = 0;  ///< Token.
  size_t last = 0;   ///< Behind the last token.
};

struct WindowCall {
  std::vector<Argument> arguments;
  size_t close = 0;  ///< The token ")".
};

Result<WindowCall> read_call(const std::vector<Token>& tokens, size_t open) {
  WindowCall call;
  int depth = 0;
  size_t first = open + 1;
  for (size_t i = open; tokens[i].kind != TokenKind::end; ++i) {
    bool opens = tokens[i].is_symbol("(") || tokens[i].is_symbol("[") || tokens[i].is_symbol("{");
    bool closes = tokens[i].is_symbol(")") || tokens[i].is_symbol("]") || tokens[i].is_symbol("}");
    if (opens) ++depth;
    if (closes) --depth;
    bool ends = depth == 0 && closes;
    if (!ends && !(depth == 1 && tokens[i].is_symbol(","))) continue;
    if (i > first) call.arguments.push_back({first, i});
    first = i + 1;
    if (!ends) continue;
    call.close = i;
    return call;
  }
  return Error(Code::invalid_argument, "the arguments of {}( are never closed",
               tokens[open - 1].text)
      .because(Cause::syntax_error)
      .at(tokens[open - 1].position);
}

}  // namespace

class Rewriter {
 public:
  Rewriter(std::string_view sql, const std::vector<Token>& tokens, RewriteFor purpose)
      : sql_(sql), tokens_(tokens), purpose_(purpose) {}

  Result<Rewritten> run() {
    TRY(rewrite(0, tokens_.size() - 1));
    copy_until(sql_.size());
    return std::move(out_);
  }

 private:
  /// `table`: a table comes first.
  Status rewrite(size_t first, size_t last, bool table_first = false) {
    FromLists lists(table_first);
    for (size_t i = first; i < last; ++i) {
      if (lists.expects_table() && is_why(i)) {
        lists.pass(tokens_[i]);
        rewrite_why(i);
        i += 5;
        continue;
      }
      const bool table = lists.expects_table() && tokens_[i + 1].is_symbol("(");
      lists.pass(tokens_[i]);
      if (!table) continue;
      // TABLE(TUMBLE(...)), as Flink writes it.
      const bool wrapped =
          tokens_[i].is("TABLE") && i + 3 < tokens_.size() && tokens_[i + 3].is_symbol("(");
      const size_t at = wrapped ? i + 2 : i;
      if (tokens_[at].is("SLIDE")) {
        return Error(Code::unsupported, "the window {}(...) is not built", tokens_[at].text)
            .with_hint("there are tumble(), hop(), cumulate() and session()")
            .at(tokens_[at].position);
      }
      if (const auto* window = window_at(tokens_[at])) {
        i = TRY(rewrite_window(i, at, *window));
      } else if (tokens_[at].is("SESSION")) {
        i = TRY(rewrite_session(i, at));
      }
    }
    return {};
  }

  /// ziwa.why('view')
  bool is_why(size_t at) const {
    return at + 5 < tokens_.size() && tokens_[at].is("ZIWA") && tokens_[at + 1].is_symbol(".") &&
           tokens_[at + 2].is("WHY") && tokens_[at + 3].is_symbol("(") &&
           tokens_[at + 4].kind == TokenKind::string && tokens_[at + 5].is_symbol(")");
  }

  void rewrite_why(size_t at) {
    copy_until(tokens_[at].position);
    const std::string view(tokens_[at + 4].text);
    add(fmt::format("(SELECT * EXCLUDE (\"view\") FROM ziwa.waits WHERE \"view\" = CASE WHEN NOT "
                    "EXISTS (FROM ziwa.views WHERE {0} IN (name, schema || '.' || name)) THEN "
                    "error('there is no materialized view \"' || {0} || '\"') WHEN "
                    "starts_with({0}, '{1}.') THEN substr({0}, {2}) ELSE {0} END)",
                    view, kDefaultSchema, std::string_view(kDefaultSchema).size() + 2),
        at);
    copied_ = tokens_[at + 5].end();
    if (!may_be_alias(tokens_[at + 6])) add(" AS why", at);
  }

  /// `first`: where the table begins, `at`: the window's name. Returns the last token that was
  /// dealt with.
  Result<size_t> rewrite_window(size_t first, size_t at, const WindowWords& window) {
    const WindowCall call = TRY(read_call(tokens_, at + 1));
    const size_t given = call.arguments.size();
    if (given < window.arguments_min || given > window.arguments_min + 1) {
      return Error(Code::invalid_argument,
                   "{} takes {} and, if wanted, an offset, not {} arguments",
                   stream::name_of(window.kind), window.arguments, given)
          .because(Cause::undefined_function)
          .with_hint(std::string(window.example))
          .at(tokens_[at].position);
    }
    const size_t last = TRY(last_of(first, at, call));
    copy_until(tokens_[first].position);
    add("(SELECT *, ", at);
    add_bound(at, window, call, false);
    add(" AS window_start, ", at);
    add_bound(at, window, call, true);
    add(" AS window_end FROM ", at);
    TRY(copy_table(call.arguments[0]));
    end_table(at, last, call.arguments[0]);
    return last;
  }

  /// The last token of a window that begins at `first`.
  Result<size_t> last_of(size_t first, size_t at, const WindowCall& call) const {
    if (first == at) return call.close;
    if (tokens_[call.close + 1].is_symbol(")")) return call.close + 1;
    return Error(Code::invalid_argument, "TABLE( is not closed behind {}(...)", tokens_[at].text)
        .because(Cause::syntax_error)
        .at(tokens_[first].position);
  }

  std::optional<std::string> name_of_table(const Argument& table) const {
    const Token& name = tokens_[table.last - 1];
    if (name.kind != TokenKind::word && name.kind != TokenKind::quoted) return std::nullopt;
    return std::string(name.text);
  }

  /// Closes the subquery and names it like its table.
  void end_table(size_t at, size_t last, const Argument& table) {
    add(")", at);
    copied_ = tokens_[last].end();
    auto name = name_of_table(table);
    if (name && !may_be_alias(tokens_[last + 1])) add(" AS " + *name, at);
  }

  struct SessionCall {
    Argument table;
    std::optional<Argument> partition;
    Argument time;
    Argument gap;
  };

  Result<SessionCall> read_session(size_t at, const WindowCall& call) const {
    if (call.arguments.size() != 3) {
      return Error(Code::invalid_argument,
                   "session takes a table, a time column and a gap, not {} arguments",
                   call.arguments.size())
          .because(Cause::undefined_function)
          .with_hint(
              "session(t PARTITION BY k, ts, INTERVAL 10 MINUTES); several keys in parentheses")
          .at(tokens_[at].position);
    }
    SessionCall session{.table = call.arguments[0],
                        .partition = std::nullopt,
                        .time = inside_descriptor(call.arguments[1]),
                        .gap = call.arguments[2]};
    int depth = 0;
    for (size_t i = session.table.first; i + 1 < session.table.last; ++i) {
      if (tokens_[i].is_symbol("(")) ++depth;
      if (tokens_[i].is_symbol(")")) --depth;
      if (depth != 0 || !tokens_[i].is("PARTITION") || !tokens_[i + 1].is("BY")) continue;
      session.partition = Argument{i + 2, session.table.last};
      session.table.last = i;
      if (session.table.first == i || session.partition->first == session.partition->last) {
        return Error(Code::invalid_argument, "PARTITION BY stands between a table and its keys")
            .because(Cause::syntax_error)
            .at(tokens_[i].position);
      }
      break;
    }
    return session;
  }

  Result<size_t> rewrite_session(size_t first, size_t at) {
    const WindowCall call = TRY(read_call(tokens_, at + 1));
    const size_t last = TRY(last_of(first, at, call));
    const SessionCall session = TRY(read_session(at, call));
    copy_until(tokens_[first].position);
    if (purpose_ == RewriteFor::view) {
      add("(SELECT *, ", at);
      for (bool ends : {false, true}) {
        add(fmt::format("{}(", ends ? kSessionEnd : kSessionStart), at);
        copy(session.time);
        add(", ", at);
        copy(session.gap);
        add(") OVER (", at);
        add_partition(at, session, "");
        add(ends ? ") AS window_end FROM " : ") AS window_start, ", at);
      }
      TRY(copy_table(session.table));
    } else {
      TRY(add_session_query(at, session));
    }
    end_table(at, last, session.table);
    return last;
  }

  /// Numbers the sessions of each partition by counting where one begins.
  Status add_session_query(size_t at, const SessionCall& session) {
    add("(SELECT * EXCLUDE (ziwa_session), CAST(min(", at);
    copy(session.time);
    add(") OVER (", at);
    add_partition(at, session, "ziwa_session");
    add(fmt::format(") AS TIMESTAMP) AS window_start, {}(max(", kSessionStops), at);
    copy(session.time);
    add(") OVER (", at);
    add_partition(at, session, "ziwa_session");
    add("), ", at);
    copy(session.gap);
    add(") AS window_end FROM (SELECT * EXCLUDE (ziwa_begins), sum(ziwa_begins) OVER (", at);
    add_partition(at, session, "");
    add(" ORDER BY ", at);
    copy(session.time);
    add(fmt::format(") AS ziwa_session FROM (SELECT *, {}(lag(", kSessionBegins), at);
    copy(session.time);
    add(") OVER (", at);
    add_partition(at, session, "");
    add(" ORDER BY ", at);
    copy(session.time);
    add("), ", at);
    copy(session.time);
    add(", ", at);
    copy(session.gap);
    add(") AS ziwa_begins FROM ", at);
    TRY(copy_table(session.table));
    // Inside, too, columns may be named with their table.
    const std::string alias =
        name_of_table(session.table) ? " AS " + *name_of_table(session.table) : "";
    add(fmt::format("){0}){0}", alias), at);
    return {};
  }

  /// PARTITION BY the keys of the session and one of ours.
  void add_partition(size_t at, const SessionCall& session, std::string_view also) {
    if (!session.partition && also.empty()) return;
    add("PARTITION BY ", at);
    if (session.partition) {
      Argument keys = *session.partition;
      // One key in parentheses, or several: a struct of them would compare otherwise.
      if (tokens_[keys.first].is_symbol("(") && closes_at(keys.first) == keys.last - 1)
        keys = {keys.first + 1, keys.last - 1};
      copy(keys);
    }
    if (!also.empty()) add(fmt::format("{}{}", session.partition ? ", " : "", also), at);
  }

  /// The token that closes a parenthesis.
  size_t closes_at(size_t open) const {
    int depth = 0;
    for (size_t i = open; tokens_[i].kind != TokenKind::end; ++i) {
      if (tokens_[i].is_symbol("(")) ++depth;
      if (tokens_[i].is_symbol(")") && --depth == 0) return i;
    }
    return open;
  }

  /// The starts or ends of a row's windows, one per row of the result.
  void add_bound(size_t at, const WindowWords& window, const WindowCall& call, bool ends) {
    const bool list = window.kind != stream::WindowShape::Kind::tumble;
    add(fmt::format("{}{}(", list ? "unnest(" : "", name_of(WindowFunction{window.kind, ends})),
        at);
    for (size_t i = 1; i < call.arguments.size(); ++i) {
      if (i > 1) add(", ", at);
      copy(i == 1 ? inside_descriptor(call.arguments[i]) : call.arguments[i]);
    }
    add(list ? "))" : ")", at);
  }

  /// DESCRIPTOR(ts) is ts.
  Argument inside_descriptor(Argument argument) const {
    if (argument.last - argument.first < 4 || !tokens_[argument.first].is("DESCRIPTOR") ||
        !tokens_[argument.first + 1].is_symbol("(") || !tokens_[argument.last - 1].is_symbol(")")) {
      return argument;
    }
    return {argument.first + 2, argument.last - 1};
  }

  /// The table: a name, TABLE name, or a subquery in parentheses, which may itself hold windows.
  Status copy_table(Argument table) {
    if (tokens_[table.first].is("TABLE") && table.last - table.first > 1) ++table.first;
    copied_ = tokens_[table.first].position;
    TRY(rewrite(table.first, table.last, true));
    copy_until(tokens_[table.last - 1].end());
    return {};
  }

  void copy(const Argument& argument) {
    copied_ = tokens_[argument.first].position;
    copy_until(tokens_[argument.last - 1].end());
  }

  void copy_until(size_t end) {
    if (end <= copied_) return;
    out_.pieces_.push_back({out_.text.size(), copied_, true});
    out_.text += sql_.substr(copied_, end - copied_);
    copied_ = end;
  }

  void add(std::string_view text, size_t token) {
    out_.pieces_.push_back({out_.text.size(), tokens_[token].position, false});
    out_.text += text;
  }

  std::string_view sql_;
  const std::vector<Token>& tokens_;
  RewriteFor purpose_;
  Rewritten out_;
  size_t copied_ = 0;  ///< The original is dealt with up to here.
};

size_t Rewritten::original(size_t position) const {
  const Piece* piece = nullptr;
  for (const Piece& candidate : pieces_) {
    if (candidate.at > position) break;
    piece = &candidate;
  }
  if (!piece) return position;
  return piece->copied ? piece->original + (position - piece->at) : piece->original;
}

Result<Rewritten> rewrite_statement(std::string_view sql, RewriteFor purpose) {
  std::vector<Token> tokens = TRY(tokenize(sql));
  return Rewriter(sql, tokens, purpose).run();
}

}  // namespace ziwa::sql
