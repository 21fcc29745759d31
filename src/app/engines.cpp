#include "app/engines.h"

#include "app/doors.h"
#include "base/advice.h"
#include "base/log.h"
#include "base/text.h"
#include "protocol/postgres/pg_catalog.h"
#include "sql/event_windows.h"

namespace ziwa::app {
namespace {

constexpr int64_t kFollowTablesNs = 10'000'000'000;

// Keys of the tables "witness": docs/formats/state-store.md.
constexpr const char* kCatalogWitness = "catalog";  ///< In state: version of the catalog.
constexpr const char* kJournalWitness = "journal";  ///< In state: an entry that was durable.
constexpr const char* kStateWitness = "state";      ///< In meta: epoch of a checkpoint.

log::TopicConfig config_of(const catalog::TopicDefinition& topic) {
  return {.partitions = topic.partitions,
          .retention_ms = topic.retention_ms,
          .retention_bytes = topic.retention_bytes,
          .segment_bytes = topic.segment_bytes};
}

bool is_topic(const catalog::ObjectPtr& object) {
  return object && object->kind() == catalog::Kind::topic;
}

journal::Flush flush_of(const std::string& text) {
  if (text == "interval") return journal::Flush::interval;
  return text == "os" ? journal::Flush::os : journal::Flush::always;
}

/// What a witness knows; 0: nothing.
Result<uint64_t> witnessed(state::Store& store, const char* of) {
  auto value = TRY(store.get(store.table("witness"), of));
  if (!value) return 0;
  ByteReader in(as_bytes(*value));
  uint64_t number = in.varint();
  TRY(in.status("a witness"));
  return number;
}

void warn_without(const Status& witness) {
  if (witness) return;
  log_warn("server", "a part has no witness: damage to its files might not be noticed", "error={}",
           witness.error().to_string());
}

/// Folders of a comma-separated setting.
std::vector<std::string> folders_of(const std::string& text) {
  std::vector<std::string> folders;
  size_t begin = 0;
  while (begin < text.size()) {
    size_t end = std::min(text.find(',', begin), text.size());
    std::string folder = text.substr(begin, end - begin);
    folder.erase(0, std::min(folder.find_first_not_of(' '), folder.size()));
    while (folder.ends_with(' ')) folder.pop_back();
    if (!folder.empty()) folders.push_back(std::move(folder));
    begin = end + 1;
  }
  return folders;
}

/// Folders that say whose they are.
constexpr const char* kOwnedParts[] = {"meta", "state", "log", "journal", "lake"};

/// The parts of a data directory, each durable before the first start makes the next. One that is
/// missing before one that is there was lost: going on would drop what only it knew. Errors:
/// corrupt.
Status check_parts(FileSystem& fs, const DataDirectory& directory) {
  const std::pair<const char*, std::string> parts[] = {
      {"meta", "meta/CURRENT"}, {"state", "state/CURRENT"}, {"log", "log"}, {"journal", "journal"}};
  const char* missing = nullptr;
  for (const auto& [part, proof] : parts) {
    if (!fs.exists(directory.below(proof))) {
      if (missing == nullptr) missing = part;
    } else if (missing != nullptr) {
      return Error(Code::corrupt, "{} is missing or empty, though {} is there",
                   directory.below(missing), directory.below(part))
          .with_hint(kRestoreBackup);
    }
  }
  return {};
}

/// What is left to do about a data directory that is not as it was written, or has no room.
template <typename Outcome>
Outcome with_advice(Outcome outcome) {
  if (outcome || !outcome.error().hint().empty()) return outcome;
  if (outcome.error().code() == Code::corrupt)
    return std::move(outcome).error().with_hint(kRestoreBackup);
  if (outcome.error().cause() == Cause::disk_full) {
    return std::move(outcome).error().with_hint(
        "free some space on the disk of the data directory and start again; nothing was lost");
  }
  if (outcome.error().code() != Code::io) return outcome;
  return std::move(outcome).error().with_hint(
      fmt::format("let this user read and write it; if it is gone, {}", kRestoreBackup));
}

}  // namespace

Engines::Engines(const Environment& environment, DataDirectory directory)
    : environment_(environment), directory_(std::move(directory)) {}

Engines::~Engines() {
  // Readers of the catalog go before it, and what runs threads of its own before what those use.
  database_.reset();
  stream_.reset();
  catalog_.reset();
  tables_.reset();
  log_.reset();
  journal_.reset();
}

Result<std::unique_ptr<Engines>> Engines::open(const Environment& environment,
                                               const Options& options) {
  auto directory = TRY(with_advice(DataDirectory::open(environment.fs, options.data_directory)));
  std::unique_ptr<Engines> engines(new Engines(environment, std::move(directory)));
  TRY(check_parts(environment.fs, engines->directory_));
  for (const char* part : kOwnedParts) {
    TRY(with_advice(engines->directory_.check_owner(environment.fs, part)));
  }
  TRY(with_advice(engines->open_stores()));
  TRY(with_advice(engines->open_log()));
  // What a witness could not be told when it happened.
  engines->renew_catalog_witness();
  engines->renew_state_witness();
  TRY(with_advice(engines->open_duck(options)));
  TRY(with_advice(engines->open_streams()));
  TRY(with_advice(engines->open_database()));
  for (const char* part : kOwnedParts) {
    warn_without(engines->directory_.own(environment.fs, part));
  }
  return engines;
}

Status Engines::open_stores() {
  const Settings& settings = environment_.settings;
  uint64_t cache = static_cast<uint64_t>(settings.integer("state.cache.bytes"));
  uint64_t buffer = static_cast<uint64_t>(settings.integer("state.write_buffer.bytes"));
  auto open = [&](const char* part, state::Store::Options options) {
    return state::Store::open(environment_.fs, directory_.below(part), std::move(options));
  };
  meta_ = TRY(open("meta", {.tables = {"catalog", "groups", "witness"},
                            .block_cache_bytes = cache / 4,
                            .write_buffer_bytes = buffer / 4}));
  state_ = TRY(open("state", {.tables = {"views", "state", "positions", "late", "errors",
                                         "dead_letters", "witness"},
                              .block_cache_bytes = cache,
                              .write_buffer_bytes = buffer}));
  catalog_ = TRY(catalog::Catalog::open(*meta_, environment_.clock));
  return check_witnesses();
}

/// Recovery of a store keeps the writes before the first that is damaged, and cannot tell a torn
/// tail from lost acknowledged writes. What the catalog no longer has would be removed from the
/// disk, and what the streams do not know be made anew from the records that are left: so each
/// store testifies for the other, and both for the journal.
Status Engines::check_witnesses() {
  auto lost = [&](const char* part, std::string what) {
    return Error(Code::corrupt, "{} lost acknowledged writes: {}", directory_.below(part), what)
        .with_hint(kRestoreBackup);
  };
  uint64_t version = catalog_->snapshot()->version();
  if (uint64_t known = TRY(witnessed(*state_, kCatalogWitness)); known > version) {
    return lost("meta",
                fmt::format("the catalog is at version {}, but had version {}", version, known));
  }
  Epoch epoch = TRY(stream::checkpointed_epoch(*state_)).value_or(Epoch());
  if (uint64_t known = TRY(witnessed(*meta_, kStateWitness)); known > epoch.value) {
    return lost("state", fmt::format("views were followed up to entry {}, and had been up to {}",
                                     epoch, known));
  }
  journal_end_ = std::max(EntryNumber(TRY(witnessed(*state_, kJournalWitness))), epoch);
  return {};
}

Status Engines::renew_witness(state::Store& store, const char* of, uint64_t number) {
  if (TRY(witnessed(store, of)) >= number) return {};
  return testify(store, {{of, number}});
}

void Engines::renew_catalog_witness() {
  warn_without(renew_witness(*state_, kCatalogWitness, catalog_->snapshot()->version()));
}

void Engines::renew_state_witness() {
  auto renewed = [&]() -> Status {
    auto epoch = TRY(stream::checkpointed_epoch(*state_));
    return epoch ? renew_witness(*meta_, kStateWitness, epoch->value) : Status();
  }();
  warn_without(renewed);
}

Status Engines::testify(state::Store& store,
                        std::initializer_list<std::pair<const char*, uint64_t>> facts) {
  state::WriteBatch batch;
  for (const auto& [of, number] : facts) {
    ByteWriter value;
    value.varint(number);
    batch.put(store.table("witness"), of, as_text(value.view()));
  }
  return store.write(batch, true);
}

/// Enters a version of the catalog into the journal, durably whatever log.flush says.
Result<EntryNumber> Engines::enter_catalog(uint64_t version) {
  EntryNumber entry =
      TRY(journal_->submit_and_wait(journal::CatalogChange{.catalog_version = version}, {}));
  TRY(journal_->sync_through(entry));
  warn_without(testify(*state_, {{kCatalogWitness, version}, {kJournalWitness, entry.value}}));
  return entry;
}

Status Engines::open_log() {
  const Settings& settings = environment_.settings;
  if (catalog_->snapshot()->version() > 0 && !environment_.fs.exists(directory_.below("journal"))) {
    return Error(Code::corrupt, "{} is missing, though the catalog has entries in it",
                 directory_.below("journal"))
        .with_hint(kRestoreBackup);
  }
  log::Log::Options log_options;
  log_options.unpacked_bytes_max = static_cast<size_t>(settings.integer("log.batch.unpacked.max"));
  log_options.unpack_to_check = settings.boolean("log.batch.unpack");
  log_ = TRY(log::Log::open(environment_.fs, directory_.below("log"), environment_.clock,
                            environment_.metrics, log_options));
  journal::Journal::Options options{
      .flush = flush_of(settings.text("log.flush")),
      .flush_interval_ms = settings.integer("log.flush.interval"),
      .segment_bytes = static_cast<uint64_t>(settings.integer("journal.segment.bytes")),
      .must_reach = std::max(journal_end_, log_->must_reach())};
  journal_ = TRY(journal::Journal::open(
      environment_.fs, directory_.below("journal"), environment_.clock, environment_.metrics,
      options, [this](const journal::PartitionEnd& end) { return log_->has_data(end); }));
  TRY(log_->start(*journal_));

  // The catalog says what exists: a topic without a directory gets one, a directory without a topic
  // goes.
  auto snapshot = catalog_->snapshot();
  for (const auto& object : snapshot->all()) {
    if (is_topic(object)) TRY(log_->create_topic(object->id, config_of(object->topic())));
  }
  TRY(log_->drop_unknown([&](ObjectId id) { return is_topic(snapshot->find(id)); }));
  catalog_->watch(topic_watcher());
  return {};
}

Status Engines::open_duck(const Options& options) {
  const Settings& settings = environment_.settings;
  std::vector<std::string> folders = folders_of(settings.text("sql.files"));
  if (!options.project_directory.empty()) folders.push_back(options.project_directory);
  std::string temporary = directory_.below("tmp");
  TRY(environment_.fs.remove_all(temporary));
  TRY(environment_.fs.make_dirs(temporary));
  duck_ = TRY(duck::Instance::open(
      environment_.fs, {.memory_bytes = static_cast<uint64_t>(settings.integer("sql.memory")),
                        .threads = 1,
                        .temp_directory = temporary,
                        .temp_bytes_max = static_cast<uint64_t>(settings.integer("sql.temp.max")),
                        .allowed_directories = std::move(folders),
                        .own_directory = directory_.path()}));
  // Views that filter by the start of a window call it, and they are made before the database.
  TRY(sql::register_window_functions(*duck_));
  tables_ = std::make_unique<LakeTables>(environment_.fs, *duck_, environment_.clock,
                                         directory_.below("lake"));
  TRY(tables_->set_aside_unknown(*catalog_->snapshot()));
  catalog_->watch(tables_->watcher());
  return {};
}

Status Engines::open_streams() {
  const Settings& settings = environment_.settings;
  stream::Engine::Options options;
  options.checkpoint_interval_ms = settings.integer("stream.checkpoint.interval");
  options.watermark_max_ahead_ms = settings.integer("stream.watermark.ahead.max");
  options.step_rows_max = static_cast<size_t>(settings.integer("stream.step.rows"));
  options.step_bytes = static_cast<size_t>(settings.integer("stream.step.bytes"));
  options.sink_hold_bytes_max = static_cast<uint64_t>(settings.integer("stream.sink.hold.max"));
  stream_ = TRY(stream::Engine::open(
      {.fs = environment_.fs,
       .clock = environment_.clock,
       .metrics = environment_.metrics,
       .duck = *duck_,
       .store = *state_,
       .journal = *journal_,
       .log = *log_,
       .catalog = *catalog_,
       .table = [this](const catalog::Object& object) { return tables_->table(object); },
       .witness = [this] { renew_state_witness(); }},
      options));
  catalog_->watch(stream_watcher());
  return stream_->start();
}

Status Engines::open_database() {
  catalog_->set_journal([this](uint64_t version) { return enter_catalog(version); });
  database_ = TRY(sql::Database::open(
      {.fs = environment_.fs,
       .clock = environment_.clock,
       .metrics = environment_.metrics,
       .settings = environment_.settings,
       .duck = *duck_,
       .catalog = *catalog_,
       .journal = *journal_,
       .log = *log_,
       .engine = *stream_,
       .table = [this](const catalog::Object& object) { return tables_->table(object); },
       .lake_directory = directory_.below("lake"),
       .version = fmt::format("PostgreSQL {}", postgres_version())}));
  TRY(protocol::postgres::register_pg_catalog(*duck_));
  return duck_->lock();
}

catalog::Catalog::Watcher Engines::topic_watcher() {
  // A topic is there before the catalog says so: a client that sees it can write to it at once.
  return {
      .prepare = [this](const std::vector<catalog::Change>& changes) -> Status {
        for (const auto& change : changes) {
          if (!change.before && is_topic(change.after)) {
            TRY(log_->create_topic(change.after->id, config_of(change.after->topic())));
          }
        }
        return {};
      },
      .abort =
          [this](const std::vector<catalog::Change>& changes) {
            for (const auto& change : changes) {
              if (change.before || !is_topic(change.after)) continue;
              log_->drop_topic(change.after->id)
                  .ignore("the next start drops what the catalog does not have");
            }
          },
      .apply = [this](const std::vector<catalog::Change>& changes, EntryNumber) -> Status {
        for (const auto& change : changes) {
          if (is_topic(change.before) && !change.after) {
            TRY(log_->drop_topic(change.before->id));
          } else if (is_topic(change.before)) {
            TRY(log_->alter_topic(change.after->id, config_of(change.after->topic())));
          } else if (is_topic(change.after)) {
            log_->keep_topic(change.after->id);
          }
        }
        return {};
      },
  };
}

catalog::Catalog::Watcher Engines::stream_watcher() {
  return {.apply = [this](const std::vector<catalog::Change>& changes, EntryNumber entry) {
    return stream_->on_catalog_change(changes, entry);
  }};
}

Status Engines::apply_project(const std::string& directory, bool allow_drop) {
  auto session = TRY(database_->session());
  auto rows = TRY(session->query("CALL ziwa.apply(" + quote_text(directory) +
                                 (allow_drop ? ", 'allow_drop')" : ")")));
  while (TRY(rows->next()) != nullptr) {
  }
  return {};
}

void Engines::clean_tables() {
  auto catalog = catalog_->snapshot();
  tables_->clean(*catalog, [&](const catalog::Object& table) -> Result<lake::Needs> {
    // In this order: what a load has promised is committed before the catalog forgets it.
    auto of_streams = TRY(stream_->table_needs());
    auto needs = of_streams.find(table.id);
    if (needs == of_streams.end()) {
      return Error(Code::unavailable, "it is not open in the streams");
    }
    auto object = catalog_->snapshot()->find(table.id);
    if (object && object->table().pending_load) {
      const auto& pending = *object->table().pending_load;
      lake::Needs of_load{.version = pending.replaces};
      for (const auto& file : pending.files)
        of_load.files->insert(TRY(lake::data_file_from_json(file)).path);
      needs->second.add(of_load);
    }
    return std::move(needs->second);
  });
}

void Engines::follow_tables() {
  const int64_t now_ns = environment_.clock.monotonic_ns();
  if (tables_followed_ns_ && now_ns - *tables_followed_ns_ < kFollowTablesNs) return;
  tables_followed_ns_ = now_ns;
  const auto published = stream_->published();
  for (const auto& [id, seen] : published->tables) {
    auto object = catalog_->snapshot()->find(id);
    if (!object || !seen) continue;
    auto newest = [&]() -> Result<lake::TableSnapshotPtr> {
      return TRY(tables_->table(*object))->refresh();
    }();
    if (!newest) {
      auto error = newest.error().to_string();
      if (!follow_errors_.raise(id, error)) continue;
      log_warn("lake", "commits of other writers cannot be looked for; it is tried again",
               "table={}.{} error={}", object->schema, object->name, error);
      continue;
    }
    follow_errors_.clear(id);
    if ((*newest)->version() > seen->version()) {
      journal_->submit(journal::DeltaVersion{id, (*newest)->version()}, {},
                       [](Result<EntryNumber> entered) { entered.ignore("looked for again"); });
    }
  }
}

Status Engines::health() const {
  std::string failure = duck_->failure();
  if (failure.empty()) return {};
  return Error(Code::internal, "SQL has stopped after an error inside DuckDB: {}", failure)
      .with_hint(
          "start the server again: nothing acknowledged is lost; please report the statement");
}

Status Engines::maintain() {
  // A partition in trouble must not keep the journal from being trimmed.
  auto cared = log_->enforce_retention();
  follow_tables();
  clean_tables();
  TRY(journal_->trim(journal_->durable()));
  if (!cared) return std::move(cared).error();
  return {};
}

Status Engines::stop() {
  database_.reset();
  TRY(stream_->checkpoint());
  TRY(stream_->stop());
  TRY(log_->close());
  return journal_->close();
}

}  // namespace ziwa::app
