#pragma once

#include "base/result.h"
#include "sql/define.h"
#include "sql/project_files.h"

#include <string>
#include <utility>
#include <vector>

namespace ziwa::sql {

/// An object's schema and name as the catalog compares them: in lower case.
using ObjectKey = std::pair<std::string, std::string>;
ObjectKey object_key(std::string_view schema, std::string_view name);

/// A statement of a project, parsed.
struct Declared {
  const ProjectStatement* source = nullptr;
  CreateStatement create;
  ObjectName name;
  std::vector<ObjectKey>
      reads;  ///< What it names in FROM and INTO, declared here or not; each once.

  ObjectKey key() const { return object_key(name.schema, name.name); }
  std::string where() const { return fmt::format("{}:{}", source->file, source->line); }
  /// `error` with file and line before it.
  Error located(Error error) const { return std::move(error).context(where()); }
};

/// The statements of a project, each after all that it reads; else by file and line. Looks at
/// nothing but the statements. Errors, with file and line: those of parse_statement() and
/// referenced_names(); invalid_argument for statements that declare nothing, a name declared twice,
/// and circles, which are named. `files` must outlive the result.
Result<std::vector<Declared>> parse_project(const ProjectFiles& files);

}  // namespace ziwa::sql
