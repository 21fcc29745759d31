#pragma once

#include "base/result.h"

#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>

namespace ziwa::sql {

class Core;

/// Schemas and attached files share one space of names, for all sessions: `x.t` names a table of
/// one of them only. Who gives a name claims it first, looks then whether the other kind has it
/// (check_*), and holds the claim until all can see what was named. Any thread.
class SchemaNames {
 public:
  enum class Use : unsigned char { schema, file };
  /// Ends with its last copy, which must be before the SchemaNames.
  using Claim = std::shared_ptr<void>;
  /// Errors: already_exists, when the name is being given to the other kind just now.
  Result<Claim> claim(std::string_view name, Use use);

 private:
  using Key = std::pair<std::string, Use>;  ///< The name in lower case.
  void release(const Key& key);
  std::mutex mutex_;
  std::multiset<Key> claims_;
};

/// Is it a schema of ours or DuckDB's, or a database's name, in which users make nothing?
bool is_system_schema(std::string_view name);
/// Errors: already_exists, when a file is attached under this name.
Status check_schema_name(Core& core, std::string_view name);
/// The claim to attach a file under `name`. Errors: permission for names of the system;
/// already_exists for schemas that hold objects.
Result<SchemaNames::Claim> claim_file_name(Core& core, std::string_view name);

}  // namespace ziwa::sql
