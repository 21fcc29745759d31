#include "app/server.h"

#include "base/log.h"
#include "duck/testing/invalidate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <future>

namespace ziwa::app {
namespace {

class ServerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    set_log_level(LogLevel::off);
    for (const char* door : {"kafka", "postgres", "http"}) {
      ASSERT_TRUE(settings_.set(std::string("doors.") + door + ".port", "0", "test").has_value());
    }
    std::string pattern = ::testing::TempDir() + "/ziwa-server-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
  }
  void TearDown() override {
    std::filesystem::remove_all(directory_);
    set_log_level(LogLevel::info);
  }
  Settings settings_;
  std::string directory_;
};

/// All of SQL refuses from then on; a supervisor that starts the server again mends it.
TEST_F(ServerTest, StopsWhenDuckDbHasEnded) {
  std::promise<void> failed;
  auto server = Server::start(
      posix_file_system(), settings_,
      {.data_directory = directory_ + "/data", .on_failure = [&] { failed.set_value(); }});
  ASSERT_TRUE(server.has_value()) << server.error().to_string();
  EXPECT_TRUE((*server)->engines().health().has_value());
  duck::testing::invalidate((*server)->engines().duck(), "something is broken inside");
  ASSERT_EQ(failed.get_future().wait_for(std::chrono::seconds(30)), std::future_status::ready);
  auto stopped = (*server)->stop();
  ASSERT_FALSE(stopped.has_value());
  EXPECT_EQ(stopped.error().code(), Code::internal);
  EXPECT_THAT(stopped.error().message(), ::testing::HasSubstr("something is broken inside"));
  server->reset();
  auto again =
      Server::start(posix_file_system(), settings_, {.data_directory = directory_ + "/data"});
  ASSERT_TRUE(again.has_value()) << again.error().to_string();
  EXPECT_TRUE((*again)->stop().has_value());
}

}  // namespace
}  // namespace ziwa::app
