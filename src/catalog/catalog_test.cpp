#include "catalog/catalog.h"

#include "base/log.h"
#include "base/sim_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ziwa::catalog {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CatalogTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::error);
    reopen();
  }
  void reopen() {
    catalog_.reset();
    store_.reset();
    store_ = *state::Store::open(fs_, "/data/meta", {.tables = {"catalog"}});
    auto opened = Catalog::open(*store_, clock_);
    ASSERT_TRUE(opened) << opened.error().to_string();
    catalog_ = std::move(*opened);
  }
  static Object object(std::string name, Definition definition = TopicDefinition{},
                       std::vector<ObjectId> depends_on = {}) {
    Object made;
    made.name = std::move(name);
    made.definition = std::move(definition);
    made.depends_on = std::move(depends_on);
    return made;
  }
  ObjectPtr create(Object wanted) {
    ObjectPtr made;
    auto committed = catalog_->commit([&](Transaction& transaction) -> Status {
      made = TRY(transaction.create(wanted));
      return {};
    });
    EXPECT_TRUE(committed) << committed.error().to_string();
    return made;
  }
  Status drop(ObjectId id, bool cascade = false) {
    auto done =
        catalog_->commit([&](Transaction& transaction) { return transaction.drop(id, cascade); });
    if (!done) return done.error();
    return {};
  }
  std::vector<std::string> names() {
    std::vector<std::string> names;
    for (const auto& known : catalog_->snapshot()->all()) names.push_back(known->name);
    return names;
  }

  SimFileSystem fs_;
  ManualClock clock_;
  std::unique_ptr<state::Store> store_;
  std::unique_ptr<Catalog> catalog_;
};

TEST_F(CatalogTest, KeepsObjectsOverARestart) {
  TopicDefinition topic;
  topic.schema = {{{0, "id", "BIGINT"}, {0, "ts", "TIMESTAMP"}}};
  auto made = create(object("Flights", topic));
  EXPECT_EQ(made->created, clock_.now());
  EXPECT_EQ(made->version, 1u);
  reopen();
  auto found = catalog_->snapshot()->find("PUBLIC", "flights");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->name, "Flights");
  EXPECT_EQ(found->id, made->id);
  EXPECT_EQ(found->topic().schema.columns[1].id, 2u);
  EXPECT_EQ(catalog_->snapshot()->version(), 1u);
  EXPECT_EQ(catalog_->snapshot()->find(made->id), found);
  EXPECT_EQ(catalog_->snapshot()->find("public", "other"), nullptr);
  EXPECT_THAT(catalog_->snapshot()->schemas(), ElementsAre("public"));
}

TEST_F(CatalogTest, NamesAreTakenWithoutRegardToCase) {
  create(object("Flights"));
  auto again = catalog_->commit([](Transaction& transaction) -> Status {
    TRY(transaction.create(object("FLIGHTS", TableDefinition{})));
    return {};
  });
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code(), Code::already_exists);
  EXPECT_EQ(again.error().message(), "topic \"public.Flights\" exists");
  Object other = object("FLIGHTS");
  other.schema = "archive";
  create(other);
  EXPECT_THAT(catalog_->snapshot()->schemas(), ElementsAre("archive", "public"));
}

TEST_F(CatalogTest, RefusesToDropWhatOthersUse) {
  auto topic = create(object("t"));
  auto view = create(object("v", ViewDefinition{}, {topic->id}));
  auto top = create(object("w", ViewDefinition{}, {view->id}));
  Status refused = drop(topic->id);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::conflict);
  EXPECT_THAT(refused.error().message(), HasSubstr("view \"public.v\""));
  EXPECT_THAT(names(), ElementsAre("t", "v", "w"));
  EXPECT_THAT(catalog_->snapshot()->dependants(topic->id), ElementsAre(view));

  std::vector<std::string> dropped;
  catalog_->watch({.apply = [&](const std::vector<Change>& changes, EntryNumber) -> Status {
    for (const auto& change : changes) dropped.push_back(change.before->name);
    return {};
  }});
  ASSERT_TRUE(drop(topic->id, true));
  EXPECT_THAT(dropped, ElementsAre("w", "v", "t"));
  EXPECT_TRUE(names().empty());
  reopen();
  EXPECT_TRUE(names().empty());
  EXPECT_EQ(drop(topic->id).error().code(), Code::not_found);
}

TEST_F(CatalogTest, DependenciesMustExistAndFormNoCircle) {
  auto missing = catalog_->commit([](Transaction& transaction) -> Status {
    TRY(transaction.create(object("v", ViewDefinition{}, {ObjectId(99)})));
    return {};
  });
  EXPECT_EQ(missing.error().code(), Code::not_found);
  auto first = create(object("a", ViewDefinition{}));
  auto second = create(object("b", ViewDefinition{}, {first->id}));
  auto circle = catalog_->commit([&](Transaction& transaction) -> Status {
    Object changed = *first;
    changed.depends_on = {second->id};
    TRY(transaction.replace(changed));
    return {};
  });
  EXPECT_EQ(circle.error().code(), Code::invalid_argument);
}

