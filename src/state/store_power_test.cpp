// The power goes at a random change of the disk, again and again: synced batches are there, others
// whole or not at all.
#include "base/log.h"
#include "base/sim_file.h"
#include "base/slowness.h"
#include "state/store.h"

#include <gtest/gtest.h>

#include <random>
#include <set>
#include <thread>

namespace ziwa::state {
namespace {

constexpr int kKeysPerTable = 20;

Store::Options small_buffers() {
  return {.tables = {"a", "b"}, .block_cache_bytes = 1 << 20, .write_buffer_bytes = 64 << 10};
}

/// Batch `number` writes its number under the same keys of both tables, so a torn batch would show.
WriteBatch numbered(Store& store, uint64_t number, bool large) {
  WriteBatch batch;
  std::string value = fmt::format("{:012}", number) + std::string(number % 500, '.');
  for (const char* name : {"a", "b"}) {
    for (int i = 0; i < kKeysPerTable; ++i)
      batch.put(store.table(name), fmt::format("{:03}", i), value);
  }
  // Enough changes to be written as sorted files.
  for (int i = 0; large && i < 50'000; ++i) batch.put(store.table("a"), "filler", value);
  return batch;
}

/// The number all keys agree on; fails the test if they do not.
uint64_t read_number(Store& store) {
  std::set<std::string> values;
  size_t keys = 0;
  for (const char* name : {"a", "b"}) {
    auto cursor = store.cursor(store.table(name));
    for (cursor->seek(""); cursor->valid(); cursor->next()) {
      if (cursor->key() == "filler") continue;
      values.emplace(cursor->value());
      ++keys;
    }
    EXPECT_TRUE(cursor->status()) << cursor->status().error().to_string();
  }
  if (keys == 0) return 0;
  EXPECT_EQ(values.size(), 1u) << "a batch is there in part";
  EXPECT_EQ(keys, 2u * kKeysPerTable);
  return std::stoull(values.begin()->substr(0, 12));
}

struct Progress {
  uint64_t synced = 0;     ///< Last batch that was acknowledged as durable.
  uint64_t attempted = 0;  ///< Last batch that was handed over.
};

/// Writes batches until the machine dies.
void write_until_death(SimFileSystem& fs, std::mt19937_64& random, Progress& progress) {
  auto store = Store::open(fs, "/data/state", small_buffers());
  while (store && !fs.dead()) {
    bool sync = random() % 3 == 0;
    bool large = random() % 40 == 0;
    ++progress.attempted;
    if (!(*store)->write(numbered(**store, progress.attempted, large), sync)) break;
    if (sync || large) progress.synced = progress.attempted;
  }
}

void live_and_die(uint64_t seed, const std::function<bool(const std::string&)>& skip, bool& lost) {
  SimFileSystem fs(seed);
  fs.skip_syncs([skip](const SyncCall& sync) { return skip && skip(sync.path); });
  std::mt19937_64 random(seed);
  Progress progress;
  for (int boot = 0; boot < 5 && !lost; ++boot) {
    fs.die_after(1 + random() % 400);
    write_until_death(fs, random, progress);
    fs.cut_power();
    auto store = Store::open(fs, "/data/state", small_buffers());
    if (!store) {
      lost = true;
      if (!skip) ADD_FAILURE() << "seed " << seed << ": " << store.error().to_string();
      return;
    }
    uint64_t number = skip ? 0 : read_number(**store);
    if (skip) {
      auto value = (*store)->get((*store)->table("a"), "000");
      number = value && *value ? std::stoull((*value)->substr(0, 12)) : 0;
    }
    lost = number < progress.synced;
    if (skip) continue;
    EXPECT_GE(number, progress.synced) << "seed " << seed << " boot " << boot;
    EXPECT_LE(number, progress.attempted) << "seed " << seed << " boot " << boot;
    progress.synced = number;
    // Numbers never go back, or an old batch could hide as a new one.
    progress.attempted = std::max(progress.attempted, number);
  }
}

TEST(StorePower, SyncedBatchesSurviveAndOthersAreWholeOrNothing) {
  set_log_level(LogLevel::error);
  // RocksDB sleeps for a second after each failed background job: let seeds sleep side by side.
  std::atomic<uint64_t> next = 1;
  std::vector<std::thread> threads;
  for (int i = 0; i < 10; ++i) {
    threads.emplace_back([&] {
      for (uint64_t seed = next++; seed <= 50 / kSlowness && !HasFailure(); seed = next++) {
        bool lost = false;
        live_and_die(seed, nullptr, lost);
      }
    });
  }
  for (auto& thread : threads) thread.join();
}

/// The test above must be able to fail: whatever kind of sync is left out, some seed notices.
TEST(StorePower, EverySyncIsNeeded) {
  set_log_level(LogLevel::error);
  struct Case {
    const char* name;
    std::function<bool(const std::string&)> skip;
  };
  for (const auto& [name, skip] : {
           Case{"write-ahead log", [](const std::string& path) { return path.ends_with(".log"); }},
           Case{"directory", [](const std::string& path) { return path == "/data/state"; }},
           Case{"manifest",
                [](const std::string& path) { return path.find("MANIFEST") != path.npos; }},
           Case{"sorted file", [](const std::string& path) { return path.ends_with(".sst"); }},
       }) {
    bool lost = false;
    if (kSlowness > 1) GTEST_SKIP() << "too slow under a sanitizer";
    for (uint64_t seed = 1; seed <= 60 && !lost; ++seed) live_and_die(seed, skip, lost);
    EXPECT_TRUE(lost) << "no seed noticed that the sync of the " << name << " was left out";
  }
}

}  // namespace
}  // namespace ziwa::state
