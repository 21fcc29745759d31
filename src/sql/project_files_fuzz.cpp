#include "base/sim_file.h"
#include "sql/project_files.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace {

using namespace ziwa;

void put(FileSystem& files, const std::string& name, std::string_view content) {
  CHECK(write_file_atomically(files, join_path("p", name), as_bytes(content)));
}

/// Each statement stands on the line that is given for it, and they come in order.
void check_statements(const sql::ProjectFiles& project, std::string_view text) {
  size_t at = 0;
  for (const auto& statement : project.statements) {
    CHECK(!statement.text.empty() && statement.file == "views.sql");
    at = text.find(statement.text, at);
    CHECK(at != std::string_view::npos, "\"{}\" is not in the file", statement.text);
    auto line = 1 + std::ranges::count(text.substr(0, at), '\n');
    CHECK(statement.line >= static_cast<size_t>(line), "line {}, not {}", line, statement.line);
  }
}

}  // namespace

/// Any bytes as a project: ziwa.yaml, then after a zero byte a file of statements.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string_view text(reinterpret_cast<const char*>(data), size);
  size_t end = std::min(text.find('\0'), size);
  std::string_view statements = text.substr(std::min(end + 1, size));
  SimFileSystem files;
  CHECK(files.make_dirs("p"));
  put(files, "views.sql", statements);
  put(files, "ziwa.yaml", text.substr(0, end));
  auto project = sql::read_project(files, "p");
  if (project) {
    CHECK(!project->name.empty());
    check_statements(*project, statements);
    // A name that was taken is taken again.
    put(files, "ziwa.yaml", "name: \"" + project->name + "\"\n");
    auto again = sql::read_project(files, "p");
    CHECK(again && again->name == project->name);
    return 0;
  }
  put(files, "ziwa.yaml", "name: p\n");
  project = sql::read_project(files, "p");
  CHECK(project, "{}", project.error().message());
  check_statements(*project, statements);
  return 0;
}
