#include "sql/project.h"

#include "duck/catalog_api.h"
#include "sql/entries.h"
#include "sql/project_files.h"
#include "sql/project_load.h"
#include "sql/project_order.h"
#include "sql/project_plan.h"

#include <algorithm>
#include <map>

namespace ziwa::sql {
namespace {

/// A topic that nobody could write to yet.
class EmptyScan final : public data::Scan {
 public:
  explicit EmptyScan(data::Schema schema) : schema_(std::move(schema)) {}
  const data::Schema& schema() const override { return schema_; }
  Result<std::vector<std::unique_ptr<data::ScanStream>>> open(const data::ScanRequest&,
                                                              size_t) override {
    return std::vector<std::unique_ptr<data::ScanStream>>();
  }

 private:
  data::Schema schema_;
};

/// Writes the rows of a plan: all that may fail before the catalog's commit, into files that nobody
/// knows until then.
class Writer {
 public:
  Writer(std::shared_ptr<Core> core, const ProjectFiles& files, catalog::Transaction& transaction)
      : core_(std::move(core)), files_(files), transaction_(transaction) {}

  Status run(const ProjectPlan& plan) {
    for (const PlannedStep& step : plan) {
      Status done = write(step);
      if (!done) return step.declared ? step.declared->located(done.error()) : done;
    }
    return {};
  }

  /// Removes what was written, when the commit failed.
  void discard() {
    for (const auto& object : made_) discard_table(*core_, *object);
    for (const auto& [object, staged] : staged_) discard_load(*core_, *object, staged);
  }

 private:
  Status write(const PlannedStep& step) {
    bool made = step.change.action == ProjectAction::create ||
                step.change.action == ProjectAction::recreate;
    if (made && step.object->kind() == catalog::Kind::topic) {
      uncommitted_[step.object->id] =
          std::make_shared<EmptyScan>(topic_scan_schema(step.object->topic()));
    }
    if (made && step.object->kind() == catalog::Kind::table) return create(step);
    if (step.change.action == ProjectAction::load) return load(step);
    return {};
  }

  BindContext context() const {
    return {.core = core_,
            .catalog = transaction_.snapshot(),
            .path = {std::string(kDefaultSchema)},
            .folder = files_.directory,
            .uncommitted =
                std::make_shared<std::map<ObjectId, std::shared_ptr<data::Scan>>>(uncommitted_)};
  }

  Status create(const PlannedStep& step) {
    RowSource rows;
    if (step.rows) rows = TRY(open_load(context(), *step.rows, *step.object));
    auto table = TRY(make_table(*core_, step.object, rows));
    made_.push_back(step.object);
    uncommitted_[step.object->id] = table->snapshot()->scan();
    if (step.object->table().loaded_from.empty()) return {};
    TRY(check_unchanged(*step.object));
    catalog::Object loaded = *step.object;
    auto& definition = std::get<catalog::TableDefinition>(loaded.definition);
    for (const auto& file : table->snapshot()->files())
      definition.loaded_files.push_back(file->path);
    TRY(transaction_.replace(std::move(loaded)));
    return {};
  }

  Status load(const PlannedStep& step) {
    RowSource rows = TRY(open_load(context(), *step.rows, *step.object));
    staged_.emplace_back(step.object, TRY(stage_load(*core_, step.object, rows)));
    const StagedLoad& staged = staged_.back().second;
    TRY(check_unchanged(*step.object));
    uncommitted_[step.object->id] = staged.preview->scan();
    catalog::Object loaded = *step.object;
    auto& definition = std::get<catalog::TableDefinition>(loaded.definition);
    definition.loaded_files.clear();
    for (const auto& file : staged.files) {
      definition.loaded_files.push_back(file.path);
      definition.pending_load->files.push_back(lake::data_file_to_json(file));
    }
    TRY(transaction_.replace(std::move(loaded)));
    return {};
  }

  /// The hash that is remembered must be that of the rows that were read.
  Status check_unchanged(const catalog::Object& object) const {
    const auto& table = object.table();
    if (TRY(hash_file(context(), table)) == table.loaded_from_hash) return {};
    return Error(Code::conflict, "{} changed while it was read", table.loaded_from)
        .with_hint("apply again");
  }

