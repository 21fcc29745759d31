#pragma once

#include "data/cell_internal.h"

#include <simdjson.h>

#include <string>

namespace ziwa::data {

/// Turns one JSON object after the other into cells. One thread. Keys are matched exactly, else
/// without regard to ASCII case. Most producers write keys in one order: the reader guesses that
/// the n-th key is the n-th key of the record before.
class JsonReader {
 public:
  explicit JsonReader(std::vector<CodecColumn> columns);
  /// Reads one object into row `row` of `cells`. Returns false with a reason when it is refused;
  /// the row is then garbage.
  bool read(ByteView json, CellWriter& cells, size_t row);
  const std::string& reason() const { return reason_; }

 private:
  using Value = simdjson::ondemand::value;
  static constexpr int kUnknown = -1;
  static constexpr size_t kGuessesMax = 4096;
  static constexpr int kDepthMax = 64;

  /// A key as it was written (escapes and all), and the column it means.
  struct Guess {
    std::string raw;
    int column = kUnknown;
  };

  bool read_object(simdjson::ondemand::object& object, CellWriter& cells, size_t row);
  bool find_column(simdjson::ondemand::field& field, size_t position, int& column);
  bool read_cell(size_t column, Value& value, CellWriter& cells, size_t row);
  bool fill_missing(CellWriter& cells, size_t row);

  bool read_fixed(const CellType& cell, Value& value, void* into);
  template <typename T>
  bool read_integer(const CellType& cell, Value& value, void* into);
  bool read_decimal(const CellType& cell, Value& value, void* into);
  bool read_number_text(const CellType& cell, Value& value, std::string_view& text);
  bool read_timestamp(const CellType& cell, Value& value, void* into);
  template <typename Parse, typename Store>
  bool read_parsed(const CellType& cell, Value& value, Parse parse, Store store);
  bool read_text(const CellType& cell, Value& value, std::string_view& text);
  bool read_nested(const CellType& cell, Value& value, int depth, duckdb::Value& out);
  bool read_list(const CellType& cell, Value& value, int depth, duckdb::Value& out);
  bool read_struct(const CellType& cell, Value& value, int depth, duckdb::Value& out);
  /// Checks a value that nobody asked for.
  bool skip(Value& value, int depth);

  /// Say why a record is refused; all return false.
  bool refuse(std::string why);
  bool refuse_cell(std::string_view why);
  bool refuse_json(simdjson::error_code error);
  bool refuse_type(const CellType& cell, Value& value);
  bool refuse_range(const CellType& cell, Value& value);

  std::vector<CodecColumn> columns_;
  std::unordered_map<std::string, int> exact_;
  std::unordered_map<std::string, int> lower_;
  std::vector<Guess> guesses_;
  std::vector<uint64_t> seen_;  ///< Number of the last record that had the column.
  uint64_t record_number_ = 0;
  size_t seen_count_ = 0;
  int column_ = kUnknown;  ///< That is being read; for reasons.
  const char* end_ = nullptr;
  std::string buffer_;
  std::string scratch_;
  std::string reason_;
  simdjson::ondemand::parser parser_;
};

}  // namespace ziwa::data
