#include "sql/tokenizer.h"

#include "sql/database.h"

#include <gtest/gtest.h>

namespace ziwa::sql {
namespace {

std::vector<std::string> texts(std::string_view sql) {
  auto tokens = tokenize(sql);
  EXPECT_TRUE(tokens) << (tokens ? "" : tokens.error().to_string());
  std::vector<std::string> out;
  if (!tokens) return out;
  for (const Token& token : *tokens) {
    if (token.kind != TokenKind::end) out.emplace_back(token.text);
  }
  return out;
}

using Texts = std::vector<std::string>;

TEST(Tokenizer, WordsNumbersSymbols) {
  EXPECT_EQ(texts("SELECT a1, .5+1e-3 FROM t"),
            (Texts{"SELECT", "a1", ",", ".5", "+", "1e-3", "FROM", "t"}));
  EXPECT_EQ(texts("x::INT>=0xFF"), (Texts{"x", "::", "INT", ">", "=", "0xFF"}));
  EXPECT_EQ(texts("f(a => 1)"), (Texts{"f", "(", "a", "=>", "1", ")"}));
  EXPECT_EQ(texts("1_000-1"), (Texts{"1_000", "-", "1"}));
}

TEST(Tokenizer, QuotesAreOneToken) {
  EXPECT_EQ(texts("'it''s; --x' \"a\"\"b\""), (Texts{"'it''s; --x'", "\"a\"\"b\""}));
  EXPECT_EQ(texts("E'a\\'b;' x"), (Texts{"E'a\\'b;'", "x"}));
  EXPECT_EQ(texts("$$a;'b$$ $tag$x $$ y$tag$"), (Texts{"$$a;'b$$", "$tag$x $$ y$tag$"}));
}

TEST(Tokenizer, ParametersAreNotDollarQuotes) {
  auto tokens = tokenize("$1 $name ? $12$");
  ASSERT_TRUE(tokens);
  EXPECT_EQ((*tokens)[0].kind, TokenKind::parameter);
  EXPECT_EQ((*tokens)[1].kind, TokenKind::parameter);
  EXPECT_EQ((*tokens)[2].kind, TokenKind::parameter);
  EXPECT_EQ((*tokens)[3].text, "$12");
}

TEST(Tokenizer, CommentsNestAndVanish) {
  EXPECT_EQ(texts("a /* x /* y */ ; */ b -- c\n d"), (Texts{"a", "b", "d"}));
}

TEST(Tokenizer, ValuesUndoQuoting) {
  auto tokens = tokenize("'it''s' \"a\"\"b\" E'x\\n\\'' $q$z$q$ ''");
  ASSERT_TRUE(tokens);
  EXPECT_EQ((*tokens)[0].value(), "it's");
  EXPECT_EQ((*tokens)[1].value(), "a\"b");
  EXPECT_EQ((*tokens)[2].value(), "x\n'");
  EXPECT_EQ((*tokens)[3].value(), "z");
  EXPECT_EQ((*tokens)[4].value(), "");
}

TEST(Tokenizer, UnclosedIsAnErrorWithItsPosition) {
  for (const auto& [sql, position] : std::vector<std::pair<std::string, size_t>>{
           {"SELECT 'abc", 7}, {"a \"b", 2}, {"x /* /* */", 2}, {"y $t$ $u$", 2}, {"E'\\'", 0}}) {
    auto tokens = tokenize(sql);
    ASSERT_FALSE(tokens) << sql;
    EXPECT_EQ(tokens.error().code(), Code::invalid_argument);
    EXPECT_EQ(tokens.error().position(), position) << sql;
  }
}

TEST(Split, AtSemicolonsOutsideQuotesAndComments) {
  auto statements = Session::split(" SELECT ';' ; -- a;b\n/* ; */ SELECT $$;$$;;\n;x");
  ASSERT_EQ(statements.size(), 3);
  EXPECT_EQ(statements[0].text, "SELECT ';'");
  EXPECT_EQ(statements[0].position, 1);
  EXPECT_EQ(statements[1].text, "SELECT $$;$$");
  EXPECT_EQ(statements[2].text, "x");
}

TEST(Split, KeepsWhatIsNeverClosed) {
  auto statements = Session::split("a; b 'c; d");
  ASSERT_EQ(statements.size(), 2);
  EXPECT_EQ(statements[1].text, "b 'c; d");
  statements = Session::split("/* open");
  ASSERT_EQ(statements.size(), 1);
  EXPECT_EQ(statements[0].text, "/* open");
  EXPECT_TRUE(Session::split(" ; ;; -- x").empty());
}

}  // namespace
}  // namespace ziwa::sql
