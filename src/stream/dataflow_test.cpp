#include "stream/dataflow.h"

#include "base/sim_file.h"
#include "stream/testing/plan_builder.h"
#include "stream/testing/table_text.h"

#include <fmt/format.h>

#include <random>

// Every operator against DuckDB's batch answer, after each of many random steps of inserts and
// deletes, with the state written to a store and read back now and then.
namespace ziwa::stream {
namespace {

using testing::Bag;
using testing::PlanBuilder;

using Random = std::mt19937_64;
using Row = std::vector<duckdb::Value>;

class Collector final : public Stage {
 public:
  Status consume(size_t, Delta& delta) override {
    delta.rows.Flatten();
    for (size_t row = 0; row < delta.size(); ++row) {
      auto at = bag.try_emplace(testing::row_text(delta.rows, row)).first;
      at->second += delta.weight(row);
      if (at->second == 0) bag.erase(at);
    }
    return {};
  }
  Bag bag;
};

struct TestSource {
  ObjectId id;
  std::string name;
  PlanBuilder::Columns columns;
  std::function<Row(Random&)> make;
  bool append_only = false;
};

class Harness {
 public:
  Harness(std::vector<TestSource> sources, Plan plan, std::string sql)
      : sources_(std::move(sources)), plan_(std::move(plan)), sql_(std::move(sql)) {
    instance_ = std::move(*duck::Instance::open(posix_file_system(), {}));
    context_ = std::make_unique<StageContext>(StageContext{
        .instance = *instance_, .errors = {}, .late = nullptr, .watermark = [](ObjectId) {
          return kNoWatermark;
        }});
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
  }

  const StageContext& context() const { return *context_; }

