#include "state/store.h"

#include "base/log.h"
#include "state/manifest_check_internal.h"
#include "state/rocks_file_system_internal.h"
#include "state/write_batch_internal.h"

#include <rocksdb/cache.h>
#include <rocksdb/convenience.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/sst_file_writer.h>
#include <rocksdb/table.h>

#include <cstdarg>

namespace ziwa::state {
namespace {

using ColumnFamilyPtr = rocksdb::ColumnFamilyHandle*;

/// Batches of at least this many changes become sorted files instead of log entries: a fifth of the
/// CPU per row.
constexpr size_t kIngestCountMin = 50'000;
/// Of the free space, what flushes and compactions may need while nothing new is taken.
constexpr uint64_t kReserveBytesMax = 8u << 20;
constexpr std::string_view kFormatKey = "ziwa.store.format";
constexpr std::string_view kFormat = "1";

Error to_error(const rocksdb::Status& status, std::string_view what) {
  Code code = Code::internal;
  if (status.IsNoSpace()) {
    code = Code::exhausted;
  } else if (status.IsCorruption()) {
    code = Code::corrupt;
  } else if (status.IsIOError()) {
    code = Code::io;
  } else if (status.IsBusy()) {
    code = Code::conflict;
  } else if (status.IsShutdownInProgress()) {
    code = Code::unavailable;
  }
  const char* detail = status.getState();
  Error error(code, "{}: {}", what, detail != nullptr ? std::string(detail) : status.ToString());
  if (status.IsNoSpace()) error = std::move(error).because(Cause::disk_full);
  return error;
}

/// RocksDB's own log lines: warnings and errors only, into ours. None is an ERROR: the call that
/// suffers says so.
class LogBridge final : public rocksdb::Logger {
 public:
  LogBridge() : Logger(rocksdb::InfoLogLevel::WARN_LEVEL) {}
  using Logger::Logv;
  void Logv(const char* format, va_list arguments) override {
    char line[512];
    std::vsnprintf(line, sizeof line, format, arguments);
    // Said of every file that is looked at before it is ingested: its id is not known yet.
    if (std::string_view(line).find("without unique ID to verify") != std::string_view::npos)
      return;
    log_warn("state", "rocksdb", "{}", line);
  }
};

rocksdb::Slice to_slice(std::string_view text) { return {text.data(), text.size()}; }
std::string_view to_view(const rocksdb::Slice& slice) { return {slice.data(), slice.size()}; }

/// The open database. Snapshots and cursors share it, so it closes after the last of them.
struct Database {
  std::unique_ptr<rocksdb::Env> env;
  std::unique_ptr<rocksdb::DB> db;
  std::vector<ColumnFamilyPtr> tables;  ///< By TableId::index.
  std::vector<ColumnFamilyPtr> others;  ///< Opened because they exist.

  std::shared_ptr<WriteFuse> fuse = std::make_shared<WriteFuse>();

  /// Makes all batches so far durable. An empty batch, not SyncWAL: that one forgets to look for an
  /// earlier failure of a background job, and a log file must not be touched after one.
  Status sync_log() {
    TRY(fuse->check());
    rocksdb::WriteBatch nothing;
    rocksdb::WriteOptions options;
    options.sync = true;
    auto synced = db->Write(options, &nothing);
    Status done = synced.ok() ? fuse->check() : to_error(synced, "sync the write-ahead log");
    if (done) return {};
    log_warn("state", "writing stops", "error={}", done.error().message());
    fuse->blow(done.error());
    return done;
  }

  ~Database() {
    if (db == nullptr) return;
    sync_log().ignore("it was logged, and nobody was promised anything");
    rocksdb::CancelAllBackgroundWork(db.get(), true);
    for (auto* table : tables) db->DestroyColumnFamilyHandle(table).PermitUncheckedError();
    for (auto* other : others) db->DestroyColumnFamilyHandle(other).PermitUncheckedError();
    db->Close().PermitUncheckedError();
  }
};
using DatabasePtr = std::shared_ptr<Database>;

class RocksSnapshot final : public Snapshot {
 public:
  explicit RocksSnapshot(DatabasePtr database)
      : database_(std::move(database)), inner_(database_->db->GetSnapshot()) {}
  ~RocksSnapshot() override { database_->db->ReleaseSnapshot(inner_); }
  const rocksdb::Snapshot* inner() const { return inner_; }

