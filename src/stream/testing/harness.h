#pragma once

#include "base/sim_file.h"
#include "base/slowness.h"
#include "stream/dataflow.h"
#include "stream/testing/plan_builder.h"
#include "stream/testing/table_text.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <random>

// A plan against DuckDB's batch answer, after each of many random steps of inserts and deletes,
// with the state written to a store and read back now and then.
namespace ziwa::stream::testing {

using Random = std::mt19937_64;
using Row = std::vector<duckdb::Value>;

/// The net rows that a dataflow gave.
class Collector final : public Stage {
 public:
  Status consume(size_t, Delta& delta) override {
    delta.rows.Flatten();
    for (size_t row = 0; row < delta.size(); ++row) {
      auto at = bag.try_emplace(row_text(delta.rows, row)).first;
      at->second += delta.weight(row);
      if (at->second == 0) bag.erase(at);
    }
    return {};
  }
  Bag bag;
};

/// The net row errors: operator, message and row.
class ErrorCollector final : public ErrorSink {
 public:
  void add(const RowError& error) override {
    auto at = bag.try_emplace(fmt::format("#{} {} {}", error.node, error.row, error.message)).first;
    at->second += error.weight;
    if (at->second == 0) bag.erase(at);
  }
  Bag bag;
};

/// What a query reads: rows that `make` makes.
struct TestSource {
  ObjectId id;
  std::string name;
  PlanBuilder::Columns columns;
  std::function<Row(Random&)> make;
  bool append_only = false;
};

/// Feeds one plan and compares.
class Harness {
 public:
  /// `prepare`: before the plan is compiled; it may register functions.
  using Prepare = std::function<void(duck::Instance&)>;
  Harness(
      std::vector<TestSource> sources, Plan plan, std::string sql,
      const Prepare& prepare = [](duck::Instance&) {})
      : sources_(std::move(sources)), plan_(std::move(plan)), sql_(std::move(sql)) {
    instance_ = std::move(*duck::Instance::open(posix_file_system(), {}));
    prepare(*instance_);
    context_ = std::make_unique<StageContext>(make_context(errors_));
    connection_ = instance_->connect();
    for (const auto& source : sources_) {
      std::string columns;
      for (const auto& [name, type] : source.columns) {
        columns += fmt::format("{}{} {}", columns.empty() ? "" : ", ", name, type);
      }
      testing::run(*connection_, fmt::format("CREATE TABLE {} ({})", source.name, columns));
    }
    store_ = std::move(*state::Store::open(fs_, "state", {.tables = {"state"}}));
    compile();
  }

  void run(uint64_t seed, int steps, size_t rows_max) {
    Random random(seed);
    for (int step = 0; step < steps; ++step) {
      for (auto& source : sources_) change(source, random, random() % (rows_max + 1));
      finish_and_compare(fmt::format("seed {} step {}", seed, step));
      if (::testing::Test::HasFailure()) return;
      if (random() % 3 == 0) save();
      if (random() % 5 == 0) {
        save();
        compile();
        load();
      }
    }
    for (auto& source : sources_) {
      if (!source.append_only) remove_all(source);
    }
    finish_and_compare("emptied");
    const bool all_gone = std::ranges::none_of(sources_, &TestSource::append_only);
    if (all_gone) EXPECT_EQ(difference(errors_.bag, {}), "");
    save();  // Lets go of what is gone.
  }

  /// Saves, and goes on from what the store has, with rows that may be taken back or may not.
  void reload(bool append_only) {
    save();
    for (auto& source : sources_) source.append_only = append_only;
    compile();
    load();
  }
  /// Row errors now.
  const Bag& errors() const { return errors_.bag; }
  /// After each step they must be those of an engine that sees all rows at once.
  void compare_errors() { compares_errors_ = true; }
  bool saw_errors() const { return saw_errors_; }
  size_t state_bytes() const { return dataflow_->state_bytes(); }
  /// Inserts rows and compares; nothing is saved.
  void grow(uint64_t seed, size_t rows) {
    Random random(seed);
    for (auto& source : sources_) {
      for (size_t i = 0; i < rows; ++i) rows_[source.name].push_back(source.make(random));
      std::vector<std::pair<Row, Weight>> changes;
      for (const auto& row : rows_[source.name]) changes.emplace_back(row, 1);
      push(source, changes);
    }
    finish_and_compare("grown");
  }
  void empty() {
    for (auto& source : sources_) remove_all(source);
    finish_and_compare("emptied");
  }
  /// Entries that the store holds.
  size_t stored_entries() {
    size_t count = 0;
    auto cursor = store_->cursor(store_->table("state"));
    for (cursor->seek("view"); cursor->valid(); cursor->next()) ++count;
    return count;
  }
  /// What a checkpoint would write now: entries.
  size_t save_entries() {
    state::WriteBatch batch;
    EXPECT_TRUE(dataflow_->save(batch, store_->table("state"), "view").has_value());
    size_t count = batch.count();
    EXPECT_TRUE(store_->write(batch, false).has_value());
    return count;
  }
  /// One row more.
  void add_row(TestSource& source, const Row& row) {
    rows_[source.name].push_back(row);
    push(source, {{row, 1}});
    finish_and_compare("one row");
  }
  Status load_entry(std::string_view key, std::string_view value) {
    return dataflow_->load(key, value);
  }

