#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa::app {

/// Draws rows as a table with box characters; columns are as wide as their widest cell on a
/// terminal.
class TextTable {
 public:
  struct Column {
    std::string name;
    bool right = false;  ///< Numbers stand at the right.
  };
  explicit TextTable(std::vector<Column> columns) : columns_(std::move(columns)) {}
  /// One cell per column; nullopt is drawn as NULL. Line ends and tabs are made visible.
  void add(const std::vector<std::optional<std::string>>& cells);
  size_t rows() const { return rows_.size(); }
  /// `colour`: NULLs and lines are dim (ANSI).
  std::string draw(bool colour) const;

 private:
  struct Cell {
    std::string text;
    bool null = false;
  };
  std::vector<Column> columns_;
  std::vector<std::vector<Cell>> rows_;
};

/// Columns that `text` (UTF-8) takes on a terminal: wide characters count two, combining ones none.
size_t display_width(std::string_view text);

/// One CSV record (RFC 4180), without its line end; nullopt is an empty field, an empty text is "".
std::string csv_line(const std::vector<std::optional<std::string>>& fields);

/// "1,234,567".
std::string with_separators(uint64_t number);

}  // namespace ziwa::app
