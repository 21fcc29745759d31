#include "protocol/kafka/connection.h"

#include "protocol/kafka/api_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace ziwa::kafka {
namespace {

using ::testing::HasSubstr;

/// A frame with size, request header v1 and a body.
std::string frame(int16_t key, int16_t version, int32_t correlation_id,
                  std::string_view body = "") {
  ByteWriter out;
  out.be<int32_t>(0);
  out.be(key);
  out.be(version);
  out.be(correlation_id);
  out.be<int16_t>(2);
  out.raw("me");
  out.raw(body);
  store_be(out.at(0), static_cast<int32_t>(out.size() - 4));
  return std::string(as_text(out.view()));
}

Bytes bytes(std::string_view text) { return Bytes(as_bytes(text).begin(), as_bytes(text).end()); }

class ConnectionTest : public ::testing::Test {
 protected:
  /// Feeds `input` in pieces of at most `piece` bytes, as far as the connection wants it. Returns
  /// what is left.
  std::string_view feed(std::string_view input, size_t piece, Status& status) {
    while (!input.empty()) {
      auto space = connection_.space();
      if (space.empty()) break;
      const size_t count = std::min({piece, space.size(), input.size()});
      std::memcpy(space.data(), input.data(), count);
      status = connection_.received(count);
      input.remove_prefix(count);
      if (!status) break;
    }
    return input;
  }
  void feed_all(std::string_view input, size_t piece = SIZE_MAX) {
    Status status;
    ASSERT_EQ(feed(input, piece, status), "");
    ASSERT_TRUE(status) << status.error().to_string();
  }
  std::string output() {
    std::string result;
    size_t size = 0;
    for (const auto& part : connection_.take_output()) {
      result += as_text(part);
      size += part.size();
    }
    connection_.sent(size);
    return result;
  }

