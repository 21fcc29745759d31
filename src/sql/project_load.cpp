#include "sql/project_load.h"

#include "base/log.h"
#include "base/text.h"
#include "duck/cause.h"
#include "lake/lineage.h"
#include "lake/object_store.h"
#include "sql/rewrite.h"
#include "sql/row_writer.h"

#include <openssl/evp.h>

#include <algorithm>
#include <set>

namespace ziwa::sql {
namespace {

using duckdb::StringUtil;

/// Delta `txn` application of loads; its version counts them.
constexpr const char* kLoadApplication = "ziwa.load";
/// How often a load tries again when others commit to the table meanwhile.
constexpr int kCommitAttemptsMax = 100;

/// The table function that reads a file with this name. Errors: unsupported.
Result<std::string> reader_of(const std::string& path) {
  std::string name = lower(path);
  for (const char* packed : {".gz", ".zst"}) {
    if (name.ends_with(packed)) name.resize(name.size() - std::string_view(packed).size());
  }
  if (name.ends_with(".csv") || name.ends_with(".tsv")) return std::string("read_csv");
  if (name.ends_with(".parquet")) return std::string("read_parquet");
  for (const char* json : {".json", ".jsonl", ".ndjson"}) {
    if (name.ends_with(json)) return std::string("read_json");
  }
  return Error(Code::unsupported, "\"{}\": it is not known how to read such a file", path)
      .with_hint("csv, tsv, parquet, json and jsonl are; or use CREATE TABLE ... AS SELECT ...");
}

std::string list_of(const std::vector<duck::NamedType>& columns) {
  std::string list;
  for (const auto& column : columns) {
    list += fmt::format("{}\"{}\"", list.empty() ? "" : ", ", column.name);
  }
  return list;
}

/// The file's name for each of the table's columns, in the table's order.
Result<std::vector<std::string>> match_columns(const std::vector<duck::NamedType>& have,
                                               const catalog::Object& table,
                                               const std::string& file) {
  const data::Schema& want = table.table().schema;
  for (const auto& column : have) {
    if (want.find(column.name)) continue;
    return Error(Code::invalid_argument, "{} has a column \"{}\" that table \"{}\" does not have",
                 file, column.name, table.name)
        .with_hint(
            "declare it, or choose columns: CREATE TABLE ... WITH (file = ...) AS SELECT ...");
  }
  std::vector<std::string> names;
  for (const data::Column& column : want.columns) {
    auto found = std::ranges::find_if(
        have, [&](const auto& one) { return StringUtil::CIEquals(one.name, column.name); });
    if (found == have.end()) {
      return Error(Code::invalid_argument, "{} has no column \"{}\" for table \"{}\"", file,
                   column.name, table.name)
          .with_hint("its columns are " + list_of(have));
    }
    names.push_back(found->name);
  }
  return names;
}

Result<std::vector<duckdb::LogicalType>> types_of(const catalog::Object& table) {
  std::vector<duckdb::LogicalType> types;
  for (const data::Column& column : table.table().schema.columns) {
    types.push_back(TRY(duck::parse_type(column.type)));
  }
  return types;
}

/// What the CSV reader says over many lines, as one: "d.csv, line 3: Error when converting ...".
Error readable(const Error& error, const std::string& file) {
  constexpr std::string_view kLabel = "CSV Error on Line: ";
  std::string source = file.empty() ? "its query" : file;
  const std::string& text = error.message();
  size_t label = text.find(kLabel);
  if (label == std::string::npos) return Error(error).context(source);
  size_t number_end = text.find('\n', label);
  std::string line = text.substr(label + kLabel.size(), number_end - label - kLabel.size());
  size_t original = text.find("Original Line:", label);
  size_t detail = original == std::string::npos ? number_end : text.find('\n', original);
  if (detail == std::string::npos) return Error(error).context(source);
  size_t detail_end = std::min(text.find("\n\n", detail + 1), text.size());
  std::string what = text.substr(detail + 1, detail_end - detail - 1);
  std::ranges::replace(what, '\n', ' ');
  Error named(error.code(), "{}, line {}: {}", source, line, what);
  if (error.cause()) named = std::move(named).because(*error.cause());
  return named;
}

/// Casts rows to the columns of a table; says which row and column does not fit.
class Caster {
 public:
  Caster(Core& core, LoadQuery load, const catalog::Object& table)
      : core_(core), load_(std::move(load)), table_(table.name) {
    for (const data::Column& column : table.table().schema.columns) names_.push_back(column.name);
  }

