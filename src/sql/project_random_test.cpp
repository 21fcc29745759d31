#include "sql/testing/project_rig.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>

namespace ziwa::sql {
namespace {

using ::testing::IsEmpty;
using testing::TextRows;

/// A project made by chance: objects that read one another, in no order, over several files.
class RandomProject {
 public:
  explicit RandomProject(uint64_t seed) : random_(seed) {
    for (int i = 0; i < 12; ++i) add();
  }

  /// Changes some objects, drops some, adds some. What reads a dropped one is dropped too.
  void change() {
    for (int i = 0; i < 4; ++i) {
      switch (below(5)) {
        case 0:
          add();
          break;
        case 1:
          drop(below(objects_.size()));
          break;
        case 2:
          if (!objects_.empty()) objects_[below(objects_.size())].variant = below(3);
          break;
        case 3:
          if (!objects_.empty()) objects_[below(objects_.size())].upper = chance();
          break;
        default:
          ++rows_;  // of all files
      }
    }
  }

  void write_to(testing::ProjectRig& rig) {
    rig.start_over();
    std::map<size_t, std::string> files;
    std::vector<std::string> statements;
    for (const Object& object : objects_) statements.push_back(sql(object));
    std::ranges::shuffle(statements, random_);
    for (const auto& statement : statements) {
      std::string& file = files[below(4)];
      // At either end, so that the order in a file is by chance too.
      file.insert(chance() ? file.size() : 0, fmt::format("{};\n", statement));
    }
    for (const auto& [number, text] : files) rig.write(fmt::format("f{}.sql", number), text);
    for (const Object& object : objects_) {
      if (object.kind == Kind::file) rig.write(object.name + ".csv", csv(object));
    }
  }

  /// The tables that must hold what their files do.
  std::map<std::string, size_t> file_tables() const {
    std::map<std::string, size_t> tables;
    for (const Object& object : objects_) {
      if (object.kind == Kind::file) tables[object.schema + "." + object.name] = row_count(object);
    }
    return tables;
  }

 private:
  enum class Kind : unsigned char { topic, file, table, view, join, sink };
  struct Object {
    Kind kind;
    std::string schema;
    std::string name;
    std::vector<std::string> reads;  ///< Full names.
    size_t variant = 0;
    bool upper = false;  ///< The name in upper case.
  };

  size_t below(size_t count) { return count == 0 ? 0 : random_() % count; }
  bool chance() { return below(2) == 0; }

  const Object* any(std::initializer_list<Kind> kinds) {
    std::vector<const Object*> fitting;
    for (const Object& object : objects_) {
      if (std::ranges::find(kinds, object.kind) != kinds.end()) fitting.push_back(&object);
    }
    return fitting.empty() ? nullptr : fitting[below(fitting.size())];
  }

  void add() {
    Object object{.kind = static_cast<Kind>(below(6)),
                  .schema = chance() ? "public" : "other",
                  .name = fmt::format("o{}", next_++),
                  .reads = {},
                  .variant = below(3)};
    auto full = [](const Object* read) { return read->schema + "." + read->name; };
    if (object.kind == Kind::view || object.kind == Kind::join) {
      for (int i = 0; i < (object.kind == Kind::join ? 2 : 1); ++i) {
        const Object* read = any({Kind::topic, Kind::file, Kind::table, Kind::view, Kind::join});
        if (!read) return;
        object.reads.push_back(full(read));
      }
    } else if (object.kind == Kind::sink) {
      const Object* from = any({Kind::topic});
      const Object* into = any({Kind::table});
      if (!from || !into) return;
      object.reads = {full(from), full(into)};
    }
    objects_.push_back(std::move(object));
  }

  void drop(size_t at) {
    if (at >= objects_.size()) return;
    std::string gone = objects_[at].schema + "." + objects_[at].name;
    objects_.erase(objects_.begin() + static_cast<ptrdiff_t>(at));
    for (size_t i = 0; i < objects_.size(); ++i) {
      if (std::ranges::find(objects_[i].reads, gone) == objects_[i].reads.end()) continue;
      drop(i);
      i = static_cast<size_t>(-1);
    }
  }

