#include "duck/parquet.h"

#include "base/sim_file.h"

#include <gtest/gtest.h>

namespace ziwa::duck {
namespace {

using duckdb::LogicalType;
using duckdb::Value;

class ParquetTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(files_.make_dirs("/lake").has_value());
    auto opened = Instance::open(files_, {.allowed_directories = {"/elsewhere"}});
    ASSERT_TRUE(opened.has_value()) << opened.error().to_string();
    instance_ = std::move(*opened);
    ASSERT_TRUE(instance_->lock().has_value());  // our own files need no allowed directory
  }

  /// Writes the rows of `sql`; the columns are named c0, c1, ...
  WrittenFile write(const std::string& path, const std::string& sql) {
    auto connection = instance_->connect();
    auto result = connection->Query(sql);
    EXPECT_FALSE(result->HasError()) << result->GetError();
    std::vector<NamedType> columns;
    for (size_t i = 0; i < result->types.size(); ++i)
      columns.push_back({"c" + std::to_string(i), result->types[i]});
    auto writer = ParquetWriter::create(*instance_, path, columns);
    EXPECT_TRUE(writer.has_value()) << writer.error().to_string();
    while (auto chunk = result->Fetch()) EXPECT_TRUE((*writer)->write(*chunk).has_value());
    EXPECT_GT((*writer)->buffered_bytes() + (*writer)->estimated_bytes(), 0u);
    auto written = (*writer)->finish();
    EXPECT_TRUE(written.has_value()) << written.error().to_string();
    return *written;
  }

  std::vector<std::vector<Value>> read(const std::string& path,
                                       const std::vector<NamedType>& columns) {
    auto reader = ParquetReader::open(*instance_, path, columns);
    EXPECT_TRUE(reader.has_value()) << reader.error().to_string();
    duckdb::vector<LogicalType> types;
    for (auto& column : columns) types.push_back(column.type);
    duckdb::DataChunk chunk;
    if (!types.empty()) chunk.Initialize(duckdb::Allocator::DefaultAllocator(), types);
    std::vector<std::vector<Value>> rows;
    while (true) {
      Status next = (*reader)->next(chunk);
      EXPECT_TRUE(next.has_value()) << next.error().to_string();
      if (!next.has_value() || chunk.size() == 0) break;
      for (size_t r = 0; r < chunk.size(); ++r) {
        rows.emplace_back();
        for (size_t c = 0; c < types.size(); ++c) rows.back().push_back(chunk.GetValue(c, r));
      }
    }
    EXPECT_EQ((*reader)->row_count(), rows.size());
    return rows;
  }

  SimFileSystem files_;
  std::unique_ptr<Instance> instance_;
};

TEST_F(ParquetTest, RoundTripsRowsAndTypes) {
  WrittenFile file =
      write("/lake/a.parquet",
            "SELECT range AS id, CASE WHEN range % 3 = 0 THEN NULL ELSE 'v' || range END, "
            "make_timestamp(range * 1000000), [range, NULL], {'a': range, 'b': {'c': 'x'}}, "
            "(range / 4)::DECIMAL(10,2), MAP {'k': range} FROM range(300000)");
  EXPECT_EQ(file.rows, 300000u);
  EXPECT_EQ(file.bytes, files_.stat("/lake/a.parquet")->size);
  auto rows = read("/lake/a.parquet", {{"c1", LogicalType::VARCHAR},
                                       {"c0", LogicalType::BIGINT},
                                       {"C0", LogicalType::INTEGER},
                                       {"missing", LogicalType::DOUBLE},
                                       {"c2", LogicalType::TIMESTAMP},
                                       {"c3", LogicalType::LIST(LogicalType::BIGINT)},
                                       {"c5", LogicalType::DOUBLE}});
  ASSERT_EQ(rows.size(), 300000u);
  EXPECT_TRUE(rows[299997][0].IsNull());
  EXPECT_EQ(rows[299999][0], Value("v299999"));
  EXPECT_EQ(rows[299999][1], Value::BIGINT(299999));
  EXPECT_EQ(rows[299999][2], Value::INTEGER(299999));
  EXPECT_TRUE(rows[5][3].IsNull());
  EXPECT_EQ(rows[5][3].type(), LogicalType::DOUBLE);
  EXPECT_EQ(rows[60][4].ToString(), "1970-01-01 00:01:00");
  EXPECT_EQ(rows[60][5].ToString(), "[60, NULL]");
  EXPECT_EQ(rows[61][6].GetValue<double>(), 15.25);
}

TEST_F(ParquetTest, ReadsRowCountsWithoutColumns) {
  write("/lake/a.parquet", "SELECT range FROM range(200000)");
  auto reader =
      ParquetReader::open(*instance_, "/lake/a.parquet", {{"nothere", LogicalType::INTEGER}});
  ASSERT_TRUE(reader.has_value());
  EXPECT_EQ(read("/lake/a.parquet", {{"nothere", LogicalType::INTEGER}}).size(), 200000u);
  EXPECT_EQ((*reader)->file_columns().at(0).name, "c0");
}

