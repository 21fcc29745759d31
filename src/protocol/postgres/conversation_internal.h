#pragma once

#include "protocol/postgres/catalog_words.h"
#include "protocol/postgres/conversation.h"

namespace ziwa::protocol::postgres {

struct Conversation::Statement {
  explicit Statement(ByteShare kept) : share(std::move(kept)) {}
  ByteShare share;
  std::string text;
  bool empty = false;
  std::optional<DoorAnswer> door;  ///< What the door would answer: its shape only.
  std::unique_ptr<sql::Prepared> prepared;
  std::vector<uint32_t> parameter_oids;  ///< Declared by the client; 0 where it left that open.
  /// The columns that the client was told in answer to Describe of the statement.
  Told told;

  const std::vector<duckdb::LogicalType>& parameter_types() const {
    static const std::vector<duckdb::LogicalType> kNone;
    return prepared ? prepared->parameter_types() : kNone;
  }
};

struct Conversation::Execution {
  std::unique_ptr<sql::Rows> rows;
  std::optional<RowWriter> writer;
  Columns columns;
  size_t next_row = 0;
  bool loaded = false;    ///< `columns` holds a chunk with rows left.
  uint64_t rows_max = 0;  ///< Of this Execute; 0: all.
  uint64_t sent = 0;      ///< In this Execute.
  bool done = false;
};

struct Conversation::Portal {
  explicit Portal(ByteShare kept) : share(std::move(kept)) {}
  ByteShare share;
  std::shared_ptr<Statement> statement;  ///< Outlives the execution, whatever happens to its name.
  std::vector<duckdb::Value> parameters;
  std::vector<int16_t> formats;
  Told told;  ///< As Statement::told, and before it.
  std::unique_ptr<Execution> execution;
};

inline constexpr const char* kAskedTo = "the client asked for it";

template <typename Call>
auto Conversation::running(Call&& call) {
  using Outcome = decltype(call());
  auto too_late = [this] {
    return Error(Code::cancelled, "the statement was cancelled after {} ms",
                 options_.statement_timeout_ms)
        .with_hint("setting sql.statement.timeout");
  };
  {
    std::lock_guard lock(cancel_mutex_);
    auto since = std::exchange(queued_at_, std::nullopt);
    if (!active_) begin_time(since);  // Rows belong to the statement that they come from.
    cancel_wanted_ = std::exchange(cancel_pending_, false) || cancel_wanted_;
    const bool late = time_is_up();
    // Within a transaction the session stops its statement itself: one begins, to be stopped by
    // check_time(), so that a ROLLBACK may be over before; one that has rows left is stopped here.
    if (session_->transaction_state() == sql::TransactionState::idle) {
      if (cancel_wanted_) {
        return Outcome(Error(Code::cancelled, "the statement was cancelled").with_hint(kAskedTo));
      }
      if (late) return Outcome(too_late());
    } else if (active_ && (cancel_wanted_ || late)) {
      timed_out_ = !cancel_wanted_;
      session_->cancel();
    }
    running_ = true;
  }
  auto result = call();
  std::lock_guard lock(cancel_mutex_);
  running_ = false;
  if (!result && result.error().code() == Code::cancelled && !stopping_) {
    result = timed_out_ ? too_late() : std::move(result).error().with_hint(kAskedTo);
  }
  return result;
}

/// Errors: unsupported for a COPY whose rows go over the connection.
Status refuse_copy(std::string_view text);
/// An error of the plain words, pointing into what the client sent.
Error relocate(Error error, const PlainWords& plain);
/// Errors: invalid_argument for what is not valid UTF-8.
Status check_text(std::string_view text);

}  // namespace ziwa::protocol::postgres
