// The power goes at a random change of the disk: the catalog is the one before or after a commit,
// never between.
#include "base/log.h"
#include "base/sim_file.h"
#include "catalog/catalog.h"

#include <gtest/gtest.h>

#include <random>

namespace ziwa::catalog {
namespace {

/// Each commit drops the pair of the one before and creates a pair named by the next number: a view
/// on a topic.
Status next_pair(Transaction& transaction, int number) {
  auto old = transaction.snapshot()->find("public", fmt::format("t{}", number - 1));
  if (old != nullptr) TRY(transaction.drop(old->id, true));
  Object topic;
  topic.name = fmt::format("t{}", number);
  auto made = TRY(transaction.create(topic));
  Object view;
  view.name = fmt::format("v{}", number);
  view.definition = ViewDefinition{{}, std::string(1000, 'q'), ""};
  view.depends_on = {made->id};
  TRY(transaction.create(view));
  return {};
}

struct World {
  std::set<uint64_t> ids;
  std::vector<uint64_t> journal;
  int acknowledged = 0;
  int attempted = 0;
};

/// Returns the number of the pair that is there; checks that it is whole, and alone.
int look(const Snapshot& snapshot) {
  auto all = snapshot.all();
  if (all.empty()) return 0;
  EXPECT_EQ(all.size(), 2u);
  int number = std::stoi(all[0]->name.substr(1));
  EXPECT_EQ(all[1]->name, fmt::format("v{}", number));
  EXPECT_EQ(all[1]->depends_on, std::vector{all[0]->id});
  return number;
}

void live(SimFileSystem& fs, World& world, const Clock& clock) {
  auto store = state::Store::open(fs, "/data/meta", {.tables = {"catalog"}});
  if (!store) return;
  auto catalog = Catalog::open(**store, clock);
  if (!catalog) return;
  (*catalog)->set_journal([&](uint64_t version) -> Result<EntryNumber> {
    if (fs.dead()) return Error(Code::io, "off");
    world.journal.push_back(version);
    return EntryNumber(version);
  });
  while (!fs.dead()) {
    int number = ++world.attempted;
    auto committed = (*catalog)->commit(
        [&](Transaction& transaction) { return next_pair(transaction, number); });
    if (!committed) return;
    world.acknowledged = number;
    for (const auto& object : (*committed)->all()) {
      EXPECT_TRUE(world.ids.insert(object->id.value).second) << "id used twice";
    }
  }
}

TEST(CatalogPower, ACommitIsWholeOrNotAtAll) {
  set_log_level(LogLevel::error);
  ManualClock clock;
  for (uint64_t seed = 1; seed <= 40 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    SimFileSystem fs(seed);
    std::mt19937_64 random(seed);
    World world;
    for (int boot = 0; boot < 4; ++boot) {
      fs.die_after(20 + random() % 150);
      live(fs, world, clock);
      fs.cut_power();
      auto store = state::Store::open(fs, "/data/meta", {.tables = {"catalog"}});
      ASSERT_TRUE(store) << store.error().to_string();
      auto catalog = Catalog::open(**store, clock);
      ASSERT_TRUE(catalog) << catalog.error().to_string();
      int number = look(*(*catalog)->snapshot());
      EXPECT_GE(number, world.acknowledged);
      EXPECT_LE(number, world.attempted);
      world.acknowledged = world.attempted = number;
      uint64_t version = (*catalog)->snapshot()->version();
      (*catalog)->set_journal([&](uint64_t entered) -> Result<EntryNumber> {
        world.journal.push_back(entered);
        return EntryNumber(entered);
      });
      if (version > 0) {
        EXPECT_EQ(world.journal.back(), version) << "a durable version is in the journal";
      }
    }
    EXPECT_TRUE(std::ranges::is_sorted(world.journal));
  }
}

}  // namespace
}  // namespace ziwa::catalog
