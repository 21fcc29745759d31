#pragma once

#include "base/result.h"
#include "sql/tokenizer.h"

#include <optional>
#include <string_view>
#include <vector>

namespace ziwa::sql {

/// The bare words of a query, to say where something stands that a plan keeps no position of.
class QueryWords {
 public:
  QueryWords() = default;  ///< No words.
  /// Refers to `sql`, which must outlive it. A text that cannot be cut has no words.
  explicit QueryWords(std::string_view sql);

  /// Where the first of `keywords` (in upper case) that is in the query stands, if it is there
  /// once: of two nobody knows which is meant.
  std::optional<size_t> only(const std::vector<std::string_view>& keywords) const;
  /// The same for the name of a function that is called.
  std::optional<size_t> only_call(std::string_view function) const;

 private:
  std::vector<Token> tokens_;
};

/// `error` at `position`, if there is one.
Error at_position(Error error, std::optional<size_t> position);

}  // namespace ziwa::sql
