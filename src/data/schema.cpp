#include "data/schema.h"

namespace ziwa::data {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

}  // namespace

std::optional<size_t> Schema::find(std::string_view name) const {
  for (size_t i = 0; i < columns.size(); ++i) {
    if (std::ranges::equal(columns[i].name, name, {}, lower, lower)) return i;
  }
  return std::nullopt;
}

}  // namespace ziwa::data
