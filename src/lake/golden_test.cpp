// Tables that Spark wrote, from the tests of the Delta kernel project: each reads as it should or
// is refused by name.
#include "base/sim_file.h"
#include "lake/table.h"
#include "lake/testing/rows.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <zstd.h>

namespace ziwa::lake {
namespace {

std::string golden_folder() {
  const char* named = std::getenv("ZIWA_DELTA_GOLDEN");
  return named != nullptr ? named : std::string(ZIWA_SOURCE_DIR) + "/../shared/delta-golden";
}

std::vector<std::string> archives() {
  std::vector<std::string> names;
  auto entries = posix_file_system().list(golden_folder());
  if (!entries.has_value()) return names;
  for (const FileInfo& entry : *entries) {
    size_t end = entry.name.find(".tar.zst");
    if (end != std::string::npos) names.push_back(entry.name.substr(0, end));
  }
  std::sort(names.begin(), names.end());
  return names;
}

std::string decompress(const std::string& path) {
  Bytes packed = read_file(posix_file_system(), path).value();
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> stream(ZSTD_createDStream(),
                                                                    ZSTD_freeDStream);
  std::string content;
  std::string buffer(1 << 20, '\0');
  ZSTD_inBuffer in{packed.data(), packed.size(), 0};
  while (in.pos < in.size) {
    ZSTD_outBuffer out{buffer.data(), buffer.size(), 0};
    size_t left = ZSTD_decompressStream(stream.get(), &out, &in);
    EXPECT_FALSE(ZSTD_isError(left)) << path;
    if (ZSTD_isError(left)) return {};
    content.append(buffer.data(), out.pos);
  }
  return content;
}

/// Unpacks a tar (ustar, GNU long names, pax paths) below `root`.
void unpack(FileSystem& files, const std::string& tar, const std::string& root) {
  std::string long_name;
  for (size_t at = 0; at + 512 <= tar.size() && tar[at] != '\0';) {
    const char* header = tar.data() + at;
    size_t size = std::strtoull(std::string(header + 124, 12).c_str(), nullptr, 8);
    char kind = header[156];
    std::string name(header, strnlen(header, 100));
    std::string prefix(header + 345, strnlen(header + 345, 155));
    if (!prefix.empty() && std::string_view(header + 257, 5) == "ustar" && header[262] == '\0')
      name = prefix.append("/").append(name);
    if (!long_name.empty()) name = std::exchange(long_name, {});
    std::string_view content(tar.data() + at + 512, size);
    at += 512 + (size + 511) / 512 * 512;
    if (kind == 'L') {
      long_name = std::string(content.substr(0, content.find('\0')));
    } else if (kind == 'x') {
      size_t path = content.find(" path=");
      if (path != std::string_view::npos)
        long_name = std::string(content.substr(path + 6, content.find('\n', path) - path - 6));
    } else if (kind == '0' || kind == '\0') {
      std::string path = join_path(root, name);
      ASSERT_TRUE(files.make_dirs(parent_path(path)).has_value());
      auto file = files.open(path, OpenMode::truncate);
      ASSERT_TRUE(file.has_value()) << path;
      ASSERT_TRUE((*file)->append(as_bytes(content)).has_value());
    }
  }
}

/// Archives without expected rows, and what must become of them: a number of files at the newest
/// version, or an error.
struct Outcome {
  Code code = Code::internal;
  std::string words;  ///< In the message.
};
const std::map<std::string, Outcome> kRefused = {
    {"data-reader-absolute-paths-escaped-chars", {Code::corrupt, "metaData"}},
    {"data-reader-timestamp_ntz-id-mode", {Code::unsupported, "columnMapping"}},
    {"data-skipping-basic-stats-all-types-columnmapping-id", {Code::unsupported, "columnMapping"}},
    {"deltalog-state-reconstruction-from-checkpoint-missing-metadata", {Code::corrupt, "metaData"}},
    {"deltalog-state-reconstruction-without-protocol", {Code::corrupt, "protocol"}},
    {"dv-partitioned-with-checkpoint", {Code::unsupported, "deletionVectors"}},
    {"dv-with-columnmapping", {Code::unsupported, "columnMapping"}},
    {"log-replay-dv-key-cases", {Code::unsupported, "deletionVectors"}},
    {"table-with-columnmapping-mode-name", {Code::unsupported, "columnMapping"}},
    {"update-deleted-directory", {Code::corrupt, "schema"}},
    {"versions-not-contiguous", {Code::corrupt, "version 1 is missing"}},
};
const std::map<std::string, size_t> kFiles = {
    {"canonicalized-paths-normal-b", 0},
    {"canonicalized-paths-special-b", 0},
    {"checkpoint", 1},
};

class GoldenTest : public testing::TestWithParam<std::string> {
 protected:
  void SetUp() override {
    instance_ = std::move(*duck::Instance::open(files_, {}));
    unpack(files_, decompress(golden_folder() + "/" + GetParam() + ".tar.zst"), "/g");
    root_ = "/g/" + GetParam();
  }
  Result<std::shared_ptr<Table>> open(const std::string& folder) {
    return Table::open(make_local_store(files_, folder), *instance_, clock_);
  }
  /// The expected rows, cast to the columns of the table.
  std::vector<std::string> expected_rows(const data::Schema& schema, const std::string& files) {
    std::string columns;
    for (const auto& column : schema.columns) {
      columns += fmt::format("{}CAST(\"{}\" AS {})", columns.empty() ? "" : ", ", column.name,
                             column.type);
    }
    auto connection = instance_->connect();
    auto result = connection->Query(fmt::format("SELECT {} FROM read_parquet({})", columns, files));
    EXPECT_FALSE(result->HasError()) << result->GetError();
    std::vector<std::string> rows;
    if (result->HasError()) return rows;
    while (auto chunk = result->Fetch()) {
      for (size_t row = 0; row < chunk->size(); ++row) {
        std::string text;
        for (size_t i = 0; i < chunk->ColumnCount(); ++i)
          text += (i == 0 ? "" : "|") + chunk->GetValue(i, row).ToString();
        rows.push_back(std::move(text));
      }
    }
    std::sort(rows.begin(), rows.end());
    return rows;
  }

