#pragma once

#include "base/result.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa::protocol::postgres {

/// The savepoints of one transaction. Set and released, one changes nothing; going back to one is
/// the session's to refuse. One thread.
class Savepoints {
 public:
  /// What all names of a transaction may take, each counted with kEntryBytes.
  static constexpr size_t kBytesMax = 1u << 20;
  static constexpr size_t kEntryBytes = 64;

  /// "SAVEPOINT" or "RELEASE", if `statement` is SAVEPOINT name or RELEASE [SAVEPOINT] name.
  static std::optional<std::string> command_of(std::string_view statement);
  /// Runs such a statement, as Postgres does. Errors: of the causes no_transaction and
  /// undefined_savepoint; exhausted.
  Status apply(std::string_view statement, bool in_transaction);
  /// The transaction has ended.
  void clear();

 private:
  /// Set `times` in a row: drivers that set one before each statement do not release them.
  struct Entry {
    std::string name;
    size_t times = 1;
  };
  Status set(std::string name);
  Status release(std::string_view name);
  std::vector<Entry> entries_;  ///< Oldest first.
  size_t bytes_ = 0;
};

}  // namespace ziwa::protocol::postgres
