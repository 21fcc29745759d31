#include "duck/json_files.h"

#include "base/file.h"
#include "duck/instance.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace ziwa::duck {
namespace {

std::string nested(size_t depth, const std::string& open = "[", const std::string& close = "]") {
  std::string text;
  for (size_t i = 0; i < depth; ++i) text += open;
  text += "1";
  for (size_t i = 0; i < depth; ++i) text += close;
  return text;
}

class JsonFilesTest : public ::testing::Test {
 protected:
  void SetUp() override {
    folder_ = std::filesystem::path(testing::TempDir()) /
              ("json_files." + std::to_string(getpid()) + "." +
               testing::UnitTest::GetInstance()->current_test_info()->name());
    std::filesystem::create_directories(folder_);
    auto opened = Instance::open(posix_file_system(),
                                 {.temp_directory = "", .allowed_directories = {folder_.string()}});
    ASSERT_TRUE(opened) << opened.error().to_string();
    instance_ = std::move(*opened);
    ASSERT_TRUE(instance_->lock());
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string write(const std::string& name, const std::string& text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }
  /// The first value, or the error.
  static std::string run(duckdb::Connection& connection, const std::string& sql) {
    auto result = connection.Query(sql);
    if (result->HasError()) return result->GetError();
    return result->RowCount() == 0 ? "" : result->GetValue(0, 0).ToString();
  }
  std::string ask(const std::string& sql) { return run(*instance_->connect_user(), sql); }
  void gzip(const std::string& from, const std::string& to) {
    auto copied = ask("COPY (SELECT content FROM read_text('" + from + "')) TO '" + to +
                      "' (FORMAT csv, HEADER false, QUOTE '', DELIMITER '\x01', COMPRESSION gzip)");
    ASSERT_EQ(copied, "1");
  }

  std::filesystem::path folder_;
  std::unique_ptr<Instance> instance_;
};

constexpr const char* kRefused = "nests deeper than 1000 levels";

TEST_F(JsonFilesTest, EveryReaderThatLooksForColumnsRefusesADeepFile) {
  for (const auto& text : {nested(200'000), nested(200'000, "{\"a\":", "}")}) {
    const auto plain = write("d.json", text);
    gzip(plain, path("d.json.gz"));
    for (const auto& file : {plain, path("d.json.gz")}) {
      for (const std::string& from : std::vector<std::string>{
               "read_json('@')", "read_json_auto('@')", "read_ndjson('@')", "read_ndjson_auto('@')",
               "read_json('@', format = 'array')", "read_json('@', format = 'unstructured')",
               "read_json(['@', '@'], union_by_name = true)", "read_json('@', maximum_depth = 2)",
               "read_json('@', records = true)", "read_ndjson('@', ignore_errors = true)", "'@'"}) {
        std::string filled = from;
        for (size_t at; (at = filled.find('@')) != std::string::npos;) filled.replace(at, 1, file);
        EXPECT_NE(ask("SELECT count(*) FROM " + filled).find(kRefused), std::string::npos)
            << from << " " << file;
      }
      auto connection = instance_->connect_user();
      EXPECT_NE(run(*connection, "CREATE TABLE t AS FROM '" + file + "'").find(kRefused),
                std::string::npos);
    }
  }
}

TEST_F(JsonFilesTest, TextThatIsNotTakenApartIsRead) {
  const auto file = write("d.json", nested(200'000));
  EXPECT_EQ(ask("SELECT count(*) FROM read_json_objects('" + file + "')"), "1");
  EXPECT_EQ(ask("SELECT length(json) FROM read_ndjson_objects('" + file + "')"), "400001");
  EXPECT_NE(
      ask("SELECT json_structure(json) FROM read_json_objects('" + file + "')").find(kRefused),
      std::string::npos);
  const auto object = write("o.json", "{\"a\":" + nested(200'000) + "}");
  EXPECT_EQ(ask("SELECT length(a) FROM read_json('" + object +
                "', columns = {a: 'JSON'}, records = true)"),
            "400001");
  auto connection = instance_->connect_user();
  run(*connection, "CREATE TABLE t (a JSON)");
  EXPECT_EQ(run(*connection, "COPY t FROM '" + object + "' (FORMAT json)"), "1");
  EXPECT_EQ(run(*connection, "COPY t FROM '" + object + "' (FORMAT json, AUTO_DETECT true)"), "1");
  run(*connection, "CREATE TABLE u (a INT[][])");
  EXPECT_NE(run(*connection, "COPY u FROM '" + object + "' (FORMAT json)").find("Error"),
            std::string::npos);
}

TEST_F(JsonFilesTest, ADeepValueBehindTheSampleIsNotTakenApart) {
  std::string rows;
  for (int i = 0; i < 30'000; ++i) rows += i % 2 == 0 ? "{\"a\":1}\n" : "{\"a\":[1]}\n";
  rows += "{\"a\":" + nested(200'000) + "}\n";
  const auto file = write("late.json", rows);
  // The whole file is one piece here, so it is seen all the same; with columns nobody looks.
  EXPECT_NE(ask("SELECT count(*) FROM '" + file + "'").find(kRefused), std::string::npos);
  EXPECT_EQ(ask("SELECT max(length(a)) FROM read_json('" + file +
                "', columns = {a: 'JSON'}, records = true)"),
            "400001");
  std::string large(80u << 20, ' ');
  for (size_t at = 0; at + 16 < large.size(); at += 64) {
    const std::string row = at % 128 == 0 ? "{\"a\":1}" : "{\"a\":[1]}";
    large.replace(at, row.size(), row);
    large[at + 63] = '\n';
  }
  const auto behind = write("behind.json", large + "{\"a\":" + nested(200'000) + "}\n");
  EXPECT_EQ(ask("SELECT max(length(a)) FROM '" + behind + "'"), "400001");
}

TEST_F(JsonFilesTest, WhatIsNotDeepIsReadAsBefore) {
  EXPECT_EQ(ask("SELECT typeof(json) LIKE 'BIGINT[][]%' FROM '" +
                write("at_limit.json", nested(1'000)) + "'"),
            "true");
  EXPECT_EQ(
      ask("SELECT count(*) FROM '" + write("objects.json", nested(1'000, "{\"a\":", "}")) + "'"),
      "1");
  const auto strings = write("strings.json", "{\"a\":\"" + std::string(5'000, '[') + "\\\"[\"}");
  EXPECT_EQ(ask("SELECT length(a) FROM '" + strings + "'"), "5002");
  std::string rows;
  for (int i = 0; i < 100'000; ++i) rows += "{\"a\":{\"b\":[" + std::to_string(i) + "]}}\n";
  const auto many = write("many.json", rows);
  EXPECT_EQ(ask("SELECT sum(a.b[1]) FROM '" + many + "'"), "4999950000");
  EXPECT_EQ(ask("SELECT count(*) FROM read_json('" + path("m*y.json") + "', sample_size = -1)"),
            "100000");
  gzip(many, path("many.json.gz"));
  EXPECT_EQ(ask("SELECT sum(a.b[1]) FROM '" + path("many.json.gz") + "'"), "4999950000");
  auto connection = instance_->connect_user();
  EXPECT_EQ(run(*connection, "SELECT count(*) FROM '" + many + "'"), "100000");
  EXPECT_EQ(run(*connection, "SELECT count(*) FROM read_text('" + many + "')"), "1");
  for (const char* file : {"read_text('/etc/hostname')", "read_json('/etc/hostname')"}) {
    const std::string all = std::string("SELECT count(*) FROM ") + file;
    EXPECT_NE(run(*connection, all).find("outside"), std::string::npos) << run(*connection, all);
    EXPECT_EQ(run(*connection, all), ask(all));
  }
}

TEST_F(JsonFilesTest, BrokenLinesThatAreSkippedDoNotAddUp) {
  std::string rows = "{\"a\":1}\n";
  for (int i = 0; i < 2'000; ++i) rows += "{\"a\":\"x\n";
  rows += "{\"a\":2}\n";
  const auto file = write("broken.json", rows);
  EXPECT_EQ(ask("SELECT sum(a) FROM read_ndjson('" + file + "', ignore_errors = true)"), "3");
  EXPECT_EQ(ask("SELECT sum(a) FROM read_json('" + file +
                "', format = 'newline_delimited', ignore_errors = true)"),
            "3");
  // A string that a broken line leaves open hides nothing.
  const auto hidden = write("hidden.json", "{\"a\":1}\n\"\n" + nested(200'000) + "\n");
  EXPECT_NE(ask("SELECT count(*) FROM read_ndjson('" + hidden + "', ignore_errors = true)")
                .find(kRefused),
            std::string::npos);
}

}  // namespace
}  // namespace ziwa::duck