  /// The archive "hive" is a folder of tables, whose rows DuckDB can tell from the folders' names.
  void check_hive_tables() {
    auto tables = files_.list(root_ + "/delta");
    ASSERT_TRUE(tables.has_value());
    EXPECT_GE(tables->size(), 11u);
    for (const FileInfo& entry : *tables) {
      std::string folder = root_ + "/delta/" + entry.name;
      auto table = open(folder);
      ASSERT_TRUE(table.has_value()) << entry.name << ": " << table.error().to_string();
      auto snapshot = (*table)->snapshot();
      auto rows = read_rows(*snapshot->scan());
      ASSERT_TRUE(rows.has_value()) << entry.name << ": " << rows.error().to_string();
      EXPECT_FALSE(rows->empty());
      auto expected = expected_rows(
          snapshot->schema(),
          fmt::format("'{}/**/*.parquet', hive_partitioning = true, hive_types_autocast = false",
                      folder));
      EXPECT_EQ(*rows, expected) << entry.name;
    }
  }

  SimFileSystem files_;
  ManualClock clock_;
  std::unique_ptr<duck::Instance> instance_;
  std::string root_;
};

TEST_P(GoldenTest, ReadsAsExpectedOrIsRefusedByName) {
  if (GetParam() == "hive") return check_hive_tables();
  auto table = open(root_ + "/delta");
  if (auto refused = kRefused.find(GetParam()); refused != kRefused.end()) {
    ASSERT_FALSE(table.has_value());
    EXPECT_EQ(table.error().code(), refused->second.code) << table.error().to_string();
    EXPECT_NE(table.error().message().find(refused->second.words), std::string::npos)
        << table.error().to_string();
    return;
  }
  ASSERT_TRUE(table.has_value()) << table.error().to_string();
  auto snapshot = (*table)->snapshot();
  if (auto files = kFiles.find(GetParam()); files != kFiles.end()) {
    EXPECT_EQ(snapshot->files().size(), files->second);
    return;
  }
  auto rows = read_rows(*snapshot->scan());
  ASSERT_TRUE(rows.has_value()) << rows.error().to_string();
  auto expected = expected_rows(snapshot->schema(), fmt::format("'{}/expected/*.parquet'", root_));
  if (GetParam() == "data-reader-partition-values") {
    // Its timestamps partition by a local time of the writer (-07:00) that the log does not name;
    // UTC is what the protocol says.
    for (std::string& row : expected) {
      if (size_t at = row.find("18:11:11+00"); at != std::string::npos) row.replace(at, 2, "11");
    }
  }
  EXPECT_EQ(*rows, expected);
}

TEST_P(GoldenTest, PruningLosesNoRow) {
  auto table = open(root_ + "/delta");
  if (!table.has_value() || kFiles.contains(GetParam())) return;
  auto snapshot = (*table)->snapshot();
  const auto& columns = snapshot->schema().columns;
  using Op = data::ScanRequest::Bound::Op;
  for (size_t c = 0; c < columns.size(); ++c) {
    auto type = duck::parse_type(columns[c].type);
    ASSERT_TRUE(type.has_value());
    if (type->IsNested()) continue;
    auto values = read_rows(*snapshot->scan(), {.columns = {c}});
    ASSERT_TRUE(values.has_value());
    for (const std::string& text : *values) {
      duckdb::Value value(text);
      if (text == "NULL" || !value.DefaultTryCastAs(*type)) continue;
      for (Op op : {Op::equal, Op::less_equal, Op::greater_equal}) {
        auto bound = std::make_shared<const duckdb::Value>(value);
        auto kept =
            read_rows(*snapshot->scan(),
                      {.columns = {c}, .bounds = {{.column = c, .op = op, .value = bound}}});
        ASSERT_TRUE(kept.has_value());
        EXPECT_EQ(std::count(kept->begin(), kept->end(), text),
                  std::count(values->begin(), values->end(), text))
            << columns[c].name << " " << text;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Archives, GoldenTest, testing::ValuesIn(archives()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(GoldenTest);

TEST(GoldenTables, AreThere) {
  if (archives().empty()) {
    GTEST_SKIP() << "no golden Delta tables in " << golden_folder()
                 << "; set ZIWA_DELTA_GOLDEN to their folder";
  }
  EXPECT_GE(archives().size(), 42u);
}

}  // namespace
}  // namespace ziwa::lake
