#include "app/engines.h"
#include "base/log.h"
#include "base/sim_file.h"
#include "log/record_batch.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <mutex>
#include <random>
#include <set>
#include <thread>

// Power cuts at random points over the whole data directory. After each the server opens again and
// must have what it acknowledged: every record once, every row of a table once, views equal to the
// batch answer, sinks exactly once.
namespace ziwa::app {
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr int kPartitions = 2;
constexpr int64_t kSettleMs = 30'000;
constexpr int kStepsMax = 300;

/// What clients know. Ids are never used twice.
struct Known {
  std::mutex mutex;
  std::set<int64_t> acknowledged;  ///< Records of the topic.
  std::set<int64_t> attempted;
  std::set<int64_t> inserted;  ///< Rows of the table "direct".
  std::set<int64_t> insert_attempted;
  size_t statements = 0;  ///< Of kStatements, acknowledged.
};

const std::vector<std::string>& ddl() {
  static const std::vector<std::string> kStatements = {
      "CREATE TOPIC events (id BIGINT NOT NULL, kind VARCHAR) WITH (partitions = 2)",
      "CREATE TABLE direct (id BIGINT)",
      "CREATE TABLE history (id BIGINT, kind VARCHAR)",
      "CREATE SINK keep INTO history FROM events WITH (commit_interval = '20 ms')",
      "CREATE MATERIALIZED VIEW per_kind AS SELECT kind, count(*) AS n, sum(id) AS total FROM "
      "events GROUP BY kind",
      "CREATE MATERIALIZED VIEW top_ids AS SELECT id, kind FROM events ORDER BY id DESC LIMIT 5",
  };
  return kStatements;
}

/// One server's life after another on one file system.
class Scenario {
 public:
  Scenario(uint64_t seed, std::function<bool(const std::string&)> skip_sync)
      : fs_(seed), random_(seed) {
    if (skip_sync) fs_.skip_syncs(std::move(skip_sync));
    for (auto [name, value] : {std::pair("stream.checkpoint.interval", "10 ms"),
                               {"journal.segment.bytes", "64 KiB"},
                               {"state.cache.bytes", "1 MiB"},
                               {"state.write_buffer.bytes", "1 MiB"},
                               {"sql.memory", "64 MiB"}}) {
      auto set = settings_.set(name, value, "test");
      EXPECT_TRUE(set.has_value());
    }
  }

  /// Works, cuts, opens again and checks, `cuts` times. Returns what was wrong, or nothing.
  std::optional<std::string> run(int cuts) {
    for (int cut = 0; cut < cuts; ++cut) {
      auto wrong = life(cut);
      if (wrong) return fmt::format("cut {}: {}", cut, *wrong);
    }
    return std::nullopt;
  }

 private:
  std::optional<std::string> life(int cut) {
    uint64_t mutations = random_() % (cut == 0 ? 600 : 200);
    bool cut_recovery = random_() % 4 == 0;
    if (cut_recovery) {
      fs_.die_after(1 + mutations / 4);
      auto opened = open();
      if (opened && !fs_.dead()) work(**opened);
      opened = Error(Code::cancelled, "the machine is gone");
      fs_.cut_power();
    }
    auto opened = open();
    if (!opened) return "does not open: " + opened.error().to_string();
    Engines& engines = **opened;
    if (auto wrong = check(engines)) return wrong;
    fs_.die_after(1 + mutations);
    work(engines);
    opened = Error(Code::cancelled, "the machine is gone");
    fs_.cut_power();
    return std::nullopt;
  }

  Result<std::unique_ptr<Engines>> open() {
    return Engines::open({.fs = fs_, .clock = clock_, .metrics = metrics_, .settings = settings_},
                         {.data_directory = "/data"});
  }