 private:
  DatabasePtr database_;
  const rocksdb::Snapshot* inner_;
};

class RocksCursor final : public Cursor {
 public:
  RocksCursor(DatabasePtr database, std::unique_ptr<rocksdb::Iterator> inner)
      : database_(std::move(database)), inner_(std::move(inner)) {}
  void seek(std::string_view key) override { inner_->Seek(to_slice(key)); }
  bool valid() const override { return inner_->Valid(); }
  void next() override { inner_->Next(); }
  std::string_view key() const override { return to_view(inner_->key()); }
  std::string_view value() const override { return to_view(inner_->value()); }
  Status status() const override {
    if (inner_->status().ok()) return {};
    return to_error(inner_->status(), "read state");
  }

 private:
  DatabasePtr database_;
  std::unique_ptr<rocksdb::Iterator> inner_;
};

rocksdb::DBOptions database_options(rocksdb::Env* env, const Store::Options& options) {
  rocksdb::DBOptions db;
  db.env = env;
  db.create_if_missing = true;
  db.create_missing_column_families = true;
  db.info_log = std::make_shared<LogBridge>();
  db.db_write_buffer_size = options.write_buffer_bytes;
  db.max_total_wal_size = 4 * options.write_buffer_bytes;
  db.max_background_jobs = 2;
  db.max_open_files = 512;
  db.stats_dump_period_sec = 0;
  db.stats_persist_period_sec = 0;
  db.skip_stats_update_on_db_open = true;
  db.write_dbid_to_manifest = true;
  db.avoid_flush_during_shutdown = true;
  // Unsynced batches may reach the disk torn or out of order: recovery keeps the batches before the
  // first hole.
  db.wal_recovery_mode = rocksdb::WALRecoveryMode::kPointInTimeRecovery;
  // A failed sync is never retried: the store refuses writes until it is reopened.
  db.max_bgerror_resume_count = 0;
  return db;
}

rocksdb::ColumnFamilyOptions table_options(const Store::Options& options) {
  rocksdb::BlockBasedTableOptions blocks;
  blocks.block_cache = rocksdb::NewLRUCache(options.block_cache_bytes);
  blocks.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));
  blocks.cache_index_and_filter_blocks = true;
  blocks.pin_l0_filter_and_index_blocks_in_cache = true;
  blocks.format_version = 5;
  rocksdb::ColumnFamilyOptions table;
  table.table_factory.reset(rocksdb::NewBlockBasedTableFactory(blocks));
  table.write_buffer_size = options.write_buffer_bytes;
  table.compression = rocksdb::kLZ4Compression;
  table.level_compaction_dynamic_level_bytes = true;
  return table;
}

/// Sorted files that one ingestion takes in together: one per table.
struct SortedFiles {
  std::vector<rocksdb::IngestExternalFileArg> args;
  std::vector<std::string> paths;
};

class RocksStore final : public Store {
 public:
  RocksStore(FileSystem& fs, std::string path, Options options, rocksdb::Options writer_options,
             DatabasePtr database)
      : fs_(fs),
        path_(std::move(path)),
        options_(std::move(options)),
        writer_options_(std::move(writer_options)),
        database_(std::move(database)) {}

  TableId table(std::string_view name) const override {
    auto at = std::ranges::find(options_.tables, name);
    CHECK(at != options_.tables.end(), "no table {} in {}", name, path_);
    return {static_cast<uint32_t>(at - options_.tables.begin())};
  }

