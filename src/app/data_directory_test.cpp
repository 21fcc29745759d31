#include "app/data_directory.h"

#include "base/sim_file.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <unistd.h>

namespace ziwa::app {
namespace {

TEST(DataDirectory, is_made_and_opened_again) {
  SimFileSystem fs;
  ASSERT_TRUE(DataDirectory::open(fs, "/srv/ziwa").has_value());
  fs.cut_power();
  auto again = DataDirectory::open(fs, "/srv/ziwa");
  ASSERT_TRUE(again.has_value()) << again.error().to_string();
  EXPECT_EQ(again->below("log"), "/srv/ziwa/log");
}

TEST(DataDirectory, a_cut_while_it_is_made_leaves_none_or_a_whole_one) {
  for (uint64_t cut = 1; cut < 20; ++cut) {
    SimFileSystem fs(cut);
    fs.die_after(cut);
    DataDirectory::open(fs, "/srv/ziwa").ignore("the power goes somewhere in there");
    fs.cut_power();
    auto again = DataDirectory::open(fs, "/srv/ziwa");
    EXPECT_TRUE(again.has_value()) << "cut " << cut << ": " << again.error().to_string();
  }
}

TEST(DataDirectory, a_newer_format_is_refused_by_name) {
  SimFileSystem fs;
  ASSERT_TRUE(DataDirectory::open(fs, "/d").has_value());
  ASSERT_TRUE(write_file_atomically(fs, "/d/VERSION", as_bytes("ziwa data directory, format 999\n"))
                  .has_value());
  auto opened = DataDirectory::open(fs, "/d");
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code(), Code::unsupported);
  EXPECT_NE(opened.error().message().find("999"), std::string::npos);
  EXPECT_NE(opened.error().hint().find("backup"), std::string::npos) << opened.error().to_string();
  ASSERT_TRUE(write_file_atomically(fs, "/d/VERSION", as_bytes("nonsense")).has_value());
  EXPECT_EQ(DataDirectory::open(fs, "/d").error().code(), Code::corrupt);
}

TEST(DataDirectory, a_folder_of_something_else_is_refused) {
  SimFileSystem fs;
  ASSERT_TRUE(fs.make_dirs("/home").has_value());
  ASSERT_TRUE(write_file_atomically(fs, "/home/thesis.tex", as_bytes("x")).has_value());
  auto opened = DataDirectory::open(fs, "/home");
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code(), Code::invalid_argument);
}

TEST(DataDirectory, one_that_lost_its_version_is_not_taken_for_something_else) {
  SimFileSystem fs;
  ASSERT_TRUE(DataDirectory::open(fs, "/srv/ziwa").has_value());
  ASSERT_TRUE(fs.make_dirs("/srv/ziwa/meta").has_value());
  ASSERT_TRUE(fs.remove("/srv/ziwa/VERSION").has_value());
  auto opened = DataDirectory::open(fs, "/srv/ziwa");
  ASSERT_FALSE(opened.has_value());
  EXPECT_EQ(opened.error().code(), Code::corrupt);
  EXPECT_NE(opened.error().hint().find("backup"), std::string::npos) << opened.error().to_string();
}

TEST(DataDirectory, has_one_owner) {
  std::string path = testing::TempDir() + "ziwa-XXXXXX";
  ASSERT_NE(mkdtemp(path.data()), nullptr);
  auto first = DataDirectory::open(posix_file_system(), path);
  ASSERT_TRUE(first.has_value()) << first.error().to_string();
  auto second = DataDirectory::open(posix_file_system(), path);
  ASSERT_FALSE(second.has_value());
  EXPECT_EQ(second.error().code(), Code::conflict);
  EXPECT_NE(second.error().message().find(std::to_string(getpid())), std::string::npos)
      << second.error().message();
  posix_file_system().remove_all(path).ignore("a temporary directory");
}

}  // namespace
}  // namespace ziwa::app