TEST_F(ParquetTest, MissingStructFieldsAreNull) {
  write("/lake/a.parquet", "SELECT {'a': 1, 'b': 'x'} AS s");
  auto wanted = LogicalType::STRUCT({{"b", LogicalType::VARCHAR}, {"new", LogicalType::BIGINT}});
  auto rows = read("/lake/a.parquet", {{"c0", wanted}});
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0][0].ToString(), "{'b': x, 'new': NULL}");
}

TEST_F(ParquetTest, StatisticsBoundTheValues) {
  WrittenFile file = write("/lake/a.parquet",
                           "SELECT (range - 7)::INTEGER, CASE WHEN range % 10 = 0 THEN NULL ELSE "
                           "'s' || lpad(range::VARCHAR, 6, '0') END, "
                           "range / 8, CASE WHEN range = 5 THEN 'nan'::DOUBLE ELSE range END, DATE "
                           "'2001-01-01' + range::INTEGER, "
                           "TIMESTAMPTZ '2001-01-01 00:00:00+00' + INTERVAL 1 SECOND * range, "
                           "range % 2 = 0, (range / 4)::DECIMAL(30,2), "
                           "[range], NULL::INTEGER FROM range(130000)");
  ASSERT_EQ(file.columns.size(), 10u);
  EXPECT_EQ(file.columns[0].min, Value::INTEGER(-7));
  EXPECT_EQ(file.columns[0].max, Value::INTEGER(129992));
  EXPECT_EQ(file.columns[0].null_count, 0);
  EXPECT_EQ(file.columns[1].min, Value("s000001"));
  EXPECT_EQ(file.columns[1].max, Value("s129999"));
  EXPECT_EQ(file.columns[1].null_count, 13000);
  EXPECT_EQ(file.columns[2].max, Value::DOUBLE(16249.875));
  EXPECT_FALSE(file.columns[3].min.has_value());
  EXPECT_FALSE(file.columns[3].max.has_value());
  EXPECT_EQ(file.columns[4].min->ToString(), "2001-01-01");
  EXPECT_EQ(file.columns[5].max->GetValueUnsafe<int64_t>(), 978307200000000 + 129999 * 1000000LL);
  EXPECT_EQ(file.columns[5].min->GetValueUnsafe<int64_t>(), 978307200000000);
  EXPECT_EQ(file.columns[6].min, Value::BOOLEAN(false));
  EXPECT_EQ(file.columns[6].max, Value::BOOLEAN(true));
  EXPECT_EQ(file.columns[7].max->ToString(), "32499.75");
  EXPECT_FALSE(file.columns[8].min.has_value());
  EXPECT_FALSE(file.columns[9].min.has_value());
  EXPECT_EQ(file.columns[9].null_count, 130000);
}

TEST_F(ParquetTest, FinishedFilesSurviveAPowerCut) {
  auto connection = instance_->connect();
  write("/lake/a.parquet", "SELECT range FROM range(1000)");
  ASSERT_TRUE(files_.sync_dir("/lake").has_value());
  ASSERT_TRUE(files_.sync_dir("/").has_value());
  files_.cut_power();
  EXPECT_EQ(read("/lake/a.parquet", {{"c0", LogicalType::BIGINT}}).size(), 1000u);
}

TEST_F(ParquetTest, BadFilesAreErrors) {
  EXPECT_EQ(ParquetReader::open(*instance_, "/lake/no.parquet", {}).error().code(),
            Code::not_found);
  ASSERT_TRUE(write_file_atomically(files_, "/lake/x.parquet", as_bytes("PAR1 not really PAR1"))
                  .has_value());
  EXPECT_FALSE(ParquetReader::open(*instance_, "/lake/x.parquet", {}).has_value());
  write("/lake/s.parquet", "SELECT 'word'");
  auto reader = ParquetReader::open(*instance_, "/lake/s.parquet", {{"c0", LogicalType::INTEGER}});
  ASSERT_TRUE(reader.has_value());
  duckdb::DataChunk chunk;
  chunk.Initialize(duckdb::Allocator::DefaultAllocator(), {LogicalType::INTEGER});
  EXPECT_EQ((*reader)->next(chunk).error().code(), Code::invalid_argument);
}

TEST_F(ParquetTest, FullDiskIsExhausted) {
  files_.set_capacity(2000);
  auto writer = ParquetWriter::create(*instance_, "/lake/a.parquet", {{"c0", LogicalType::DOUBLE}});
  ASSERT_TRUE(writer.has_value());
  auto connection = instance_->connect();
  auto result = connection->Query("SELECT random() FROM range(50000)");
  while (auto chunk = result->Fetch()) ASSERT_TRUE((*writer)->write(*chunk).has_value());
  EXPECT_EQ((*writer)->finish().error().code(), Code::exhausted);
}

}  // namespace
}  // namespace ziwa::duck
