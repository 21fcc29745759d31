#include "stream/group_index.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

namespace ziwa::stream {
namespace {

using Weights = std::array<Weight, 2>;
using Model = std::map<std::string, Weights>;

struct alignas(16) State {
  std::byte bytes[GroupIndex::kStateBytes] = {};
};

std::map<std::string, Weight> lane_of(const Model& model, size_t lane) {
  std::map<std::string, Weight> rows;
  for (const auto& [key, weights] : model) {
    if (weights[lane] > 0) rows[key] = weights[lane];
  }
  return rows;
}

void compare(const GroupIndex& index, const State& state, const Model& model) {
  for (size_t lane = 0; lane < 2; ++lane) {
    auto wanted = lane_of(model, lane);
    std::vector<std::pair<std::string, Weight>> got;
    index.visit(state.bytes, lane, [&](std::string_view key, Weight weight) {
      got.emplace_back(key, weight);
      return true;
    });
    ASSERT_EQ(got, (std::vector<std::pair<std::string, Weight>>(wanted.begin(), wanted.end())));
    Weight rows = 0;
    for (const auto& [key, weight] : wanted) {
      ASSERT_EQ(index.nth(state.bytes, lane, rows), key);
      rows += weight;
      ASSERT_EQ(index.nth(state.bytes, lane, rows - 1), key);
    }
    ASSERT_EQ(index.rows(state.bytes, lane), rows);
    ASSERT_EQ(index.nth(state.bytes, lane, rows), std::nullopt);
    ASSERT_EQ(
        index.last(state.bytes, lane),
        wanted.empty() ? std::nullopt : std::optional<std::string_view>(wanted.rbegin()->first));
  }
}

/// A checkpoint into a map; what is in the map must be what the index holds.
void save(GroupIndex& index, State& state, Model& stored) {
  index.save(
      state.bytes,
      [&](std::string_view key, const Weight* weights) {
        stored[std::string(key)] = {weights[0], weights[1]};
      },
      [&](std::string_view key) { EXPECT_EQ(stored.erase(std::string(key)), 1u); });
}

TEST(GroupIndex, IsAnOrderedMultisetWithLanes) {
  for (uint64_t seed = 1; seed <= 6; ++seed) {
    std::mt19937_64 random(seed);
    size_t keys = seed % 2 == 0 ? 40 : 2000;
    GroupIndex index(2);
    State state;
    Model model;
    Model stored;
    for (int step = 0; step < 12; ++step) {
      bool shrink = step % 4 == 3;
      for (int i = 0; i < 700; ++i) {
        std::string key(random() % 3 == 0 ? 1 + random() % 50 : 2, 'k');
        key += std::to_string(random() % keys);
        auto at = model.lower_bound(key);
        if (shrink && at != model.end()) key = at->first;
        Weights changes = {static_cast<Weight>(random() % 3), static_cast<Weight>(random() % 2)};
        auto& now = model[key];
        if (shrink) changes = {-now[0], -now[1]};
        Weights before;
        index.add(state.bytes, key, changes.data(), before.data());
        ASSERT_EQ(before, now);
        for (size_t lane = 0; lane < 2; ++lane) now[lane] += changes[lane];
        if (now == Weights{0, 0}) model.erase(key);
      }
      compare(index, state, model);
      if (step % 3 == 0) continue;
      save(index, state, stored);
      ASSERT_EQ(stored, model);
      compare(index, state, model);
      size_t puts = 0;  // Nothing has changed since.
      index.save(state.bytes, [&](auto, auto) { ++puts; }, [&](auto) { ++puts; });
      ASSERT_EQ(puts, 0u);
    }
    save(index, state, stored);
    GroupIndex loaded(2);
    State again;
    for (const auto& [key, weights] : stored) {
      ASSERT_TRUE(loaded.load(again.bytes, key, weights.data()).has_value());
    }
    compare(loaded, again, model);
    EXPECT_FALSE(loaded.load(again.bytes, stored.begin()->first, stored.begin()->second.data()));
    size_t all = 0;
    loaded.visit_stored(again.bytes, [&](std::string_view) { ++all; });
    EXPECT_EQ(all, stored.size());
    EXPECT_GT(loaded.bytes(), 0u);
    loaded.end(again.bytes);
    index.end(state.bytes);
    EXPECT_EQ(loaded.bytes(), 0u);
    EXPECT_EQ(index.bytes(), 0u);
  }
}

TEST(GroupIndex, MemoryFollowsWhatIsLeft) {
  GroupIndex index(1);
  State state;
  Weight before = 0;
  auto add = [&](int i, Weight weight) {
    index.add(state.bytes, "key" + std::to_string(i), &weight, &before);
  };
  for (int i = 0; i < 20'000; ++i) add(i, 1);
  size_t full = index.bytes();
  EXPECT_LT(full, 20'000u * 60);
  index.save(state.bytes, [](auto, auto) {}, [](auto) {});
  for (int i = 0; i < 20'000; ++i) {
    if (i % 100 != 0) add(i, -1);
  }
  index.save(state.bytes, [](auto, auto) {}, [](auto) {});
  EXPECT_LT(index.bytes(), full / 20);
  for (int i = 0; i < 20'000; i += 100) add(i, -1);
  index.save(state.bytes, [](auto, auto) {}, [](auto) {});
  EXPECT_EQ(index.bytes(), 0u);
  add(1, 1);
  EXPECT_LT(index.bytes(), 100u);  // One value costs little.
  index.end(state.bytes);
}

TEST(GroupIndex, KeepsTheFirstOnly) {
  GroupIndex index(1);
  State state;
  Weight one = 1;
  Weight before = 0;
  std::map<std::string, Weight> stored;
  auto save_all = [&] {
    index.save(
        state.bytes, [&](auto key, const Weight* weight) { stored[std::string(key)] = *weight; },
        [&](auto key) { stored.erase(std::string(key)); });
  };
  for (const char* key : {"d", "c", "a"}) {
    index.add(state.bytes, key, &one, &before);
    index.keep_first(state.bytes);
    EXPECT_EQ(index.rows(state.bytes, 0), 1);
    EXPECT_EQ(index.first(state.bytes, 0), key);
    if (std::string_view(key) != "c") save_all();
  }
  EXPECT_EQ(stored, (std::map<std::string, Weight>{{"a", 1}}));
  index.end(state.bytes);
}

}  // namespace
}  // namespace ziwa::stream
