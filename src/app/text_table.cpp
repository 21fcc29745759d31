#include "app/text_table.h"

#include <algorithm>
#include <cwchar>

namespace ziwa::app {
namespace {

constexpr std::string_view kDim = "\033[2m";
constexpr std::string_view kPlain = "\033[0m";

/// Decodes one character at `at` and moves past it; bytes that are no UTF-8 count as one each.
char32_t next_character(std::string_view text, size_t& at) {
  auto byte = static_cast<unsigned char>(text[at++]);
  int more = byte >= 0xF0 ? 3 : byte >= 0xE0 ? 2 : byte >= 0xC0 ? 1 : 0;
  char32_t value = more == 0 ? byte : byte & (0x3F >> more);
  for (; more > 0 && at < text.size(); --more) {
    value = (value << 6) | (static_cast<unsigned char>(text[at++]) & 0x3F);
  }
  return value;
}

std::string visible(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '\n') {
      out += "↵";
    } else if (c == '\t') {
      out += "→";
    } else if (static_cast<unsigned char>(c) < 0x20) {
      out += "·";
    } else {
      out.push_back(c);
    }
  }
  return out;
}

std::string repeated(std::string_view what, size_t count) {
  std::string out;
  for (size_t i = 0; i < count; ++i) out += what;
  return out;
}

}  // namespace

size_t display_width(std::string_view text) {
  size_t width = 0;
  for (size_t at = 0; at < text.size();) {
    int columns = wcwidth(static_cast<wchar_t>(next_character(text, at)));
    width += columns < 0 ? 1 : static_cast<size_t>(columns);
  }
  return width;
}

void TextTable::add(const std::vector<std::optional<std::string>>& cells) {
  std::vector<Cell> row;
  for (const auto& cell : cells) {
    row.push_back(cell ? Cell{.text = visible(*cell)} : Cell{.text = "NULL", .null = true});
  }
  row.resize(columns_.size());
  rows_.push_back(std::move(row));
}

std::string TextTable::draw(bool colour) const {
  std::vector<size_t> widths;
  for (size_t i = 0; i < columns_.size(); ++i) {
    size_t width = display_width(columns_[i].name);
    for (const auto& row : rows_) width = std::max(width, display_width(row[i].text));
    widths.push_back(width);
  }
  std::string_view dim = colour ? kDim : "";
  std::string_view plain = colour ? kPlain : "";
  std::string bar = std::string(dim) + "│" + std::string(plain);
  auto line = [&](std::string_view left, std::string_view middle, std::string_view right) {
    std::string out(dim);
    for (size_t i = 0; i < widths.size(); ++i) {
      out += (i == 0 ? left : middle);
      out += repeated("─", widths[i] + 2);
    }
    return out + std::string(right) + std::string(plain) + "\n";
  };
  auto cell = [&](const std::string& text, size_t i, bool right, bool null) {
    std::string space(widths[i] - display_width(text), ' ');
    std::string shown = null ? std::string(dim) + text + std::string(plain) : text;
    return " " + (right ? space + shown : shown + space) + " ";
  };
  std::string out = line("┌", "┬", "┐");
  for (size_t i = 0; i < columns_.size(); ++i) {
    out += bar + cell(columns_[i].name, i, columns_[i].right, false);
  }
  out += bar + "\n" + line("├", "┼", "┤");
  for (const auto& row : rows_) {
    for (size_t i = 0; i < row.size(); ++i) {
      out += bar + cell(row[i].text, i, columns_[i].right, row[i].null);
    }
    out += bar + "\n";
  }
  return out + line("└", "┴", "┘");
}

std::string csv_line(const std::vector<std::optional<std::string>>& fields) {
  std::string out;
  for (size_t i = 0; i < fields.size(); ++i) {
    if (i > 0) out.push_back(',');
    if (!fields[i]) continue;
    if (!fields[i]->empty() && fields[i]->find_first_of("\",\r\n") == std::string::npos) {
      out += *fields[i];
      continue;
    }
    out.push_back('"');
    for (char c : *fields[i]) {
      if (c == '"') out.push_back('"');
      out.push_back(c);
    }
    out.push_back('"');
  }
  return out;
}

std::string with_separators(uint64_t number) {
  std::string digits = std::to_string(number);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, ",");
  return digits;
}

}  // namespace ziwa::app
