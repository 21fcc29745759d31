#include "stream/row_table.h"

#include "base/sim_file.h"
#include "stream/testing/table_text.h"

#include <array>
#include <random>

// A table of rows against a map: random changes, steps, checkpoints (also failed ones) and pinned
// versions.
namespace ziwa::stream {
namespace {

using testing::Bag;
using Random = std::mt19937_64;
using Row = std::vector<duckdb::Value>;

const data::Schema kSchema = {{{1, "k", "VARCHAR"}, {2, "list", "INTEGER[]"}, {3, "n", "INTEGER"}}};

std::string text_of(const Row& row) {
  std::string text;
  for (size_t i = 0; i < row.size(); ++i) text += (i > 0 ? "|" : "") + testing::value_text(row[i]);
  return text;
}

/// One with a next prefix of its length, one without, and none: the whole table.
std::string prefix_of(uint64_t seed) {
  constexpr std::array<const char*, 3> kPrefixes = {"prefix--", "prefix-\xff", ""};
  return kPrefixes[seed % kPrefixes.size()];
}

class Harness {
 public:
  explicit Harness(const std::vector<uint32_t>& key, const std::string& prefix = "prefix--") {
    store_ = std::move(*state::Store::open(fs_, "state", {.tables = {"views"}}));
    auto layout = RowLayout::create(kSchema, key);
    EXPECT_TRUE(layout.has_value()) << layout.error().to_string();
    table_ = std::make_unique<RowTable>(*layout, *store_, store_->table("views"), prefix);
    if (prefix.empty()) return;
    // Neighbours that no scan may give.
    state::WriteBatch others;
    others.put(store_->table("views"), "prefix-,", "x");
    others.put(store_->table("views"), "prefix-.", "x");
    others.put(store_->table("views"), "prefix.", "x");
    EXPECT_TRUE(store_->write(others, false).has_value());
  }

  void change(const std::vector<std::pair<Row, Weight>>& changes) {
    if (changes.empty()) return;
    duckdb::DataChunk chunk;
    chunk.Initialize(duckdb::Allocator::DefaultAllocator(), table_->layout()->types);
    std::vector<Weight> weights;
    for (const auto& [row, weight] : changes) {
      for (size_t i = 0; i < row.size(); ++i) chunk.SetValue(i, weights.size(), row[i]);
      weights.push_back(weight);
    }
    chunk.SetCardinality(weights.size());
    Delta delta{.rows = chunk, .weights = weights.data()};
    ASSERT_TRUE(table_->consume(0, delta).has_value());
  }
  bool apply(uint64_t epoch) {
    auto applied = table_->apply(Epoch(epoch));
    EXPECT_TRUE(applied.has_value()) << applied.error().to_string();
    return applied.value_or(false);
  }
  void checkpoint(bool fails) {
    auto base = table_->base();
    auto frozen = table_->freeze();
    if (frozen == nullptr) return;
    if (fails) return table_->unfreeze();
    state::WriteBatch batch;
    ASSERT_TRUE(RowTable::write(base, *frozen, batch).has_value());
    ASSERT_TRUE(store_->write(batch, false).has_value());
    table_->thaw(store_->snapshot());
  }

  static Bag read(const ViewVersion& version) {
    Bag bag;
    auto scan = version.scan();
    auto streams = scan->open({.columns = {0, 1, 2}, .bounds = {}}, 1);
    duckdb::DataChunk chunk;
    chunk.Initialize(
        duckdb::Allocator::DefaultAllocator(),
        {duckdb::LogicalType::VARCHAR, duckdb::LogicalType::LIST(duckdb::LogicalType::INTEGER),
         duckdb::LogicalType::INTEGER});
    while (true) {
      EXPECT_TRUE((*streams)[0]->next(chunk).has_value());
      if (chunk.size() == 0) return bag;
      for (size_t row = 0; row < chunk.size(); ++row) ++bag[testing::row_text(chunk, row)];
    }
  }
  RowTable& table() { return *table_; }