  std::shared_ptr<Core> core_;
  const ProjectFiles& files_;
  catalog::Transaction& transaction_;
  std::map<ObjectId, std::shared_ptr<data::Scan>> uncommitted_;
  std::vector<catalog::ObjectPtr> made_;  ///< Tables whose directories were made.
  std::vector<std::pair<catalog::ObjectPtr, StagedLoad>> staged_;
};

Status check_losses(const std::vector<ProjectChange>& changes) {
  std::string list;
  for (const auto& change : changes) {
    if (!change.loses_data) continue;
    list +=
        fmt::format("{}{} {} \"{}.{}\" ({})", list.empty() ? "" : ", ", action_name(change.action),
                    catalog::kind_name(change.kind), change.schema, change.name, change.why);
  }
  if (list.empty()) return {};
  return Error(Code::conflict, "this would lose data: {}", list)
      .with_hint("apply with --allow-drop if that is meant");
}

std::vector<ProjectChange> changes_of(const ProjectPlan& plan) {
  std::vector<ProjectChange> changes;
  for (const PlannedStep& step : plan) changes.push_back(step.change);
  return changes;
}

/// A project that was read and parsed; statements refer to the files.
struct Project {
  std::unique_ptr<ProjectFiles> files;
  std::vector<Declared> declared;
};

Result<Project> open_project(Core& core, const std::string& directory) {
  Project project;
  project.files = std::make_unique<ProjectFiles>(TRY(read_project(core.deps.fs, directory)));
  project.declared = TRY(parse_project(*project.files));
  return project;
}

/// Everything in one catalog transaction: the plan is what is committed.
Result<std::vector<ProjectChange>> commit_project(const std::shared_ptr<Core>& core,
                                                  const Project& project, bool allow_drop) {
  std::vector<ProjectChange> changes;
  std::vector<SchemaNames::Claim> claims;
  for (const Declared& declared : project.declared) {
    auto claim = core->schema_names.claim(declared.name.schema, SchemaNames::Use::schema);
    if (!claim) return declared.located(claim.error());
    claims.push_back(std::move(*claim));
  }
  std::optional<Writer> writer;
  auto body = [&](catalog::Transaction& transaction) -> Status {
    ProjectPlan plan = TRY(plan_project(core, *project.files, project.declared, transaction));
    changes = changes_of(plan);
    if (!allow_drop) TRY(check_losses(changes));
    auto lets_be = [](const ProjectChange& change) {
      return change.action == ProjectAction::keep || change.action == ProjectAction::drop;
    };
    if (!std::ranges::all_of(changes, lets_be)) TRY(core->deps.engine.room_to_change());
    writer.emplace(core, *project.files, transaction);
    return writer->run(plan);
  };
  auto committed = core->deps.catalog.commit([&](catalog::Transaction& transaction) {
    return duck::guarded_result([&] { return body(transaction); });
  });
  if (!committed) {
    // When the outcome is unknown the tables may exist.
    if (writer && committed.error().code() != Code::maybe_applied) writer->discard();
    return committed.error();
  }
  return changes;
}

}  // namespace

std::string_view action_name(ProjectAction action) {
  switch (action) {
    case ProjectAction::create:
      return "create";
    case ProjectAction::alter:
      return "alter";
    case ProjectAction::recreate:
      return "recreate";
    case ProjectAction::load:
      return "load";
    case ProjectAction::drop:
      return "drop";
    case ProjectAction::keep:
      return "keep";
  }
  return "keep";
}

Result<std::vector<ProjectChange>> diff_project(const std::shared_ptr<Core>& core,
                                                const std::string& directory) {
  Project project = TRY(open_project(*core, directory));
  std::optional<Result<ProjectPlan>> plan;
  core->deps.catalog
      .commit([&](catalog::Transaction& transaction) -> Status {
        plan = duck::guarded_result(
            [&] { return plan_project(core, *project.files, project.declared, transaction); });
        return Error(Code::cancelled, "a difference is shown, not made");
      })
      .ignore("it says what it was told to say");
  return changes_of(TRY(std::move(*plan)));
}

Result<std::vector<ProjectChange>> apply_project(const std::shared_ptr<Core>& core,
                                                 const std::string& directory, bool allow_drop) {
  Project project = TRY(open_project(*core, directory));
  TRY(finish_loads(*core));
  // Tables that are made from others read what was written before.
  TRY(core->deps.engine.wait(core->must_see(), core->read_timeout_ms()));
  auto changes = TRY(commit_project(core, project, allow_drop));
  if (Status finished = finish_loads(*core); !finished) {
    return Error(Code::maybe_applied, "the project is applied, but not yet the {}",
                 finished.error().message())
        .with_hint(!finished.error().hint().empty()
                       ? finished.error().hint()
                       : "apply again, or restart the server: that puts them in");
  }
  TRY(core->deps.engine.wait(core->deps.journal.durable(), core->read_timeout_ms()));
  return changes;
}

}  // namespace ziwa::sql
