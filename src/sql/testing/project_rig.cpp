#include "sql/testing/project_rig.h"

#include "stream/plan.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

namespace ziwa::sql::testing {

ProjectRig::ProjectRig(SqlRig::Streams streams) : rig_(streams) { start_over(); }

void ProjectRig::start_over() {
  std::filesystem::remove_all(folder());
  write("ziwa.yaml", "name: p\n");
}

void ProjectRig::write(const std::string& name, std::string_view text) {
  FileSystem& fs = posix_file_system();
  std::string path = join_path(folder(), name);
  CHECK(fs.make_dirs(parent_path(path)).has_value());
  CHECK(write_file_atomically(fs, path, as_bytes(text)).has_value());
}

void ProjectRig::remove(const std::string& name) {
  CHECK(posix_file_system().remove(join_path(folder(), name)).has_value());
}

Result<TextRows> ProjectRig::query(std::string_view sql) {
  if (!session_) session_ = TRY(rig_.database().session());
  return all_rows(*session_, sql);
}

TextRows ProjectRig::rows(std::string_view sql) {
  auto result = query(sql);
  if (!result) return {{result.error().to_string()}};
  return *result;
}

Result<std::vector<std::string>> ProjectRig::call(const std::string& sql) {
  std::vector<std::string> lines;
  for (const auto& row : TRY(query(sql))) {
    lines.push_back(row[0] + " " + row[1] + " " + row[2] + (row[5] == "true" ? " !" : ""));
  }
  return lines;
}

Result<std::vector<std::string>> ProjectRig::diff() {
  return call("CALL ziwa.diff('" + folder() + "')");
}
Result<std::vector<std::string>> ProjectRig::apply(bool allow_drop) {
  return call("CALL ziwa.apply('" + folder() + (allow_drop ? "', 'allow_drop')" : "')"));
}

std::vector<std::string> ProjectRig::objects() {
  std::vector<std::string> out;
  for (const auto& object : rig_.catalog().snapshot()->all()) {
    out.push_back(
        fmt::format("{} {}.{}", catalog::kind_name(object->kind()), object->schema, object->name));
  }
  return out;
}

std::vector<std::string> describe_objects(const catalog::Snapshot& snapshot) {
  auto name_of = [&](ObjectId id) {
    auto object = snapshot.find(id);
    return object ? object->schema + "." + object->name : fmt::format("missing {}", id);
  };
  std::vector<std::string> out;
  for (const auto& object : snapshot.all()) {
    std::string text = fmt::format("{} {}.{} of {}: {}", catalog::kind_name(object->kind()),
                                   object->schema, object->name, object->project, object->sql);
    std::vector<std::string> dependencies;
    for (ObjectId id : object->depends_on) dependencies.push_back(name_of(id));
    std::ranges::sort(dependencies);
    text += fmt::format(" | depends on {}", fmt::join(dependencies, ", "));
    auto add_schema = [&](const data::Schema& schema) {
      for (const auto& column : schema.columns)
        text += fmt::format(" | {} {} {} {}", column.id, column.name, column.type, column.not_null);
    };
    if (object->kind() == catalog::Kind::topic) {
      add_schema(object->topic().schema);
      text += fmt::format(" | {} {} {}", object->topic().partitions, object->topic().retention_ms,
                          object->topic().partition_by);
    } else if (object->kind() == catalog::Kind::table) {
      add_schema(object->table().schema);
      text +=
          fmt::format(" | {} {} pending={}", object->table().loaded_from,
                      object->table().loaded_from_hash, object->table().pending_load.has_value());
    } else if (object->kind() == catalog::Kind::view) {
      add_schema(object->view().schema);
      auto plan = stream::decode_plan(object->view().plan);
      CHECK(plan.has_value());
      for (auto& node : plan->nodes) {
        if (const auto* source = std::get_if<stream::SourceNode>(&node.op))
          text += fmt::format(" | reads {}({})", name_of(source->object),
                              fmt::join(source->columns, ","));
      }
    } else {
      text += fmt::format(" | {} -> {} {}", name_of(object->sink().from),
                          name_of(object->sink().into), object->sink().commit_interval_ms);
    }
    out.push_back(std::move(text));
  }
  return out;
}

}  // namespace ziwa::sql::testing
