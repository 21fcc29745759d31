#include "sql/testing/sql_rig.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

namespace ziwa::sql {
namespace {

/// One statement of a testdata/*.sql file and what it must answer. In the file: the statement, a
/// line "----", the rows with " | " between values (or "error <code>", perhaps with "@<position>"),
/// and an empty line.
struct Example {
  size_t line = 0;
  std::string sql;
  std::vector<std::string> expected;
};

std::vector<Example> read_examples(const std::string& path) {
  std::ifstream file(path);
  std::vector<Example> examples;
  Example current;
  bool answer = false;
  std::string line;
  auto finish = [&] {
    if (!current.sql.empty()) examples.push_back(std::move(current));
    current = {};
    answer = false;
  };
  for (size_t number = 1; std::getline(file, line); ++number) {
    if (line.empty()) {
      finish();
    } else if (line == "----") {
      answer = true;
    } else if (answer) {
      current.expected.push_back(line);
    } else if (!line.starts_with("--")) {
      if (current.sql.empty()) current.line = number;
      current.sql += (current.sql.empty() ? "" : "\n") + line;
    }
  }
  finish();
  return examples;
}

std::vector<std::string> answer_of(Session& session, const std::string& sql, bool with_position) {
  auto rows = testing::all_rows(session, sql);
  if (!rows) {
    std::string text = "error " + std::string(code_name(rows.error().code()));
    if (with_position) {
      text += rows.error().position() ? fmt::format(" @{}", *rows.error().position()) : " @?";
    }
    return {text};
  }
  std::vector<std::string> lines;
  for (const auto& row : *rows) {
    std::string text;
    for (size_t i = 0; i < row.size(); ++i) text += (i > 0 ? " | " : "") + row[i];
    lines.push_back(text);
  }
  return lines;
}

std::string replaced(std::string text, std::string_view what, const std::string& with) {
  for (size_t at = text.find(what); at != std::string::npos;
       at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
  return text;
}

class TextTest : public ::testing::TestWithParam<std::string> {};

TEST_P(TextTest, AnswersAsWritten) {
  testing::SqlRig rig;
  auto session = rig.database().session();
  ASSERT_TRUE(session) << session.error().to_string();
  auto examples = read_examples(GetParam());
  ASSERT_FALSE(examples.empty());
  for (const Example& example : examples) {
    std::string sql = replaced(example.sql, "${files}", rig.files());
    bool with_position =
        example.expected.size() == 1 && example.expected[0].find('@') != std::string::npos;
    auto answer = answer_of(**session, sql, with_position);
    if (example.expected == std::vector<std::string>{"*"}) {
      EXPECT_FALSE(answer.size() == 1 && answer[0].starts_with("error "))
          << example.line << ": " << answer[0];
      continue;
    }
    EXPECT_EQ(answer, example.expected) << GetParam() << ":" << example.line << "\n" << sql;
  }
}

std::vector<std::string> test_files() {
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(ZIWA_SQL_TESTDATA)) {
    if (entry.path().extension() == ".sql") files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  return files;
}

INSTANTIATE_TEST_SUITE_P(Files, TextTest, ::testing::ValuesIn(test_files()), [](const auto& test) {
  return std::filesystem::path(test.param).stem().string();
});

}  // namespace
}  // namespace ziwa::sql