TEST_F(CatalogTest, IdsAreNeverReused) {
  auto first = create(object("a"));
  ASSERT_TRUE(drop(first->id));
  ObjectId failed;
  EXPECT_FALSE(catalog_->commit([&](Transaction& transaction) -> Status {
    failed = TRY(transaction.create(object("b")))->id;
    return Error(Code::cancelled, "changed my mind");
  }));
  EXPECT_GT(failed, first->id);
  auto second = create(object("a"));
  EXPECT_GT(second->id, failed);
  ASSERT_TRUE(drop(second->id));
  reopen();
  EXPECT_GT(create(object("a"))->id, second->id);
}

TEST_F(CatalogTest, ATransactionSeesItsOwnChangesAndIsAllOrNothing) {
  auto old = create(object("old"));
  auto failed = catalog_->commit([&](Transaction& transaction) -> Status {
    auto topic = TRY(transaction.create(object("t")));
    EXPECT_EQ(transaction.snapshot()->find("public", "T"), topic);
    TRY(transaction.create(object("v", ViewDefinition{}, {topic->id})));
    TRY(transaction.drop(old->id, false));
    EXPECT_EQ(transaction.snapshot()->find("public", "old"), nullptr);
    TRY(transaction.create(object("t")));
    return {};
  });
  EXPECT_EQ(failed.error().code(), Code::already_exists);
  EXPECT_THAT(names(), ElementsAre("old"));
  EXPECT_EQ(catalog_->snapshot()->version(), 1u);
}

TEST_F(CatalogTest, RenamesKeepIdAndBirthday) {
  auto made = create(object("before"));
  clock_.advance(std::chrono::seconds(5));
  Object renamed = *made;
  renamed.name = "after";
  ASSERT_TRUE(catalog_->commit([&](Transaction& transaction) -> Status {
    TRY(transaction.replace(renamed));
    return {};
  }));
  auto found = catalog_->snapshot()->find("public", "after");
  ASSERT_NE(found, nullptr);
  EXPECT_EQ(found->id, made->id);
  EXPECT_EQ(found->created, made->created);
  EXPECT_EQ(found->version, 2u);
  EXPECT_EQ(catalog_->snapshot()->find("public", "before"), nullptr);
  Object other_kind = renamed;
  other_kind.definition = TableDefinition{};
  auto refused = catalog_->commit([&](Transaction& transaction) -> Status {
    TRY(transaction.replace(other_kind));
    return {};
  });
  EXPECT_EQ(refused.error().code(), Code::invalid_argument);
}

TEST_F(CatalogTest, WatchersGetWhatChangedInTheEndDependenciesFirst) {
  std::vector<std::string> seen;
  catalog_->watch({.apply = [&](const std::vector<Change>& changes, EntryNumber) -> Status {
    for (const auto& change : changes) {
      seen.push_back((change.before ? "-" : "") + std::string(change.after ? "+" : "") +
                     (change.after ? change.after : change.before)->name);
    }
    return {};
  }});
  auto committed = catalog_->commit([](Transaction& transaction) -> Status {
    auto view = TRY(transaction.create(object("v", ViewDefinition{})));
    auto topic = TRY(transaction.create(object("t")));
    Object changed = *view;
    changed.depends_on = {topic->id};
    TRY(transaction.replace(changed));
    auto gone = TRY(transaction.create(object("gone")));
    return transaction.drop(gone->id, false);
  });
  ASSERT_TRUE(committed);
  EXPECT_THAT(seen, ElementsAre("+t", "+v"));
  seen.clear();
  auto nothing = catalog_->commit([](Transaction&) -> Status { return {}; });
  ASSERT_TRUE(nothing);
  EXPECT_EQ((*nothing)->version(), 1u) << "no change, no version";
  EXPECT_TRUE(seen.empty());
}

