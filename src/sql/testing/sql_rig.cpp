#include "sql/testing/sql_rig.h"

#include "sql/event_windows.h"

#include <atomic>
#include <cstdlib>
#include <filesystem>

namespace ziwa::sql::testing {
namespace {

std::string temporary_directory() {
  std::string pattern = (std::filesystem::temp_directory_path() / "ziwa_sql_XXXXXX").string();
  CHECK(mkdtemp(pattern.data()) != nullptr);
  return pattern;
}

template <typename T>
T need(Result<T> result) {
  CHECK(result.has_value(), "{}", result.error().to_string());
  return std::move(*result);
}
void need(Status status) { CHECK(status.has_value(), "{}", status.error().to_string()); }

log::TopicConfig config_of(const catalog::TopicDefinition& topic) {
  return {.partitions = topic.partitions,
          .retention_ms = topic.retention_ms,
          .retention_bytes = topic.retention_bytes,
          .segment_bytes = topic.segment_bytes};
}

}  // namespace

SqlRig::SqlRig(Streams streams) : directory_(temporary_directory()) {
  set_log_level(LogLevel::error);
  FileSystem& fs = posix_file_system();
  need(fs.make_dirs(files()));
  open_storage();
  catalog_->set_journal([this](uint64_t version) {
    return journal_->submit_and_wait(journal::CatalogChange{version}, {});
  });
  catalog_->watch({.prepare = [this](const auto& changes) -> Status {
                     for (const auto& change : changes) {
                       if (!change.after || change.after->kind() != catalog::Kind::topic) continue;
                       TRY(log_->create_topic(change.after->id, config_of(change.after->topic())));
                     }
                     return {};
                   },
                   .abort = {},
                   .apply = [this](const auto& changes, EntryNumber) -> Status {
                     for (const auto& change : changes) {
                       if (change.after || change.before->kind() != catalog::Kind::topic) continue;
                       TRY(log_->drop_topic(change.before->id));
                     }
                     return {};
                   }});
  duck_ = need(duck::Instance::open(
      fs, {.temp_directory = directory_ + "/tmp", .allowed_directories = {files()}}));
  need(register_window_functions(*duck_));
  open_engine(streams);
  open_database();
  need(duck_->lock());
}

void SqlRig::open_database() {
  auto table = [this](const catalog::Object& object) { return this->table(object); };
  database_ =
      need(Database::open({posix_file_system(), clock_, metrics_, settings_, *duck_, *catalog_,
                           *journal_, *log_, *engine_, table, directory_ + "/lake"}));
}

void SqlRig::reopen_database() {
  database_.reset();
  open_database();
}

void SqlRig::open_engine(Streams streams) {
  auto table = [this](const catalog::Object& object) { return this->table(object); };
  stream::Engine::Dependencies dependencies{posix_file_system(), clock_, metrics_,  *duck_, *state_,
                                            *journal_,           *log_,  *catalog_, table};
  if (streams == Streams::fake) {
    engine_ = std::make_unique<FakeEngine>(dependencies);
    return;
  }
  engine_ = need(stream::Engine::open(dependencies, {.checkpoint_interval_ms = 100}));
  catalog_->watch(
      {.prepare = {}, .abort = {}, .apply = [this](const auto& changes, EntryNumber entry) {
         return engine_->on_catalog_change(changes, entry);
       }});
  need(engine_->start());
}

void SqlRig::open_storage() {
  FileSystem& fs = posix_file_system();
  need(fs.make_dirs(directory_));
  log_holder_ = need(log::Log::open(fs, directory_ + "/log", clock_, metrics_, {}));
  log_ = log_holder_.get();
  journal_ = need(journal::Journal::open(fs, directory_ + "/journal", clock_, metrics_, {},
                                         [this](const auto& end) { return log_->has_data(end); }));
  need(log_->start(*journal_));
  meta_ = need(state::Store::open(fs, directory_ + "/meta", {.tables = {"catalog"}}));
  state_ = need(state::Store::open(
      fs, directory_ + "/state",
      {.tables = {"views", "state", "positions", "late", "errors", "dead_letters"}}));
  catalog_ = need(catalog::Catalog::open(*meta_, clock_));
}

SqlRig::~SqlRig() {
  database_.reset();
  engine_->stop().ignore("the directory goes too");
  engine_.reset();
  tables_.clear();
  catalog_.reset();
  state_.reset();
  meta_.reset();
  log_holder_.reset();
  journal_.reset();
  duck_.reset();
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

Result<std::shared_ptr<lake::Table>> SqlRig::table(const catalog::Object& object) {
  std::lock_guard lock(tables_mutex_);
  auto& known = tables_[object.id];
  if (!known) {
    known = TRY(lake::Table::open(
        lake::make_local_store(posix_file_system(),
                               catalog::table_directory(object, directory_ + "/lake")),
        *duck_, clock_));
  }
  return known;
}

Result<TextRows> all_rows(Session& session, std::string_view sql) {
  auto rows = TRY(session.query(sql));
  return text_of(*rows);
}

Result<TextRows> text_of(Rows& rows) {
  TextRows text;
  while (duckdb::DataChunk* chunk = TRY(rows.next())) {
    for (duckdb::idx_t row = 0; row < chunk->size(); ++row) {
      std::vector<std::string> values;
      for (duckdb::idx_t column = 0; column < chunk->ColumnCount(); ++column) {
        duckdb::Value value = chunk->GetValue(column, row);
        values.push_back(value.IsNull() ? "NULL" : value.ToString());
      }
      text.push_back(std::move(values));
    }
  }
  return text;
}

}  // namespace ziwa::sql::testing