  Status open(const duckdb::vector<duckdb::LogicalType>& from,
              const std::vector<duckdb::LogicalType>& to) {
    if (from.size() != to.size()) {
      return Error(Code::conflict, "{} columns come for table \"{}\", which has {}", from.size(),
                   table_, to.size())
          .with_hint("was the file changed just now? apply again");
    }
    std::vector<std::string> casts;
    for (size_t i = 0; i < to.size(); ++i) {
      inputs_.push_back({names_[i], from[i]});
      to_.push_back(to[i]);
      casts.push_back(cast_of(i));
    }
    if (std::ranges::equal(from, to)) return {};
    program_ = TRY(duck::ExpressionProgram::compile(core_.deps.duck, inputs_, casts));
    out_.Initialize(duckdb::Allocator::DefaultAllocator(), program_->output_types());
    return {};
  }

  Result<duckdb::DataChunk*> convert(duckdb::DataChunk& rows) {
    if (!program_) return &rows;
    out_.Reset();
    Status converted = program_->execute(rows, out_);
    if (!converted) return culprit(rows, converted.error());
    out_.SetCardinality(rows.size());
    rows_before_ += rows.size();
    return &out_;
  }

 private:
  std::string cast_of(size_t column) const {
    return fmt::format("CAST({} AS {})", quote_name(names_[column]), duck::type_name(to_[column]));
  }

  /// The first row and column that cannot be cast.
  Error culprit(duckdb::DataChunk& rows, const Error& error) const {
    std::optional<std::pair<size_t, size_t>> first;
    std::string why;
    for (size_t column = 0; column < to_.size(); ++column) {
      if (inputs_[column].type == to_[column]) continue;
      auto program = duck::ExpressionProgram::compile(core_.deps.duck, inputs_, {cast_of(column)});
      if (!program) continue;
      duckdb::DataChunk out;
      out.Initialize(duckdb::Allocator::DefaultAllocator(), (*program)->output_types());
      std::vector<std::string> failed;
      if (!(*program)->execute_rows(rows, out, failed)) continue;
      for (size_t row = 0; row < failed.size(); ++row) {
        if (failed[row].empty() || (first && first->first <= row)) continue;
        first = {row, column};
        why = failed[row];
      }
    }
    if (!first) return error;
    Error named(Code::invalid_argument, "row {}, column \"{}\" ({} to {}): {}",
                rows_before_ + first->first + 1, names_[first->second],
                duck::type_name(inputs_[first->second].type), duck::type_name(to_[first->second]),
                why);
    return std::move(named).because(duck::cause_of_cast(why));
  }

  Core& core_;
  LoadQuery load_;
  std::string table_;
  std::vector<std::string> names_;
  std::vector<duck::NamedType> inputs_;
  std::vector<duckdb::LogicalType> to_;
  std::unique_ptr<duck::ExpressionProgram> program_;  ///< Null: the rows fit as they are.
  duckdb::DataChunk out_;
  uint64_t rows_before_ = 0;
};

/// A running query and what makes rows of the table out of its rows.
struct OpenLoad {
  std::shared_ptr<Core> core;  ///< Dies last.
  std::shared_ptr<duckdb::Connection> connection;
  std::unique_ptr<Caster> caster;
  duckdb::unique_ptr<duckdb::QueryResult> result;
  duckdb::unique_ptr<duckdb::DataChunk> chunk;
  std::string file;

