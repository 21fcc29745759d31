#include "protocol/postgres/conversation.h"

#include <gtest/gtest.h>

#include <functional>
#include <thread>

namespace ziwa::protocol::postgres {
namespace {

using namespace std::string_literals;

constexpr int64_t kTimeoutMs = 1'000;

/// Counts from 0 to `count`, in chunks of 1,000; asks `failure` before each.
class CountRows final : public sql::Rows {
 public:
  using Failure = std::function<Status()>;
  CountRows(int64_t count, Failure failure) : count_(count), failure_(std::move(failure)) {
    chunk_.Initialize(duckdb::Allocator::DefaultAllocator(), {duckdb::LogicalType::BIGINT});
  }
  const std::vector<duck::NamedType>& columns() const override { return columns_; }
  Result<duckdb::DataChunk*> next() override {
    TRY(failure_());
    chunk_.Reset();
    int64_t rows = std::min<int64_t>(count_ - next_, 1'000);
    if (rows == 0) return nullptr;
    for (int64_t i = 0; i < rows; ++i) chunk_.SetValue(0, i, duckdb::Value::BIGINT(next_++));
    chunk_.SetCardinality(rows);
    return &chunk_;
  }
  const std::string& command() const override { return command_; }
  std::optional<uint64_t> affected() const override { return std::nullopt; }
  Epoch epoch() const override { return {}; }

 private:
  int64_t count_;
  Failure failure_;
  int64_t next_ = 0;
  duckdb::DataChunk chunk_;
  std::vector<duck::NamedType> columns_ = {{"n", duckdb::LogicalType::BIGINT}};
  std::string command_ = "SELECT";
};

class NoRows final : public sql::Rows {
 public:
  explicit NoRows(std::string command) : command_(std::move(command)) {}
  const std::vector<duck::NamedType>& columns() const override { return columns_; }
  Result<duckdb::DataChunk*> next() override { return nullptr; }
  const std::string& command() const override { return command_; }
  std::optional<uint64_t> affected() const override { return 5; }
  Epoch epoch() const override { return {}; }

 private:
  std::vector<duck::NamedType> columns_;
  std::string command_;
};

class CountPrepared final : public sql::Prepared {
 public:
  explicit CountPrepared(std::string text) : text(std::move(text)) {}
  const std::vector<duck::NamedType>& columns() const override { return columns_; }
  bool columns_known() const override { return true; }
  const std::vector<duckdb::LogicalType>& parameter_types() const override { return parameters_; }
  std::string text;

 private:
  std::vector<duck::NamedType> columns_ = {{"n", duckdb::LogicalType::BIGINT}};
  std::vector<duckdb::LogicalType> parameters_ = {duckdb::LogicalType::BIGINT};
};

/// Knows `count N`, `insert`, `begin`, `rollback`, `hang` (until cancelled); the rest is an error
/// at byte 2.
class FakeSession final : public sql::Session {
 public:
  Result<std::unique_ptr<sql::Prepared>> prepare(std::string_view text) override {
    return std::make_unique<CountPrepared>(std::string(text));
  }
  Result<std::unique_ptr<sql::Rows>> execute(
      sql::Prepared&, const std::vector<duckdb::Value>& parameters) override {
    return count(parameters.at(0).GetValue<int64_t>());
  }
  Result<std::vector<duck::NamedType>> describe(sql::Prepared& prepared,
                                                const std::vector<duckdb::Value>&) override {
    return prepared.columns();
  }
  Result<std::unique_ptr<sql::Rows>> query(std::string_view text) override {
    if (text.starts_with("count ")) {
      return count(std::stoll(std::string(text.substr(6))));
    }
    if (text == "insert") return std::make_unique<NoRows>("INSERT");
    if (text == "BEGIN") state_ = sql::TransactionState::open;
    if (text == "ROLLBACK") state_ = sql::TransactionState::idle;
    if (text == "BEGIN" || text == "ROLLBACK") return std::make_unique<NoRows>(std::string(text));
    if (text == "hang") {
      while (!cancelled) std::this_thread::yield();
      return fail(Error(Code::cancelled, "canceling statement due to user request"));
    }
    return fail(Error(Code::invalid_argument, "no such word").with_hint("think").at(2));
  }
  sql::TransactionState transaction_state() const override { return state_; }
  void cancel() override { cancelled = true; }
  std::atomic<bool> cancelled = false;

