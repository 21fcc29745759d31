#include "base/file.h"

#include "base/sim_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <sys/stat.h>
#include <unistd.h>

namespace ziwa {
namespace {

/// The same promises hold for the real file system and for the simulated one.
class AnyFileSystem : public ::testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    std::string pattern = join_path(::testing::TempDir(), "ziwa_file_test_XXXXXX");
    dir_ = GetParam() ? std::string(::mkdtemp(pattern.data())) : "/data";
    ASSERT_TRUE(fs().make_dirs(dir_));
  }
  void TearDown() override { ASSERT_TRUE(fs().remove_all(dir_)); }
  FileSystem& fs() { return GetParam() ? posix_file_system() : static_cast<FileSystem&>(sim_); }
  std::string path(std::string_view name) { return join_path(dir_, name); }
  void put(std::string_view name, std::string_view content) {
    auto file = fs().open(path(name), OpenMode::truncate);
    ASSERT_TRUE(file);
    ASSERT_TRUE((*file)->append(as_bytes(content)));
  }
  std::string get(std::string_view name) {
    auto content = read_file(fs(), path(name));
    return content ? std::string(as_text(*content)) : content.error().to_string();
  }

  SimFileSystem sim_;
  std::string dir_;
};
INSTANTIATE_TEST_SUITE_P(Both, AnyFileSystem, ::testing::Bool(),
                         [](const auto& both) { return both.param ? "posix" : "sim"; });

TEST_P(AnyFileSystem, APipeIsNoFileAndNobodyWaitsForIt) {
  if (!GetParam()) return;  // The simulated one has no pipes.
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  for (OpenMode mode : {OpenMode::read, OpenMode::read_write, OpenMode::truncate}) {
    auto opened = fs().open(path("pipe"), mode);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().code(), Code::invalid_argument);
  }
  EXPECT_FALSE(fs().open("/dev/zero", OpenMode::read));
}

TEST_P(AnyFileSystem, ReadsWhatWasWritten) {
  auto file = *fs().open(path("f"), OpenMode::create_new);
  ASSERT_TRUE(file->append(as_bytes("hello")));
  ASSERT_TRUE(file->append(as_bytes(" lake")));
  ASSERT_TRUE(file->write_at(0, as_bytes("H")));
  ASSERT_TRUE(file->write_at(12, as_bytes("!")));
  ASSERT_TRUE(file->sync());
  EXPECT_EQ(file->size(), 13u);
  EXPECT_EQ(get("f"), std::string("Hello lake\0\0!", 13));
  ASSERT_TRUE(file->truncate(5));
  EXPECT_EQ(get("f"), "Hello");
  std::array<std::byte, 10> buffer;
  EXPECT_EQ(*file->read_at(3, buffer), 2u);
  EXPECT_EQ(*file->read_at(50, buffer), 0u);
}

TEST_P(AnyFileSystem, ModesOfOpening) {
  EXPECT_EQ(fs().open(path("f"), OpenMode::read).error().code(), Code::not_found);
  EXPECT_EQ(fs().open(path("f"), OpenMode::read_write).error().code(), Code::not_found);
  EXPECT_EQ(fs().open(path("no/f"), OpenMode::create).error().code(), Code::not_found);
  put("f", "old");
  EXPECT_EQ(fs().open(path("f"), OpenMode::create_new).error().code(), Code::already_exists);
  EXPECT_EQ((*fs().open(path("f"), OpenMode::create))->size(), 3u);
  EXPECT_FALSE((*fs().open(path("f"), OpenMode::read))->append(as_bytes("x")));
  EXPECT_EQ((*fs().open(path("f"), OpenMode::truncate))->size(), 0u);
}

TEST_P(AnyFileSystem, RenamesAndRemoves) {
  put("a", "1");
  put("b", "2");
  EXPECT_EQ(fs().rename_new(path("a"), path("b")).error().code(), Code::already_exists);
  ASSERT_TRUE(fs().rename(path("a"), path("b")));
  EXPECT_EQ(get("b"), "1");
  EXPECT_FALSE(fs().exists(path("a")));
  ASSERT_TRUE(fs().rename_new(path("b"), path("c")));
  EXPECT_EQ(get("c"), "1");
  ASSERT_TRUE(fs().remove(path("c")));
  EXPECT_EQ(fs().remove(path("c")).error().code(), Code::not_found);
  EXPECT_EQ(fs().rename(path("c"), path("d")).error().code(), Code::not_found);
}

TEST_P(AnyFileSystem, ListsAndRemovesTrees) {
  ASSERT_TRUE(fs().make_dirs(path("x/y/z")));
  ASSERT_TRUE(fs().make_dirs(path("x/y")));
  put("x/y/f", "12345");
  auto entries = *fs().list(path("x/y"));
  ASSERT_EQ(entries.size(), 2u);
  std::ranges::sort(entries, {}, &FileInfo::name);
  EXPECT_EQ(entries[0].name, "f");
  EXPECT_EQ(entries[0].size, 5u);
  EXPECT_TRUE(entries[1].is_directory);
  EXPECT_EQ((*fs().stat(path("x/y/f"))).size, 5u);
  EXPECT_EQ((*fs().stat(path("x/y/f"))).name, "f");
  EXPECT_FALSE(fs().remove(path("x/y")));
  ASSERT_TRUE(fs().remove_all(path("x")));
  ASSERT_TRUE(fs().remove_all(path("x")));
  EXPECT_FALSE(fs().exists(path("x/y/f")));
  EXPECT_EQ(fs().list(path("x")).error().code(), Code::not_found);
}

TEST_P(AnyFileSystem, AnOpenFileOutlivesItsName) {
  auto file = *fs().open(path("f"), OpenMode::create);
  ASSERT_TRUE(file->append(as_bytes("still")));
  ASSERT_TRUE(fs().remove(path("f")));
  std::array<std::byte, 5> buffer;
  EXPECT_EQ(*file->read_at(0, buffer), 5u);
  ASSERT_TRUE(file->sync());
}

TEST_P(AnyFileSystem, TheSecondLockerIsToldWhoWasFirst) {
  auto first = fs().lock(path("LOCK"));
  ASSERT_TRUE(first);
  auto second = fs().lock(path("LOCK"));
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code(), Code::conflict);
  if (GetParam()) {
    EXPECT_NE(second.error().message().find(std::to_string(::getpid())), std::string::npos);
  }
  first->reset();
  EXPECT_TRUE(fs().lock(path("LOCK")));
}

TEST_P(AnyFileSystem, WritesAtomicallyAndReadsUpToALimit) {
  ASSERT_TRUE(write_file_atomically(fs(), path("f"), as_bytes("one")));
  ASSERT_TRUE(write_file_atomically(fs(), path("f"), as_bytes("three")));
  EXPECT_EQ(get("f"), "three");
  EXPECT_FALSE(fs().exists(path("f.tmp")));
  EXPECT_EQ(read_file(fs(), path("f"), 4).error().code(), Code::exhausted);
  EXPECT_GT(*fs().free_bytes(dir_), 0u);
  EXPECT_TRUE(fs().sync_all(dir_));
}

TEST(Path, JoinAndParent) {
  EXPECT_EQ(join_path("a/b", "c"), "a/b/c");
  EXPECT_EQ(join_path("/", "c"), "/c");
  EXPECT_EQ(join_path("", "c"), "c");
  EXPECT_EQ(parent_path("a/b/c"), "a/b");
  EXPECT_EQ(parent_path("a/b/"), "a");
  EXPECT_EQ(parent_path("/a"), "/");
  EXPECT_EQ(parent_path("c"), ".");
}

}  // namespace
}  // namespace ziwa