  Result<std::optional<std::string>> get(TableId table, std::string_view key,
                                         const Snapshot* at) override {
    rocksdb::PinnableSlice value;
    auto found = db().Get(read_options(at), family(table), to_slice(key), &value);
    if (found.IsNotFound()) return std::optional<std::string>();
    if (!found.ok()) return to_error(found, fmt::format("read {}", path_));
    return std::optional(value.ToString());
  }

  Result<std::vector<std::optional<std::string>>> multi_get(TableId table,
                                                            const std::vector<std::string>& keys,
                                                            const Snapshot* at) override {
    std::vector<rocksdb::Slice> slices(keys.begin(), keys.end());
    std::vector<rocksdb::PinnableSlice> values(keys.size());
    std::vector<rocksdb::Status> statuses(keys.size());
    db().MultiGet(read_options(at), family(table), keys.size(), slices.data(), values.data(),
                  statuses.data(), std::ranges::is_sorted(keys));
    std::vector<std::optional<std::string>> result(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      if (statuses[i].ok()) {
        result[i] = values[i].ToString();
      } else if (!statuses[i].IsNotFound()) {
        return to_error(statuses[i], fmt::format("read {}", path_));
      }
    }
    return result;
  }

  std::unique_ptr<Cursor> cursor(TableId table, const Snapshot* at) override {
    std::unique_ptr<rocksdb::Iterator> inner(db().NewIterator(read_options(at), family(table)));
    return std::make_unique<RocksCursor>(database_, std::move(inner));
  }

  std::shared_ptr<const Snapshot> snapshot() override {
    return std::make_shared<RocksSnapshot>(database_);
  }

  Status write(const WriteBatch& batch, bool sync) override {
    const auto& rep = BatchAccess::rep(batch);
    TRY(database_->fuse->check());
    TRY(room(rep.buffer.size()));
    if (rep.count >= kIngestCountMin && rep.range_count == 0) return ingest(rep);
    rocksdb::WriteBatch changes(rep.buffer.size() + 64);
    rep.each([&](const ChangeView& change) { add(changes, change); });
    rocksdb::WriteOptions options;
    options.sync = sync;
    auto written = db().Write(options, &changes);
    if (!written.ok()) return write_error(to_error(written, fmt::format("write {}", path_)));
    if (Status whole = database_->fuse->check(); !whole) return write_error(whole.error());
    return {};
  }

  Status room() const override { return room(0); }

  Status recover() override {
    TRY(room(0));
    if (!database_->fuse->mend()) return database_->fuse->check();
    // A flush or compaction that found no room is done again.
    auto resumed = db().Resume();
    if (!resumed.ok()) return write_error(to_error(resumed, fmt::format("resume {}", path_)));
    return {};
  }

  uint64_t disk_bytes() const override {
    auto entries = fs_.list(path_);
    if (!entries) return 0;
    uint64_t total = 0;
    for (const auto& entry : *entries) total += entry.is_directory ? 0 : entry.size;
    return total;
  }

 private:
  rocksdb::DB& db() const { return *database_->db; }
  ColumnFamilyPtr family(TableId table) const {
    CHECK(table.index < database_->tables.size(), "table {} of {}", table.index, path_);
    return database_->tables[table.index];
  }

  static rocksdb::ReadOptions read_options(const Snapshot* at) {
    rocksdb::ReadOptions options;
    if (at != nullptr) options.snapshot = static_cast<const RocksSnapshot*>(at)->inner();
    return options;
  }

  /// RocksDB takes a full disk badly: it never gets to see one, unless others are faster.
  Status room(uint64_t bytes) const {
    const uint64_t wanted = std::min(options_.write_buffer_bytes, kReserveBytesMax) + 2 * bytes;
    const uint64_t free = TRY(fs_.free_bytes(path_));
    if (free >= wanted) return {};
    return Error(Code::exhausted,
                 "too little room on the disk of {}: {} bytes are wanted, {} are free", path_,
                 wanted, free)
        .because(Cause::disk_full)
        .with_hint("free some space; nothing was written and writes work again by themselves");
  }