  Connection::Limits limits_{
      .request_bytes_max = 100'000, .unanswered_bytes_max = 50'000, .in_flight_max = 4};
  MemoryBudget memory_{150'000};
  Connection connection_{limits_, memory_};
};

TEST_F(ConnectionTest, FindsRequestsHoweverTheyAreCut) {
  const std::string big(40'000, 'x');
  const std::string input = frame(3, 1, 1) + frame(0, 7, 2, big) + frame(10, 0, 3, "abc");
  for (size_t piece :
       {size_t{1}, size_t{3}, size_t{7}, size_t{1000}, size_t{16 << 10}, input.size()}) {
    SCOPED_TRACE(piece);
    Connection connection(limits_, memory_);
    std::string_view rest = input;
    std::vector<std::string> seen;
    while (!rest.empty()) {
      auto space = connection.space();
      ASSERT_FALSE(space.empty());
      const size_t count = std::min({piece, space.size(), rest.size()});
      std::memcpy(space.data(), rest.data(), count);
      ASSERT_TRUE(connection.received(count));
      rest.remove_prefix(count);
      while (auto request = connection.next()) {
        EXPECT_EQ(request->header.client_id, "me");
        seen.push_back(fmt::format("{} {} {}", request->header.api_key,
                                   request->header.correlation_id, request->body.size()));
        connection.answer(request->sequence, bytes("ok"));
      }
    }
    EXPECT_THAT(seen, ::testing::ElementsAre("3 1 0", "0 2 40000", "10 3 3"));
    EXPECT_TRUE(connection.idle() || connection.has_output());
  }
  EXPECT_EQ(memory_.used(), 0u) << "what connections held is given back";
}

TEST_F(ConnectionTest, AnswersInTheOrderOfTheRequests) {
  feed_all(frame(0, 7, 1) + frame(0, 7, 2) + frame(0, 7, 3));
  auto first = connection_.next();
  auto second = connection_.next();
  auto third = connection_.next();
  ASSERT_TRUE(first && second && third) << "Produce requests overlap";
  connection_.answer(third->sequence, bytes("3"));
  EXPECT_EQ(output(), "");
  connection_.answer(first->sequence, bytes("1"));
  EXPECT_EQ(output(), "1");
  connection_.answer(second->sequence, {});  // acks=0
  EXPECT_EQ(output(), "3");
  EXPECT_TRUE(connection_.idle());
  EXPECT_EQ(memory_.used(), 0u);
}

TEST_F(ConnectionTest, OtherRequestsTakeTurns) {
  feed_all(frame(0, 7, 1) + frame(3, 1, 2) + frame(0, 7, 3));
  auto produce = connection_.next();
  ASSERT_TRUE(produce);
  EXPECT_FALSE(connection_.next()) << "Metadata waits for the Produce before it";
  connection_.answer(produce->sequence, bytes("1"));
  auto metadata = connection_.next();
  ASSERT_TRUE(metadata);
  EXPECT_FALSE(connection_.next()) << "and the next Produce waits for Metadata";
  connection_.answer(metadata->sequence, bytes("2"));
  EXPECT_TRUE(connection_.next());
}

TEST_F(ConnectionTest, StopsReadingAtTheLimitOfRequests) {
  std::string input;
  for (int i = 0; i < 10; ++i) input += frame(3, 1, i);
  feed_all(input);  // It fits into the input buffer, but is not parsed beyond the limit.
  EXPECT_FALSE(connection_.wants_input());
  int handled = 0;
  while (auto request = connection_.next()) {
    ++handled;
    connection_.answer(request->sequence, bytes("x"));
    ASSERT_TRUE(connection_.resume());
  }
  EXPECT_EQ(handled, 10);
  EXPECT_TRUE(connection_.wants_input());
}

TEST_F(ConnectionTest, StopsReadingAtTheLimitOfBytes) {
  const std::string big(30'000, 'x');
  feed_all(frame(0, 7, 1, big) + frame(0, 7, 2, big));
  EXPECT_FALSE(connection_.wants_input());
  for (int i = 0; i < 2; ++i)
    connection_.answer(connection_.next()->sequence, bytes(std::string(30'000, 'y')));
  EXPECT_FALSE(connection_.wants_input()) << "answers that are not sent count too";
  output();
  EXPECT_TRUE(connection_.wants_input());
}

TEST_F(ConnectionTest, HandsOutNothingWhileAnswersPileUp) {
  feed_all(frame(1, 4, 1) + frame(1, 4, 2));
  connection_.answer(connection_.next()->sequence, bytes(std::string(60'000, 'y')));
  EXPECT_FALSE(connection_.next()) << "the client does not read what it asked for";
  output();
  EXPECT_TRUE(connection_.next());
}

/// Connections that share a memory.
class SharedMemoryTest : public ::testing::Test {
 protected:
  /// Feeds as much of `input` as the connection wants; what is left.
  static std::string_view feed(Connection& connection, std::string_view input) {
    while (!input.empty()) {
      auto space = connection.space();
      if (space.empty()) break;
      const size_t count = std::min(space.size(), input.size());
      std::memcpy(space.data(), input.data(), count);
      EXPECT_TRUE(connection.received(count));
      input.remove_prefix(count);
    }
    return input;
  }
  std::unique_ptr<Connection> connect() { return std::make_unique<Connection>(limits_, memory_); }

  static constexpr size_t kMiB = 1 << 20;
  Connection::Limits limits_{
      .request_bytes_max = 100 * kMiB, .unanswered_bytes_max = 32 * kMiB, .in_flight_max = 4};
  MemoryBudget memory_{256 * kMiB};
};

TEST_F(SharedMemoryTest, WhatIsOnlyAnnouncedCostsNothing) {
  std::vector<std::unique_ptr<Connection>> liars;
  const std::string announced("\x06\x40\x00\x00\x00\x00\x00\x07", 8);  // 100 MiB, 4 bytes there
  for (int i = 0; i < 100; ++i) {
    liars.push_back(connect());
    EXPECT_EQ(feed(*liars.back(), announced), "");
    EXPECT_TRUE(liars.back()->mid_request());
  }
  EXPECT_LT(memory_.used(), 7 * kMiB);
  auto honest = connect();
  EXPECT_EQ(feed(*honest, frame(0, 7, 1, std::string(10 * kMiB, 'x'))), "");
  EXPECT_TRUE(honest->next());
  liars.clear();
  honest.reset();
  EXPECT_EQ(memory_.used(), 0u);
}

TEST_F(SharedMemoryTest, LargeHalvesLeaveRoomForSmallRequestsAndOneGoesOn) {
  const std::string large = frame(0, 7, 1, std::string(90 * kMiB, 'x'));
  std::vector<std::unique_ptr<Connection>> hogs;
  std::vector<std::string_view> left;
  for (int i = 0; i < 6; ++i) {
    hogs.push_back(connect());
    left.push_back(feed(*hogs[i], std::string_view(large).substr(0, large.size() - 1)));
  }
  size_t waiting = std::ranges::count_if(hogs, [](auto& hog) { return hog->waits_for_memory(); });
  EXPECT_GE(waiting, 3u);
  EXPECT_LT(memory_.used(), (256 + 100) * kMiB);

  auto small = connect();
  EXPECT_EQ(feed(*small, frame(3, 1, 1)), "") << "small requests never wait";
  EXPECT_TRUE(small->next());

  // Each goes on when the one before has ended, whether it became a request or was given up.
  int woken = 0;
  auto handle = memory_.wait([&] { ++woken; });
  while (std::ranges::any_of(hogs, [](auto& hog) { return hog->waits_for_memory(); })) {
    auto going =
        std::ranges::find_if(hogs, [](auto& hog) { return hog && !hog->waits_for_memory(); });
    ASSERT_NE(going, hogs.end()) << "all wait for each other";
    left.erase(left.begin() + (going - hogs.begin()));
    hogs.erase(going);
    for (size_t i = 0; i < hogs.size(); ++i) {
      if (!hogs[i]->waits_for_memory()) continue;
      ASSERT_TRUE(hogs[i]->resume());
      left[i] = feed(*hogs[i], left[i]);
    }
  }
  EXPECT_EQ(woken, 1);
  hogs.clear();
  small.reset();
  EXPECT_EQ(memory_.used(), 0u);
}

TEST_F(SharedMemoryTest, ARequestLargerThanAllMemoryIsServedAlone) {
  MemoryBudget little(kMiB);
  const std::string large = frame(0, 7, 1, std::string(90 * kMiB, 'x'));
  Connection first(limits_, little);
  Connection second(limits_, little);
  EXPECT_EQ(feed(first, large.substr(0, 50 * kMiB)), "");
  EXPECT_NE(feed(second, large), "");
  EXPECT_TRUE(second.waits_for_memory());
  bool woken = false;
  auto handle = little.wait([&] { woken = true; });
  EXPECT_EQ(feed(first, std::string_view(large).substr(50 * kMiB)), "");
  EXPECT_TRUE(first.next());
  EXPECT_TRUE(woken) << "it is the next one's turn";
}

TEST_F(ConnectionTest, RefusesWhatIsNotTheProtocol) {
  struct Bad {
    std::string input;
    std::string reason;
  };
  const std::string negative_client = std::string("\0\0\0\x0a\0\x03\0\x01\0\0\0\x01\xff\x00", 14);
  for (const auto& [input, reason] :
       std::vector<Bad>{{"GET / HTTP/1.1\r\n", "an HTTP request?"},
                        {"\x16\x03\x01\x02\x00\x01\x00", "TLS is not spoken here"},
                        {std::string("\0\0\0\x03"
                                     "abc",
                                     7),
                         "a frame of 3 bytes"},
                        {std::string("\xff\xff\xff\xff", 4), "a frame of -1 bytes"},
                        {std::string("\0\x01\x86\xa1", 4), "a frame of 100001 bytes"},
                        {negative_client, "malformed request header"},
                        {std::string("\0\0\0\x08\0\x03\0\x01\0\0\0\x01", 12), "ends too early"}}) {
    SCOPED_TRACE(reason);
    Connection connection(limits_, memory_);
    auto space = connection.space();
    std::memcpy(space.data(), input.data(), input.size());
    Status status = connection.received(input.size());
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().message(), HasSubstr(reason));
  }
  EXPECT_EQ(memory_.used(), 0u);
}

TEST_F(ConnectionTest, ReadsTheTaggedHeaderOfFlexibleVersions) {
  // Header v2: classic client id, then one tag (3, 2 bytes).
  ByteWriter out;
  out.be<int32_t>(0);
  out.be<int16_t>(3);
  out.be<int16_t>(12);
  out.be<int32_t>(77);
  out.be<int16_t>(-1);
  out.raw(
      std::string_view("\x01\x03\x02"
                       "zz"
                       "body",
                       9));
  store_be(out.at(0), static_cast<int32_t>(out.size() - 4));
  feed_all(as_text(out.view()), 1);
  auto request = connection_.next();
  ASSERT_TRUE(request);
  EXPECT_EQ(request->header.client_id, "");
  EXPECT_EQ(as_text(request->body), "body");
}

}  // namespace
}  // namespace ziwa::kafka
