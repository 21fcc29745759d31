#include "sql/project_plan.h"

#include "duck/catalog_api.h"
#include "sql/ddl.h"
#include "sql/statement.h"

#include <algorithm>
#include <map>
#include <set>

namespace ziwa::sql {
namespace {

constexpr const char* kUndeclared = "the project does not declare it any more";
constexpr const char* kChanged = "its declaration changed";

std::string full_name(const catalog::Object& object) { return object.schema + "." + object.name; }
std::string describe(const catalog::Object& object) {
  return fmt::format("{} \"{}\"", catalog::kind_name(object.kind()), full_name(object));
}
ObjectKey key_of(const catalog::Object& object) { return object_key(object.schema, object.name); }

std::string join(const std::vector<std::string>& parts) {
  std::string all;
  for (const auto& part : parts) all += (all.empty() ? "" : ", ") + part;
  return all;
}

/// What has to happen to an object that is there so that it becomes another.
struct Verdict {
  ProjectAction action = ProjectAction::keep;
  std::string why;
};

/// A change of the text alone, or of the spelling of the name.
Verdict same_meaning(const catalog::Object& there, const catalog::Object& wanted) {
  if (there.name != wanted.name || there.schema != wanted.schema)
    return {ProjectAction::alter, fmt::format("renamed from \"{}\"", full_name(there))};
  if (there.sql != wanted.sql) return {ProjectAction::alter, "written differently"};
  return {};
}

Verdict compare_topics(const catalog::Object& there, const catalog::Object& wanted) {
  const auto& old = there.topic();
  catalog::TopicDefinition same = wanted.topic();
  std::vector<std::string> options;
  if (same.retention_ms != old.retention_ms) options.emplace_back("retention");
  if (same.retention_bytes != old.retention_bytes) options.emplace_back("retention_bytes");
  if (same.segment_bytes != old.segment_bytes) options.emplace_back("segment_bytes");
  same.retention_ms = old.retention_ms;
  same.retention_bytes = old.retention_bytes;
  same.segment_bytes = old.segment_bytes;
  if (same != old) return {ProjectAction::recreate, kChanged};
  if (options.empty()) return same_meaning(there, wanted);
  return {ProjectAction::alter, join(options) + " changed"};
}

/// The SELECT of a CREATE TABLE AS, normalised; empty for other forms.
std::string query_of(const catalog::Object& object) {
  auto statement = parse_statement(object.sql);
  if (!statement) return {};
  const auto* create = std::get_if<CreateTable>(&*statement);
  return create && create->query ? normalised(create->query->text) : std::string();
}

Verdict compare_tables(const catalog::Object& there, const catalog::Object& wanted) {
  const auto& old = there.table();
  const auto& now = wanted.table();
  bool same_text = there.sql == wanted.sql;
  if (old.schema != now.schema || old.partitioned_by != now.partitioned_by) {
    if (!same_text) return {ProjectAction::recreate, kChanged};
    return {ProjectAction::recreate,
            fmt::format("the columns of {} changed",
                        now.loaded_from.empty() ? "its query" : now.loaded_from)};
  }
  bool same_query = same_text || query_of(there) == query_of(wanted);
  if (now.loaded_from.empty()) {
    return same_query ? same_meaning(there, wanted) : Verdict{ProjectAction::recreate, kChanged};
  }
  if (!same_query) return {ProjectAction::load, "its query changed"};
  if (old.loaded_from_hash != now.loaded_from_hash) {
    if (old.loaded_from == now.loaded_from)
      return {ProjectAction::load, now.loaded_from + " changed"};
    return {ProjectAction::load, "its file is " + now.loaded_from + " now"};
  }
  return same_meaning(there, wanted);
}

Verdict compare_views(const catalog::Object& there, const catalog::Object& wanted) {
  std::set<ObjectId> before(there.depends_on.begin(), there.depends_on.end());
  std::set<ObjectId> after(wanted.depends_on.begin(), wanted.depends_on.end());
  bool same_text = there.sql == wanted.sql;
  if (before != after)
    return {ProjectAction::recreate, same_text ? "it reads something else now" : kChanged};
  // The same text over the same objects: its stored plan stays, even if this program would plan
  // it differently.
  if (same_text) return same_meaning(there, wanted);
  if (there.view().plan == wanted.view().plan && there.view().schema == wanted.view().schema)
    return same_meaning(there, wanted);
  return {ProjectAction::recreate, kChanged};
}

Verdict compare_sinks(const catalog::Object& there, const catalog::Object& wanted) {
  const auto& old = there.sink();
  const auto& now = wanted.sink();
  if (old.from != now.from || old.into != now.into) return {ProjectAction::recreate, kChanged};
  std::vector<std::string> options;
  if (old.commit_interval_ms != now.commit_interval_ms) options.emplace_back("commit_interval");
  if (old.file_bytes != now.file_bytes) options.emplace_back("file_bytes");
  if (options.empty()) return same_meaning(there, wanted);
  return {ProjectAction::alter, join(options) + " changed"};
}

Verdict compare(const catalog::Object& there, const catalog::Object& wanted) {
  if (there.kind() != wanted.kind()) {
    return {ProjectAction::recreate, fmt::format("it was a {}", catalog::kind_name(there.kind()))};
  }
  switch (wanted.kind()) {
    case catalog::Kind::topic:
      return compare_topics(there, wanted);
    case catalog::Kind::table:
      return compare_tables(there, wanted);
    case catalog::Kind::view:
      return compare_views(there, wanted);
    case catalog::Kind::sink:
      return compare_sinks(there, wanted);
  }
  return {};
}

/// What a new version of a table takes over from the one that is there.
void keep_storage(const catalog::Object& there, catalog::Object& wanted) {
  if (wanted.kind() != catalog::Kind::table) return;
  auto& table = std::get<catalog::TableDefinition>(wanted.definition);
  table.location = there.table().location;
  table.loads = there.table().loads;
  table.loaded_files = there.table().loaded_files;
}

/// One pass over a project, inside one catalog transaction. Statements come after what they read,
/// so whatever define() sees of the project is what the transaction ends with: an object that
/// depends on one that was made again is defined over the new one, and is made again itself.
class Planner {
 public:
  Planner(std::shared_ptr<Core> core, const ProjectFiles& files, catalog::Transaction& transaction)
      : core_(std::move(core)),
        files_(files),
        transaction_(transaction),
        start_(transaction.snapshot()) {}

