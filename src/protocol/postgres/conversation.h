#pragma once

#include "base/result.h"
#include "protocol/listen/byte_budget.h"
#include "protocol/postgres/client_settings.h"
#include "protocol/postgres/messages.h"
#include "protocol/postgres/savepoints.h"
#include "protocol/postgres/types.h"
#include "sql/database.h"

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ziwa::protocol::postgres {

/// One client's conversation without its socket: bytes in, bytes out. receive(), run() and
/// take_output() on one thread at a time (run() blocks on SQL); cancel(), abandon(), check_time()
/// and shut_down() from any.
class Conversation {
 public:
  struct Options {
    MessageLimits limits;
    /// run() pauses when this much output waits, so that a slow reader holds no more.
    size_t output_bytes = 256u << 10;
    size_t statements_max = 1'000;
    size_t portals_max = 1'000;
    /// What the client has sent and is kept: half messages, statements, parameters.
    size_t memory_bytes_max = 256u << 20;
    std::shared_ptr<ByteBudget> memory;  ///< The same of all connections; null: no such limit.
    int64_t statement_timeout_ms = 0;    ///< 0: none.
    std::string server_version;
    int32_t process = 0;  ///< What the client names in a cancel request.
    int32_t secret = 0;
  };
  struct Environment {
    std::function<Result<std::unique_ptr<sql::Session>>(const std::string& user)> open_session;
    std::function<void(const CancelRequest&)> cancel_other;
  };
  enum class Step : unsigned char {
    read,   ///< Write the output, then receive() more.
    write,  ///< Write the output, then run() again: more is to come.
    close,  ///< Write the output, then hang up.
  };

  Conversation(Options options, Environment environment);
  ~Conversation();
  void receive(ByteView bytes);
  /// Has a message begun that is not whole? Ask when run() wants to read.
  bool mid_message() const { return reader_.buffered() > 0; }
  /// The number of messages that were whole.
  uint64_t messages() const { return reader_.frames(); }
  /// run() will be called when there is a thread: the time of the next statement begins.
  void queued();
  Step run();
  std::string take_output() { return out_.take(); }
  /// The start-up packet was taken, which run() does without SQL: what follows may wait for SQL,
  /// and the client may be as slow as it likes.
  bool started() const { return session_ != nullptr; }
  /// Stops the running statement, if there is one.
  void cancel();
  /// The client has gone: stops the running statement, and the next run() closes.
  void abandon();
  /// Stops the running statement if its time is up.
  void check_time();
  /// Ends the session and what belongs to it; blocks. Nothing but cancel() and shut_down() may
  /// follow.
  void close();
  /// The server stops: cancels, and lets the next run() say so and close.
  void shut_down();

 private:
  struct Statement;
  struct Execution;
  struct Portal;
  /// The columns that a client was told of.
  using Told = std::optional<std::vector<duck::NamedType>>;

  Step run_steps();
  std::optional<Step> step();
  void set_answering(bool answering);
  Step fatal(const Error& error, std::string_view sqlstate = {});
  std::optional<Step> on_startup(ByteView body);
  std::optional<Step> on_start(const Startup& startup);
  static std::string user_of(const Startup& startup);
  /// Applies the settings of the start-up packet; those of the database wait for its session.
  Status start_settings(const Startup& startup);
  std::optional<Step> greet();
  std::optional<Step> on_message(const Frame& frame);
  void on_query(const Query& query);
  Status on_parse(const Parse& parse);
  Status on_bind(const Bind& bind);
  Status on_describe(const Describe& describe);
  Status on_execute(const Execute& execute);
  Status on_close(const Close& close);
  void on_sync();

  /// Runs the next statement of a simple query.
  void next_simple();
  Status run_simple(const sql::StatementText& statement);
  /// Sends rows of the active execution until it ends or the output is full.
  void pump();
  void finish_active();
  void fail(const Error& error);
  /// The one way by which an error reaches a client that stays connected: it fails the transaction.
  void fail(Report report);
  /// fail() with a SQLSTATE of the protocol itself; succeeds, so that callers can return it.
  Status refuse(std::string_view sqlstate, std::string message);
  void end_simple();

  Result<std::shared_ptr<Statement>> prepare(std::string_view text, ByteShare share);
  Status begin_execution(Portal& portal);
  /// What the statement gives for these values; nothing after a failure, which is then reported.
  Told columns_of(Statement& statement, const std::vector<duckdb::Value>& parameters);
  /// Statements that are the door's own: settings, DEALLOCATE.
  Result<std::optional<DoorAnswer>> door_answer(std::string_view text);
  /// DISCARD ALL: as if the client had just connected.
  Status renew_session();
  /// What the client asked for at the start, as statements for the session.
  std::vector<std::string> start_statements() const;
  bool began_with(std::string_view name) const;
  std::optional<std::pair<std::string, std::string>> back_to_start(
      const std::vector<std::string>& words) const;
  Status run_in_session(const std::string& statement);
  void describe_rows(const Execution& execution);
  void describe_columns(const Statement& statement, const Told& told,
                        const std::vector<int16_t>& formats);
  void answer_door(const DoorAnswer& answer);
  /// May `text` be parsed in this state of the transaction?
  Status check_transaction(std::string_view text);
  /// And may it run? Ends the transaction when a COMMIT may not.
  Status check_run(std::string_view text);
  Status refuse_commit();
  /// Whether `text` cannot run in the transaction that is open.
  bool out_of_place(std::string_view text) const;
  Status refuse_in_transaction();
  char transaction_status() const;
  template <typename Call>
  auto running(Call&& call);
  /// Of the next statement; under cancel_mutex_, as the next one.
  void begin_time(std::optional<std::chrono::steady_clock::time_point> queued);
  bool time_is_up() const;
  /// Room for what the client asks to keep; after a refusal, which is then reported, nothing.
  std::optional<ByteShare> keep(size_t bytes);

  Options options_;
  Environment environment_;
  ByteBudget memory_;  ///< Before what has shares of it.
  ByteShare input_share_{memory_};
  bool input_refused_ = false;  ///< What arrived does not fit.
  FrameReader reader_;
  MessageWriter out_;
  ClientSettings settings_;
  Savepoints savepoints_;
  std::unique_ptr<sql::Session> session_;
  std::string user_;
  /// Of the start-up packet, for the session.
  std::vector<std::pair<std::string, std::string>> session_settings_;
  std::map<std::string, std::shared_ptr<Statement>, std::less<>> statements_;
  std::map<std::string, std::unique_ptr<Portal>, std::less<>> portals_;

  std::string simple_text_;
  std::vector<sql::StatementText> simple_;
  size_t simple_next_ = 0;
  std::unique_ptr<Execution> simple_execution_;
  Execution* active_ = nullptr;
  bool in_simple_ = false;
  bool in_startup_ = true;
  bool greeted_ = false;  ///< The client was told that it may begin.
  bool skip_to_sync_ = false;
  bool undone_in_part_ = false;  ///< The transaction was asked to go back to a savepoint.

  std::atomic<bool> stopping_ = false;
  std::atomic<bool> abandoned_ = false;
  std::mutex cancel_mutex_;
  // Guarded by cancel_mutex_:
  bool running_ = false;    ///< A statement is in the session's hands.
  bool timed_out_ = false;  ///< check_time() has stopped it.
  std::chrono::steady_clock::time_point begun_;
  /// Since when the next statement waits for run() to begin it.
  std::optional<std::chrono::steady_clock::time_point> queued_at_;
  bool answering_ = false;  ///< An answer has begun and is not at its end.
  bool cancel_pending_ =
      false;                    ///< Came while no statement ran: for the one that waits or answers.
  bool cancel_wanted_ = false;  ///< And was taken by it.
};

}  // namespace ziwa::protocol::postgres
