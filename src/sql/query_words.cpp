#include "sql/query_words.h"

#include "base/text.h"

namespace ziwa::sql {

QueryWords::QueryWords(std::string_view sql) {
  if (auto tokens = tokenize(sql)) tokens_ = std::move(*tokens);
}

std::optional<size_t> QueryWords::only(const std::vector<std::string_view>& keywords) const {
  for (std::string_view keyword : keywords) {
    std::optional<size_t> found;
    for (const Token& token : tokens_) {
      if (!token.is(keyword)) continue;
      if (found) return std::nullopt;
      found = token.position;
    }
    if (found) return found;
  }
  return std::nullopt;
}

std::optional<size_t> QueryWords::only_call(std::string_view function) const {
  std::optional<size_t> found;
  for (size_t i = 0; i + 1 < tokens_.size(); ++i) {
    if (!tokens_[i + 1].is_symbol("(") || lower(tokens_[i].value()) != lower(function)) continue;
    if (found) return std::nullopt;
    found = tokens_[i].position;
  }
  return found;
}

Error at_position(Error error, std::optional<size_t> position) {
  return position ? std::move(error).at(*position) : std::move(error);
}

}  // namespace ziwa::sql
