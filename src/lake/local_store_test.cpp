#include "base/sim_file.h"
#include "lake/object_store.h"
#include "lake/path_internal.h"

#include <gtest/gtest.h>

namespace ziwa::lake {
namespace {

class LocalStoreTest : public testing::Test {
 protected:
  std::vector<std::string> keys(const std::string& prefix, const std::string& after = "",
                                size_t limit = 100) {
    auto found = store_->list(prefix, after, limit);
    EXPECT_TRUE(found.has_value());
    std::vector<std::string> names;
    for (auto& object : *found) names.push_back(object.key);
    return names;
  }
  SimFileSystem files_;
  std::unique_ptr<ObjectStore> store_ = make_local_store(files_, "/a/b/");
};

TEST_F(LocalStoreTest, PutsGetsLists) {
  EXPECT_TRUE(keys("").empty());
  for (const char* key : {"x/2", "x/10", "x/y/1", "xx", "z"})
    ASSERT_TRUE(store_->put(key, as_bytes(key)).has_value());
  EXPECT_EQ(as_text(store_->get("x/y/1").value()), "x/y/1");
  EXPECT_EQ(as_text(store_->get_range("x/10", 2, 1).value()), "1");
  EXPECT_EQ(as_text(store_->get_range("x/10", 2, 99).value()), "10");
  EXPECT_EQ(store_->get_range("x/10", 99, 99)->size(), 0u);
  EXPECT_EQ(store_->head("xx")->size, 2u);
  EXPECT_EQ(keys("x/"), (std::vector<std::string>{"x/10", "x/2", "x/y/1"}));
  EXPECT_EQ(keys("x"), (std::vector<std::string>{"x/10", "x/2", "x/y/1", "xx"}));
  EXPECT_EQ(keys("x/1"), std::vector<std::string>{"x/10"});
  EXPECT_EQ(keys("x/y/"), std::vector<std::string>{"x/y/1"});
  EXPECT_EQ(keys("", "x/2", 2), (std::vector<std::string>{"x/y/1", "xx"}));
  ASSERT_TRUE(store_->remove("xx").has_value());
  EXPECT_EQ(store_->get("xx").error().code(), Code::not_found);
  EXPECT_EQ(store_->head("x").error().code(), Code::not_found);
}

TEST_F(LocalStoreTest, PutNewNeverReplaces) {
  ASSERT_TRUE(store_->put_new("log/1", as_bytes("one")).has_value());
  EXPECT_EQ(store_->put_new("log/1", as_bytes("two")).error().code(), Code::already_exists);
  EXPECT_EQ(as_text(store_->get("log/1").value()), "one");
  EXPECT_EQ(files_.list("/a/b/log")->size(), 1u) << "a temporary file stayed";
}

TEST_F(LocalStoreTest, KeysStayInside) {
  for (const char* key : {"", "/x", "../x", "x/../../y", "a/..", "s3://x/y", "./x"}) {
    EXPECT_EQ(store_->put(key, {}).error().code(), Code::invalid_argument) << key;
    EXPECT_EQ(store_->get(key).error().code(), Code::invalid_argument) << key;
    EXPECT_EQ(store_->stage(key).error().code(), Code::invalid_argument) << key;
  }
  EXPECT_TRUE(store_->put("x=../y..z", {}).has_value());
}

TEST_F(LocalStoreTest, StagedFilesAppearWhenPublished) {
  std::vector<ObjectStore::Staged> staged;
  for (int i = 0; i < 20; ++i) {
    staged.push_back(store_->stage(fmt::format("p={}/file", i)).value());
    auto file = files_.open(staged.back().path, OpenMode::create_new);
    ASSERT_TRUE((*file)->append(as_bytes("content")).has_value());
  }
  EXPECT_TRUE(keys("").empty());
  ASSERT_TRUE(store_->publish(staged).has_value());
  files_.cut_power();
  EXPECT_EQ(keys("").size(), 20u);
  EXPECT_EQ(as_text(store_->get("p=7/file").value()), "content");
  auto dropped = store_->stage("q/file").value();
  store_->discard(dropped);
  EXPECT_EQ(keys("").size(), 20u);
}

TEST(PathTest, UrisAndPaths) {
  for (std::string path :
       {"a b/c=d%25é.parquet", "+ =%0/x", "plain", "a:b?c#d[e]", "nul\x01\xff"}) {
    EXPECT_EQ(decode_path(encode_path(path)), path);
    EXPECT_TRUE(inside_table(path)) << path;
  }
  EXPECT_EQ(decode_path("c2=+%20%253D%25250/p"), "c2=+ %3D%250/p");
  EXPECT_EQ(decode_path("file:///x/y%20z"), "/x/y z");
  EXPECT_EQ(decode_path("file:/x"), "/x");
  EXPECT_EQ(decode_path("100%"), "100%");
  EXPECT_EQ(decode_path("%zz%4"), "%zz%4");
  EXPECT_FALSE(inside_table("/x"));
  EXPECT_FALSE(inside_table("s3://b/x"));
  EXPECT_EQ(partition_folder("a/b", "c=d"), "a%2Fb=c%3Dd");
  EXPECT_EQ(partition_folder("p", std::nullopt), "p=__HIVE_DEFAULT_PARTITION__");
}

}  // namespace
}  // namespace ziwa::lake
