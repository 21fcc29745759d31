#pragma once

#include "duck/catalog_api.h"
#include "sql/database.h"
#include "sql/session_state.h"

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace ziwa::sql {

/// Rows that DuckDB makes while they are pulled.
class DuckRows final : public Rows {
 public:
  struct Parts {
    duckdb::Connection& connection;  ///< Must outlive the rows.
    duckdb::shared_ptr<SessionState> session;
    duckdb::unique_ptr<duckdb::QueryResult> result;
    std::shared_ptr<StatementOutcome> outcome;
    std::vector<duck::NamedType> columns;
    std::string command;
    std::optional<uint64_t> affected;
    /// Called once, with the error that ended the rows or null.
    std::move_only_function<Error(Error)> on_error;
    std::move_only_function<void(const Error*)> on_end;
  };
  explicit DuckRows(Parts parts)
      : parts_(std::move(parts)), generation_(parts_.session->generation) {}
  ~DuckRows() override;

  const std::vector<duck::NamedType>& columns() const override { return parts_.columns; }
  Result<duckdb::DataChunk*> next() override;
  const std::string& command() const override { return parts_.command; }
  std::optional<uint64_t> affected() const override { return parts_.affected; }
  Epoch epoch() const override { return Epoch(parts_.outcome->epoch); }

 private:
  void end(const Error* error);
  bool overtaken() const { return generation_ != parts_.session->generation; }

  Parts parts_;
  uint64_t generation_;
  duckdb::unique_ptr<duckdb::DataChunk> chunk_;
  bool ended_ = false;
};

/// Rows that are already there: what statements of ours give.
class ReadyRows final : public Rows {
 public:
  ReadyRows(std::string command, std::vector<duck::NamedType> columns,
            std::vector<std::vector<duckdb::Value>> rows, Epoch epoch,
            std::optional<uint64_t> affected = std::nullopt)
      : command_(std::move(command)),
        columns_(std::move(columns)),
        rows_(std::move(rows)),
        epoch_(epoch),
        affected_(affected) {}

  const std::vector<duck::NamedType>& columns() const override { return columns_; }
  Result<duckdb::DataChunk*> next() override;
  const std::string& command() const override { return command_; }
  std::optional<uint64_t> affected() const override { return affected_; }
  Epoch epoch() const override { return epoch_; }

 private:
  std::string command_;
  std::vector<duck::NamedType> columns_;
  std::vector<std::vector<duckdb::Value>> rows_;
  Epoch epoch_;
  std::optional<uint64_t> affected_;
  size_t at_ = 0;
  duckdb::DataChunk chunk_;
};

}  // namespace ziwa::sql