  Result<duckdb::DataChunk*> next() {
    auto fetched = duck::guarded([&] { chunk = result->Fetch(); });
    if (!fetched) return readable(fetched.error(), file);
    if (result->HasError()) return readable(duck::to_error(result->GetErrorObject()), file);
    if (!chunk || chunk->size() == 0) return nullptr;
    auto converted = TRY(duck::guarded([&] { return caster->convert(*chunk); }));
    if (!converted) return readable(converted.error(), file);
    return *converted;
  }
};

/// Puts the promised rows of one table into it, unless they are there. Gives why that cannot be
/// any more, if another engine has since rewritten the rows that they replace.
Result<std::optional<Error>> finish_load(Core& core, const catalog::Object& object) {
  const catalog::TableDefinition& definition = object.table();
  const catalog::PendingLoad& pending = *definition.pending_load;
  auto table = TRY(core.deps.table(object));
  lake::Commit commit{.info = {{"ziwa.load", definition.loaded_from_hash}}};
  commit.transaction = {kLoadApplication, static_cast<int64_t>(definition.loads)};
  for (const auto& file : pending.files) {
    commit.add.push_back(TRY(lake::data_file_from_json(file)));
  }
  lake::TableSnapshotPtr base = TRY(table->at_version(pending.replaces));
  lake::TableSnapshotPtr now;
  for (int attempt = 0;; ++attempt) {
    now = TRY(table->refresh());
    auto done = now->transaction_version(kLoadApplication);
    if (done && *done >= static_cast<int64_t>(definition.loads)) break;
    // What others wrote since the plan was made stays.
    auto replaced = lake::files_with_rows_of(*base, *now);
    if (!replaced && replaced.error().code() == Code::conflict) {
      return std::optional(std::move(replaced).error());
    }
    commit.remove.clear();
    for (const auto& file : TRY(std::move(replaced))) commit.remove.push_back(*file);
    commit.read_version = now->version();
    auto committed = table->commit(commit);
    if (committed) {
      now = *committed;
      break;
    }
    bool again = committed.error().code() == Code::conflict && attempt < kCommitAttemptsMax;
    if (!again) return committed.error();
  }
  core.wrote(
      TRY(core.deps.journal.submit_and_wait(journal::DeltaVersion{object.id, now->version()}, {})));
  return std::optional<Error>();
}

}  // namespace

Result<LoadQuery> plan_load(const BindContext& context, const CreateTable& create,
                            const catalog::Object& table) {
  const std::string& file = table.table().loaded_from;
  if (create.query) return LoadQuery{.text = create.query->text, .file = file};
  std::string reader = TRY(reader_of(file));
  bool csv = reader == "read_csv";
  std::string all = fmt::format("SELECT * FROM {}({}{})", reader, quote_text(file),
                                csv ? ", header = true, all_varchar = true" : "");
  auto described = describe_query(context, {.text = all, .position = 0});
  if (!described) {
    Error error = described.error();
    Error named = Error(error.code(), "{}: {}", file, error.message()).with_hint(error.hint());
    if (error.cause()) named = std::move(named).because(*error.cause());
    return named;
  }
  auto names = TRY(match_columns(*described, table, file));
  std::string columns;
  std::string types;
  for (size_t i = 0; i < names.size(); ++i) {
    const char* comma = i > 0 ? ", " : "";
    columns += comma + quote_name(names[i]);
    types += comma + quote_text(names[i]) + ": " + quote_text(table.table().schema.columns[i].type);
  }
  // With its types given, the CSV reader names line and column of what does not fit, and '007'
  // stays text.
  std::string options = csv ? ", header = true, types = {" + types + "}" : "";
  return LoadQuery{
      .text = fmt::format("SELECT {} FROM {}({}{})", columns, reader, quote_text(file), options),
      .file = file};
}

Result<std::string> hash_file(const BindContext& context, const catalog::TableDefinition& table) {
  Core& core = *context.core;
  std::string path = TRY(core.deps.duck.readable_path(context.folder, table.loaded_from));
  auto file = TRY(core.deps.fs.open(path, OpenMode::read));
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

Result<RowSource> open_load(const BindContext& context, const LoadQuery& load,
                            const catalog::Object& table) {
  auto open = std::make_shared<OpenLoad>();
  open->core = context.core;
  open->file = load.file;
  open->connection = TRY(open_binder(context));
  auto rewritten = TRY(rewrite_statement(load.text));
  auto sent = duck::guarded([&] { open->result = open->connection->SendQuery(rewritten.text); });
  if (!sent) return readable(sent.error(), load.file);
  if (open->result->HasError())
    return readable(duck::to_error(open->result->GetErrorObject()), load.file);
  open->caster = std::make_unique<Caster>(*context.core, load, table);
  TRY(open->caster->open(open->result->types, TRY(types_of(table))));
  return RowSource([open] { return open->next(); });
}

Result<LoadedState> loaded_state(Core& core, const catalog::Object& table) {
  auto lake_table = TRY(core.deps.table(table));
  lake::TableSnapshotPtr now = TRY(lake_table->refresh());
  LoadedState state{.version = now->version()};
  const auto& loaded = table.table().loaded_files;
  std::set<std::string> ours(loaded.begin(), loaded.end());
  for (const auto& file : now->files()) state.other_rows |= !ours.contains(file->path);
  return state;
}

Result<StagedLoad> stage_load(Core& core, const catalog::ObjectPtr& table, const RowSource& rows) {
  auto lake_table = TRY(core.deps.table(*table));
  auto writer = TRY(make_table_file_writer(core, table, *lake_table));
  while (duckdb::DataChunk* chunk = TRY(rows())) TRY(writer->write(*chunk));
  StagedLoad staged;
  staged.files = TRY(writer->finish());
  auto preview = lake_table->preview(staged.files);
  if (!preview) {
    discard_load(core, *table, staged);
    return preview.error();
  }
  staged.preview = std::move(*preview);
  return staged;
}

void discard_load(Core& core, const catalog::Object& table, const StagedLoad& staged) {
  for (const auto& file : staged.files) {
    core.deps.fs.remove(join_path(core.directory_of(table), file.path))
        .ignore("a file that no commit names harms nobody");
  }
}

Status finish_loads(Core& core) {
  std::vector<catalog::ObjectPtr> settled;
  std::set<ObjectId> given_up;
  Status status;
  for (const auto& object : core.deps.catalog.snapshot()->all()) {
    if (object->kind() != catalog::Kind::table || !object->table().pending_load) continue;
    auto done = finish_load(core, *object);
    std::optional<Error> error;
    if (!done) error = done.error();
    if (done && *done) {
      error = std::move(**done).with_hint("apply again: its file is then loaded anew");
      given_up.insert(object->id);
    }
    if (done) settled.push_back(object);
    if (!error) continue;
    status =
        std::move(*error).context(fmt::format("rows of the file of table \"{}\"", object->name));
    if (!done) break;
  }
  if (settled.empty()) return status;
  TRY(core.deps.catalog.commit([&](catalog::Transaction& transaction) -> Status {
    for (const auto& object : settled) {
      auto now = transaction.snapshot()->find(object->id);
      if (!now || now->table().loads != object->table().loads) continue;
      catalog::Object changed = *now;
      auto& table = std::get<catalog::TableDefinition>(changed.definition);
      table.pending_load.reset();
      if (given_up.contains(object->id)) table.loaded_from_hash.clear();
      TRY(transaction.replace(std::move(changed)));
    }
    return {};
  }));
  return status;
}

}  // namespace ziwa::sql
