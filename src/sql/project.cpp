#include "sql/project.h"

#include "duck/catalog_api.h"
#include "sql/ddl.h"
#include "sql/define.h"
#include "sql/project_files.h"
#include "sql/rewrite.h"
#include "sql/row_writer.h"
#include "sql/statement.h"
#include "sql/tokenizer.h"
#include "sql/view_planner.h"

#include <openssl/evp.h>

#include <algorithm>
#include <set>

namespace ziwa::sql {
namespace {

/// A statement of the project, parsed.
struct Declared {
  const ProjectStatement* source = nullptr;
  CreateStatement create;
  ObjectName name;

  std::string where() const { return fmt::format("{}:{}", source->file, source->line); }
};

Error located(Error error, const Declared& declared) {
  return std::move(error).context(declared.where());
}

Result<CreateStatement> as_create(Statement statement) {
  if (auto* topic = std::get_if<CreateTopic>(&statement)) return CreateStatement(std::move(*topic));
  if (auto* table = std::get_if<CreateTable>(&statement)) return CreateStatement(std::move(*table));
  if (auto* view = std::get_if<CreateView>(&statement)) return CreateStatement(std::move(*view));
  if (auto* sink = std::get_if<CreateSink>(&statement)) return CreateStatement(std::move(*sink));
  return Error(Code::invalid_argument, "a project declares objects; this statement does something")
      .with_hint("CREATE TOPIC, TABLE, MATERIALIZED VIEW and SINK may stand in a project");
}

/// File functions of a project's statements name files of the project: makes the paths of
/// `read_...('path')` and `FROM 'path'` absolute.
Result<std::string> with_absolute_paths(const std::string& query, const std::string& directory) {
  auto tokens = TRY(tokenize(query));
  std::string out;
  size_t copied = 0;
  for (size_t i = 1; i < tokens.size(); ++i) {
    if (tokens[i].kind != TokenKind::string) continue;
    bool of_function = i >= 2 && tokens[i - 1].is_symbol("(") &&
                       tokens[i - 2].kind == TokenKind::word &&
                       duckdb::StringUtil::StartsWith(
                           duckdb::StringUtil::Lower(std::string(tokens[i - 2].text)), "read_");
    if (!of_function && !tokens[i - 1].is("FROM")) continue;
    std::string path = tokens[i].value();
    if (path.starts_with('/') || path.find("://") != std::string::npos) continue;
    out += query.substr(copied, tokens[i].position - copied);
    out += "'" + duckdb::StringUtil::Replace(join_path(directory, path), "'", "''") + "'";
    copied = tokens[i].end();
  }
  return out + query.substr(copied);
}

Result<std::vector<Declared>> parse_all(const ProjectFiles& files) {
  std::vector<Declared> all;
  std::set<std::pair<std::string, std::string>> names;
  for (const auto& source : files.statements) {
    Declared declared{.source = &source, .create = {}, .name = {}};
    auto statement = parse_statement(source.text);
    if (!statement) return located(statement.error(), declared);
    auto create = as_create(std::move(*statement));
    if (!create) return located(create.error(), declared);
    declared.create = std::move(*create);
    if (auto* table = std::get_if<CreateTable>(&declared.create); table && table->query) {
      auto query = with_absolute_paths(table->query->text, files.directory);
      if (!query) return located(query.error(), declared);
      table->query->text = std::move(*query);
    }
    auto name = resolve_name(name_of(declared.create), std::string(kDefaultSchema));
    if (!name) return located(name.error(), declared);
    declared.name = std::move(*name);
    auto key = std::pair(duckdb::StringUtil::Lower(declared.name.schema),
                         duckdb::StringUtil::Lower(declared.name.name));
    if (!names.insert(key).second) {
      return located(Error(Code::invalid_argument, "\"{}\" is declared twice", declared.name.name),
                     declared);
    }
    all.push_back(std::move(declared));
  }
  return all;
}

Result<std::string> content_hash(FileSystem& fs, const std::string& path) {
  auto file = TRY(fs.open(path, OpenMode::read));
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> digest(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  EVP_DigestInit_ex(digest.get(), EVP_sha256(), nullptr);
  Bytes buffer(1 << 20);
  for (uint64_t at = 0;;) {
    size_t got = TRY(file->read_at(at, buffer));
    if (got == 0) break;
    EVP_DigestUpdate(digest.get(), buffer.data(), got);
    at += got;
  }
  unsigned char raw[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  EVP_DigestFinal_ex(digest.get(), raw, &size);
  std::string hex;
  for (unsigned i = 0; i < size; ++i) hex += fmt::format("{:02x}", raw[i]);
  return hex;
}

/// One run over a project inside one catalog transaction.
class Application {
 public:
  Application(std::shared_ptr<Core> core, const ProjectFiles& files,
              catalog::Transaction& transaction, bool dry)
      : core_(std::move(core)), files_(files), transaction_(transaction), dry_(dry) {}

  Status run(std::vector<Declared> declared);
  const std::vector<ProjectChange>& changes() const { return changes_; }
  /// Tables whose directories were made; to be discarded if the commit fails.
  const std::vector<catalog::ObjectPtr>& made() const { return made_; }
  /// Tables whose rows have to be replaced once the commit is through.
  struct Load {
    ObjectId table;
    std::string query;
    std::string hash;
  };
  const std::vector<Load>& loads() const { return loads_; }

 private:
  Status drop_undeclared(const std::vector<Declared>& declared);
  Status drop(const catalog::ObjectPtr& object, ProjectAction action, std::string where,
              std::string why);
  /// Makes `declared` so. Errors: not_found when what it reads is not there yet.
  Status realise(const Declared& declared);
  Status change(const Declared& declared, const catalog::ObjectPtr& there, catalog::Object wanted);
  Status create(const Declared& declared, catalog::Object wanted);
  BindContext context() const {
    return {
        .core = core_, .catalog = transaction_.snapshot(), .schema = std::string(kDefaultSchema)};
  }
  std::string file_of(const catalog::TableDefinition& table) const {
    return table.loaded_from.starts_with('/') ? table.loaded_from
                                              : join_path(files_.directory, table.loaded_from);
  }
  bool owned(const catalog::Object& object) const { return object.project == files_.name; }
  void note(ProjectAction action, const catalog::Object& object, std::string where, std::string why,
            bool loses_data) {
    changes_.push_back(
        {action, object.kind(), object.name, std::move(where), std::move(why), loses_data});
  }

  std::shared_ptr<Core> core_;
  const ProjectFiles& files_;
  catalog::Transaction& transaction_;
  bool dry_;
  std::vector<ProjectChange> changes_;
  std::vector<catalog::ObjectPtr> made_;
  std::vector<Load> loads_;
  std::set<std::string> dropped_;  ///< Names that are made again.
};

/// The query that fills a table: its own SELECT, or everything in its file.
std::string load_query(const CreateTable& create, const std::string& path) {
  if (create.query) return create.query->text;
  return fmt::format("SELECT * FROM '{}'", duckdb::StringUtil::Replace(path, "'", "''"));
}

/// Runs `query` against the catalog of `context`. The rows die with the returned source.
Result<RowSource> open_rows(const BindContext& context, const std::string& query) {
  std::shared_ptr<duckdb::Connection> connection = TRY(open_binder(context));
  auto rewritten = TRY(rewrite_statement(query));
  std::shared_ptr<duckdb::QueryResult> rows =
      TRY(duck::guarded([&] { return connection->SendQuery(rewritten.text); }));
  if (rows->HasError()) return duck::to_error(rows->GetErrorObject());
  auto chunk = std::make_shared<duckdb::unique_ptr<duckdb::DataChunk>>();
  return RowSource([connection, rows, chunk]() -> Result<duckdb::DataChunk*> {
    TRY(duck::guarded([&] { *chunk = rows->Fetch(); }));
    if (rows->HasError()) return duck::to_error(rows->GetErrorObject());
    return *chunk && (*chunk)->size() > 0 ? chunk->get() : nullptr;
  });
}

Status Application::drop(const catalog::ObjectPtr& object, ProjectAction action, std::string where,
                         std::string why) {
  // Dependants first, each only if it is ours; they are made again when the project still declares
  // them.
  for (const auto& dependant : transaction_.snapshot()->dependants(object->id)) {
    if (!transaction_.snapshot()->find(dependant->id)) continue;
    if (!owned(*dependant)) {
      return Error(
          Code::conflict,
          "{} \"{}\" cannot be dropped: {} \"{}\" uses it and does not belong to project \"{}\"",
          catalog::kind_name(object->kind()), object->name, catalog::kind_name(dependant->kind()),
          dependant->name, files_.name);
    }
    TRY(drop(dependant, action, where, fmt::format("\"{}\" is dropped", object->name)));
  }
  bool loses_data = object->kind() != catalog::Kind::sink;
  note(action, *object, std::move(where), std::move(why), loses_data);
  dropped_.insert(object->name);
  return transaction_.drop(object->id, false);
}

Status Application::drop_undeclared(const std::vector<Declared>& declared) {
  for (const auto& object : transaction_.snapshot()->all()) {
    if (!owned(*object) || !transaction_.snapshot()->find(object->id)) continue;
    bool wanted = std::any_of(declared.begin(), declared.end(), [&](const Declared& one) {
      return duckdb::StringUtil::CIEquals(one.name.name, object->name) &&
             duckdb::StringUtil::CIEquals(one.name.schema, object->schema);
    });
    if (!wanted)
      TRY(drop(object, ProjectAction::drop, "", "the project does not declare it any more"));
  }
  return {};
}

Status Application::create(const Declared& declared, catalog::Object wanted) {
  RowSource rows;
  if (const auto* table = std::get_if<CreateTable>(&declared.create); table && !dry_) {
    if (table->query || !wanted.table().loaded_from.empty()) {
      rows = TRY(open_rows(context(), load_query(*table, file_of(wanted.table()))));
    }
  }
  bool again = dropped_.contains(wanted.name);
  if (!again) note(ProjectAction::create, wanted, declared.where(), "", false);
  if (dry_) {
    TRY(transaction_.create(std::move(wanted)));
    return {};
  }
  made_.push_back(TRY(create_in(*core_, transaction_, std::move(wanted), rows)));
  return {};
}

/// Whether only what can change in place differs: how long and how much a topic keeps.
bool alterable(const catalog::Object& there, const catalog::Object& wanted) {
  if (there.kind() != catalog::Kind::topic) return false;
  catalog::TopicDefinition same = wanted.topic();
  same.retention_ms = there.topic().retention_ms;
  same.retention_bytes = there.topic().retention_bytes;
  same.segment_bytes = there.topic().segment_bytes;
  return same == there.topic();
}

Status Application::change(const Declared& declared, const catalog::ObjectPtr& there,
                           catalog::Object wanted) {
  if (!owned(*there)) {
    return Error(Code::conflict, "there is a {} \"{}\" that belongs to {}",
                 catalog::kind_name(there->kind()), there->name,
                 there->project.empty() ? "no project" : "project \"" + there->project + "\"")
        .with_hint("rename one of them, or drop it");
  }
  bool same_kind = there->kind() == wanted.kind();
  if (same_kind && there->sql == wanted.sql) {
    if (wanted.kind() == catalog::Kind::table &&
        there->table().loaded_from_hash != wanted.table().loaded_from_hash) {
      note(ProjectAction::load, *there, declared.where(), there->table().loaded_from + " changed",
           false);
      loads_.push_back({there->id,
                        load_query(std::get<CreateTable>(declared.create), file_of(wanted.table())),
                        wanted.table().loaded_from_hash});
      return {};
    }
    note(ProjectAction::keep, *there, declared.where(), "", false);
    return {};
  }
  if (same_kind && alterable(*there, wanted)) {
    note(ProjectAction::alter, *there, declared.where(), "retention", false);
    wanted.id = there->id;
    wanted.created = there->created;
    TRY(transaction_.replace(std::move(wanted)));
    return {};
  }
  TRY(drop(there, ProjectAction::recreate, declared.where(), "its declaration changed"));
  return create(declared, std::move(wanted));
}

Status Application::realise(const Declared& declared) {
  BindContext bind = context();
  catalog::Object wanted = TRY(define(bind, declared.create, declared.source->text));
  wanted.project = files_.name;
  if (wanted.kind() == catalog::Kind::table && !wanted.table().loaded_from.empty()) {
    auto& table = std::get<catalog::TableDefinition>(wanted.definition);
    table.loaded_from_hash = TRY(content_hash(core_->deps.fs, file_of(table)));
  }
  auto there = bind.catalog->find(declared.name.schema, declared.name.name);
  return there ? change(declared, there, std::move(wanted)) : create(declared, std::move(wanted));
}

Status Application::run(std::vector<Declared> pending) {
  TRY(drop_undeclared(pending));
  // What is read must be there first: try until nothing moves any more.
  while (!pending.empty()) {
    std::vector<Declared> waiting;
    std::optional<Error> first;
    for (auto& declared : pending) {
      Status done = realise(declared);
      if (done) continue;
      if (done.error().code() != Code::not_found) return located(done.error(), declared);
      if (!first) first = located(done.error(), declared);
      waiting.push_back(std::move(declared));
    }
    if (waiting.size() == pending.size()) return std::move(*first);
    pending = std::move(waiting);
  }
  return {};
}

/// Replaces all rows of a table in one Delta commit, then remembers the file's hash: a crash in
/// between loads once more, which changes nothing.
Status load_again(const std::shared_ptr<Core>& core, const Application::Load& load) {
  BindContext context{.core = core,
                      .catalog = core->deps.catalog.snapshot(),
                      .schema = std::string(kDefaultSchema)};
  catalog::ObjectPtr object = context.catalog->find(load.table);
  if (!object) return Error(Code::conflict, "a table was dropped while its file was loaded");
  RowSource rows = TRY(open_rows(context, load.query));
  auto table = TRY(core->deps.table(*object));
  auto writer = TRY(make_table_writer(*core, object, table, TableWrite::replace));
  while (duckdb::DataChunk* chunk = TRY(rows())) TRY(writer->write(*chunk));
  TRY(writer->finish());
  TRY(core->deps.catalog.commit([&](catalog::Transaction& transaction) -> Status {
    auto there = transaction.snapshot()->find(load.table);
    if (!there) return Error(Code::conflict, "a table was dropped while its file was loaded");
    catalog::Object loaded = *there;
    std::get<catalog::TableDefinition>(loaded.definition).loaded_from_hash = load.hash;
    TRY(transaction.replace(std::move(loaded)));
    return {};
  }));
  return {};
}

Error losing_data(const std::vector<ProjectChange>& changes) {
  std::string list;
  for (const auto& change : changes) {
    if (!change.loses_data) continue;
    list += fmt::format("{}{} {} \"{}\" ({})", list.empty() ? "" : ", ", action_name(change.action),
                        catalog::kind_name(change.kind), change.name, change.why);
  }
  return Error(Code::conflict, "this would lose data: {}", list)
      .with_hint("apply with --allow-drop if that is meant");
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
  ProjectFiles files = TRY(read_project(core->deps.fs, directory));
  std::vector<Declared> declared = TRY(parse_all(files));
  std::vector<ProjectChange> changes;
  bool planned = false;
  auto committed = core->deps.catalog.commit([&](catalog::Transaction& transaction) -> Status {
    Application application(core, files, transaction, true);
    TRY(application.run(std::move(declared)));
    changes = application.changes();
    planned = true;
    return Error(Code::cancelled, "a difference is shown, not made");
  });
  if (!planned) return committed.error();
  return changes;
}

Result<std::vector<ProjectChange>> apply_project(const std::shared_ptr<Core>& core,
                                                 const std::string& directory, bool allow_drop) {
  ProjectFiles files = TRY(read_project(core->deps.fs, directory));
  auto differences = TRY(diff_project(core, directory));
  bool nothing =
      std::all_of(differences.begin(), differences.end(),
                  [](const ProjectChange& change) { return change.action == ProjectAction::keep; });
  if (nothing) return differences;

  std::vector<Declared> declared = TRY(parse_all(files));
  std::vector<ProjectChange> changes;
  std::vector<catalog::ObjectPtr> made;
  std::vector<Application::Load> loads;
  auto committed = core->deps.catalog.commit([&](catalog::Transaction& transaction) -> Status {
    Application application(core, files, transaction, false);
    Status ran = application.run(std::move(declared));
    changes = application.changes();
    made = application.made();
    loads = application.loads();
    TRY(std::move(ran));
    bool loses = std::any_of(changes.begin(), changes.end(),
                             [](const auto& change) { return change.loses_data; });
    if (loses && !allow_drop) return losing_data(changes);
    return {};
  });
  if (!committed) {
    for (const auto& object : made) discard_table(*core, *object);
    return committed.error();
  }
  for (const auto& load : loads) TRY(load_again(core, load));
  TRY(core->deps.engine.wait(core->deps.journal.durable(), core->read_timeout_ms()));
  return changes;
}

}  // namespace ziwa::sql
