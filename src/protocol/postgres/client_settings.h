#pragma once

#include "base/result.h"

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa::protocol::postgres {

/// What the door answers by itself instead of the database.
struct DoorAnswer {
  std::string command;                ///< Command tag: SET, SHOW, RESET ...
  std::optional<std::string> column;  ///< SHOW: the column's name; then `value` is its one row.
  std::string value;
  /// Settings whose new value the client wants to be told (ParameterStatus).
  std::vector<std::pair<std::string, std::string>> reported;
};

/// The settings of Postgres that drivers and tools send: kept per connection and given back, with
/// no effect on an answer. A value that would change one (a client encoding that is not UTF8, a
/// DateStyle that is not ISO, a zone that is not UTC) is refused. One thread.
class ClientSettings {
 public:
  /// `server_version` is what drivers choose their catalog queries by: "15.0 (Ziwa 0.1.0)".
  explicit ClientSettings(std::string_view server_version);
  /// Applies a parameter of the start-up packet; unknown names are ignored, as they may be
  /// anybody's.
  Status start(std::string_view name, std::string_view value);
  /// Applies `name` (in lower case) as SET does, if it is a setting of ours; else nothing: it is
  /// the database's. Errors: as of answer().
  Result<std::optional<DoorAnswer>> set_known(const std::string& name, std::string value);
  /// What is set now is what RESET and DEFAULT go back to.
  void end_startup() { at_start_ = values_; }
  /// Settings that ParameterStatus reports at the start.
  std::vector<std::pair<std::string, std::string>> reported() const;
  /// The answer, if `statement` is a SET, SHOW, RESET or DISCARD of a setting of ours; nullopt when
  /// it is the database's. Errors: invalid_argument, unsupported.
  Result<std::optional<DoorAnswer>> answer(std::string_view statement);
  /// The statement as the database knows it: BEGIN and START TRANSACTION lose their isolation level
  /// and access mode, END becomes COMMIT, ABORT becomes ROLLBACK.
  static std::string simplify(std::string_view statement);

 private:
  Result<DoorAnswer> set(const std::string& name, std::string value);
  std::map<std::string, std::string> values_;
  std::map<std::string, std::string> at_start_;
};

/// The words of a statement in lower case, quoted texts without their quotes; at most `limit` of
/// them. Comments are skipped. Symbols are words of one character.
std::vector<std::string> first_words(std::string_view statement, size_t limit);

}  // namespace ziwa::protocol::postgres