TEST_F(CatalogTest, StepsComeInOrderAndARefusalUndoesTheOnesBefore) {
  std::vector<std::string> steps;
  auto watcher = [&](std::string name, bool refuse) {
    return Catalog::Watcher{
        .prepare = [&steps, name, refuse](const std::vector<Change>&) -> Status {
          steps.push_back("prepare " + name);
          if (refuse) return Error(Code::exhausted, "no room");
          return {};
        },
        .abort = [&steps, name](const std::vector<Change>&) { steps.push_back("abort " + name); },
        .apply = [&steps, name](const std::vector<Change>&, EntryNumber entry) -> Status {
          steps.push_back(fmt::format("apply {} at {}", name, entry));
          return {};
        }};
  };
  catalog_->set_journal([&](uint64_t version) -> Result<EntryNumber> {
    steps.push_back(fmt::format("journal {}", version));
    return EntryNumber(40 + version);
  });
  catalog_->watch(watcher("log", false));
  create(object("a"));
  EXPECT_THAT(steps, ElementsAre("prepare log", "journal 1", "apply log at 41"));
  steps.clear();
  catalog_->watch(watcher("lake", true));
  catalog_->watch(watcher("stream", false));
  auto refused = catalog_->commit([](Transaction& transaction) -> Status {
    TRY(transaction.create(object("b")));
    return {};
  });
  EXPECT_EQ(refused.error().code(), Code::exhausted);
  EXPECT_THAT(steps, ElementsAre("prepare log", "prepare lake", "abort log"));
  EXPECT_THAT(names(), ElementsAre("a"));
}

TEST_F(CatalogTest, AVersionThatMissedTheJournalIsEnteredAtTheNextStart) {
  catalog_->set_journal(
      [](uint64_t) -> Result<EntryNumber> { return Error(Code::io, "disk gone"); });
  auto maybe = catalog_->commit([](Transaction& transaction) -> Status {
    TRY(transaction.create(object("a")));
    return {};
  });
  ASSERT_FALSE(maybe);
  EXPECT_EQ(maybe.error().code(), Code::maybe_applied);
  reopen();
  EXPECT_THAT(names(), ElementsAre("a"));
  std::vector<uint64_t> entered;
  auto enter = [&](uint64_t version) -> Result<EntryNumber> {
    entered.push_back(version);
    return EntryNumber(9);
  };
  catalog_->set_journal(enter);
  EXPECT_THAT(entered, ElementsAre(1u));
  reopen();
  catalog_->set_journal(enter);
  EXPECT_THAT(entered, ElementsAre(1u)) << "once is enough";
}

TEST_F(CatalogTest, ASnapshotStaysAsItWas) {
  auto made = create(object("a"));
  auto before = catalog_->snapshot();
  ASSERT_TRUE(drop(made->id));
  EXPECT_NE(before->find("public", "a"), nullptr);
  EXPECT_EQ(catalog_->snapshot()->find("public", "a"), nullptr);
}

TEST_F(CatalogTest, BadNamesAreRefused) {
  for (const std::string& name : {std::string(), std::string(300, 'x'), std::string("a\0b", 3)}) {
    auto refused = catalog_->commit([&](Transaction& transaction) -> Status {
      TRY(transaction.create(object(name)));
      return {};
    });
    EXPECT_EQ(refused.error().code(), Code::invalid_argument);
  }
  auto not_text = catalog_->commit([&](Transaction& transaction) -> Status {
    TRY(transaction.create(object("\xff\xfe")));
    return {};
  });
  EXPECT_EQ(not_text.error().code(), Code::invalid_argument);
}

TEST_F(CatalogTest, TopicsHaveNamesThatKafkaClientsCanUse) {
  auto create = [&](const std::string& schema, const std::string& name) {
    return catalog_->commit([&](Transaction& transaction) -> Status {
      Object topic = object(name);
      topic.schema = schema;
      topic.definition = TopicDefinition();
      TRY(transaction.create(topic));
      return {};
    });
  };
  for (const char* name : {".", "..", "a/b", "we ird", "\xc3\xbcn"}) {
    EXPECT_EQ(create("public", name).error().code(), Code::invalid_argument) << name;
  }
  EXPECT_EQ(create("public", std::string(250, 'x')).error().code(), Code::invalid_argument);
  EXPECT_EQ(create("a b", "t").error().code(), Code::invalid_argument);
  ASSERT_TRUE(create("public", "s.t.u"));
  EXPECT_EQ(create("s", "t.u").error().code(), Code::already_exists);
  EXPECT_EQ(create("s.t", "u").error().code(), Code::already_exists);
  EXPECT_TRUE(create("s", "t"));
  EXPECT_EQ(create("public", "s.t").error().code(), Code::already_exists);
}

TEST_F(CatalogTest, DamageIsNamedAtOpening) {
  create(object("a"));
  auto open_with = [&](std::string_view key, std::string_view value) {
    state::WriteBatch batch;
    batch.put(store_->table("catalog"), key, value);
    EXPECT_TRUE(store_->write(batch, true));
    auto opened = Catalog::open(*store_, clock_);
    return opened ? Code::internal : opened.error().code();
  };
  EXPECT_EQ(open_with("object/0000000000000001", "{}"), Code::corrupt);
  EXPECT_EQ(open_with("meta", "nonsense"), Code::corrupt);
  EXPECT_EQ(open_with("meta", R"({"format":2,"version":1,"next_id":2})"), Code::unsupported);
}

}  // namespace
}  // namespace ziwa::catalog