  Result<ProjectPlan> run(const std::vector<Declared>& declared) {
    for (const Declared& one : declared) declared_.insert(one.key());
    for (const auto& object : start_->all()) {
      bool gone = !transaction_.snapshot()->find(object->id);
      if (gone || !owned(*object) || declared_.contains(key_of(*object))) continue;
      TRY(displace(object, kUndeclared));
    }
    for (const Declared& one : declared) {
      Status done = realise(one);
      if (!done) return one.located(done.error());
    }
    return std::move(plan_);
  }

 private:
  /// An object that had to go and is declared: it is made again when its turn comes.
  struct Displaced {
    catalog::ObjectPtr object;
    std::string why;
  };

  bool owned(const catalog::Object& object) const { return object.project == files_.name; }
  BindContext context() const {
    return {.core = core_,
            .catalog = transaction_.snapshot(),
            .path = {std::string(kDefaultSchema)},
            .folder = files_.directory};
  }

  PlannedStep& note(ProjectAction action, const catalog::ObjectPtr& object, std::string why) {
    plan_.push_back({.change = {.action = action,
                                .kind = object->kind(),
                                .schema = object->schema,
                                .name = object->name,
                                .where = {},
                                .why = std::move(why)},
                     .object = object,
                     .rows = {},
                     .declared = nullptr});
    return plan_.back();
  }

  /// Whether dropping `object` loses what cannot be had again.
  Result<bool> loses_data(const catalog::Object& object) const {
    if (object.kind() == catalog::Kind::sink) return false;
    if (object.kind() != catalog::Kind::table || object.table().loaded_from.empty()) return true;
    return TRY(loaded_state(*core_, object)).other_rows;
  }

  /// Takes `object` and all that depends on it out of the transaction, dependants first.
  Status displace(const catalog::ObjectPtr& object, const std::string& why) {
    bool again = declared_.contains(key_of(*object));
    for (const auto& dependant : transaction_.snapshot()->dependants(object->id)) {
      if (!transaction_.snapshot()->find(dependant->id)) continue;
      if (!owned(*dependant)) {
        return Error(Code::conflict,
                     "{} has to go ({}), but {}, which does not belong to project \"{}\", uses it",
                     describe(*object), why, describe(*dependant), files_.name)
            .with_hint("drop that first, or keep this as it was");
      }
      TRY(displace(dependant,
                   fmt::format("{} is {}", describe(*object), again ? "recreated" : "dropped")));
    }
    if (again) {
      displaced_.insert_or_assign(key_of(*object), Displaced{object, why});
    } else {
      bool loses = TRY(loses_data(*object));
      PlannedStep& step = note(ProjectAction::drop, object, kUndeclared);
      step.change.loses_data = loses;
      step.object = nullptr;
    }
    return transaction_.drop(object->id, false);
  }