 private:
  SimFileSystem fs_;
  std::unique_ptr<state::Store> store_;
  std::unique_ptr<RowTable> table_;
};

Row random_row(Random& random) {
  duckdb::vector<duckdb::Value> list;
  for (size_t i = random() % 3; i > 0; --i)
    list.push_back(duckdb::Value::INTEGER(static_cast<int32_t>(random() % 2)));
  return {random() % 5 == 0
              ? duckdb::Value(duckdb::LogicalType::VARCHAR)
              : duckdb::Value(std::string(random() % 3, static_cast<char>('a' + random() % 3))),
          duckdb::Value::LIST(duckdb::LogicalType::INTEGER, list),
          duckdb::Value::INTEGER(static_cast<int32_t>(random() % 4))};
}

TEST(RowTable, BagsAddUp) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Random random(seed);
    Harness harness({}, prefix_of(seed));
    Bag wanted;
    std::vector<Row> rows;
    std::vector<std::pair<std::shared_ptr<const RowTableVersion>, Bag>> pins;
    for (uint64_t step = 1; step <= 40; ++step) {
      std::vector<std::pair<Row, Weight>> changes;
      Bag before = wanted;
      for (size_t i = random() % 12; i > 0; --i) {
        if (!rows.empty() && random() % 3 == 0) {
          size_t victim = random() % rows.size();
          changes.emplace_back(rows[victim], -1);
          if (--wanted[text_of(rows[victim])] == 0) wanted.erase(text_of(rows[victim]));
          rows[victim] = rows.back();
          rows.pop_back();
        } else {
          rows.push_back(random_row(random));
          changes.emplace_back(rows.back(), 1);
          ++wanted[text_of(rows.back())];
        }
      }
      harness.change(changes);
      EXPECT_EQ(harness.apply(step), before != wanted);
      EXPECT_EQ(harness.table().rows(), rows.size());
      ASSERT_EQ(testing::difference(Harness::read(*harness.table().version()), wanted), "")
          << "seed " << seed;
      pins.emplace_back(harness.table().version(), wanted);
      if (random() % 4 == 0) harness.checkpoint(random() % 3 == 0);
    }
    for (const auto& [version, bag] : pins) {
      EXPECT_EQ(testing::difference(Harness::read(*version), bag), "") << "a pin does not move";
    }
  }
}

TEST(RowTable, KeysReplace) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    Random random(seed);
    Harness harness({0}, prefix_of(seed));
    std::map<std::string, Row> wanted;
    for (uint64_t step = 1; step <= 40; ++step) {
      std::vector<std::pair<Row, Weight>> changes;
      for (size_t i = random() % 12; i > 0; --i) {
        Row row = random_row(random);
        auto key = testing::value_text(row[0]);
        if (auto old = wanted.find(key); old != wanted.end()) {
          changes.emplace_back(old->second, -1);
          wanted.erase(old);
          if (random() % 3 == 0) continue;
        }
        changes.emplace_back(row, 1);
        wanted[key] = row;
      }
      harness.change(changes);
      harness.apply(step);
      Bag bag;
      for (const auto& [key, row] : wanted) ++bag[text_of(row)];
      EXPECT_EQ(harness.table().rows(), wanted.size());
      ASSERT_EQ(testing::difference(Harness::read(*harness.table().version()), bag), "")
          << "seed " << seed;
      if (random() % 4 == 0) harness.checkpoint(random() % 3 == 0);
    }
  }
}

TEST(RowTable, AStepWithoutNetChangeChangesNothing) {
  Random random(1);
  Harness harness({0});
  Row row = random_row(random);
  harness.change({{row, 1}});
  EXPECT_TRUE(harness.apply(1));
  harness.change({{row, -1}, {row, 1}});
  EXPECT_FALSE(harness.apply(2));
  EXPECT_EQ(harness.table().changed_at(), Epoch(1));
}

TEST(RowTable, AKeyThatNamesTwoRowsIsRefused) {
  Harness harness({2});
  Random random(3);
  Row a = random_row(random);
  Row b = random_row(random);
  a[2] = b[2] = duckdb::Value::INTEGER(1);
  b[0] = duckdb::Value("other");
  harness.change({{a, 1}, {b, 1}});
  auto applied = harness.table().apply(Epoch(1));
  ASSERT_FALSE(applied.has_value());
  EXPECT_EQ(applied.error().code(), Code::internal);
}

}  // namespace
}  // namespace ziwa::stream
