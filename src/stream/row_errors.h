#pragma once

#include "stream/delta.h"
#include "stream/row_table.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa::stream {

/// The rows on which an operator of a view fails, with a weight like any rows: what is taken back
/// is an error no more. One thread.
class RowErrors final : public ErrorSink {
 public:
  /// Columns of the table of row errors.
  static const data::Schema& schema();

  /// `operators`: what they are called, by id of the node.
  RowErrors(RowTable& table, std::map<uint32_t, std::string> operators);
  void add(const RowError& error) override;
  /// Gives what was collected to the table. Before the table's apply().
  Status flush();
  /// The text of the last one; empty: there was none in this life.
  const std::string& last() const { return last_; }

 private:
  RowTable& table_;
  std::map<uint32_t, std::string> operators_;
  duckdb::DataChunk rows_;
  std::vector<Weight> weights_;
  std::string last_;
  Status failed_;
};

/// One row as a JSON object.
std::string row_to_json(const std::vector<std::string>& names, duckdb::DataChunk& rows, size_t row);

}  // namespace ziwa::stream
