#include "lake/table.h"

#include "base/sim_file.h"
#include "duck/chunk.h"
#include "lake/testing/rows.h"

#include <gtest/gtest.h>

namespace ziwa::lake {
namespace {

class TableTest : public testing::Test {
 protected:
  void SetUp() override {
    auto opened = duck::Instance::open(files_, {});
    ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
    instance_ = std::move(*opened);
  }
  std::shared_ptr<ObjectStore> store(const std::string& name = "t") {
    return make_local_store(files_, "/lake/" + name);
  }
  std::shared_ptr<Table> create(const Table::Create& create, const std::string& name = "t") {
    auto table = Table::create(store(name), *instance_, clock_, create);
    EXPECT_TRUE(table.has_value()) << table.error().to_string();
    return table.has_value() ? *table : nullptr;
  }
  std::shared_ptr<Table> open(const std::string& name = "t") {
    auto table = Table::open(store(name), *instance_, clock_);
    EXPECT_TRUE(table.has_value()) << table.error().to_string();
    return table.has_value() ? *table : nullptr;
  }
  /// Writes the rows of a query and commits them.
  Result<TableSnapshotPtr> insert(Table& table, const std::string& sql, Commit commit = {}) {
    commit.add = TRY(write_query(table, *instance_, sql));
    return table.commit(commit);
  }
  std::vector<std::string> rows(const TableSnapshot& snapshot,
                                const data::ScanRequest& request = {}) {
    auto read = read_rows(*snapshot.scan(), request);
    EXPECT_TRUE(read.has_value()) << read.error().to_string();
    return read.has_value() ? *read : std::vector<std::string>();
  }