  Status realise(const Declared& declared) {
    catalog::Object wanted = TRY(define(context(), declared.create, declared.source->text));
    wanted.project = files_.name;
    if (wanted.kind() == catalog::Kind::table && !wanted.table().loaded_from.empty()) {
      auto& table = std::get<catalog::TableDefinition>(wanted.definition);
      table.loaded_from_hash = TRY(hash_file(context(), table));
    }
    size_t steps = plan_.size();
    TRY(place(declared, std::move(wanted)));
    for (; steps < plan_.size(); ++steps) {
      plan_[steps].declared = &declared;
      plan_[steps].change.where = declared.where();
    }
    return {};
  }

  Status place(const Declared& declared, catalog::Object wanted) {
    auto there = transaction_.snapshot()->find(declared.name.schema, declared.name.name);
    if (!there) return make(declared, std::move(wanted));
    if (!owned(*there)) {
      return Error(Code::conflict, "there is a {} that belongs to {}", describe(*there),
                   there->project.empty() ? "no project" : "project \"" + there->project + "\"")
          .with_hint("rename one of them, or drop it");
    }
    Verdict verdict = compare(*there, wanted);
    switch (verdict.action) {
      case ProjectAction::keep:
        note(ProjectAction::keep, there, "");
        return {};
      case ProjectAction::alter:
        keep_storage(*there, wanted);
        wanted.id = there->id;
        note(ProjectAction::alter, TRY(transaction_.replace(std::move(wanted))), verdict.why);
        return {};
      case ProjectAction::load:
        return load(declared, *there, std::move(wanted), verdict.why);
      default:
        TRY(displace(there, verdict.why));
        return make(declared, std::move(wanted));
    }
  }

  /// Creates what is not there, or not any more.
  Status make(const Declared& declared, catalog::Object wanted) {
    auto object = TRY(transaction_.create(std::move(wanted)));
    auto old = displaced_.find(declared.key());
    bool again = old != displaced_.end();
    bool loses = again && TRY(loses_data(*old->second.object));
    PlannedStep& step = note(again ? ProjectAction::recreate : ProjectAction::create, object,
                             again ? old->second.why : "");
    step.change.loses_data = loses;
    return fill(declared, step);
  }

  Status load(const Declared& declared, const catalog::Object& there, catalog::Object wanted,
              const std::string& why) {
    LoadedState state = TRY(loaded_state(*core_, there));
    keep_storage(there, wanted);
    wanted.id = there.id;
    auto& table = std::get<catalog::TableDefinition>(wanted.definition);
    ++table.loads;
    table.pending_load = catalog::PendingLoad{.replaces = state.version, .files = {}};
    PlannedStep& step =
        note(ProjectAction::load, TRY(transaction_.replace(std::move(wanted))), why);
    step.change.loses_data = state.other_rows;
    if (state.other_rows) step.change.why += "; the table also has rows that are not of its file";
    return fill(declared, step);
  }

  /// Notes where the rows of a table come from.
  Status fill(const Declared& declared, PlannedStep& step) {
    const auto* create = std::get_if<CreateTable>(&declared.create);
    bool empty = !create || (!create->query && step.object->table().loaded_from.empty());
    if (empty) return {};
    for (const ObjectKey& key : declared.reads) {
      auto read = transaction_.snapshot()->find(key.first, key.second);
      if (!read || read->kind() != catalog::Kind::view || start_->find(read->id)) continue;
      return Error(Code::unsupported,
                   "table \"{}\" takes its rows from {}, which the same apply makes: they are not "
                   "known yet",
                   step.object->name, describe(*read))
          .with_hint("apply the view first, and then add the table");
    }
    step.rows = TRY(plan_load(context(), *create, *step.object));
    return {};
  }

  std::shared_ptr<Core> core_;
  const ProjectFiles& files_;
  catalog::Transaction& transaction_;
  const catalog::SnapshotPtr start_;
  std::set<ObjectKey> declared_;
  std::map<ObjectKey, Displaced> displaced_;
  ProjectPlan plan_;
};

}  // namespace

Result<ProjectPlan> plan_project(const std::shared_ptr<Core>& core, const ProjectFiles& files,
                                 const std::vector<Declared>& declared,
                                 catalog::Transaction& transaction) {
  return Planner(core, files, transaction).run(declared);
}

}  // namespace ziwa::sql
