#include "state/store.h"

#include "base/log.h"
#include "base/sim_file.h"

#include <gtest/gtest.h>

namespace ziwa::state {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

class StoreTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::error);
    open();
  }
  void open() {
    store_.reset();
    auto opened = Store::open(fs_, "/data/meta", {.tables = {"a", "b"}});
    ASSERT_TRUE(opened) << opened.error().to_string();
    store_ = std::move(*opened);
    a_ = store_->table("a");
    b_ = store_->table("b");
  }
  Status put(TableId table, std::string_view key, std::string_view value) {
    WriteBatch batch;
    batch.put(table, key, value);
    return store_->write(batch, true);
  }
  std::string get(TableId table, std::string_view key, const Snapshot* at = nullptr) {
    auto value = store_->get(table, key, at);
    if (!value) return value.error().to_string();
    return value->value_or("(none)");
  }
  Pairs scan(TableId table, std::string_view from = "", const Snapshot* at = nullptr) {
    Pairs pairs;
    auto cursor = store_->cursor(table, at);
    for (cursor->seek(from); cursor->valid(); cursor->next()) {
      pairs.emplace_back(cursor->key(), cursor->value());
    }
    EXPECT_TRUE(cursor->status());
    return pairs;
  }

  SimFileSystem fs_;
  std::unique_ptr<Store> store_;
  TableId a_;
  TableId b_;
};

TEST_F(StoreTest, TablesAreApart) {
  ASSERT_TRUE(put(a_, "k", "in a"));
  ASSERT_TRUE(put(b_, "k", "in b"));
  EXPECT_EQ(get(a_, "k"), "in a");
  EXPECT_EQ(get(b_, "k"), "in b");
  EXPECT_EQ(get(a_, "x"), "(none)");
  open();
  EXPECT_EQ(get(a_, "k"), "in a");
  EXPECT_GT(store_->disk_bytes(), 0u);
}

