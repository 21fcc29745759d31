#pragma once

#include "duck/catalog_api.h"
#include "sql/core.h"
#include "sql/database.h"
#include "sql/ddl.h"
#include "sql/rewrite.h"
#include "sql/session_state.h"
#include "sql/statement.h"

#include <memory>
#include <string>
#include <vector>

namespace ziwa::sql {

/// A statement that was parsed, and for DuckDB's own also bound.
class PreparedStatement final : public Prepared {
 public:
  const std::vector<duck::NamedType>& columns() const override { return columns_; }
  bool columns_known() const override { return columns_known_; }
  const std::vector<duckdb::LogicalType>& parameter_types() const override { return parameters_; }

 private:
  friend class SessionImpl;
  std::string sql_;
  Statement statement_;
  Rewritten rewritten_;                                 ///< What DuckDB prepared.
  duckdb::unique_ptr<duckdb::PreparedStatement> duck_;  ///< Null for statements of ours.
  std::string command_;
  bool executed_ = false;
  uint64_t names_ = 0;       ///< SessionImpl::names_ when DuckDB bound it.
  std::string attached_as_;  ///< Of ATTACH: the file's name.
  std::vector<duck::NamedType> columns_;
  bool columns_known_ = true;
  std::vector<duckdb::LogicalType> parameters_;
};

/// See Session. One thread at a time; cancel() from any.
class SessionImpl final : public Session {
 public:
  static Result<std::unique_ptr<SessionImpl>> open(std::shared_ptr<Core> core,
                                                   const std::string& user);
  ~SessionImpl() override;

  Result<std::unique_ptr<Prepared>> prepare(std::string_view statement) override;
  Result<std::unique_ptr<Rows>> execute(Prepared& prepared,
                                        const std::vector<duckdb::Value>& parameters) override;
  Result<std::vector<duck::NamedType>> describe(
      Prepared& prepared, const std::vector<duckdb::Value>& parameters) override;
  Result<std::unique_ptr<Rows>> query(std::string_view statement) override;
  TransactionState transaction_state() const override;
  void fail_transaction() override {
    if (in_transaction()) failed_ = true;
  }
  void cancel() override;

 private:
  friend class DuckRows;
  explicit SessionImpl(std::shared_ptr<Core> core);

  Result<std::unique_ptr<PreparedStatement>> prepare_checked(std::string_view sql);
  Status prepare_foreign(PreparedStatement& prepared);
  Status bind_again(PreparedStatement& prepared);
  /// Why a commit failed, if one did, else `error`.
  Error commit_error(Error error) const {
    return state_->outcome->refused ? *state_->outcome->refused : std::move(error);
  }
  Status prefer_temporary(Statement& statement);
  Status check_not_hidden(const Statement& statement);
  bool is_temporary(const QualifiedName& name);
  Result<std::unique_ptr<Rows>> execute_checked(PreparedStatement& prepared,
                                                const std::vector<duckdb::Value>& parameters);
  Status check_count(const PreparedStatement& prepared,
                     const std::vector<duckdb::Value>& parameters) const;
  Result<std::unique_ptr<Rows>> execute_foreign(PreparedStatement& prepared,
                                                const std::vector<duckdb::Value>& parameters);
  Result<std::unique_ptr<Rows>> execute_own(PreparedStatement& prepared);
  Result<std::unique_ptr<Rows>> execute_create(const CreateStatement& create,
                                               const PreparedStatement& prepared);
  Result<std::unique_ptr<Rows>> execute_drop(const Drop& drop, const PreparedStatement& prepared);
  Result<std::unique_ptr<Rows>> execute_call(const Call& call, const PreparedStatement& prepared);
  Result<std::unique_ptr<Rows>> explain_stream(const ExplainStream& explain,
                                               const PreparedStatement& prepared);
  Status check_transaction(const PreparedStatement& prepared);
  Result<std::unique_ptr<Rows>> control_transaction(const TransactionControl& control);

  /// Waits until what SQL wrote so far is readable, unless a transaction already reads something
  /// older.
  Status settle();
  bool in_transaction() const { return !connection_->context->transaction.IsAutoCommit(); }
  BindContext bind_context() const;
  Error fail(Error error);
  struct Source {
    RowSource rows;
    std::vector<duck::NamedType> columns;
  };
  Result<Source> open_source(const TextSpan& query);

  std::shared_ptr<Core> core_;
  std::unique_ptr<duckdb::Connection> connection_;
  duckdb::shared_ptr<SessionState> state_;
  bool failed_ = false;   ///< An open transaction that can only be rolled back.
  uint64_t names_ = 1;    ///< Counts what may have changed the meaning of bare names.
  uint64_t running_ = 0;  ///< The statement's number in ziwa.statements.
  int64_t started_ns_ = 0;
};

}  // namespace ziwa::sql
