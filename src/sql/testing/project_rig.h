#pragma once

#include "sql/testing/sql_rig.h"

#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace ziwa::sql::testing {

/// A database and a project folder that no setting allows.
class ProjectRig {
 public:
  explicit ProjectRig(SqlRig::Streams streams = SqlRig::Streams::fake);

  SqlRig& rig() { return rig_; }
  std::string folder() const { return rig_.directory() + "/project"; }
  /// Writes or replaces a file of the project; folders in `name` are made.
  void write(const std::string& name, std::string_view text);
  void remove(const std::string& name);
  /// The project then is `name` with these files alone.
  void start_over();

  /// What ziwa.diff() says, one "action kind name" a line; "!" at the end: loses data.
  Result<std::vector<std::string>> diff();
  Result<std::vector<std::string>> apply(bool allow_drop = false);
  Result<TextRows> query(std::string_view sql);
  /// The rows, or the error as text.
  TextRows rows(std::string_view sql);
  /// "kind schema.name" of all objects, in order of their names.
  std::vector<std::string> objects();
  void forget_session() { session_.reset(); }

 private:
  Result<std::vector<std::string>> call(const std::string& sql);
  SqlRig rig_;
  std::unique_ptr<Session> session_;
};

/// Everything about a catalog's objects that does not depend on when and how they came: ids are
/// replaced by names, locations and load counts left out. One text an object.
std::vector<std::string> describe_objects(const catalog::Snapshot& snapshot);

}  // namespace ziwa::sql::testing