 private:
  Error fail(Error error) {
    if (state_ == sql::TransactionState::open) state_ = sql::TransactionState::failed;
    return error;
  }
  std::unique_ptr<sql::Rows> count(int64_t to) {
    cancelled = false;
    return std::make_unique<CountRows>(to, [this]() -> Status {
      if (!cancelled) return {};
      return fail(Error(Code::cancelled, "canceling statement due to user request"));
    });
  }
  sql::TransactionState state_ = sql::TransactionState::idle;
};

class ConversationTest : public testing::Test {
 protected:
  std::string message(char type, const std::string& body) {
    std::string bytes(type == 0 ? 0 : 1, type);
    bytes.resize(bytes.size() + 4);
    store_be(bytes.data() + bytes.size() - 4, static_cast<int32_t>(body.size() + 4));
    return bytes + body;
  }
  std::string startup() { return message(0, "\0\x03\0\0user\0u\0\0"s); }
  /// Sends and runs until more input is wanted; returns the message types and texts that matter.
  std::string talk(const std::string& bytes) {
    conversation_.receive(as_bytes(bytes));
    std::string output;
    while (true) {
      step_ = conversation_.run();
      std::string part = conversation_.take_output();
      longest_ = std::max(longest_, part.size());
      output += part;
      if (step_ != Conversation::Step::write) return summary(output);
      ++pauses_;
    }
  }
  static std::string summary(const std::string& bytes) {
    std::string out;
    size_t rows = 0;
    auto flush_rows = [&] {
      if (rows > 0) out += "D*" + std::to_string(std::exchange(rows, 0)) + " ";
    };
    for (size_t at = 0; at < bytes.size();) {
      if (at + 5 > bytes.size()) return out + std::string(1, bytes[at]);
      char type = bytes[at];
      auto size = static_cast<size_t>(load_be<int32_t>(bytes.data() + at + 1));
      std::string body = bytes.substr(at + 5, size - 4);
      at += 1 + size;
      if (type == 'D') {
        ++rows;
        continue;
      }
      flush_rows();
      out.push_back(type);
      if (type == 'C') out += "(" + body.substr(0, body.size() - 1) + ")";
      if (type == 'Z') out += body;
      if (type == 'E') {
        for (char field : {'C', 'P'}) {
          size_t found = body.find("\0"s + field);
          if (found != std::string::npos) out += "/" + std::string(body.c_str() + found + 2);
        }
      }
      out.push_back(' ');
    }
    flush_rows();
    if (!out.empty()) out.pop_back();
    return out;
  }