  SimFileSystem files_;
  ManualClock clock_;
  std::unique_ptr<duck::Instance> instance_;
};

data::Schema two_columns() {
  return {.columns = {{.id = 7, .name = "id", .type = "BIGINT", .not_null = true},
                      {.id = 9, .name = "word", .type = "VARCHAR"}}};
}

TEST_F(TableTest, WritesCommitsAndReads) {
  auto table = create({.schema = two_columns()});
  EXPECT_EQ(table->snapshot()->version(), 0);
  auto inserted = insert(*table, "SELECT range, 'w' || range FROM range(3)");
  ASSERT_TRUE(inserted.has_value()) << inserted.error().to_string();
  EXPECT_EQ((*inserted)->version(), 1);
  EXPECT_EQ(rows(**inserted), (std::vector<std::string>{"0|w0", "1|w1", "2|w2"}));
  EXPECT_EQ((*inserted)->scan()->row_count(), 3u);
  auto again = open();
  EXPECT_EQ(again->snapshot()->version(), 1);
  EXPECT_EQ(again->snapshot()->schema(), two_columns());
  EXPECT_EQ(rows(*again->snapshot()), rows(**inserted));
}

TEST_F(TableTest, RefusesASecondTableAndAMissingOne) {
  create({.schema = two_columns()});
  EXPECT_EQ(Table::create(store(), *instance_, clock_, {.schema = two_columns()}).error().code(),
            Code::already_exists);
  EXPECT_EQ(Table::open(store("other"), *instance_, clock_).error().code(), Code::not_found);
}

TEST_F(TableTest, CheckpointsEveryTenVersions) {
  auto table = create({.schema = two_columns(), .partition_columns = {"word"}});
  for (int i = 1; i <= 25; ++i) {
    Commit commit{.transaction = Commit::Transaction{"sink", i}};
    auto done = insert(
        *table,
        fmt::format("SELECT {}, CASE WHEN {} % 5 = 0 THEN NULL ELSE 'a b/%{}' END", i, i, i % 3),
        commit);
    ASSERT_TRUE(done.has_value()) << done.error().to_string();
  }
  EXPECT_TRUE(files_.exists("/lake/t/_delta_log/00000000000000000020.checkpoint.parquet"));
  // The commits before the checkpoint are not needed any more.
  for (int i = 0; i < 20; ++i)
    ASSERT_TRUE(files_.remove(fmt::format("/lake/t/_delta_log/{:020}.json", i)).has_value());
  auto again = open();
  ASSERT_NE(again, nullptr);
  EXPECT_EQ(again->snapshot()->version(), 25);
  EXPECT_EQ(again->snapshot()->transaction_version("sink"), 25);
  EXPECT_EQ(rows(*again->snapshot()), rows(*table->snapshot()));
  EXPECT_EQ(again->at_version(19).error().code(), Code::not_found);
  EXPECT_EQ(rows(**again->at_version(22)).size(), 22u);
  // A broken hint is only a hint.
  ASSERT_TRUE(write_file_atomically(files_, "/lake/t/_delta_log/_last_checkpoint",
                                    as_bytes("{\"version\":99}"))
                  .has_value());
  EXPECT_EQ(open()->snapshot()->version(), 25);
  ASSERT_TRUE(
      write_file_atomically(files_, "/lake/t/_delta_log/_last_checkpoint", as_bytes("rubbish"))
          .has_value());
  EXPECT_EQ(open()->snapshot()->version(), 25);
}

using Op = data::ScanRequest::Bound::Op;

data::ScanRequest where(size_t column, Op op, duckdb::Value value,
                        std::vector<size_t> columns = {}) {
  return {.columns = std::move(columns),
          .bounds = {{.column = column,
                      .op = op,
                      .value = std::make_shared<const duckdb::Value>(std::move(value))}}};
}

TEST_F(TableTest, PartitionsKeepEveryKindOfValue) {
  data::Schema schema{.columns = {{.id = 1, .name = "v", .type = "INTEGER"},
                                  {.id = 2, .name = "s", .type = "VARCHAR"},
                                  {.id = 3, .name = "d", .type = "DOUBLE"},
                                  {.id = 4, .name = "b", .type = "BLOB"},
                                  {.id = 5, .name = "z", .type = "TIMESTAMP WITH TIME ZONE"},
                                  {.id = 6, .name = "p q/r=%", .type = "DATE"}}};
  auto table = create({.schema = schema, .partition_columns = {"s", "d", "b", "z", "p q/r=%"}});
  auto done = insert(
      *table,
      "SELECT 1, 'a/b c=%25:é\"\\', 'nan'::DOUBLE, '\\x00\\xFF/'::BLOB, TIMESTAMPTZ '2001-02-03 "
      "04:05:06.5+00', "
      "DATE '2001-02-03' UNION ALL SELECT 2, NULL, NULL, NULL, NULL, NULL UNION ALL "
      "SELECT 3, repeat('x', 300), '-inf'::DOUBLE, 'b'::BLOB, TIMESTAMPTZ '0001-01-01 "
      "00:00:00+00', DATE '9999-12-31' "
      "UNION ALL SELECT 4, '..', 1e-300, '.'::BLOB, TIMESTAMPTZ '2001-02-03 04:05:06+00', NULL");
  ASSERT_TRUE(done.has_value()) << done.error().to_string();
  EXPECT_EQ((*done)->files().size(), 4u);
  auto again = rows(*open()->snapshot());
  EXPECT_EQ(again, rows(**done));
  EXPECT_EQ(again[0], "1|a/b c=%25:é\"\\|nan|\\x00\\xFF/|2001-02-03 04:05:06.5+00|2001-02-03");
  EXPECT_EQ(again[1], "2|NULL|NULL|NULL|NULL|NULL");
  EXPECT_EQ(rows(**done, where(1, Op::equal, duckdb::Value(".."), {0})),
            std::vector<std::string>{"4"});
}

TEST_F(TableTest, EmptyStringsPartitionAsNull) {
  auto schema = two_columns();
  auto table = create({.schema = schema, .partition_columns = {"word"}});
  ASSERT_TRUE(insert(*table, "SELECT 1, ''").has_value());
  EXPECT_EQ(rows(*table->snapshot()), std::vector<std::string>{"1|NULL"});
  schema.columns[1].not_null = true;
  auto strict = create({.schema = schema, .partition_columns = {"word"}}, "strict");
  EXPECT_EQ(insert(*strict, "SELECT 1, ''").error().code(), Code::invalid_argument);
}

TEST_F(TableTest, PrunesFilesByStatisticsAndPartitions) {
  auto table = create({.schema = two_columns()});
  for (int i = 0; i < 5; ++i) {
    ASSERT_TRUE(
        insert(
            *table,
            fmt::format(
                "SELECT range, CASE WHEN {0} = 4 THEN NULL ELSE repeat('w', 40) || range END FROM "
                "range({0} * 10, {0} * 10 + 10)",
                i))
            .has_value());
  }
  auto snapshot = table->snapshot();
  // Files that are gone cannot be read, so a scan that succeeds did not look at them.
  for (const auto& file : snapshot->files()) {
    if (file->stats.find("\"min") != std::string::npos &&
        file->stats.find("\"id\":20") == std::string::npos) {
      ASSERT_TRUE(files_.remove("/lake/t/" + file->path).has_value());
    }
  }
  EXPECT_EQ(rows(*snapshot, where(0, Op::equal, duckdb::Value::BIGINT(25))).size(), 10u);
  EXPECT_EQ(rows(*snapshot, where(0, Op::equal, duckdb::Value::INTEGER(20))).size(), 10u);
  EXPECT_EQ(rows(*snapshot, where(0, Op::equal, duckdb::Value::BIGINT(99))).size(), 0u);
  EXPECT_EQ(rows(*snapshot, where(1, Op::equal, duckdb::Value("a"))).size(), 0u);
  EXPECT_EQ(rows(*snapshot, where(1, Op::greater, duckdb::Value("x"))).size(), 0u);
  auto both = where(0, Op::greater_equal, duckdb::Value::BIGINT(20));
  both.bounds.push_back(where(0, Op::less, duckdb::Value::BIGINT(30)).bounds[0]);
  EXPECT_EQ(rows(*snapshot, both).size(), 10u);
  // Another type's comparison is another comparison: nothing may be pruned, so the missing files
  // show.
  EXPECT_FALSE(
      read_rows(*snapshot->scan(), where(0, Op::equal, duckdb::Value::DOUBLE(25))).has_value());
}

TEST_F(TableTest, TransactionsApplyOnce) {
  auto table = create({.schema = two_columns()});
  Commit commit{.transaction = Commit::Transaction{"sink-7", 41}, .info = {{"ziwa.epoch", "41"}}};
  ASSERT_TRUE(insert(*table, "SELECT 1, 'a'", commit).has_value());
  EXPECT_EQ(insert(*table, "SELECT 1, 'a'", commit).error().code(), Code::already_exists);
  commit.transaction->version = 40;
  EXPECT_EQ(insert(*table, "SELECT 1, 'a'", commit).error().code(), Code::already_exists);
  commit.transaction->version = 42;
  ASSERT_TRUE(insert(*table, "SELECT 2, 'b'", commit).has_value());
  EXPECT_EQ(open()->snapshot()->transaction_version("sink-7"), 42);
  EXPECT_EQ(open()->snapshot()->transaction_version("other"), std::nullopt);
  EXPECT_EQ(table->info(1)->at("ziwa.epoch"), "41");
  EXPECT_EQ(table->info(9).error().code(), Code::not_found);
}

TEST_F(TableTest, AppendsRebaseAndChangesConflict) {
  auto first = create({.schema = two_columns()});
  ASSERT_TRUE(insert(*first, "SELECT 1, 'a'").has_value());
  auto second = open();
  ASSERT_TRUE(insert(*first, "SELECT 2, 'b'").has_value());
  auto rebased = insert(*second, "SELECT 3, 'c'");
  ASSERT_TRUE(rebased.has_value()) << rebased.error().to_string();
  EXPECT_EQ((*rebased)->version(), 3);
  EXPECT_EQ(rows(**rebased).size(), 3u);

  // A delete that read version 1 would miss the rows of 2 and 3.
  Commit stale{.operation = "DELETE",
               .remove = {*second->at_version(1).value()->files()[0]},
               .read_version = 1};
  EXPECT_EQ(second->commit(stale).error().code(), Code::conflict);
  // One that read everything passes; the same file cannot go twice.
  stale.read_version = 3;
  auto deleted = second->commit(stale);
  ASSERT_TRUE(deleted.has_value()) << deleted.error().to_string();
  EXPECT_EQ(rows(**deleted), (std::vector<std::string>{"2|b", "3|c"}));
  stale.read_version = 4;
  EXPECT_EQ(second->commit(stale).error().code(), Code::conflict);
  // An append that read before the delete does not know what it appended to.
  EXPECT_EQ(insert(*first, "SELECT 4, 'd'", {.read_version = 2}).error().code(), Code::conflict);
  EXPECT_TRUE(insert(*first, "SELECT 4, 'd'", {.read_version = 4}).has_value());
}

TEST_F(TableTest, ABlindAppendGoesBesideWhateverOthersDid) {
  auto ours = create({.schema = two_columns()});
  for (int i = 0; i < 2; ++i)
    ASSERT_TRUE(insert(*ours, fmt::format("SELECT {}, 'a'", i)).has_value());
  auto theirs = open();
  Commit gone{.operation = "DELETE", .remove = {*theirs->snapshot()->files()[0]}};
  ASSERT_TRUE(theirs->commit(gone).has_value());
  Commit compact{.operation = "OPTIMIZE", .data_change = false};
  compact.remove.push_back(*theirs->snapshot()->files()[0]);
  ASSERT_TRUE(insert(*theirs, "SELECT 1, 'a'", compact).has_value());
  auto appended = insert(*ours, "SELECT 2, 'b'");
  ASSERT_TRUE(appended.has_value()) << appended.error().to_string();
  EXPECT_EQ(rows(**appended), (std::vector<std::string>{"1|a", "2|b"}));
  EXPECT_EQ(insert(*ours, "SELECT 3, 'c'", {.read_version = 2}).error().code(), Code::conflict)
      << "a row went since";
  EXPECT_TRUE(insert(*ours, "SELECT 3, 'c'", {.read_version = 3}).has_value())
      << "a compaction takes none";
}

TEST_F(TableTest, RewritesGoBesideAppends) {
  auto first = create({.schema = two_columns()});
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(insert(*first, fmt::format("SELECT {}, 'a'", i)).has_value());
  auto second = open();
  Commit compact{.operation = "OPTIMIZE", .data_change = false, .read_version = 3};
  for (const auto& file : second->snapshot()->files()) compact.remove.push_back(*file);
  ASSERT_TRUE(insert(*first, "SELECT 9, 'z'").has_value());
  auto done = insert(*second, "SELECT range, 'a' FROM range(3)", compact);
  ASSERT_TRUE(done.has_value()) << done.error().to_string();
  EXPECT_EQ((*done)->files().size(), 2u);
  EXPECT_EQ(rows(**done), (std::vector<std::string>{"0|a", "1|a", "2|a", "9|z"}));
  // A rewrite is no change.
  auto changes = second->changes(4, 5);
  ASSERT_TRUE(changes.has_value());
  EXPECT_TRUE(changes->empty());
}

TEST_F(TableTest, ChangesAreAddedAndRemovedRows) {
  auto table = create({.schema = two_columns(), .partition_columns = {"word"}});
  for (int i = 1; i <= 3; ++i)
    ASSERT_TRUE(insert(*table, fmt::format("SELECT {}, 'p{}'", i, i)).has_value());
  auto file_of = [&](const std::string& word) {
    for (const auto& file : table->snapshot()->files()) {
      if (file->partition_values.at("word") == word) return *file;
    }
    return DataFile();
  };
  Commit remove{.operation = "DELETE", .remove = {file_of("p1"), file_of("p3")}};
  ASSERT_TRUE(table->commit(remove).has_value());
  auto all = table->changes(-1, 4);
  ASSERT_TRUE(all.has_value());
  ASSERT_EQ(all->size(), 1u);
  EXPECT_EQ(read_rows(*(*all)[0].rows).value(), std::vector<std::string>{"2|p2"});
  // Seen from version 2: p1 went; p3 came and went.
  auto some = table->changes(2, 4);
  ASSERT_TRUE(some.has_value()) << some.error().to_string();
  ASSERT_EQ(some->size(), 1u);
  EXPECT_EQ((*some)[0].weight, -1);
  EXPECT_EQ(read_rows(*(*some)[0].rows).value(), std::vector<std::string>{"1|p1"});
  auto added = table->changes(1, 3);
  ASSERT_EQ(added->size(), 1u);
  EXPECT_EQ((*added)[0].weight, 1);
  EXPECT_EQ(read_rows(*(*added)[0].rows).value(), (std::vector<std::string>{"2|p2", "3|p3"}));
  EXPECT_TRUE(table->changes(4, 4)->empty());
  EXPECT_EQ(table->changes(3, 99).error().code(), Code::not_found);
}

TEST_F(TableTest, RollsFilesAndSplitsScans) {
  auto table = create({.schema = two_columns()});
  auto files = write_query(*table, *instance_,
                           "SELECT range, md5(range::VARCHAR) FROM range(600000)", 2u << 20);
  ASSERT_TRUE(files.has_value()) << files.error().to_string();
  EXPECT_GE(files->size(), 4u);
  ASSERT_TRUE(table->commit({.add = *files}).has_value());
  auto streams = table->snapshot()->scan()->open({.columns = {0}}, 3);
  ASSERT_TRUE(streams.has_value());
  EXPECT_EQ(streams->size(), 3u);
  duck::Chunk chunk({duckdb::LogicalType::BIGINT});
  std::vector<bool> seen(600000);
  size_t parts_with_rows = 0;
  // Turn by turn, as threads would take files.
  std::vector<size_t> taken(streams->size());
  for (bool more = true; more;) {
    more = false;
    for (size_t i = 0; i < streams->size(); ++i) {
      ASSERT_TRUE((*streams)[i]->next(chunk.rows).has_value());
      more |= chunk.size() > 0;
      taken[i] += chunk.size();
      for (size_t row = 0; row < chunk.size(); ++row) {
        auto id = static_cast<size_t>(chunk.rows.GetValue(0, row).GetValue<int64_t>());
        ASSERT_FALSE(seen[id]);
        seen[id] = true;
      }
    }
  }
  for (size_t rows : taken) parts_with_rows += rows > 0;
  EXPECT_EQ(parts_with_rows, 3u);
  EXPECT_EQ(std::count(seen.begin(), seen.end(), true), 600000);
}

TEST_F(TableTest, ManyPartitionsStayWithinLimits) {
  auto table = create({.schema = two_columns(), .partition_columns = {"word"}});
  auto files = write_query(*table, *instance_, "SELECT range, 'p' || range % 100 FROM range(5000)");
  ASSERT_TRUE(files.has_value()) << files.error().to_string();
  EXPECT_GE(files->size(), 100u);
  ASSERT_TRUE(table->commit({.add = *files}).has_value());
  EXPECT_EQ(rows(*table->snapshot()).size(), 5000u);
  EXPECT_EQ(rows(*table->snapshot(), where(1, Op::equal, duckdb::Value("p42"))).size(), 50u);
}

TEST_F(TableTest, ReadsNoColumns) {
  auto table = create({.schema = two_columns(), .partition_columns = {"word"}});
  ASSERT_TRUE(insert(*table, "SELECT range, 'a' FROM range(3000)").has_value());
  auto streams = table->snapshot()->scan()->open({}, 1);
  duckdb::DataChunk chunk;
  size_t count = 0;
  do {
    ASSERT_TRUE((*streams)[0]->next(chunk).has_value());
    count += chunk.size();
  } while (chunk.size() > 0);
  EXPECT_EQ(count, 3000u);
}

TEST_F(TableTest, BadInputIsRefusedAndNothingIsWritten) {
  auto failing = [&](data::Schema schema, std::vector<std::string> partitions = {}) {
    auto table =
        Table::create(store("bad"), *instance_, clock_,
                      {.schema = std::move(schema), .partition_columns = std::move(partitions)});
    EXPECT_FALSE(table.has_value());
    EXPECT_FALSE(files_.exists("/lake/bad/_delta_log"));
    return table.has_value() ? Code::internal : table.error().code();
  };
  auto one = [](const std::string& type) {
    return data::Schema{.columns = {{.id = 1, .name = "a", .type = type}}};
  };
  EXPECT_EQ(failing({}), Code::invalid_argument);
  EXPECT_EQ(failing(one("NOSUCH")), Code::invalid_argument);
  EXPECT_EQ(failing(one("UNION(x INTEGER)")), Code::unsupported);
  EXPECT_EQ(failing(one("TIMESTAMP_NS")), Code::unsupported);
  EXPECT_EQ(failing(one("INTEGER"), {"a"}), Code::invalid_argument);
  EXPECT_EQ(failing(one("INTEGER"), {"b"}), Code::invalid_argument);
  EXPECT_EQ(failing({.columns = {{.id = 1, .name = "a", .type = "INTEGER"},
                                 {.id = 2, .name = "A", .type = "INTEGER"}}}),
            Code::invalid_argument);
  EXPECT_EQ(failing({.columns = {{.id = 1, .name = "a", .type = "INTEGER[]"},
                                 {.id = 2, .name = "b", .type = "INTEGER"}}},
                    {"a"}),
            Code::unsupported);
  auto table = create({.schema = two_columns()});
  EXPECT_EQ(insert(*table, "SELECT NULL, 'a'").error().code(), Code::invalid_argument);
  EXPECT_EQ(table->commit({.add = {{.path = "../x"}}}).error().code(), Code::invalid_argument);
  EXPECT_EQ(table->at_version(5).error().code(), Code::not_found);
  EXPECT_EQ(table->at_version(-5).error().code(), Code::not_found);
  EXPECT_EQ(table->snapshot()->version(), 0);
}

TEST_F(TableTest, TypesThatDeltaLacksComeBack) {
  data::Schema schema;
  for (const char* type :
       {"HUGEINT", "UUID", "ENUM('x', 'y')", "JSON", "UBIGINT", "TIME", "UTINYINT[]", "INTEGER[3]",
        "STRUCT(u UUID, n UINTEGER)", "INTERVAL", "TIMESTAMP_S"}) {
    auto id = static_cast<uint32_t>(schema.columns.size() + 1);
    schema.columns.push_back({.id = id, .name = "c" + std::to_string(id), .type = type});
  }
  auto table = create({.schema = schema});
  EXPECT_EQ(table->snapshot()->schema(), schema);
  auto done = insert(
      *table,
      "SELECT -99999999999999999999999999999999999999::HUGEINT, "
      "'00000000-0000-0000-0000-000000000007'::UUID, 'y', "
      "'{\"a\": [1]}', 18446744073709551615, TIME '01:02:03.000004', [255, NULL], [1, 2, 3], "
      "{'u': '00000000-0000-0000-0000-000000000008', 'n': 4294967295}, INTERVAL '1 month 2 days', "
      "TIMESTAMP '2001-01-01 00:00:01'");
  ASSERT_TRUE(done.has_value()) << done.error().to_string();
  EXPECT_EQ(
      rows(*open()->snapshot()),
      std::vector<std::string>{"-99999999999999999999999999999999999999|00000000-0000-0000-0000-"
                               "000000000007|y|{\"a\": [1]}|18446744073709551615|"
                               "01:02:03.000004|[255, NULL]|[1, 2, 3]|{'u': "
                               "00000000-0000-0000-0000-000000000008, 'n': 4294967295}|1 month 2 "
                               "days|2001-01-01 00:00:01"});
  EXPECT_EQ(insert(*table,
                   "SELECT 170141183460469231731687303715884105727::HUGEINT, NULL, NULL, NULL, "
                   "NULL, NULL, NULL, NULL, NULL, "
                   "NULL, NULL")
                .error()
                .code(),
            Code::invalid_argument);
}

TEST_F(TableTest, WriterFeaturesAreRefusedByName) {
  auto with = [&](const std::string& protocol, const std::string& configuration,
                  const std::string& field = "") {
    static int number = 0;
    std::string name = "w" + std::to_string(number++);
    std::string log =
        "{\"protocol\":" + protocol +
        "}\n{\"metaData\":{\"id\":\"x\",\"format\":{\"provider\":\"parquet\"},\"schemaString\":"
        "\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":[{\\\"name\\\":\\\"id\\\",\\\"type\\\":"
        "\\\"long\\\",\\\"nullable\\\":true,"
        "\\\"metadata\\\":{" +
        field + "}}]}\",\"partitionColumns\":[],\"configuration\":" + configuration + "}}\n";
    EXPECT_TRUE(
        store(name)->put("_delta_log/00000000000000000000.json", as_bytes(log)).has_value());
    auto table = open(name);
    auto done = insert(*table, "SELECT 1");
    return done.has_value()
               ? std::string("written")
               : std::string(code_name(done.error().code())) + " " + done.error().message();
  };
  EXPECT_EQ(with(R"({"minReaderVersion":1,"minWriterVersion":2})", "{}"), "written");
  EXPECT_EQ(with(R"({"minReaderVersion":1,"minWriterVersion":6})", "{}"), "written");
  EXPECT_EQ(with(R"({"minReaderVersion":3,"minWriterVersion":7,"readerFeatures":["timestampNtz"],)"
                 R"("writerFeatures":["timestampNtz"]})",
                 "{}"),
            "written");
  auto has = [](const std::string& text, const std::string& word) {
    return text.starts_with("unsupported") && text.find(word) != std::string::npos;
  };
  EXPECT_TRUE(
      has(with(R"({"minReaderVersion":1,"minWriterVersion":8})", "{}"), "writer version 8"));
  EXPECT_TRUE(has(
      with(R"({"minReaderVersion":1,"minWriterVersion":7,"writerFeatures":["rowTracking"]})", "{}"),
      "rowTracking"));
  EXPECT_TRUE(has(
      with(R"({"minReaderVersion":1,"minWriterVersion":7,"writerFeatures":["inCommitTimestamp"]})",
           "{}"),
      "inCommitTimestamp"));
  EXPECT_TRUE(has(
      with(R"({"minReaderVersion":1,"minWriterVersion":3})", R"({"delta.constraints.c":"id > 0"})"),
      "checkConstraints"));
  EXPECT_TRUE(has(
      with(R"({"minReaderVersion":1,"minWriterVersion":2})", "{}", R"(\"delta.invariants\":\"x\")"),
      "delta.invariants"));
}

TEST_F(TableTest, LogsThatAreBrokenAreCorrupt) {
  auto opened = [&](const std::string& log) {
    static int number = 0;
    std::string name = "b" + std::to_string(number++);
    EXPECT_TRUE(
        store(name)->put("_delta_log/00000000000000000000.json", as_bytes(log)).has_value());
    auto table = Table::open(store(name), *instance_, clock_);
    EXPECT_FALSE(table.has_value()) << log;
    return table.has_value() ? Code::internal : table.error().code();
  };
  EXPECT_EQ(opened(""), Code::corrupt);
  EXPECT_EQ(opened("{"), Code::corrupt);
  EXPECT_EQ(opened("[]\n7\n"), Code::corrupt);
  EXPECT_EQ(opened("{\"add\":7}"), Code::corrupt);
  EXPECT_EQ(opened("{\"add\":" + std::string(200'000, '[') + std::string(200'000, ']') + "}"),
            Code::corrupt);
  EXPECT_EQ(opened("{\"add\":{\"path\":7}}"), Code::corrupt);
  EXPECT_EQ(opened("{\"add\":{\"path\":\"x\",\"size\":\"big\"}}"), Code::corrupt);
  EXPECT_EQ(opened("{\"protocol\":{\"minReaderVersion\":\"one\"}}"), Code::corrupt);
  EXPECT_EQ(opened("{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}"),
            Code::corrupt);
  const std::string protocol = "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n";
  for (const char* schema :
       {"{}", "[]", "{\\\"fields\\\":7}", "{\\\"fields\\\":[7]}", "{\\\"fields\\\":[{}]}",
        "{\\\"fields\\\":[{\\\"name\\\":\\\"a\\\",\\\"type\\\":{\\\"type\\\":\\\"array\\\"}}]}",
        "{\\\"fields\\\":[{\\\"name\\\":\\\"a\\\",\\\"type\\\":\\\"decimal(99,1)\\\"}]}"}) {
    EXPECT_EQ(
        opened(protocol + "{\"metaData\":{\"id\":\"x\",\"schemaString\":\"" + schema + "\"}}"),
        Code::corrupt)
        << schema;
  }
}

TEST_F(TableTest, AFullDiskLeavesTheTableAsItWas) {
  auto table = create({.schema = two_columns()});
  ASSERT_TRUE(insert(*table, "SELECT 1, 'a'").has_value());
  auto files = write_query(*table, *instance_, "SELECT 2, 'b'");
  ASSERT_TRUE(files.has_value());
  files_.set_capacity(1);
  EXPECT_EQ(write_query(*table, *instance_, "SELECT 3, 'c'").error().code(), Code::exhausted);
  EXPECT_EQ(table->commit({.add = *files}).error().code(), Code::exhausted);
  files_.set_capacity(0);
  EXPECT_EQ(rows(*open()->snapshot()), std::vector<std::string>{"1|a"});
  ASSERT_TRUE(table->commit({.add = *files}).has_value());
  EXPECT_EQ(rows(*open()->snapshot()), (std::vector<std::string>{"1|a", "2|b"}));
  for (const FileInfo& entry : files_.list("/lake/t").value())
    EXPECT_FALSE(entry.name.ends_with(".tmp")) << entry.name;
}

TEST_F(TableTest, DataFilesTravelAsJson) {
  DataFile file{.path = "a=b c/x.parquet",
                .partition_values = {{"a", "b c"}, {"n", std::nullopt}},
                .size = 7,
                .modified_ms = 8,
                .stats = "{\"numRecords\":3}",
                .rows = 3,
                .deletion_vector = {}};
  auto back = data_file_from_json(data_file_to_json(file));
  ASSERT_TRUE(back.has_value());
  EXPECT_EQ(back->path, file.path);
  EXPECT_EQ(back->partition_values, file.partition_values);
  EXPECT_EQ(back->stats, file.stats);
  EXPECT_EQ(back->rows, 3u);
  EXPECT_EQ(data_file_from_json("{}").error().code(), Code::corrupt);
  EXPECT_EQ(data_file_from_json("x").error().code(), Code::corrupt);
}

}  // namespace
}  // namespace ziwa::lake