/// A store whose batches lie in sorted files, of which its manifest tells.
class ManifestTest : public StoreTest {
 protected:
  static constexpr int kRounds = 3;
  void SetUp() override {
    StoreTest::SetUp();
    for (int round = 0; round < kRounds; ++round) {
      WriteBatch batch;
      for (int i = 0; i < 50'000; ++i)
        batch.put(round % 2 == 0 ? a_ : b_, fmt::format("{}", i), "v");
      batch.put(a_, "round", fmt::format("{}", round));
      ASSERT_TRUE(store_->write(batch, true));
    }
    ASSERT_TRUE(put(b_, "last", "in the log"));
    store_.reset();
    path_ = "/data/meta/" + std::string(as_text(read_file(fs_, "/data/meta/CURRENT").value()));
    path_.pop_back();
    whole_ = read_file(fs_, path_).value();
    check_ = path_ + ".check";
    ASSERT_TRUE(fs_.exists(check_));
  }
  Result<std::unique_ptr<Store>> try_open() {
    return Store::open(fs_, "/data/meta", {.tables = {"a", "b"}});
  }
  void expect_refused(const std::string& what) {
    auto opened = try_open();
    ASSERT_FALSE(opened) << what;
    EXPECT_EQ(opened.error().code(), Code::corrupt) << what << opened.error().to_string();
    EXPECT_NE(opened.error().hint(), "") << what;
  }
  void put_back(const std::string& path, const Bytes& bytes) {
    auto file = fs_.open(path, OpenMode::truncate).value();
    ASSERT_TRUE(file->write_at(0, bytes));
  }
  void expect_all() {
    auto opened = try_open();
    ASSERT_TRUE(opened) << opened.error().to_string();
    store_ = std::move(*opened);
    EXPECT_EQ(get(a_, "round"), "2");
    EXPECT_EQ(get(b_, "7"), "v");
    EXPECT_EQ(get(b_, "last"), "in the log");
    store_.reset();
  }

  std::string path_;
  std::string check_;
  Bytes whole_;
};

TEST_F(ManifestTest, EveryFlippedBitIsRefusedAndChangesNothing) {
  const auto before = fs_.list("/data/meta").value().size();
  for (uint64_t bit = 0; bit < whole_.size() * 8; bit += 11) {
    ASSERT_TRUE(fs_.flip_bit(path_, bit));
    expect_refused(fmt::format("bit {}", bit));
    ASSERT_TRUE(fs_.flip_bit(path_, bit));
  }
  EXPECT_EQ(fs_.list("/data/meta").value().size(), before);
  expect_all();
}

TEST_F(ManifestTest, EveryCutIsRefused) {
  for (size_t size = 0; size < whole_.size(); size += 7) {
    put_back(path_, Bytes(whole_.begin(), whole_.begin() + static_cast<ptrdiff_t>(size)));
    expect_refused(fmt::format("{} of {} bytes", size, whole_.size()));
  }
  put_back(path_, whole_);
  expect_all();
}

/// As after a crash between the write and the sync: nobody was promised what it says.
TEST_F(ManifestTest, ATornEndIsDropped) {
  Bytes torn = whole_;
  torn.insert(torn.end(), whole_.begin(), whole_.begin() + 20);
  put_back(path_, torn);
  expect_all();
}

TEST_F(ManifestTest, TheNotesThemselvesMayBeDamagedOrMissing) {
  const Bytes notes = read_file(fs_, check_).value();
  for (uint64_t bit = 0; bit < 24 * 8; bit += 5) {
    Bytes damaged = notes;
    damaged[bit / 8] ^= static_cast<std::byte>(1u << (bit % 8));
    // Opening makes a new manifest, with notes of its own.
    SimFileSystem copy;
    ASSERT_TRUE(copy.make_dirs("/data/meta"));
    for (const auto& info : fs_.list("/data/meta").value()) {
      if (info.is_directory) continue;
      auto path = join_path("/data/meta", info.name);
      ASSERT_TRUE(copy.open(path, OpenMode::create)
                      .value()
                      ->write_at(0, path == check_ ? damaged : read_file(fs_, path).value()));
    }
    EXPECT_TRUE(Store::open(copy, "/data/meta", {.tables = {"a", "b"}})) << "bit " << bit;
  }
  ASSERT_TRUE(fs_.remove(check_));
  expect_all();
}

TEST_F(ManifestTest, NotesGoWithTheirManifest) {
  for (int i = 0; i < 3; ++i) expect_all();
  size_t notes = 0;
  for (const auto& info : fs_.list("/data/meta").value())
    notes += info.name.ends_with(".check") ? 1 : 0;
  EXPECT_GE(notes, 1u);
  EXPECT_LE(notes, 2u);
}

TEST_F(StoreTest, ABatchAppliesInOrder) {
  ASSERT_TRUE(put(a_, "m", "old"));
  WriteBatch batch;
  batch.put(a_, "c", "1");
  batch.put(a_, "c", "2");
  batch.put(a_, std::string_view("z\0z", 3), std::string_view("\0", 1));
  batch.put(b_, "d", "3");
  batch.remove(a_, "m");
  batch.put(b_, "e", "4");
  batch.remove_range(b_, "e", "f");
  batch.remove_range(b_, "f", "a");
  EXPECT_EQ(batch.count(), 7u);
  EXPECT_GT(batch.bytes(), 14u);
  ASSERT_TRUE(store_->write(batch, false));
  EXPECT_EQ(scan(a_), (Pairs{{"c", "2"}, {{"z\0z", 3}, {"\0", 1}}}));
  EXPECT_EQ(scan(b_), (Pairs{{"d", "3"}}));
}

TEST_F(StoreTest, CursorsSeekInByteOrder) {
  for (const char* key : {"b", "\xff", "a", "ab"}) ASSERT_TRUE(put(a_, key, ""));
  EXPECT_EQ(scan(a_, "ab"), (Pairs{{"ab", ""}, {"b", ""}, {"\xff", ""}}));
  EXPECT_EQ(scan(a_, "\xff\xff"), Pairs{});
}

TEST_F(StoreTest, ASnapshotStaysAsItWas) {
  ASSERT_TRUE(put(a_, "k", "old"));
  auto snapshot = store_->snapshot();
  ASSERT_TRUE(put(a_, "k", "new"));
  ASSERT_TRUE(put(a_, "l", "new"));
  EXPECT_EQ(get(a_, "k", snapshot.get()), "old");
  EXPECT_EQ(get(a_, "k"), "new");
  EXPECT_EQ(scan(a_, "", snapshot.get()), (Pairs{{"k", "old"}}));
  auto both = store_->multi_get(a_, {"l", "k"}, snapshot.get());
  ASSERT_TRUE(both);
  EXPECT_EQ(*both, (std::vector<std::optional<std::string>>{std::nullopt, "old"}));
  store_.reset();
  snapshot.reset();  // A snapshot may outlive the store.
}

TEST_F(StoreTest, MultiGetKeepsTheOrderAsked) {
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(put(a_, std::to_string(i), std::to_string(i * i)));
  auto values = store_->multi_get(a_, {"9", "1000", "12", "9"});
  ASSERT_TRUE(values);
  EXPECT_EQ(*values, (std::vector<std::optional<std::string>>{"81", std::nullopt, "144", "81"}));
  EXPECT_TRUE(store_->multi_get(a_, {})->empty());
}

WriteBatch large_batch(TableId a, TableId b, int rows, const std::string& value) {
  WriteBatch batch;
  for (int i = rows - 1; i >= 0; --i) {
    batch.put(i % 2 == 0 ? a : b, fmt::format("{:08}", i), value);
  }
  return batch;
}

TEST_F(StoreTest, ALargeBatchIsOneChangeToo) {
  ASSERT_TRUE(put(a_, "00000002", "before"));
  ASSERT_TRUE(put(a_, "zzz", "stays"));
  auto before = store_->snapshot();
  auto batch = large_batch(a_, b_, 60'000, "first");
  batch.put(a_, "00000000", "last one counts");
  batch.remove(b_, "00000001");
  ASSERT_TRUE(store_->write(batch, true));
  EXPECT_EQ(get(a_, "00000000"), "last one counts");
  EXPECT_EQ(get(a_, "00000002"), "first");
  EXPECT_EQ(get(b_, "00000001"), "(none)");
  EXPECT_EQ(get(a_, "zzz"), "stays");
  EXPECT_EQ(get(a_, "00000002", before.get()), "before");
  EXPECT_EQ(get(b_, "00000003", before.get()), "(none)");
  EXPECT_EQ(scan(a_).size(), 30'001u);
  EXPECT_EQ(scan(b_).size(), 29'999u);
  ASSERT_TRUE(store_->write(large_batch(a_, b_, 60'000, "second"), true));
  ASSERT_TRUE(put(b_, "00000001", "third"));
  EXPECT_TRUE(fs_.list("/data/meta/ingest")->empty());
  before.reset();
  open();
  EXPECT_EQ(get(a_, "00000000"), "second");
  EXPECT_EQ(get(b_, "00000001"), "third");
  EXPECT_EQ(scan(b_).size(), 30'000u);
}

TEST_F(StoreTest, ASecondOpenOfTheSameDirectoryIsRefused) {
  auto second = Store::open(fs_, "/data/meta", {.tables = {"a"}});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::conflict);
  EXPECT_NE(second.error().message().find("in use"), std::string::npos) << second.error().message();
}

TEST_F(StoreTest, TablesMayBeAddedAndLeftOut) {
  ASSERT_TRUE(put(b_, "k", "kept"));
  store_.reset();
  store_ = *Store::open(fs_, "/data/meta", {.tables = {"c"}});
  ASSERT_TRUE(put(store_->table("c"), "k", "new"));
  open();
  EXPECT_EQ(get(b_, "k"), "kept");
}

TEST_F(StoreTest, AFullDiskIsAnErrorAndRoomMendsIt) {
  ASSERT_TRUE(put(a_, "k", "before"));
  uint64_t used = (uint64_t{1} << 40) - *fs_.free_bytes("/");
  fs_.set_capacity(store_->disk_bytes() + used + (9u << 20));
  std::string value(10'000, 'x');
  Status written;
  int acknowledged = 0;
  while ((written = put(a_, fmt::format("{:04}", acknowledged), value)) && acknowledged < 1000) {
    ++acknowledged;
  }
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code(), Code::exhausted) << written.error().to_string();
  fs_.set_capacity(1);
  EXPECT_FALSE(store_->room());
  EXPECT_FALSE(store_->recover());
  EXPECT_EQ(get(a_, "k"), "before") << "reading goes on";
  fs_.set_capacity(0);
  EXPECT_TRUE(store_->recover());
  EXPECT_EQ(scan(a_).size(), static_cast<size_t>(acknowledged) + 1);
  EXPECT_TRUE(put(a_, "later", "x"));
}

TEST_F(StoreTest, AFlippedBitIsCorruptNeverAWrongAnswer) {
  ASSERT_TRUE(store_->write(large_batch(a_, b_, 60'000, "value"), true));
  store_.reset();
  int corrupt = 0;
  for (uint64_t round = 0; round < 20; ++round) {
    std::string file;
    for (const auto& entry : *fs_.list("/data/meta")) {
      if (entry.name.ends_with(".sst") && entry.size > 10'000)
        file = join_path("/data/meta", entry.name);
    }
    ASSERT_FALSE(file.empty());
    uint64_t bit = (round * 7919 + 3) % (fs_.stat(file)->size * 4);  // The first half is rows.
    ASSERT_TRUE(fs_.flip_bit(file, bit));
    auto opened = Store::open(fs_, "/data/meta", {.tables = {"a", "b"}});
    if (!opened) {
      EXPECT_EQ(opened.error().code(), Code::corrupt);
      ++corrupt;
    } else {
      size_t rows = 0;
      Status read;
      for (const char* name : {"a", "b"}) {
        auto cursor = (*opened)->cursor((*opened)->table(name));
        for (cursor->seek(""); cursor->valid(); cursor->next()) {
          EXPECT_EQ(cursor->value(), "value");
          ++rows;
        }
        if (!cursor->status()) read = cursor->status();
      }
      if (!read) EXPECT_EQ(read.error().code(), Code::corrupt);
      if (read) EXPECT_EQ(rows, 60'000u);
      corrupt += read ? 0 : 1;
    }
    opened = Error(Code::cancelled, "closed");
    ASSERT_TRUE(fs_.flip_bit(file, bit));
  }
  EXPECT_EQ(corrupt, 20);
}

TEST_F(StoreTest, ADirectoryOfANewerFormatIsRefused) {
  store_.reset();
  store_ = *Store::open(fs_, "/data/meta", {.tables = {"default"}});
  ASSERT_TRUE(put(store_->table("default"), "ziwa.store.format", "2"));
  store_.reset();
  auto refused = Store::open(fs_, "/data/meta", {.tables = {"a"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code(), Code::unsupported);
}

}  // namespace
}  // namespace ziwa::state
