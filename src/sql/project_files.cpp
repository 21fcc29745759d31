#include "sql/project_files.h"

#include "base/settings.h"
#include "sql/tokenizer.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

namespace ziwa::sql {
namespace {

constexpr std::string_view kProjectFile = "ziwa.yaml";

Result<std::string> parse_project_name(std::string_view text) {
  const std::vector<std::string> known = {"name"};
  std::string name;
  try {
    YAML::Node root = YAML::Load(std::string(text));
    if (!root.IsMap())
      return Error(Code::invalid_argument, "{} must hold `name: ...`", kProjectFile);
    for (const auto& entry : root) {
      auto key = entry.first.as<std::string>();
      if (key != "name") {
        std::string near = nearest_name(key, known);
        return Error(Code::invalid_argument, "{} line {}: unknown key \"{}\"", kProjectFile,
                     entry.first.Mark().line + 1, key)
            .with_hint(near.empty() ? "the only key is name"
                                    : fmt::format("did you mean \"{}\"?", near));
      }
      name = entry.second.as<std::string>();
    }
  } catch (const YAML::Exception& error) {
    return Error(Code::invalid_argument, "{} line {}: {}", kProjectFile, error.mark.line + 1,
                 error.msg);
  }
  bool valid = !name.empty() && std::all_of(name.begin(), name.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '_' || c == '-';
  });
  if (!valid) {
    return Error(Code::invalid_argument, "{}: \"{}\" is no name for a project", kProjectFile, name)
        .with_hint("use letters, digits, \"_\" and \"-\"");
  }
  return name;
}

/// Paths of the *.sql files below `directory`, relative to it, sorted.
Status find_sql_files(FileSystem& fs, const std::string& directory, const std::string& relative,
                      std::vector<std::string>& out) {
  auto entries = TRY(fs.list(relative.empty() ? directory : join_path(directory, relative)));
  for (const auto& entry : entries) {
    if (entry.name.starts_with('.')) continue;
    std::string path = relative.empty() ? entry.name : join_path(relative, entry.name);
    if (entry.is_directory && entry.name != "data") TRY(find_sql_files(fs, directory, path, out));
    if (!entry.is_directory && entry.name.ends_with(".sql")) out.push_back(path);
    if (out.size() > kProjectFilesMax) {
      return Error(Code::exhausted, "the project has more than {} files", kProjectFilesMax);
    }
  }
  return {};
}

}  // namespace

Result<ProjectFiles> read_project(FileSystem& fs, const std::string& directory) {
  std::string yaml_path = join_path(directory, kProjectFile);
  if (!fs.exists(yaml_path)) {
    return Error(Code::not_found, "\"{}\" is no project: it has no {}", directory, kProjectFile)
        .with_hint("a project is a folder with ziwa.yaml (name: ...) and *.sql files");
  }
  Bytes yaml = TRY(read_file(fs, yaml_path, kProjectFileBytesMax));
  ProjectFiles project{
      .name = TRY(parse_project_name(as_text(yaml))), .directory = directory, .statements = {}};
  std::vector<std::string> files;
  TRY(find_sql_files(fs, directory, "", files));
  std::sort(files.begin(), files.end());
  for (const auto& file : files) {
    Bytes content = TRY(read_file(fs, join_path(directory, file), kProjectFileBytesMax));
    std::string_view text = as_text(content);
    for (const StatementSpan& span : split_statements(text)) {
      auto line = 1 + static_cast<size_t>(std::count(
                          text.begin(), text.begin() + static_cast<ptrdiff_t>(span.begin), '\n'));
      project.statements.push_back(
          {.file = file,
           .line = line,
           .text = std::string(text.substr(span.begin, span.end - span.begin))});
    }
  }
  return project;
}

}  // namespace ziwa::sql
