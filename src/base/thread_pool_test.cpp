#include "base/thread_pool.h"

#include "base/vital_thread.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

namespace ziwa {
namespace {

TEST(ThreadPool, OneThreadRunsInOrder) {
  std::vector<int> ran;
  {
    ThreadPool pool("test", 1, 100);
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(pool.submit([&ran, i] { ran.push_back(i); }));
  }
  ASSERT_EQ(ran.size(), 50u);
  EXPECT_TRUE(std::ranges::is_sorted(ran));
}

TEST(ThreadPool, AFullQueueRefuses) {
  std::promise<void> gate;
  std::promise<void> started;
  ThreadPool pool("test", 1, 2);
  ASSERT_TRUE(pool.submit([&] {
    started.set_value();
    gate.get_future().wait();
  }));
  started.get_future().wait();
  ASSERT_TRUE(pool.submit([] {}));
  ASSERT_TRUE(pool.submit([] {}));
  EXPECT_EQ(pool.submit([] {}).error().code(), Code::exhausted);
  gate.set_value();
}

TEST(ThreadPool, StopGivesUpOnAJobThatDoesNotEnd) {
  std::promise<void> gate;
  std::promise<void> started;
  ThreadPool pool("test", 2, 10);
  ASSERT_TRUE(pool.submit([&] {
    started.set_value();
    gate.get_future().wait();
  }));
  started.get_future().wait();
  EXPECT_FALSE(pool.stop_within(50));
  EXPECT_EQ(pool.submit([] {}).error().code(), Code::cancelled);
  gate.set_value();
  EXPECT_TRUE(pool.stop_within(60'000));
}

TEST(ThreadPool, StopRunsWhatWasTakenAndRefusesMore) {
  std::atomic<int> ran = 0;
  ThreadPool pool("test", 3, 1000);
  for (int i = 0; i < 500; ++i) ASSERT_TRUE(pool.submit([&] { ++ran; }));
  std::thread other([&] { pool.stop(); });
  pool.stop();
  other.join();
  EXPECT_EQ(ran, 500);
  EXPECT_EQ(pool.submit([] {}).error().code(), Code::cancelled);
}

TEST(VitalThread, WhatItThrowsIsTheLastWord) {
  bool ran = false;
  run_vital_thread("calm", [&] { ran = true; });
  EXPECT_TRUE(ran);
  auto thrown = [] { run_vital_thread("busy", [] { throw std::runtime_error("out of luck"); }); };
  EXPECT_DEATH(thrown(), "the server stops.*thread=busy error=out of luck");
  EXPECT_DEATH(run_vital_thread("odd", [] { throw 7; }), "thread=odd error=unknown");
}

}  // namespace
}  // namespace ziwa