  /// Stops all writing: only reopening tells what the disk holds.
  Error write_error(Error error) const {
    // The log may have taken the batch before the sync failed.
    if (error.code() == Code::io) error = Error(Code::maybe_applied, "{}", error.message());
    database_->fuse->blow(error);
    return std::move(error).with_hint("free disk space or mend the disk, then restart the server");
  }

  void add(rocksdb::WriteBatch& changes, const ChangeView& change) const {
    auto* table = family(change.table);
    switch (change.kind) {
      case ChangeKind::put:
        changes.Put(table, to_slice(change.key), to_slice(change.value)).PermitUncheckedError();
        return;
      case ChangeKind::remove:
        changes.Delete(table, to_slice(change.key)).PermitUncheckedError();
        return;
      case ChangeKind::remove_range:
        changes.DeleteRange(table, to_slice(change.key), to_slice(change.value))
            .PermitUncheckedError();
        return;
    }
  }

  /// Writes the changes as one sorted file per table and takes all of them in with one manifest
  /// entry.
  Status ingest(const WriteBatch::Rep& rep) {
    SortedFiles files;
    Status done = write_sorted_files(rep, files);
    if (done) {
      // Batches of before that were not synced must not get lost when this one survives.
      done = database_->sync_log();
    }
    if (done) {
      auto ingested = db().IngestExternalFiles(files.args);
      if (!ingested.ok()) done = write_error(to_error(ingested, fmt::format("write {}", path_)));
    }
    // Files that were taken in are gone; what is left belongs to a failure.
    for (const auto& path : files.paths) {
      if (!done && fs_.exists(path)) fs_.remove(path).ignore("the next open clears the directory");
    }
    return done;
  }

  Status write_sorted_files(const WriteBatch::Rep& rep, SortedFiles& files) {
    std::map<TableId, std::vector<ChangeView>> tables;
    rep.each([&](const ChangeView& change) { tables[change.table].push_back(change); });
    for (auto& [table, changes] : tables) {
      sort_changes(changes);
      TRY(write_sorted_file(family(table), changes, files));
    }
    return {};
  }

  /// By key, those of one key in the order of the batch.
  static void sort_changes(std::vector<ChangeView>& changes) {
    // Keys begin alike, and most of them differ in the 16 bytes behind that: these lie side by
    // side.
    size_t alike = changes.front().key.size();
    for (const auto& change : changes) {
      const auto ends = std::ranges::mismatch(change.key, changes.front().key.substr(0, alike));
      alike = static_cast<size_t>(ends.in1 - change.key.begin());
    }
    struct Sorted {
      uint64_t first;
      uint64_t second;
      ChangeView change;
    };
    std::vector<Sorted> sorted;
    sorted.reserve(changes.size());
    for (const auto& change : changes) {
      char bytes[2 * sizeof(uint64_t)] = {};
      change.key.copy(bytes, sizeof bytes, alike);
      sorted.push_back(
          {load_be<uint64_t>(bytes), load_be<uint64_t>(bytes + sizeof(uint64_t)), change});
    }
    std::ranges::sort(sorted, [](const Sorted& a, const Sorted& b) {
      if (a.first != b.first) return a.first < b.first;
      if (a.second != b.second) return a.second < b.second;
      if (int order = a.change.key.compare(b.change.key); order != 0) return order < 0;
      return a.change.key.data() < b.change.key.data();
    });
    std::ranges::transform(sorted, changes.begin(), &Sorted::change);
  }