  static Result<Rows> query(Engines& engines, const std::string& sql) {
    auto session = TRY(engines.database().session());
    auto rows = TRY(session->query(sql));
    Rows out;
    while (auto* chunk = TRY(rows->next())) {
      for (size_t row = 0; row < chunk->size(); ++row) {
        std::vector<std::string> texts;
        for (size_t i = 0; i < chunk->ColumnCount(); ++i)
          texts.push_back(chunk->GetValue(i, row).ToString());
        out.push_back(std::move(texts));
      }
    }
    return out;
  }

  // -- work

  void work(Engines& engines) {
    make_objects(engines);
    for (int step = 0; step < kStepsMax && !fs_.dead(); ++step) {
      switch (random_() % 16) {
        case 0:
          insert(engines);
          break;
        case 1:
          engines.stream().checkpoint().ignore("the power may go");
          break;
        case 2:
          engines.maintain().ignore("the power may go");
          break;
        case 3:
          std::this_thread::sleep_for(std::chrono::milliseconds(2));
          break;
        default:
          append(engines);
      }
    }
  }

  void make_objects(Engines& engines) {
    while (known_->statements < ddl().size() && !fs_.dead()) {
      auto made = query(engines, ddl()[known_->statements]);
      bool there = !made && made.error().code() == Code::already_exists;
      if (!made && !there) return;
      ++known_->statements;
    }
  }

  void append(Engines& engines) {
    auto topic = engines.catalog().snapshot()->find("public", "events");
    if (!topic) return;
    std::vector<int64_t> ids;
    std::vector<std::string> values;
    std::vector<log::NewRecord> records;
    for (size_t i = 0; i < 1 + random_() % 8; ++i) {
      ids.push_back(next_id_++);
      values.push_back(fmt::format(R"({{"id":{},"kind":"k{}"}})", ids.back(), random_() % 5));
    }
    for (const auto& value : values)
      records.push_back({.timestamp = clock_.now(), .value = as_bytes(value)});
    {
      std::lock_guard lock(known_->mutex);
      known_->attempted.insert(ids.begin(), ids.end());
    }
    Bytes batch = log::encode_batch(records);
    PartitionId partition{topic->id, static_cast<int32_t>(random_() % kPartitions)};
    engines.log().append(partition, batch,
                         [known = known_, ids](Result<log::Appended> appended, log::AppendRefusal) {
                           if (!appended) return;
                           std::lock_guard lock(known->mutex);
                           known->acknowledged.insert(ids.begin(), ids.end());
                         });
  }

  void insert(Engines& engines) {
    if (known_->statements < 2) return;
    int64_t id = next_id_++;
    known_->insert_attempted.insert(id);
    if (query(engines, fmt::format("INSERT INTO direct VALUES ({})", id)))
      known_->inserted.insert(id);
  }

  // -- check

  std::optional<std::string> check(Engines& engines) {
    auto snapshot = engines.catalog().snapshot();
    if (snapshot->all().size() < known_->statements) {
      return fmt::format("{} objects of {}", snapshot->all().size(), known_->statements);
    }
    if (auto wrong = check_direct(engines)) return wrong;
    if (known_->statements == 0) return std::nullopt;
    EntryNumber end = engines.journal().durable();
    if (auto waited = engines.stream().wait(end, kSettleMs); !waited)
      return "the views do not follow: " + waited.error().message();
    if (auto wrong = check_topic(engines)) return wrong;
    if (auto wrong = check_view(engines, "per_kind",
                                "SELECT kind, count(*), sum(id) FROM events GROUP BY kind"))
      return wrong;
    if (auto wrong =
            check_view(engines, "top_ids", "SELECT id, kind FROM events ORDER BY id DESC LIMIT 5"))
      return wrong;
    return check_sink(engines, end);
  }

  std::optional<std::string> check_ids(Engines& engines, const std::string& relation,
                                       const std::set<int64_t>& must,
                                       const std::set<int64_t>& may) {
    auto rows = query(engines, "SELECT id FROM " + relation);
    if (!rows) return relation + ": " + rows.error().to_string();
    std::set<int64_t> found;
    for (const auto& row : *rows) {
      int64_t id = std::stoll(row[0]);
      if (!found.insert(id).second) return fmt::format("{}: {} twice", relation, id);
      if (!may.contains(id)) return fmt::format("{}: {} was never sent", relation, id);
    }
    for (int64_t id : must) {
      if (!found.contains(id))
        return fmt::format("{}: {} was acknowledged and is gone", relation, id);
    }
    return std::nullopt;
  }