  size_t row_count(const Object& object) const { return (rows_ + object.name.back()) % 5; }
  std::string csv(const Object& object) const {
    std::string text = "k,n\n";
    for (size_t i = 0; i < row_count(object); ++i) text += fmt::format("{},{}\n", i, rows_);
    return text;
  }

  static std::string sql(const Object& object) {
    std::string name = object.schema + "." + object.name;
    if (object.upper) std::ranges::transform(name, name.begin(), ::toupper);
    switch (object.kind) {
      case Kind::topic:
        return fmt::format("CREATE TOPIC {} (k BIGINT, n INT) WITH ({})", name,
                           object.variant == 0   ? "partitions = 1"
                           : object.variant == 1 ? "partitions = 2"
                                                 : "retention = '1 day'");
      case Kind::file:
        // Variant 2 makes the table again, 0 and 1 load it again.
        return fmt::format("CREATE TABLE {} (k BIGINT, n {}) WITH (file = '{}.csv')", name,
                           object.variant == 2 ? "DOUBLE" : "INT", object.name);
      case Kind::table:
        return fmt::format("CREATE TABLE {} (k BIGINT, n INT){}", name,
                           object.variant == 1 ? " PARTITIONED BY (n)" : "");
      case Kind::view:
        return fmt::format("CREATE MATERIALIZED VIEW {} AS SELECT k, n FROM {} WHERE k > {}", name,
                           object.reads[0], object.variant);
      case Kind::join:
        return fmt::format(
            "CREATE MATERIALIZED VIEW {} AS WITH a AS (FROM {}) SELECT a.k, b.n FROM a JOIN {} b "
            "ON "
            "a.k = b.k WHERE a.k > {}",
            name, object.reads[0], object.reads[1], object.variant);
      case Kind::sink:
        return fmt::format("CREATE SINK {} INTO {} FROM {} WITH (commit_interval = '{} s')", name,
                           object.reads[1], object.reads[0], object.variant + 1);
    }
    return {};
  }

  std::mt19937_64 random_;
  std::vector<Object> objects_;
  size_t next_ = 0;
  size_t rows_ = 0;
};

class RandomProjectTest : public ::testing::TestWithParam<uint64_t> {};

TEST_P(RandomProjectTest, AnApplyEndsWhereAFreshOneDoes) {
  RandomProject project(GetParam());
  std::mt19937_64 random(GetParam() ^ 77);
  testing::ProjectRig rig;
  project.write_to(rig);
  auto first = rig.apply(true);
  ASSERT_TRUE(first) << first.error().to_string();
  for (int version = 0; version < 6; ++version) {
    SCOPED_TRACE(fmt::format("seed {} version {}", GetParam(), version));
    project.change();
    project.write_to(rig);
    auto before = testing::describe_objects(*rig.rig().catalog().snapshot());
    auto plan = rig.diff();
    ASSERT_TRUE(plan) << plan.error().to_string();
    bool loses = std::ranges::any_of(*plan, [](const auto& line) { return line.ends_with('!'); });
    bool allow = random() % 2 == 0;
    auto applied = rig.apply(allow);
    if (loses && !allow) {
      ASSERT_FALSE(applied);
      EXPECT_EQ(applied.error().code(), Code::conflict);
      EXPECT_EQ(testing::describe_objects(*rig.rig().catalog().snapshot()), before);
      applied = rig.apply(true);
    }
    ASSERT_TRUE(applied) << applied.error().to_string();
    EXPECT_EQ(*applied, *plan) << "an apply does what the diff says";
    auto again = rig.diff();
    ASSERT_TRUE(again) << again.error().to_string();
    EXPECT_THAT(*again, IsEmpty());

    testing::ProjectRig fresh;
    project.write_to(fresh);
    auto from_nothing = fresh.apply(false);
    ASSERT_TRUE(from_nothing) << from_nothing.error().to_string();
    EXPECT_EQ(testing::describe_objects(*rig.rig().catalog().snapshot()),
              testing::describe_objects(*fresh.rig().catalog().snapshot()));
    for (const auto& [name, count] : project.file_tables()) {
      EXPECT_EQ(rig.rows("SELECT count(*) FROM " + name), (TextRows{{std::to_string(count)}}))
          << name;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomProjectTest, ::testing::Range<uint64_t>(1, 8));

}  // namespace
}  // namespace ziwa::sql