 private:
  StageContext make_context(ErrorCollector& errors) {
    return {.instance = *instance_, .errors = &errors, .late = nullptr, .watermark = [](ObjectId) {
              return kNoWatermark;
            }};
  }

  std::unique_ptr<Dataflow> make_dataflow(StageContext& context) {
    auto resolve = [&](ObjectId id) -> Result<SourceObject> {
      for (const auto& source : sources_) {
        if (source.id != id) continue;
        SourceObject object{.append_only = source.append_only};
        for (const auto& [name, type] : source.columns)
          object.schema.columns.push_back({0, name, type});
        return object;
      }
      return Error(Code::not_found, "no source {}", id);
    };
    auto compiled = Dataflow::compile(plan_, context, resolve);
    if (!compiled) ADD_FAILURE() << compiled.error().to_string();
    return compiled ? std::move(*compiled) : nullptr;
  }

  void compile() {
    dataflow_ = make_dataflow(*context_);
    ASSERT_NE(dataflow_, nullptr);
    dataflow_->add_target(&collector_, 0);
  }

  Bag errors_of_all_rows() {
    ErrorCollector errors;
    StageContext context = make_context(errors);
    auto dataflow = make_dataflow(context);
    for (const auto& source : sources_) {
      std::vector<std::pair<Row, Weight>> changes;
      for (const auto& row : rows_[source.name]) changes.emplace_back(row, 1);
      push(*dataflow, source, changes);
    }
    EXPECT_TRUE(dataflow->finish().has_value());
    return errors.bag;
  }

  void change(TestSource& source, Random& random, size_t count) {
    auto& rows = rows_[source.name];
    std::vector<std::pair<Row, Weight>> changes;
    for (size_t i = 0; i < count; ++i) {
      if (!source.append_only && !rows.empty() && random() % 5 < 2) {
        size_t victim = random() % rows.size();
        changes.emplace_back(rows[victim], -1);
        rows[victim] = rows.back();
        rows.pop_back();
      } else {
        changes.emplace_back(source.make(random), 1);
        rows.push_back(changes.back().first);
      }
    }
    push(source, changes);
  }

  void remove_all(TestSource& source) {
    std::vector<std::pair<Row, Weight>> changes;
    for (auto& row : rows_[source.name]) changes.emplace_back(row, -1);
    rows_[source.name].clear();
    push(source, changes);
  }

  void push(const TestSource& source, const std::vector<std::pair<Row, Weight>>& changes) {
    push(*dataflow_, source, changes);
  }

  static void push(Dataflow& dataflow, const TestSource& source,
                   const std::vector<std::pair<Row, Weight>>& changes) {
    duckdb::vector<duckdb::LogicalType> types;
    for (const auto& [name, type] : source.columns) types.push_back(*duck::parse_type(type));
    std::vector<Weight> weights;
    duckdb::DataChunk chunk;
    chunk.Initialize(duckdb::Allocator::DefaultAllocator(), types);
    auto flush = [&] {
      if (chunk.size() == 0) return;
      Delta delta{.rows = chunk, .weights = source.append_only ? nullptr : weights.data()};
      for (auto* leaf : dataflow.sources()) {
        if (leaf->object() != source.id) continue;
        auto done = leaf->consume(0, delta);
        ASSERT_TRUE(done.has_value()) << done.error().to_string();
      }
      chunk.Reset();
      weights.clear();
    };
    for (const auto& [row, weight] : changes) {
      for (size_t i = 0; i < types.size(); ++i) chunk.SetValue(i, chunk.size(), row[i]);
      chunk.SetCardinality(chunk.size() + 1);
      weights.push_back(weight);
      if (chunk.size() == 7) flush();  // many chunks a step
    }
    flush();
  }