  std::optional<std::string> check_direct(Engines& engines) {
    if (known_->statements < 2) return std::nullopt;
    return check_ids(engines, "direct", known_->inserted, known_->insert_attempted);
  }

  std::optional<std::string> check_topic(Engines& engines) {
    std::lock_guard lock(known_->mutex);
    return check_ids(engines, "events", known_->acknowledged, known_->attempted);
  }

  std::optional<std::string> check_view(Engines& engines, const std::string& name,
                                        const std::string& batch) {
    if (!engines.catalog().snapshot()->find("public", name)) return std::nullopt;
    auto view = query(engines, fmt::format("SELECT * FROM {} ORDER BY ALL", name));
    auto answer = query(engines, fmt::format("SELECT * FROM ({}) ORDER BY ALL", batch));
    if (!view) return name + ": " + view.error().to_string();
    if (!answer) return name + ": " + answer.error().to_string();
    if (*view != *answer)
      return fmt::format("{}: {} rows differ from the batch answer's {}", name, view->size(),
                         answer->size());
    return std::nullopt;
  }

  std::optional<std::string> check_sink(Engines& engines, EntryNumber end) {
    if (!engines.catalog().snapshot()->find("public", "keep")) return std::nullopt;
    if (auto flushed = engines.stream().flush_sinks(end, kSettleMs); !flushed) {
      return "the sink does not follow: " + flushed.error().message();
    }
    auto table = query(engines, "SELECT id, kind FROM history ORDER BY ALL");
    auto topic = query(engines, "SELECT id, kind FROM events ORDER BY ALL");
    if (!table) return "history: " + table.error().to_string();
    if (!topic) return "events: " + topic.error().to_string();
    if (*table != *topic)
      return fmt::format("history has {} rows, the topic {}", table->size(), topic->size());
    return std::nullopt;
  }

  SimFileSystem fs_;
  std::mt19937_64 random_;
  SystemClock clock_;
  Metrics metrics_;
  Settings settings_;
  std::shared_ptr<Known> known_ = std::make_shared<Known>();
  int64_t next_id_ = 0;
};

/// Cuts in all; ZIWA_POWER_CUTS asks for more.
int cuts_wanted() {
  const char* text = std::getenv("ZIWA_POWER_CUTS");
  return text != nullptr ? std::atoi(text) : 500;
}

TEST(PowerCut, everything_acknowledged_is_there_and_answers_are_equal) {
  set_log_level(LogLevel::error);
  constexpr int kCutsPerDirectory = 20;
  for (int done = 0; done < cuts_wanted(); done += kCutsPerDirectory) {
    uint64_t seed = 1 + static_cast<uint64_t>(done / kCutsPerDirectory);
    auto wrong = Scenario(seed, nullptr).run(kCutsPerDirectory);
    ASSERT_FALSE(wrong.has_value()) << "seed " << seed << ", " << *wrong;
  }
}

/// A server that does not sync files of one kind must be found out: else nothing proves that the
/// sync is needed.
class SkippedSync : public testing::TestWithParam<const char*> {};

TEST_P(SkippedSync, is_found_out) {
  set_log_level(LogLevel::error);
  std::string part = GetParam();
  for (uint64_t seed = 100; seed < 130; ++seed) {
    auto skip = [part](const std::string& path) { return path.find(part) != std::string::npos; };
    if (Scenario(seed, skip).run(10)) return;
  }
  FAIL() << "nobody noticed that " << part << " is never synced";
}

INSTANTIATE_TEST_SUITE_P(Files, SkippedSync,
                         testing::Values("/data/journal", "/data/log", "/data/meta", "/data/lake"));

}  // namespace
}  // namespace ziwa::app
