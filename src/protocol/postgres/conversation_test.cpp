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

/// Takes a number where it says $1.
class FakePrepared final : public sql::Prepared {
 public:
  explicit FakePrepared(std::string given) : text(std::move(given)) {
    if (text.find("$1") == std::string::npos) parameters_.clear();
  }
  const std::vector<duck::NamedType>& columns() const override { return columns_; }
  bool columns_known() const override { return true; }
  const std::vector<duckdb::LogicalType>& parameter_types() const override { return parameters_; }
  std::string text;

 private:
  std::vector<duck::NamedType> columns_ = {{"n", duckdb::LogicalType::BIGINT}};
  std::vector<duckdb::LogicalType> parameters_ = {duckdb::LogicalType::BIGINT};
};

/// Knows `count N`, `insert`, BEGIN, COMMIT, ROLLBACK, SET, RESET, `hang` (until cancelled); the
/// rest is an error at byte 2.
class FakeSession final : public sql::Session {
 public:
  Result<std::unique_ptr<sql::Prepared>> prepare(std::string_view text) override {
    return std::make_unique<FakePrepared>(std::string(text));
  }
  Result<std::unique_ptr<sql::Rows>> execute(
      sql::Prepared& prepared, const std::vector<duckdb::Value>& parameters) override {
    if (parameters.empty()) return query(static_cast<FakePrepared&>(prepared).text);
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
    if (text == "insert") {
      ++(state_ == sql::TransactionState::idle ? stored : held_);
      return std::make_unique<NoRows>("INSERT");
    }
    if (text == "BEGIN") state_ = sql::TransactionState::open;
    if (text == "COMMIT" || text == "ROLLBACK") return end(text == "COMMIT");
    const bool sets = text.starts_with("SET ") || text == "RESET search_path";
    const bool refused = !refused_setting.empty() && text.find(refused_setting) != text.npos;
    if (sets && !refused && text.find("nope") == std::string_view::npos) {
      settings.emplace_back(text);
      return std::make_unique<NoRows>("SET");
    }
    if (text == "BEGIN") return std::make_unique<NoRows>("BEGIN");
    if (text == "hang") {
      while (!cancelled) std::this_thread::yield();
      return fail(Error(Code::cancelled, "canceling statement due to user request"));
    }
    return fail(Error(Code::invalid_argument, "no such word").with_hint("think").at(2));
  }
  sql::TransactionState transaction_state() const override { return state_; }
  void fail_transaction() override {
    if (state_ == sql::TransactionState::open) state_ = sql::TransactionState::failed;
  }
  void cancel() override { cancelled = true; }
  std::atomic<bool> cancelled = false;
  int stored = 0;  ///< Inserts that are committed.
  std::string refused_setting;
  std::vector<std::string> settings;