  void finish_and_compare(const std::string& where) {
    auto done = dataflow_->finish();
    ASSERT_TRUE(done.has_value()) << done.error().to_string();
    for (const auto& source : sources_) {
      testing::run(*connection_, "DELETE FROM " + source.name);
      std::string values;
      for (const auto& row : rows_[source.name]) {
        std::string one;
        for (const auto& value : row) one += (one.empty() ? "(" : ", ") + literal(value);
        values += (values.empty() ? "" : ", ") + one + ")";
      }
      if (!values.empty())
        testing::run(*connection_, fmt::format("INSERT INTO {} VALUES {}", source.name, values));
    }
    EXPECT_EQ(difference(collector_.bag, query_bag(*connection_, sql_)), "") << where << "\n"
                                                                             << sql_;
    check_key(where);
    saw_errors_ = saw_errors_ || !errors_.bag.empty();
    if (compares_errors_) EXPECT_EQ(difference(errors_.bag, errors_of_all_rows()), "") << where;
  }

  /// The plan's key must tell the rows of the answer apart.
  void check_key(const std::string& where) {
    if (plan_.key.empty()) return;
    std::vector<std::string> columns;
    std::vector<std::string> key;
    for (size_t i = 0; i < plan_.root().output.size(); ++i)
      columns.push_back(fmt::format("x{}", i));
    for (uint32_t position : plan_.key) key.push_back(columns[position]);
    auto twice = connection_->Query(
        fmt::format("SELECT {0} FROM ({1}) AS answer({2}) GROUP BY {0} HAVING count(*) > 1",
                    fmt::join(key, ", "), sql_, fmt::join(columns, ", ")));
    ASSERT_FALSE(twice->HasError()) << twice->GetError();
    EXPECT_EQ(twice->RowCount(), 0u) << where << "\n" << sql_ << "\n" << twice->ToString();
  }

  void save() {
    state::WriteBatch batch;
    ASSERT_TRUE(dataflow_->save(batch, store_->table("state"), "view").has_value());
    ASSERT_TRUE(store_->write(batch, false).has_value());
  }

  void load() {
    auto cursor = store_->cursor(store_->table("state"));
    for (cursor->seek("view"); cursor->valid(); cursor->next()) {
      auto done = dataflow_->load(cursor->key().substr(4), cursor->value());
      ASSERT_TRUE(done.has_value()) << done.error().to_string();
    }
  }

  SimFileSystem fs_;
  std::unique_ptr<duck::Instance> instance_;
  ErrorCollector errors_;
  bool compares_errors_ = false;
  bool saw_errors_ = false;
  std::unique_ptr<StageContext> context_;
  std::unique_ptr<duckdb::Connection> connection_;
  std::unique_ptr<state::Store> store_;
  std::vector<TestSource> sources_;
  Plan plan_;
  std::string sql_;
  std::unique_ptr<Dataflow> dataflow_;
  Collector collector_;
  std::map<std::string, std::vector<Row>> rows_;
};

/// NULL once in six.
inline duckdb::Value maybe_null(Random& random, duckdb::Value value) {
  return random() % 6 == 0 ? duckdb::Value(value.type()) : value;
}

inline TestSource table_t(bool append_only = false) {
  return {.id = ObjectId(1),
          .name = "t",
          .columns = {{"k", "VARCHAR"},
                      {"g", "INTEGER"},
                      {"v", "BIGINT"},
                      {"d", "DOUBLE"},
                      {"m", "DECIMAL(12,3)"}},
          .make = [](Random& random) -> Row {
            auto number = static_cast<int64_t>(random() % 21) - 10;
            return {maybe_null(random, duckdb::Value(
                                           std::string(1, static_cast<char>('a' + random() % 4)))),
                    maybe_null(random, duckdb::Value::INTEGER(static_cast<int32_t>(random() % 3))),
                    maybe_null(random, duckdb::Value::BIGINT(number)),
                    maybe_null(random, duckdb::Value::DOUBLE(static_cast<double>(number + 11) / 3)),
                    maybe_null(random, duckdb::Value::DECIMAL(number * 37, 12, 3))};
          },
          .append_only = append_only};
}

inline TestSource table_u() {
  return {.id = ObjectId(2),
          .name = "u",
          .columns = {{"k", "VARCHAR"}, {"n", "INTEGER"}},
          .make = [](Random& random) -> Row {
            return {maybe_null(random, duckdb::Value(
                                           std::string(1, static_cast<char>('b' + random() % 4)))),
                    maybe_null(random, duckdb::Value::INTEGER(static_cast<int32_t>(random() % 5)))};
          }};
}

inline constexpr int kSeeds = kSlowness > 1 ? 1 : 3;

/// Several runs, with small and with large steps.
inline void check(
    const std::vector<TestSource>& sources, const Plan& plan, const std::string& sql,
    const Harness::Prepare& prepare = [](duck::Instance&) {}) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Harness(sources, plan, sql, prepare).run(seed, 10, seed % 2 == 0 ? 40 : 6);
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace ziwa::stream::testing