  FakeSession* session_ = nullptr;
  CancelRequest other_;
  Conversation conversation_{
      {.output_bytes = 4096,
       .statement_timeout_ms = kTimeoutMs,
       .server_version = "15.0",
       .process = 1,
       .secret = 2},
      {.open_session = [this](const std::string&) -> Result<std::unique_ptr<sql::Session>> {
         auto session = std::make_unique<FakeSession>();
         session_ = session.get();
         return session;
       },
       .cancel_other = [this](const CancelRequest& request) { other_ = request; }}};
  Conversation::Step step_ = Conversation::Step::read;
  size_t pauses_ = 0;
  size_t longest_ = 0;
};

TEST_F(ConversationTest, start_up) {
  EXPECT_EQ(talk(message(0, "\x04\xd2\x16\x2f")), "N");
  std::string greeting = talk(startup());
  EXPECT_TRUE(greeting.starts_with("R S S")) << greeting;
  EXPECT_TRUE(greeting.ends_with("S K ZI")) << greeting;
}

TEST_F(ConversationTest, simple_query_of_several_statements_stops_at_the_first_error) {
  talk(startup());
  EXPECT_EQ(talk(message('Q', "count 2; insert"s + '\0')), "T D*2 C(SELECT 2) C(INSERT 0 5) ZI");
  // Position: byte 2 of the second statement, which begins after "insert;  ".
  EXPECT_EQ(talk(message('Q', "insert;  wrong; insert"s + '\0')), "C(INSERT 0 5) E/42000/12 ZI");
  EXPECT_EQ(talk(message('Q', " ; "s + '\0')), "I ZI");
  EXPECT_EQ(talk(message('Q', "SET application_name = 'x'; SHOW application_name"s + '\0')),
            "S C(SET) T D*1 C(SHOW) ZI");
}

TEST_F(ConversationTest, a_large_answer_comes_in_bounded_pieces) {
  talk(startup());
  EXPECT_EQ(talk(message('Q', "count 100000"s + '\0')), "T D*100000 C(SELECT 100000) ZI");
  EXPECT_GT(pauses_, 20u);
  EXPECT_LT(longest_, 4096u + 1'000 * 20);  // The limit and at most one chunk.
}

TEST_F(ConversationTest, extended_query_with_row_limit) {
  talk(startup());
  std::string parse = message('P', "s\0count $1\0\0\0"s);
  std::string bind = message('B', "p\0s\0\0\0\0\x01\0\0\0\x01\x35\0\0"s);  // $1 = '5'
  std::string execute = message('E', "p\0\0\0\0\x02"s);                    // Two rows at a time.
  std::string sync = message('S', "");
  EXPECT_EQ(talk(parse + message('D', "Ss\0"s) + bind + message('D', "Pp\0"s)), "1 t T 2 T");
  EXPECT_EQ(talk(execute), "D*2 s");
  EXPECT_EQ(talk(execute), "D*2 s");
  EXPECT_EQ(talk(execute + sync), "D*1 C(SELECT 1) ZI");
  EXPECT_EQ(talk(execute + sync), "E/34000 ZI");  // The portal ended with its transaction.
  EXPECT_EQ(talk(message('C', "Ss\0"s) + bind + sync), "3 E/26000 ZI");
}

TEST_F(ConversationTest, after_an_error_everything_is_skipped_to_sync) {
  talk(startup());
  EXPECT_EQ(talk(message('B', "\0nowhere\0\0\0\0\0\0\0"s) + message('E', "\0\0\0\0\0"s) +
                 message('P', "\0count $1\0\0\0"s)),
            "E/26000");
  EXPECT_EQ(talk(message('S', "") + message('Q', "insert"s + '\0')), "ZI C(INSERT 0 5) ZI");
}

TEST_F(ConversationTest, a_failed_transaction_takes_only_its_end) {
  talk(startup());
  EXPECT_EQ(talk(message('Q', "BEGIN ISOLATION LEVEL SERIALIZABLE; wrong"s + '\0')),
            "C(BEGIN) E/42000/39 ZE");
  EXPECT_EQ(talk(message('Q', "insert"s + '\0')), "E/25P02 ZE");
  EXPECT_EQ(talk(message('Q', "abort"s + '\0')), "C(ROLLBACK) ZI");
}

TEST_F(ConversationTest, a_commit_after_a_block_that_was_to_be_undone_is_an_error) {
  talk(startup());
  for (const char* back : {"ROLLBACK TO SAVEPOINT s", "rollback work to s"}) {
    talk(message('Q', "BEGIN"s + '\0'));
    EXPECT_EQ(talk(message('Q', "SAVEPOINT s; insert"s + '\0')), "C(SAVEPOINT) C(INSERT 0 5) ZT");
    EXPECT_TRUE(talk(message('Q', back + "\0"s)).ends_with("ZE"));
    EXPECT_EQ(talk(message('Q', "insert"s + '\0')), "E/25P02 ZE");
    EXPECT_EQ(talk(message('Q', "COMMIT"s + '\0')), "E/0A000 ZI") << "it must not look committed";
    EXPECT_EQ(talk(message('Q', "BEGIN; insert; ROLLBACK"s + '\0')),
              "C(BEGIN) C(INSERT 0 5) C(ROLLBACK) ZI");
  }
}

TEST_F(ConversationTest, copy_over_the_connection_is_refused) {
  talk(startup());
  EXPECT_EQ(talk(message('Q', "COPY t FROM STDIN"s + '\0')), "E/0A000 ZI");
  EXPECT_EQ(talk(message('Q', "COPY (SELECT 1) TO STDOUT"s + '\0')), "E/0A000 ZI");
}

TEST_F(ConversationTest, cancel_stops_only_what_runs) {
  talk(startup());
  conversation_.cancel();
  EXPECT_FALSE(session_->cancelled);
  std::thread canceller([this] {
    while (!session_->cancelled) {
      conversation_.cancel();
      std::this_thread::yield();
    }
  });
  EXPECT_EQ(talk(message('Q', "hang"s + '\0')), "E/57014 ZI");
  canceller.join();
}

TEST_F(ConversationTest, CancelReachesWhatIsQueued) {
  talk(startup());
  conversation_.queued();
  conversation_.cancel();
  EXPECT_EQ(talk(message('Q', "insert; count 1"s + '\0')), "E/57014 ZI") << "it never began";
  EXPECT_EQ(talk(message('Q', "count 1"s + '\0')), "T D*1 C(SELECT 1) ZI");
  conversation_.queued();
  conversation_.receive(as_bytes(message('Q', "count 100000"s + '\0')));
  ASSERT_EQ(conversation_.run(), Conversation::Step::write) << "rows wait for the client";
  conversation_.queued();
  conversation_.cancel();
  std::string rest = talk("");
  EXPECT_TRUE(rest.ends_with("E/57014 ZI")) << rest;
}

TEST_F(ConversationTest, WithinATransactionOnlyTheSessionEndsAStatement) {
  talk(startup());
  for (bool cancelled : {true, false}) {
    talk(message('Q', "BEGIN"s + '\0'));
    session_->cancelled = false;
    conversation_.queued();
    if (cancelled) conversation_.cancel();
    if (!cancelled) std::this_thread::sleep_for(std::chrono::milliseconds(kTimeoutMs));
    std::thread watch([this] {
      while (!session_->cancelled) {
        conversation_.check_time();
        std::this_thread::yield();
      }
    });
    EXPECT_EQ(talk(message('Q', "hang"s + '\0')), "E/57014 ZE") << "the session was asked";
    watch.join();
    talk(message('Q', "ROLLBACK"s + '\0'));
  }
}

TEST_F(ConversationTest, CancelReachesAnAnswerWhoseRowsWaitForTheClient) {
  talk(startup());
  for (bool in_transaction : {false, true}) {
    const std::string end = in_transaction ? "E/57014 ZE" : "E/57014 ZI";
    if (in_transaction) talk(message('Q', "BEGIN"s + '\0'));
    conversation_.queued();
    conversation_.receive(as_bytes(message('Q', "count 100000; insert"s + '\0')));
    ASSERT_EQ(conversation_.run(), Conversation::Step::write);
    conversation_.cancel();
    conversation_.take_output();
    conversation_.queued();  // When the client has read what was written.
    std::string rest = talk("");
    EXPECT_TRUE(rest.ends_with(end)) << rest;
    EXPECT_EQ(rest.find("INSERT"), std::string::npos) << "the rest of the query went with it";
    if (in_transaction) talk(message('Q', "ROLLBACK"s + '\0'));
    conversation_.cancel();
    EXPECT_EQ(talk(message('Q', "count 1"s + '\0')), "T D*1 C(SELECT 1) ZI") << "too late";
  }
}

TEST_F(ConversationTest, TheTimeOfRowsThatWaitForTheClientIsTheStatements) {
  talk(startup());
  talk(message('Q', "BEGIN"s + '\0'));
  conversation_.receive(as_bytes(message('Q', "count 100000"s + '\0')));
  ASSERT_EQ(conversation_.run(), Conversation::Step::write);
  conversation_.take_output();
  std::this_thread::sleep_for(std::chrono::milliseconds(kTimeoutMs));
  conversation_.queued();
  std::string rest = talk("");
  EXPECT_TRUE(rest.ends_with("E/57014 ZE")) << rest;
}

TEST_F(ConversationTest, TheTimeInTheQueueIsTheStatements) {
  talk(startup());
  conversation_.queued();
  EXPECT_EQ(talk(message('Q', "count 1"s + '\0')), "T D*1 C(SELECT 1) ZI");
  conversation_.queued();
  std::this_thread::sleep_for(std::chrono::milliseconds(kTimeoutMs));
  EXPECT_EQ(talk(message('Q', "insert; count 1"s + '\0')), "E/57014 ZI") << "it never began";
  EXPECT_EQ(talk(message('Q', "count 1"s + '\0')), "T D*1 C(SELECT 1) ZI");
}

TEST_F(ConversationTest, a_cancel_request_is_passed_on_and_the_connection_ends) {
  talk(message(0, "\x04\xd2\x16\x2e\0\0\0\x07\0\0\0\x09"s));
  EXPECT_EQ(other_.process, 7);
  EXPECT_EQ(other_.secret, 9);
  EXPECT_EQ(step_, Conversation::Step::close);
}

TEST_F(ConversationTest, garbage_ends_the_connection_with_a_reason) {
  EXPECT_EQ(talk("GET / HTTP/1.1\r\n\r\n"), "E/08P01");
  EXPECT_EQ(step_, Conversation::Step::close);
}

TEST_F(ConversationTest, limits_are_kept) {
  talk(startup());
  std::string parses;
  for (int i = 0; i < 1'001; ++i) {
    parses += message('P', "s" + std::to_string(i) + "\0count $1\0\0\0"s);
  }
  std::string answers = talk(parses + message('S', ""));
  EXPECT_TRUE(answers.ends_with("1 E/53000 ZI")) << answers.substr(answers.size() - 30);
}

TEST_F(ConversationTest, a_stopping_server_says_so) {
  talk(startup());
  conversation_.shut_down();
  EXPECT_EQ(talk(""), "E/57P01");
  EXPECT_EQ(step_, Conversation::Step::close);
}

}  // namespace
}  // namespace ziwa::protocol::postgres