 private:
  Error fail(Error error) {
    fail_transaction();
    return error;
  }
  std::unique_ptr<sql::Rows> end(bool commit) {
    const bool kept = commit && state_ != sql::TransactionState::failed;
    stored += kept ? std::exchange(held_, 0) : 0;
    held_ = 0;
    state_ = sql::TransactionState::idle;
    return std::make_unique<NoRows>(kept ? "COMMIT" : "ROLLBACK");
  }
  std::unique_ptr<sql::Rows> count(int64_t to) {
    cancelled = false;
    return std::make_unique<CountRows>(to, [this]() -> Status {
      if (!cancelled) return {};
      return fail(Error(Code::cancelled, "canceling statement due to user request"));
    });
  }
  sql::TransactionState state_ = sql::TransactionState::idle;
  int held_ = 0;
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
  std::string startup(const std::string& name, const std::string& value) {
    return message(0, "\0\x03\0\0user\0u\0"s + name + '\0' + value + "\0\0"s);
  }
  std::string query(const std::string& sql) { return message('Q', sql + '\0'); }
  std::string parse(const std::string& name, const std::string& sql) {
    return message('P', name + '\0' + sql + "\0\0\0"s);
  }
  /// One statement by Parse, Bind, Execute, under no name.
  std::string extended(const std::string& sql) {
    return parse("", sql) + message('B', "\0\0\0\0\0\0\0\0"s) + message('E', "\0\0\0\0\0"s);
  }
  /// Sends and runs until more input is wanted; returns the message types and texts that matter.
  std::string talk(const std::string& bytes) { return talk(conversation_, bytes); }
  std::string talk(Conversation& conversation, const std::string& bytes) {
    conversation.receive(as_bytes(bytes));
    last_output_.clear();
    while (true) {
      step_ = conversation.run();
      std::string part = conversation.take_output();
      longest_ = std::max(longest_, part.size());
      last_output_ += part;
      if (step_ != Conversation::Step::write) return summary(last_output_);
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
  std::string refused_setting_;  ///< By sessions that are opened from now on.
  CancelRequest other_;
  std::string last_output_;
  Conversation begin() {
    return Conversation(
        {.output_bytes = 4096,
         .memory_bytes_max = 8u << 20,
         .statement_timeout_ms = kTimeoutMs,
         .server_version = "15.0",
         .process = 1,
         .secret = 2},
        {.open_session = [this](const std::string&) -> Result<std::unique_ptr<sql::Session>> {
           auto session = std::make_unique<FakeSession>();
           session->refused_setting = refused_setting_;
           if (refused_setting_.empty()) session_ = session.get();
           return session;
         },
         .cancel_other = [this](const CancelRequest& request) { other_ = request; }});
  }
  Conversation conversation_ = begin();
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

/// What the door refuses by itself: the messages, the error that answers them.
struct Refusal {
  std::string messages;
  std::string error;
};

TEST_F(ConversationTest, AFunctionCallIsRefusedWithoutASync) {
  talk(startup());
  EXPECT_EQ(talk(message('F', "\0\0\0\1\0\0\0\0\0\0"s)), "E/0A000 ZI");
  EXPECT_EQ(talk(query("insert")), "C(INSERT 0 5) ZI");
  talk(query("BEGIN"));
  EXPECT_EQ(talk(message('F', "\0\0\0\1\0\0\0\0\0\0"s)), "E/0A000 ZE");
}

TEST_F(ConversationTest, EveryRefusalOfTheDoorFailsTheTransaction) {
  const std::string sync = message('S', "");
  const std::string there = parse("there", "count $1") + sync;
  auto bind = [&](const std::string& portal, const std::string& rest) {
    return message('B', portal + "\0there\0"s + rest) + sync;
  };
  const std::string five = "\0\0\0\x01\0\0\0\x01\x35\0\0"s;
  std::string statements;
  std::string portals;
  for (int i = 0; i < 1'001; ++i) {
    statements += parse("s" + std::to_string(i), "count $1");
    portals += message('B', "p" + std::to_string(i) + "\0there\0"s + five);
  }
  const Refusal refusals[] = {
      {parse("there", "count $1") + sync, "E/42P05"},
      {parse("two", "insert; insert") + sync, "E/42601/9"},
      {parse("", "insert \xff") + sync, "E/42000"},
      {parse("", "COPY t FROM STDIN") + sync, "E/0A000"},
      {parse("", "SET TimeZone = 'Africa/Nairobi'") + sync, "E/0A000"},
      {parse("", "count $1" + std::string(2u << 20, ' ')) + sync, "E/53200"},
      {bind("", "\0\0\0\0\0\0"s), "E/42P02"},
      {bind("", "\0\0\0\x01\0\0\0\x01x\0\0"s), "E/22P02"},
      {bind("", "\0\x01\0\x01\0\x01\0\0\0\x03odd\0\0"s), "E/22P02"},
      {message('B', "\0nowhere\0\0\0\0\0\0\0"s) + sync, "E/26000"},
      {message('D', "Snowhere\0"s) + sync, "E/26000"},
      {message('D', "Pnowhere\0"s) + sync, "E/34000"},
      {message('E', "nowhere\0\0\0\0\0"s) + sync, "E/34000"},
      {message('B', "twice\0there\0"s + five) + bind("twice", five), "E/42P03"},
      {statements + sync, "E/53000"},
      {portals + sync, "E/53000"},
      {message('v', "") + sync, "E/0A000"},
      {query("COPY t FROM STDIN"), "E/0A000"},
      {query("SET client_encoding = 'latin1'"), "E/0A000"},
      {query("SET TRANSACTION READ ONLY"), "E/0A000"},
      {query("insert; SET server_version = '9'; insert"), "E/42501"},
      {query("\xff"), "E/42000"},
  };
  for (const auto& [messages, error] : refusals) {
    SCOPED_TRACE(error + " of " + messages.substr(0, 60));
    for (bool in_transaction : {false, true}) {
      Conversation conversation = begin();
      talk(conversation, startup());
      talk(conversation, there);
      if (in_transaction) talk(conversation, query("BEGIN"));
      talk(conversation, query("insert"));
      std::string refused = talk(conversation, messages);
      const std::string end = in_transaction ? " ZE" : " ZI";
      EXPECT_TRUE(refused.ends_with(error + end)) << refused;
      if (!in_transaction) continue;
      EXPECT_EQ(talk(conversation, query("insert")), "E/25P02 ZE");
      EXPECT_EQ(talk(conversation, query("COMMIT")), "C(ROLLBACK) ZI");
      EXPECT_EQ(session_->stored, 0);
      EXPECT_EQ(talk(conversation, query("insert")), "C(INSERT 0 5) ZI");
    }
  }
}

TEST_F(ConversationTest, OfAPipelineWithARefusalNothingIsCommitted) {
  talk(startup());
  const std::string refused = message('B', "\0nowhere\0\0\0\0\0\0\0"s);
  EXPECT_EQ(talk(extended("BEGIN") + extended("insert") + refused + extended("insert") +
                 extended("COMMIT") + message('S', "")),
            "1 2 C(BEGIN) 1 2 C(INSERT 0 5) E/26000 ZE");
  EXPECT_EQ(talk(extended("insert") + message('S', "")), "E/25P02 ZE");
  EXPECT_EQ(talk(extended("COMMIT") + message('S', "")), "1 2 C(ROLLBACK) ZI");
  EXPECT_EQ(session_->stored, 0);
  EXPECT_EQ(talk(extended("BEGIN") + extended("insert") + extended("COMMIT") + message('S', "")),
            "1 2 C(BEGIN) 1 2 C(INSERT 0 5) 1 2 C(COMMIT) ZI");
  EXPECT_EQ(session_->stored, 1);
}

TEST_F(ConversationTest, SavepointsAreForTransactions) {
  talk(startup());
  for (const char* statement : {"SAVEPOINT a", "RELEASE a", "RELEASE SAVEPOINT a"}) {
    EXPECT_EQ(talk(query(statement)), "E/25P01 ZI");
    EXPECT_EQ(talk(extended(statement) + message('S', "")), "1 2 E/25P01 ZI");
  }
  EXPECT_EQ(talk(query("BEGIN; SAVEPOINT a; RELEASE a")), "C(BEGIN) C(SAVEPOINT) C(RELEASE) ZT");
  EXPECT_EQ(talk(extended("SAVEPOINT b") + extended("RELEASE SAVEPOINT b") + message('S', "")),
            "1 2 C(SAVEPOINT) 1 2 C(RELEASE) ZT");
  EXPECT_EQ(talk(query("SAVEPOINT c; COMMIT; BEGIN; RELEASE c")),
            "C(SAVEPOINT) C(COMMIT) C(BEGIN) E/3B001 ZE");
  EXPECT_EQ(talk(query("COMMIT; BEGIN")), "C(ROLLBACK) C(BEGIN) ZT");
  EXPECT_EQ(talk(extended("RELEASE c") + message('S', "")), "1 2 E/3B001 ZE");
}

TEST_F(ConversationTest, ParsingACommitEndsNothing) {
  talk(startup());
  const std::string sync = message('S', "");
  const std::string execute = message('B', "\0early\0\0\0\0\0\0\0"s) + message('E', "\0\0\0\0\0"s);
  talk(parse("early", "COMMIT") + sync);
  EXPECT_TRUE(talk(query("BEGIN; insert; SAVEPOINT s; ROLLBACK TO s")).ends_with("ZE"));
  EXPECT_EQ(talk(parse("late", "COMMIT") + sync), "1 ZE") << "only prepared";
  EXPECT_EQ(talk(execute + sync), "2 E/0A000 ZI");
  EXPECT_EQ(session_->stored, 0);
  EXPECT_TRUE(talk(query("BEGIN; insert")).ends_with("ZT"));
  EXPECT_EQ(talk(extended("ROLLBACK TO s") + sync), "1 2 E/42000/3 ZE");
  EXPECT_EQ(talk(parse("later", "COMMIT") + sync), "1 ZE");
  EXPECT_EQ(talk(execute + sync), "2 E/0A000 ZI");
}

TEST_F(ConversationTest, StartOptionsAreSetAsSetWould) {
  std::string greeting = talk(startup(
      "options", "-c search_path=it\\'s\\  --application-name=me -c statement_timeout=5 -cx=y"));
  EXPECT_TRUE(greeting.starts_with("R S S") && greeting.ends_with("K ZI")) << greeting;
  EXPECT_EQ(session_->settings,
            (std::vector<std::string>{"SET search_path = 'it''s '", "SET x = 'y'"}));
  EXPECT_NE(last_output_.find("application_name\0me"s), std::string::npos);
}

TEST_F(ConversationTest, ASearchPathOfItsOwnIsSetToo) {
  EXPECT_TRUE(talk(startup("search_path", "ziwa")).ends_with("ZI"));
  EXPECT_EQ(session_->settings, std::vector<std::string>{"SET search_path = 'ziwa'"});
}

TEST_F(ConversationTest, StartOptionsThatSetRefusesEndTheConnection) {
  const std::pair<const char*, const char*> refused[] = {
      {"-c default_transaction_read_only=on", "E/0A000"},
      {"-c client_encoding=latin1", "E/0A000"},
      {"-c a=b --DateStyle=German", "E/0A000"},
      {"-c TimeZone=Africa/Nairobi", "E/0A000"},
      {"--server-version=9", "E/42501"},
      {"-c nope=1", "E/42000"},
      {"-c", "E/42601"},
      {"-d 5", "E/42601"},
  };
  for (const auto& [options, error] : refused) {
    Conversation conversation = begin();
    std::string answer = talk(conversation, startup("options", options));
    EXPECT_EQ(step_, Conversation::Step::close) << options;
    EXPECT_TRUE(answer.starts_with(error)) << options << ": " << answer;
    EXPECT_NE(last_output_.find("SFATAL\0"s), std::string::npos) << options;
    EXPECT_EQ(answer.find('Z'), std::string::npos) << options;
  }
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

TEST_F(ConversationTest, DiscardAllIsNotForTransactions) {
  talk(startup());
  for (const std::string& discard : {query("DISCARD ALL"), extended("DISCARD ALL")}) {
    const bool simple = discard.front() == 'Q';
    talk(query("BEGIN"));
    std::string answer = talk(discard + (simple ? "" : message('S', "")));
    EXPECT_TRUE(answer.ends_with("E/25001 ZE")) << answer;
    EXPECT_EQ(talk(query("COMMIT")), "C(ROLLBACK) ZI");
    answer = talk(discard + (simple ? "" : message('S', "")));
    EXPECT_TRUE(answer.ends_with("C(DISCARD ALL) ZI")) << answer;
  }
}

TEST_F(ConversationTest, DiscardAllGivesWhatANewConnectionHas) {
  talk(startup("options", "-c search_path=ziwa --application-name=me"));
  for (const std::string& discard :
       {query("DISCARD ALL"), extended("DISCARD ALL") + message('S', "")}) {
    talk(parse("kept", "insert") + query("SET application_name = 'other'"));
    session_->stored = 1;
    std::string answer = talk(discard);
    EXPECT_TRUE(answer.ends_with("C(DISCARD ALL) ZI")) << answer;
    EXPECT_NE(last_output_.find("application_name\0me"s), std::string::npos);
    EXPECT_EQ(session_->stored, 0) << "a session of its own";
    EXPECT_EQ(session_->settings, std::vector<std::string>{"SET search_path = 'ziwa'"});
    EXPECT_EQ(talk(query("DEALLOCATE kept")), "E/42000/3 ZI")
        << "the session does not know it either";
  }
}

TEST_F(ConversationTest, ResetGoesBackToTheStart) {
  talk(startup("options", "-c search_path=ziwa --application-name=me"));
  for (const std::string& reset : {"RESET application_name", "SET application_name = DEFAULT"}) {
    talk(query("SET application_name = 'other'"));
    talk(query(reset));
    EXPECT_NE(last_output_.find("application_name\0me"s), std::string::npos) << reset;
  }
  const std::vector<std::string> path = {"SET search_path = 'ziwa'"};
  for (const std::string& reset :
       {query("RESET search_path"), query("SET search_path TO DEFAULT"), query("RESET ALL"),
        extended("RESET search_path") + message('S', "")}) {
    session_->settings.clear();
    EXPECT_TRUE(talk(reset).ends_with("ZI"));
    EXPECT_EQ(session_->settings, path) << reset;
  }
}

TEST_F(ConversationTest, WithoutAPathAtTheStartItIsTheServers) {
  talk(startup());
  talk(query("RESET ALL; RESET search_path"));
  EXPECT_EQ(session_->settings,
            (std::vector<std::string>{"RESET search_path", "RESET search_path"}));
}

TEST_F(ConversationTest, DiscardAllThatFailsChangesNothing) {
  talk(startup("options", "-c search_path=ziwa --application-name=me"));
  talk(parse("kept", "insert") + query("SET application_name = 'other'"));
  session_->stored = 1;
  refused_setting_ = "search_path";
  EXPECT_TRUE(talk(query("DISCARD ALL")).find("E/") == 0);
  session_->refused_setting = "search_path";
  EXPECT_TRUE(talk(query("RESET ALL")).find("E/") == 0);
  refused_setting_.clear();
  talk(query("SHOW application_name"));
  EXPECT_NE(last_output_.find("other"), std::string::npos);
  EXPECT_EQ(talk(query("DEALLOCATE kept")), "C(DEALLOCATE) ZI");
}

TEST_F(ConversationTest, WordsBehindAreNoPartOfIt) {
  talk(startup());
  for (const char* statement : {"DISCARD ALL foo", "RESET ALL foo"}) {
    EXPECT_TRUE(talk(query(statement)).find("C(") == std::string::npos) << statement;
  }
}

TEST_F(ConversationTest, WhatTheClientCancelledSaysSo) {
  talk(startup());
  conversation_.queued();
  conversation_.cancel();
  talk(query("insert"));
  EXPECT_NE(last_output_.find("the client asked"), std::string::npos) << "it never began";
  conversation_.receive(as_bytes(query("count 100000")));
  ASSERT_EQ(conversation_.run(), Conversation::Step::write);
  conversation_.queued();
  conversation_.cancel();
  talk("");
  EXPECT_NE(last_output_.find("the client asked"), std::string::npos) << "it had begun";
  conversation_.queued();
  std::this_thread::sleep_for(std::chrono::milliseconds(kTimeoutMs));
  talk(query("insert"));
  EXPECT_EQ(last_output_.find("the client asked"), std::string::npos) << "its time was up";
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