  /// `changes` are of one table, sorted by key; of several for one key the last one counts.
  Status write_sorted_file(rocksdb::ColumnFamilyHandle* table,
                           const std::vector<ChangeView>& changes, SortedFiles& files) {
    std::string path = fmt::format("{}/ingest/{}.sst", path_, next_file_.fetch_add(1));
    rocksdb::SstFileWriter writer(rocksdb::EnvOptions(), writer_options_, table);
    auto status = writer.Open(path);
    files.paths.push_back(path);
    for (size_t i = 0; status.ok() && i < changes.size(); ++i) {
      if (i + 1 < changes.size() && changes[i + 1].key == changes[i].key) continue;
      status = changes[i].kind == ChangeKind::put
                   ? writer.Put(to_slice(changes[i].key), to_slice(changes[i].value))
                   : writer.Delete(to_slice(changes[i].key));
    }
    if (status.ok()) status = writer.Finish();
    if (!status.ok()) return to_error(status, fmt::format("write {}", path));
    rocksdb::IngestExternalFileArg arg;
    arg.column_family = table;
    arg.external_files = {path};
    arg.options.move_files = true;
    arg.options.failed_move_fall_back_to_copy = false;
    arg.options.write_global_seqno = false;
    files.args.push_back(std::move(arg));
    return {};
  }

  FileSystem& fs_;
  std::string path_;
  Options options_;
  rocksdb::Options writer_options_;
  DatabasePtr database_;
  std::atomic<uint64_t> next_file_ = 1;
};

/// Names of the key spaces to open: ours first, in order, then what the directory has besides.
Result<std::vector<std::string>> family_names(FileSystem& fs, const std::string& path,
                                              const rocksdb::DBOptions& db_options,
                                              const std::vector<std::string>& tables) {
  std::vector<std::string> names = tables;
  if (!fs.exists(join_path(path, "CURRENT"))) {
    names.push_back(rocksdb::kDefaultColumnFamilyName);
    return names;
  }
  std::vector<std::string> existing;
  auto listed = rocksdb::DB::ListColumnFamilies(db_options, path, &existing);
  if (!listed.ok()) return to_error(listed, fmt::format("open {}", path));
  for (auto& name : existing) {
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
  return names;
}

/// Refuses a directory that a newer program wrote; marks a new one.
Status check_format(rocksdb::DB& db, const std::string& path) {
  std::string format;
  auto found = db.Get(rocksdb::ReadOptions(), to_slice(kFormatKey), &format);
  if (found.ok() && format == kFormat) return {};
  if (found.ok()) {
    return Error(Code::unsupported, "{} has format {}; this program reads format {}", path, format,
                 kFormat)
        .with_hint("use the program that wrote it, or a newer one");
  }
  if (!found.IsNotFound()) return to_error(found, fmt::format("open {}", path));
  rocksdb::WriteOptions options;
  options.sync = true;
  auto written = db.Put(options, to_slice(kFormatKey), to_slice(kFormat));
  if (!written.ok()) return to_error(written, fmt::format("open {}", path));
  return {};
}

}  // namespace

const WriteBatch::Rep& Store::BatchAccess::rep(const WriteBatch& batch) { return *batch.rep_; }

Result<std::unique_ptr<Store>> Store::open(FileSystem& fs, const std::string& path,
                                           Options options) {
  TRY(check_manifest(fs, path));
  std::string ingest = join_path(path, "ingest");
  TRY(fs.remove_all(ingest));
  TRY(make_dirs_durably(fs, ingest));
  auto database = std::make_shared<Database>();
  database->env = make_rocks_env(fs, database->fuse);
  auto db_options = database_options(database->env.get(), options);
  auto family_options = table_options(options);
  auto names = TRY(family_names(fs, path, db_options, options.tables));
  std::vector<rocksdb::ColumnFamilyDescriptor> families;
  for (const auto& name : names) families.emplace_back(name, family_options);
  std::vector<ColumnFamilyPtr> handles;
  rocksdb::DB* db = nullptr;
  auto opened = rocksdb::DB::Open(db_options, path, families, &handles, &db);
  if (!opened.ok()) return to_error(opened, fmt::format("open {}", path));
  database->db.reset(db);
  auto ours = static_cast<std::ptrdiff_t>(options.tables.size());
  database->tables.assign(handles.begin(), handles.begin() + ours);
  database->others.assign(handles.begin() + ours, handles.end());
  TRY(check_format(*db, path));
  TRY(database->fuse->check());
  return std::make_unique<RocksStore>(fs, path, std::move(options),
                                      rocksdb::Options(db_options, family_options), database);
}

}  // namespace ziwa::state