 private:
  void compile() {
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
    auto compiled = Dataflow::compile(plan_, *context_, resolve);
    ASSERT_TRUE(compiled.has_value()) << compiled.error().to_string();
    dataflow_ = std::move(*compiled);
    dataflow_->add_target(&collector_, 0);
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

  void push(TestSource& source, const std::vector<std::pair<Row, Weight>>& changes) {
    duckdb::vector<duckdb::LogicalType> types;
    for (const auto& [name, type] : source.columns) types.push_back(*duck::parse_type(type));
    std::vector<Weight> weights;
    duckdb::DataChunk chunk;
    chunk.Initialize(duckdb::Allocator::DefaultAllocator(), types);
    auto flush = [&] {
      if (chunk.size() == 0) return;
      Delta delta{.rows = chunk, .weights = source.append_only ? nullptr : weights.data()};
      for (auto* leaf : dataflow_->sources()) {
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
        for (const auto& value : row) one += (one.empty() ? "(" : ", ") + testing::literal(value);
        values += (values.empty() ? "" : ", ") + one + ")";
      }
      if (!values.empty())
        testing::run(*connection_, fmt::format("INSERT INTO {} VALUES {}", source.name, values));
    }
    EXPECT_EQ(testing::difference(collector_.bag, testing::query_bag(*connection_, sql_)), "")
        << where << "\n"
        << sql_;
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

duckdb::Value maybe_null(Random& random, duckdb::Value value) {
  return random() % 6 == 0 ? duckdb::Value(value.type()) : value;
}

TestSource table_t(bool append_only = false) {
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

TestSource table_u() {
  return {.id = ObjectId(2),
          .name = "u",
          .columns = {{"k", "VARCHAR"}, {"n", "INTEGER"}},
          .make = [](Random& random) -> Row {
            return {maybe_null(random, duckdb::Value(
                                           std::string(1, static_cast<char>('b' + random() % 4)))),
                    maybe_null(random, duckdb::Value::INTEGER(static_cast<int32_t>(random() % 5)))};
          }};
}

constexpr int kSeeds = 3;

void check(const std::vector<TestSource>& sources, const Plan& plan, const std::string& sql) {
  for (uint64_t seed = 1; seed <= kSeeds; ++seed) {
    Harness(sources, plan, sql).run(seed, 10, seed % 2 == 0 ? 40 : 6);
    if (::testing::Test::HasFailure()) return;
  }
}

TEST(Dataflow, FilterAndProject) {
  PlanBuilder b;
  auto s = b.source(ObjectId(1), table_t().columns);
  auto f =
      b.filter(s, fmt::format("({} > 2) AND ({} IS NOT NULL)", b.column(s, 2), b.column(s, 0)));
  b.project(f, {b.column(s, 0), fmt::format("({} * CAST(2 AS BIGINT))", b.column(s, 2))},
            {{"k", "VARCHAR"}, {"w", "BIGINT"}});
  check({table_t()}, b.build(), "SELECT k, v * 2 FROM t WHERE v > 2 AND k IS NOT NULL");
}

Plan aggregate_plan(std::vector<size_t> groups) {
  PlanBuilder b;
  auto s = b.source(ObjectId(1), table_t().columns);
  PlanBuilder::Columns columns;
  std::vector<Expression> keys;
  for (size_t i : groups) {
    columns.push_back(table_t().columns[i]);
    keys.push_back(b.column(s, i));
  }
  for (const char* type :
       {"BIGINT", "BIGINT", "HUGEINT", "DOUBLE", "BIGINT", "BIGINT", "DOUBLE", "DOUBLE",
        "DECIMAL(38,3)", "DOUBLE", "VARCHAR", "DOUBLE", "BIGINT", "HUGEINT"}) {
    columns.emplace_back("x", type);
  }
  auto v = b.column(s, 2);
  auto d = b.column(s, 3);
  auto m = b.column(s, 4);
  auto filter = fmt::format("({} > 0)", v);
  b.aggregate(s, keys,
              {{.function = "count_star"},
               {.function = "count", .argument = v},
               {.function = "sum", .argument = v},
               {.function = "avg", .argument = v},
               {.function = "min", .argument = v},
               {.function = "max", .argument = v},
               {.function = "sum", .argument = d},
               {.function = "avg", .argument = d},
               {.function = "sum", .argument = m},
               {.function = "avg", .argument = m},
               {.function = "min", .argument = b.column(s, 0)},
               {.function = "max", .argument = d},
               {.function = "count_star", .filter = filter},
               {.function = "sum", .argument = v, .filter = filter}},
              columns);
  return b.build();
}
constexpr const char* kAggregates =
    "count(*), count(v), sum(v), avg(v), min(v), max(v), fsum(d), favg(d), sum(m), avg(m), min(k), "
    "max(d), "
    "count(*) FILTER (v > 0), sum(v) FILTER (v > 0) FROM t";

TEST(Dataflow, Aggregate) {
  check({table_t()}, aggregate_plan({0, 1}),
        fmt::format("SELECT k, g, {} GROUP BY k, g", kAggregates));
}
TEST(Dataflow, AggregateOfRowsThatStay) {
  check({table_t(true)}, aggregate_plan({1}), fmt::format("SELECT g, {} GROUP BY g", kAggregates));
}
TEST(Dataflow, AggregateWithoutGroups) {
  check({table_t()}, aggregate_plan({}), fmt::format("SELECT {}", kAggregates));
}

TEST(Dataflow, Join) {
  for (bool null_safe : {false, true}) {
    PlanBuilder b;
    auto t = b.source(ObjectId(1), table_t().columns);
    auto u = b.source(ObjectId(2), table_u().columns);
    b.join(t, u,
           JoinNode{.left_keys = {b.column(t, 0)},
                    .right_keys = {b.column(u, 0)},
                    .null_safe = {null_safe},
                    .residual = fmt::format("({} <> {})", b.column(t, 1), b.column(u, 1))});
    check({table_t(), table_u()}, b.build(),
          fmt::format("SELECT t.*, u.* FROM t JOIN u ON t.k {} u.k AND t.g <> u.n",
                      null_safe ? "IS NOT DISTINCT FROM" : "="));
  }
}

TEST(Dataflow, SelfJoin) {
  PlanBuilder b;
  auto left = b.source(ObjectId(2), table_u().columns);
  auto right = b.source(ObjectId(2), table_u().columns);
  b.join(left, right,
         JoinNode{.left_keys = {b.column(left, 0)},
                  .right_keys = {b.column(right, 0)},
                  .null_safe = {false}});
  check({table_u()}, b.build(), "SELECT a.*, b.* FROM u a JOIN u b ON a.k = b.k");
}

TEST(Dataflow, TopN) {
  for (bool append_only : {false, true}) {
    for (bool rank : {false, true}) {
      PlanBuilder b;
      auto t = b.source(ObjectId(1), table_t().columns);
      b.top_n(t,
              TopNNode{
                  .partition_by = {b.column(t, 1)},
                  .order = {{.expression = b.column(t, 2), .descending = true, .nulls_first = true},
                            {.expression = b.column(t, 0), .descending = true}},
                  .limit = 3,
                  .offset = rank ? 0u : 1u,
                  .with_rank = rank});
      check({table_t(append_only)}, b.build(),
            fmt::format("SELECT t.*{} FROM t QUALIFY row_number() OVER (PARTITION BY g ORDER BY v "
                        "DESC NULLS FIRST, "
                        "k DESC NULLS LAST, k, g, v, d, m) {}",
                        rank ? ", row_number() OVER (PARTITION BY g ORDER BY v DESC NULLS FIRST, k "
                               "DESC NULLS LAST, k, g, v, d, m)"
                             : "",
                        rank ? "<= 3" : "BETWEEN 2 AND 4"));
    }
  }
}

TEST(Dataflow, GlobalTopN) {
  PlanBuilder b;
  auto t = b.source(ObjectId(1), table_t().columns);
  b.top_n(t, TopNNode{.partition_by = {}, .order = {{.expression = b.column(t, 4)}}, .limit = 5});
  check({table_t()}, b.build(), "SELECT * FROM t ORDER BY m, k, g, v, d, m LIMIT 5");
}

TEST(Dataflow, UnionAllAndDistinct) {
  PlanBuilder b;
  auto t = b.source(ObjectId(1), table_t().columns);
  auto p = b.project(t, {b.column(t, 0), b.column(t, 1)}, {{"k", "VARCHAR"}, {"n", "INTEGER"}});
  auto u = b.source(ObjectId(2), table_u().columns);
  auto all = b.union_all({p, u}, table_u().columns);
  check({table_t(), table_u()}, b.build(), "SELECT k, g FROM t UNION ALL SELECT k, n FROM u");
  b.distinct(all);
  check({table_t(), table_u()}, b.build(), "SELECT k, g FROM t UNION SELECT k, n FROM u");
}

TEST(Dataflow, AggregateOverJoinOverAggregate) {
  PlanBuilder b;
  auto t = b.source(ObjectId(1), table_t().columns);
  auto a = b.aggregate(t, {b.column(t, 0)}, {{.function = "max", .argument = b.column(t, 2)}},
                       {{"k", "VARCHAR"}, {"m", "BIGINT"}});
  auto u = b.source(ObjectId(2), table_u().columns);
  auto j = b.join(
      a, u,
      JoinNode{
          .left_keys = {b.column(a, 0)}, .right_keys = {b.column(u, 0)}, .null_safe = {false}});
  b.aggregate(j, {b.column(u, 1)},
              {{.function = "sum", .argument = b.column(a, 1)}, {.function = "count_star"}},
              {{"n", "INTEGER"}, {"s", "HUGEINT"}, {"c", "BIGINT"}});
  check({table_t(), table_u()}, b.build(),
        "SELECT n, sum(m), count(*) FROM (SELECT k, max(v) m FROM t GROUP BY k) a JOIN u ON a.k = "
        "u.k GROUP BY n");
}

TEST(Dataflow, TopNOverAggregate) {
  PlanBuilder b;
  auto t = b.source(ObjectId(1), table_t().columns);
  auto a = b.aggregate(t, {b.column(t, 1), b.column(t, 0)},
                       {{.function = "avg", .argument = b.column(t, 2)}},
                       {{"g", "INTEGER"}, {"k", "VARCHAR"}, {"m", "DOUBLE"}});
  b.top_n(a, TopNNode{.partition_by = {b.column(a, 0)},
                      .order = {{.expression = b.column(a, 2), .descending = true}},
                      .limit = 2,
                      .with_rank = true});
  check({table_t()}, b.build(),
        "SELECT *, row_number() OVER w FROM (SELECT g, k, avg(v) m FROM t GROUP BY g, k) "
        "WINDOW w AS (PARTITION BY g ORDER BY m DESC NULLS LAST, g, k, m) QUALIFY row_number() "
        "OVER w <= 2");
}

TEST(Dataflow, RowsThatFailAreCountedAndLeftOut) {
  PlanBuilder b;
  auto s = b.source(ObjectId(2), table_u().columns);
  b.project(s, {b.column(s, 1), fmt::format("CAST({} AS INTEGER)", b.column(s, 0))},
            {{"n", "INTEGER"}, {"k", "INTEGER"}});
  Harness harness({table_u()}, b.build(), "SELECT n, CAST(NULL AS INTEGER) FROM u WHERE k IS NULL");
  harness.run(1, 5, 20);
  EXPECT_GT(harness.context().errors.count, 0u);
  EXPECT_THAT(harness.context().errors.last, ::testing::HasSubstr("Could not convert"));
}

TEST(Dataflow, RefusesWhatItCannotKeep) {
  std::unique_ptr<duck::Instance> instance = duck::Instance::open(posix_file_system(), {}).value();
  StageContext context{.instance = *instance, .errors = {}, .late = nullptr, .watermark = {}};
  auto compile = [&](const Plan& plan) {
    return Dataflow::compile(plan, context, [](ObjectId) -> Result<SourceObject> {
      SourceObject object;
      for (const auto& [name, type] : table_t().columns)
        object.schema.columns.push_back({0, name, type});
      return object;
    });
  };
  auto with_call = [&](const AggregateNode::Call& call, const std::string& type) {
    PlanBuilder b;
    auto s = b.source(ObjectId(1), table_t().columns);
    b.aggregate(s, {b.column(s, 0)}, {call}, {{"k", "VARCHAR"}, {"x", type}});
    return compile(b.build());
  };
  EXPECT_EQ(with_call({.function = "median", .argument = "c3"}, "DOUBLE").error().code(),
            Code::unsupported);
  EXPECT_EQ(with_call({.function = "sum", .argument = "c1"}, "DOUBLE").error().code(),
            Code::unsupported);
  EXPECT_EQ(with_call({.function = "sum", .argument = "c3"}, "BIGINT").error().code(),
            Code::unsupported);
  EXPECT_EQ(
      with_call({.function = "count", .argument = "c3", .distinct = true}, "BIGINT").error().code(),
      Code::unsupported);
  EXPECT_EQ(with_call({.function = "sum", .argument = "c99"}, "HUGEINT").error().code(),
            Code::invalid_argument);
  EXPECT_TRUE(
      with_call({.function = "max", .argument = "c3", .distinct = true}, "BIGINT").has_value());
  PlanBuilder b;
  b.source(ObjectId(1), {{"gone", "BIGINT"}});
  EXPECT_EQ(compile(b.build()).error().code(), Code::not_found);
}

}  // namespace
}  // namespace ziwa::stream
