#include "stream/key_table.h"

#include <map>
#include <random>

namespace ziwa::stream {
namespace {

TEST(KeyTable, BehavesLikeAMap) {
  for (uint64_t seed = 1; seed <= 5; ++seed) {
    std::mt19937_64 random(seed);
    KeyTable table(sizeof(int64_t));
    std::map<std::string, int64_t> wanted;
    auto value = [&](KeyTable::Slot slot) -> int64_t& {
      return *reinterpret_cast<int64_t*>(table.payload(slot));
    };
    for (int i = 0; i < 30'000; ++i) {
      std::string key(random() % 40, 'x');
      for (size_t j = 0; j < 2 && j < key.size(); ++j) key[j] = static_cast<char>(random() % 64);
      auto slot = table.find(key);
      ASSERT_EQ(slot != KeyTable::kNone, wanted.contains(key));
      if (slot != KeyTable::kNone && random() % 3 == 0) {
        EXPECT_EQ(value(slot), wanted[key]);
        table.erase(slot);
        wanted.erase(key);
        continue;
      }
      auto found = table.find_or_insert(key);
      EXPECT_EQ(found.inserted, slot == KeyTable::kNone);
      if (found.inserted) {
        EXPECT_EQ(value(found.slot), 0) << "a new payload is zero";
      }
      EXPECT_EQ(table.key(found.slot), key);
      value(found.slot) = wanted[key] = i;
    }
    EXPECT_EQ(table.size(), wanted.size());
    for (const auto& [key, number] : wanted) EXPECT_EQ(value(table.find(key)), number);
  }
}

TEST(KeyTable, HashesAreForEver) {  // Shards are chosen by them.
  EXPECT_EQ(hash_bytes(""), hash_bytes(std::string()));
  EXPECT_NE(hash_bytes("a"), hash_bytes("b"));
  EXPECT_EQ(hash_bytes("ziwa"), 16528997842497317411u);
}

}  // namespace
}  // namespace ziwa::stream
