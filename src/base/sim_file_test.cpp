#include "base/sim_file.h"

#include <gtest/gtest.h>

#include <set>

namespace ziwa {
namespace {

std::string get(FileSystem& fs, const std::string& path) {
  auto content = read_file(fs, path);
  return content ? std::string(as_text(*content)) : "(none)";
}

/// Runs `work` on a fresh disk with a synced directory /d, cuts the power, and gathers what is seen
/// afterwards, over seeds.
template <typename Work, typename Look>
auto outcomes(Work work, Look look) {
  std::set<decltype(look(std::declval<SimFileSystem&>()))> seen;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    SimFileSystem fs(seed);
    EXPECT_TRUE(fs.make_dirs("/d"));
    EXPECT_TRUE(fs.sync_dir("/"));
    work(fs);
    fs.cut_power();
    seen.insert(look(fs));
  }
  return seen;
}

using Texts = std::set<std::string>;

TEST(SimFile, ASyncedFileWithASyncedEntrySurvivesEveryCut) {
  auto seen = outcomes(
      [](SimFileSystem& fs) {
        auto file = *fs.open("/d/f", OpenMode::create);
        ASSERT_TRUE(file->append(as_bytes("kept")));
        ASSERT_TRUE(file->sync());
        ASSERT_TRUE(fs.sync_dir("/d"));
      },
      [](SimFileSystem& fs) { return get(fs, "/d/f"); });
  EXPECT_EQ(seen, Texts{"kept"});
}

TEST(SimFile, SyncOfAFileDoesNotMakeItsEntryDurable) {
  auto seen = outcomes(
      [](SimFileSystem& fs) {
        auto file = *fs.open("/d/f", OpenMode::create);
        ASSERT_TRUE(file->append(as_bytes("kept")));
        ASSERT_TRUE(file->sync());
      },
      [](SimFileSystem& fs) { return get(fs, "/d/f"); });
  EXPECT_EQ(seen, (Texts{"kept", "(none)"}));
}

TEST(SimFile, UnsyncedBytesAreKeptTornOrDropped) {
  auto seen = outcomes(
      [](SimFileSystem& fs) {
        auto file = *fs.open("/d/f", OpenMode::create);
        ASSERT_TRUE(file->append(as_bytes("ab")));
        ASSERT_TRUE(file->sync());
        ASSERT_TRUE(fs.sync_dir("/d"));
        ASSERT_TRUE(file->append(as_bytes("cd")));
        ASSERT_TRUE(file->append(as_bytes("ef")));
      },
      [](SimFileSystem& fs) { return get(fs, "/d/f"); });
  for (const char* expected : {"ab", "abc", "abcd", "abcde", "abcdef"}) {
    EXPECT_TRUE(seen.contains(expected)) << expected;
  }
  EXPECT_TRUE(seen.contains(std::string("ab\0\0ef", 6)))
      << "writes may reach the disk out of order";
  for (const auto& content : seen) EXPECT_TRUE(content.starts_with("ab")) << content;
}

TEST(SimFile, AnUnsyncedRenameIsAllOrNothing) {
  auto prepare = [](SimFileSystem& fs) {
    ASSERT_TRUE(write_file_atomically(fs, "/d/f", as_bytes("old")));
    auto file = *fs.open("/d/g", OpenMode::create);
    ASSERT_TRUE(file->append(as_bytes("new")));
    ASSERT_TRUE(file->sync());
    ASSERT_TRUE(fs.sync_dir("/d"));
    ASSERT_TRUE(fs.rename("/d/g", "/d/f"));
  };
  auto look = [](SimFileSystem& fs) { return get(fs, "/d/f") + " " + get(fs, "/d/g"); };
  EXPECT_EQ(outcomes(prepare, look), (Texts{"old new", "new (none)"}));
  auto synced = [&](SimFileSystem& fs) {
    prepare(fs);
    ASSERT_TRUE(fs.sync_dir("/d"));
  };
  EXPECT_EQ(outcomes(synced, look), Texts{"new (none)"});
}

TEST(SimFile, WriteFileAtomicallyGivesOldOrNewAtEveryPointOfDeath) {
  for (uint64_t death = 1; death <= 8; ++death) {
    for (uint64_t seed = 0; seed < 30; ++seed) {
      SimFileSystem fs(seed);
      ASSERT_TRUE(write_file_atomically(fs, "/f", as_bytes("old")));
      fs.die_after(death);
      bool acknowledged = write_file_atomically(fs, "/f", as_bytes("new")).has_value();
      fs.cut_power();
      std::string content = get(fs, "/f");
      EXPECT_TRUE(content == "new" || (content == "old" && !acknowledged)) << content;
    }
  }
}

TEST(SimFile, ARemovedFileMayComeBack) {
  auto remove = [](SimFileSystem& fs) {
    ASSERT_TRUE(write_file_atomically(fs, "/d/f", as_bytes("x")));
    ASSERT_TRUE(fs.remove("/d/f"));
  };
  auto look = [](SimFileSystem& fs) { return get(fs, "/d/f"); };
  EXPECT_EQ(outcomes(remove, look), (Texts{"x", "(none)"}));
}

TEST(SimFile, ADirectoryWithoutASyncedEntryTakesItsFilesWithIt) {
  auto seen = outcomes(
      [](SimFileSystem& fs) {
        ASSERT_TRUE(fs.make_dirs("/d/sub"));
        ASSERT_TRUE(write_file_atomically(fs, "/d/sub/f", as_bytes("x")));
      },
      [](SimFileSystem& fs) { return get(fs, "/d/sub/f"); });
  EXPECT_EQ(seen, (Texts{"x", "(none)"}));
}

TEST(SimFile, DirectoriesMadeDurablySurvive) {
  auto seen = outcomes(
      [](SimFileSystem& fs) {
        ASSERT_TRUE(make_dirs_durably(fs, "/d/a/b"));
        ASSERT_TRUE(make_dirs_durably(fs, "/d/a/b"));
        ASSERT_TRUE(write_file_atomically(fs, "/d/a/b/f", as_bytes("x")));
      },
      [](SimFileSystem& fs) { return get(fs, "/d/a/b/f"); });
  EXPECT_EQ(seen, Texts{"x"});
}

TEST(SimFile, SyncAllMakesEverythingDurable) {
  auto seen = outcomes(
      [](SimFileSystem& fs) {
        ASSERT_TRUE(fs.make_dirs("/d/a/b"));
        for (const char* path : {"/d/a/f", "/d/a/b/g"}) {
          ASSERT_TRUE((*fs.open(path, OpenMode::create))->append(as_bytes(path)));
        }
        ASSERT_TRUE(fs.sync_all("/d"));
      },
      [](SimFileSystem& fs) { return get(fs, "/d/a/f") + get(fs, "/d/a/b/g"); });
  EXPECT_EQ(seen, Texts{"/d/a/f/d/a/b/g"});
}

TEST(SimFile, ASkippedSyncIsALie) {
  auto seen = outcomes(
      [](SimFileSystem& fs) {
        fs.skip_syncs([](const SyncCall& sync) { return sync.path == "/d/f.tmp"; });
        ASSERT_TRUE(write_file_atomically(fs, "/d/f", as_bytes("x")));
      },
      [](SimFileSystem& fs) { return get(fs, "/d/f"); });
  EXPECT_EQ(seen, (Texts{"x", ""}));
}

TEST(SimFile, DeathStopsEverythingUntilTheNextBoot) {
  SimFileSystem fs(7);
  auto file = *fs.open("/f", OpenMode::create);
  uint64_t before = fs.mutations();
  fs.die_after(2);
  EXPECT_TRUE(file->append(as_bytes("1")));
  EXPECT_FALSE(fs.dead());
  EXPECT_EQ(file->append(as_bytes("2")).error().code(), Code::io);
  EXPECT_TRUE(fs.dead());
  EXPECT_EQ(fs.mutations(), before + 2);
  EXPECT_FALSE(file->sync());
  EXPECT_FALSE(fs.open("/f", OpenMode::read));
  EXPECT_FALSE(fs.list("/"));
  fs.cut_power();
  EXPECT_TRUE(fs.open("/g", OpenMode::create));
  EXPECT_EQ(file->append(as_bytes("3")).error().code(), Code::io) << "a handle of the boot before";
}

TEST(SimFile, TheDiskCanBeFull) {
  SimFileSystem fs;
  fs.set_capacity(10);
  auto file = *fs.open("/f", OpenMode::create);
  ASSERT_TRUE(file->append(as_bytes("12345678")));
  EXPECT_EQ(*fs.free_bytes("/"), 2u);
  EXPECT_EQ(file->append(as_bytes("9abc")).error().code(), Code::exhausted);
  EXPECT_EQ(file->size(), 10u) << "a full disk takes a prefix";
  ASSERT_TRUE(file->write_at(0, as_bytes("x"))) << "overwriting needs no room";
  ASSERT_TRUE(fs.remove("/f"));
  EXPECT_EQ(*fs.free_bytes("/"), 10u);
}

TEST(SimFile, FlipsOneBit) {
  SimFileSystem fs;
  ASSERT_TRUE(write_file_atomically(fs, "/f", as_bytes("abc")));
  ASSERT_TRUE(fs.flip_bit("/f", 8));
  EXPECT_EQ(get(fs, "/f"), "acc");
  fs.cut_power();
  EXPECT_EQ(get(fs, "/f"), "acc");
  EXPECT_FALSE(fs.flip_bit("/f", 24));
  EXPECT_FALSE(fs.flip_bit("/g", 0));
}

TEST(SimFile, APowerCutFreesLocks) {
  SimFileSystem fs;
  auto lock = *fs.lock("/LOCK");
  fs.cut_power();
  auto again = fs.lock("/LOCK");
  EXPECT_TRUE(again);
  lock.reset();
  EXPECT_FALSE(fs.lock("/LOCK")) << "the handle of the boot before must not free the new lock";
}

}  // namespace
}  // namespace ziwa
