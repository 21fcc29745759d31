#include "lake/table.h"

#include "base/log.h"
#include "lake/clean_up_internal.h"
#include "lake/log_internal.h"
#include "lake/path_internal.h"
#include "lake/protocol_internal.h"
#include "lake/scan_internal.h"
#include "lake/table_writer_internal.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <mutex>

namespace ziwa::lake {
namespace {

using nlohmann::json;

constexpr int kCommitAttemptsMax = 100;
constexpr int64_t kCheckpointInterval = 10;
constexpr int64_t kCleanRetryMs = 600'000;  ///< After a clean-up that failed.
constexpr const char* kEngine = "Ziwa/0.1.0";

int64_t checkpoint_interval(const Metadata& metadata) {
  auto found = metadata.configuration.find("delta.checkpointInterval");
  if (found == metadata.configuration.end()) return kCheckpointInterval;
  int64_t interval = std::strtoll(found->second.c_str(), nullptr, 10);
  return interval > 0 ? interval : kCheckpointInterval;
}

json commit_info(const std::string& operation, bool blind_append,
                 const std::map<std::string, std::string>& more, int64_t now_ms) {
  json info = {{"timestamp", now_ms},
               {"operation", operation},
               {"operationParameters", json::object()},
               {"isBlindAppend", blind_append},
               {"engineInfo", kEngine},
               {"txnId", random_uuid()}};
  for (const auto& [name, value] : more) info[name] = value;
  return {{"commitInfo", std::move(info)}};
}

/// The actions of a commit of ours, as the log would give them back.
Actions actions_of(const Commit& commit, int64_t now_ms) {
  Actions actions;
  for (const DataFile& file : commit.add) {
    actions.adds.push_back(
        {.file = std::make_shared<DataFile>(file), .data_change = commit.data_change});
  }
  for (const DataFile& file : commit.remove) {
    actions.removes.push_back({.path = file.path,
                               .deletion_vector = {},
                               .deleted_ms = now_ms,
                               .data_change = commit.data_change,
                               .partition_values = file.partition_values,
                               .size = file.size});
  }
  if (commit.transaction) {
    actions.transactions.push_back({.app_id = commit.transaction->app_id,
                                    .version = commit.transaction->version,
                                    .updated_ms = now_ms});
  }
  return actions;
}

std::string to_lines(const json& info, const Actions& actions) {
  std::string lines = info.dump() + "\n";
  if (actions.protocol) lines += to_json(*actions.protocol).dump() + "\n";
  if (actions.metadata) lines += to_json(*actions.metadata).dump() + "\n";
  for (const auto& transaction : actions.transactions) lines += to_json(transaction).dump() + "\n";
  for (const auto& remove : actions.removes) lines += to_json(remove).dump() + "\n";
  for (const auto& add : actions.adds) lines += to_json(add).dump() + "\n";
  return lines;
}

class DeltaTable final : public Table {
 public:
  DeltaTable(TableContextPtr context, SnapshotPtr snapshot)
      : context_(std::move(context)), snapshot_(std::move(snapshot)) {}

  TableSnapshotPtr snapshot() const override { return current(); }

  Result<TableSnapshotPtr> refresh() override {
    std::lock_guard commits(commit_mutex_);
    return TRY(refresh_locked());
  }

  Result<TableSnapshotPtr> at_version(int64_t version) override {
    SnapshotPtr now = current();
    if (version == now->version()) return now;
    return TRY(load_snapshot(context_, version));
  }

  Result<std::unique_ptr<TableWriter>> writer(uint64_t file_bytes) override {
    SnapshotPtr now = current();
    TRY(now->readable());
    TRY(check_writable(now->protocol(), now->metadata(), false));
    return make_table_writer(now, file_bytes);
  }

  Result<TableSnapshotPtr> preview(const std::vector<DataFile>& files) override {
    SnapshotPtr base = current();
    TRY(base->readable());
    Commit commit{.add = files};
    for (const DataFilePtr& file : base->files()) commit.remove.push_back(*file);
    Replay replay(*base);
    TRY(replay.apply(actions_of(commit, context_->clock.now().value), base->version() + 1, true));
    return TRY(replay.finish());
  }

  Result<TableSnapshotPtr> commit(const Commit& commit) override {
    std::lock_guard commits(commit_mutex_);
    return TRY(commit_locked(commit));
  }

  Result<std::map<std::string, std::string>> info(int64_t version) override {
    Actions actions = TRY(read_commit(*context_, version));
    std::map<std::string, std::string> fields;
    if (!actions.commit_info.is_object()) return fields;
    for (const auto& [name, value] : actions.commit_info.items()) {
      if (value.is_string()) fields[name] = value.get<std::string>();
    }
    return fields;
  }

  Result<std::vector<Change>> changes(int64_t from, int64_t to) override;
  Result<Cleaned> clean(const CleanUp& how) override;

 private:
  SnapshotPtr current() const {
    std::lock_guard guard(snapshot_mutex_);
    return snapshot_;
  }
  void publish(SnapshotPtr snapshot) {
    std::lock_guard guard(snapshot_mutex_);
    snapshot_ = std::move(snapshot);
  }

  Result<SnapshotPtr> refresh_locked() {
    SnapshotPtr before = current();
    auto followed = follow(before);
    SnapshotPtr now = TRY(std::move(followed));
    if (now != before) publish(now);
    return now;
  }

  Result<SnapshotPtr> commit_locked(const Commit& commit);
  Status check_winners(const Commit& commit, int64_t read_version, int64_t newest) const;
  static Status check_against(const Commit& commit, const Snapshot& base);
  Status put_commit(int64_t version, const std::string& lines) const;
  SnapshotPtr applied(const SnapshotPtr& base, Actions actions);

  Result<Cleaned> clean_now(const CleanUp& how);

  TableContextPtr context_;
  std::mutex clean_mutex_;          ///< One clean-up at a time; guards the next four.
  std::optional<int64_t> cleaned_;  ///< Day, since 1970 in UTC, of the last clean-up.
  std::optional<int64_t> held_at_;  ///< checkpoints_ when somebody's need held one back.
  std::optional<int64_t> retry_ms_;
  bool staged_cleaned_ = false;
  std::atomic<int64_t> checkpoints_ = 0;  ///< Written by us.
  std::mutex commit_mutex_;               ///< One commit or refresh at a time.
  mutable std::mutex snapshot_mutex_;
  SnapshotPtr snapshot_;
};

/// Whether those who committed since `read_version` leave our commit true. A blind append stays
/// true whatever went; a compaction (dataChange=false) takes no rows away.
Status DeltaTable::check_winners(const Commit& commit, int64_t read_version, int64_t newest) const {
  for (int64_t version = read_version + 1; version <= newest; ++version) {
    auto read = read_commit(*context_, version);
    if (!read.has_value() && read.error().code() == Code::not_found) {
      return Error(Code::conflict, "version {} was cleaned up meanwhile", version)
          .with_hint("read the table again, then retry");
    }
    const Actions winner = TRY(std::move(read));
    if (winner.metadata || winner.protocol) {
      return Error(Code::conflict, "version {} changed the table's schema or protocol meanwhile",
                   version);
    }
    const bool blind = commit.remove.empty() && !commit.read_version;
    const bool we_rewrite = !commit.remove.empty() && !commit.data_change;
    const bool rows_went = std::ranges::any_of(winner.removes, &RemoveAction::data_change);
    if (rows_went && !blind && !we_rewrite) {
      return Error(Code::conflict, "version {} took rows away meanwhile", version)
          .with_hint("read the table again, then retry");
    }
    const bool rows_came = std::ranges::any_of(winner.adds, &AddAction::data_change);
    if (rows_came && !commit.remove.empty() && commit.data_change) {
      return Error(Code::conflict, "version {} added rows meanwhile that this change did not see",
                   version)
          .with_hint("read the table again, then retry");
    }
  }
  return {};
}

Status DeltaTable::check_against(const Commit& commit, const Snapshot& base) {
  if (commit.transaction) {
    auto done = base.transaction_version(commit.transaction->app_id);
    if (done && *done >= commit.transaction->version) {
      return Error(Code::already_exists, "the table has transaction {} of {} already", *done,
                   commit.transaction->app_id);
    }
  }
  TRY(base.readable());
  TRY(check_writable(base.protocol(), base.metadata(),
                     !commit.remove.empty() && commit.data_change));
  if (commit.remove.empty()) return {};
  std::unordered_map<std::string_view, const DataFile*> present;
  for (const DataFilePtr& file : base.files()) present.emplace(file->path, file.get());
  for (const DataFile& file : commit.remove) {
    if (!present.contains(file.path)) {
      return Error(Code::conflict, "data file {} is not in the table any more", file.path)
          .with_hint("read the table again, then retry");
    }
  }
  return {};
}

/// Errors: already_exists (another writer has this version); maybe_applied only if reading it back
/// failed too.
Status DeltaTable::put_commit(int64_t version, const std::string& lines) const {
  ObjectStore& store = *context_->store;
  Status put = store.put_new(commit_key(version), as_bytes(lines));
  if (put.has_value() || put.error().code() != Code::maybe_applied) return put;
  auto stored = store.get(commit_key(version));
  if (stored.has_value() && as_text(*stored) == lines) {
    // It is there, but perhaps not durably: only a put that succeeds says so.
    Status again = store.put(commit_key(version), as_bytes(lines));
    return again.has_value() ? Status() : put;
  }
  if (stored.has_value()) return Error(Code::already_exists, "version {} exists", version);
  return put;
}

SnapshotPtr DeltaTable::applied(const SnapshotPtr& base, Actions actions) {
  Replay replay(*base);
  Status done = replay.apply(std::move(actions), base->version() + 1, true);
  auto snapshot = done.has_value() ? replay.finish() : Result<SnapshotPtr>(std::move(done).error());
  CHECK(snapshot.has_value(), "our own commit does not replay: {}", snapshot.error().to_string());
  return *snapshot;
}

Result<SnapshotPtr> DeltaTable::commit_locked(const Commit& commit) {
  for (const DataFile& file : commit.add) {
    if (!inside_table(file.path))
      return Error(Code::invalid_argument, "\"{}\" is outside the table", file.path);
  }
  SnapshotPtr base = current();
  // Another engine may have cleaned up the names that follow `base`: to take one of them would put
  // the commit where no reader looks.
  if (TRY(last_checkpoint(*context_)) > base->version()) base = TRY(refresh_locked());
  const int64_t read_version = commit.read_version.value_or(base->version());
  const int64_t now_ms = context_->clock.now().value;
  const json info = commit_info(commit.operation, commit.remove.empty(), commit.info, now_ms);
  Actions actions = actions_of(commit, now_ms);
  const std::string lines = to_lines(info, actions);
  int64_t checked = read_version;
  for (int attempt = 0; attempt < kCommitAttemptsMax; ++attempt) {
    TRY(check_against(commit, *base));
    TRY(check_winners(commit, checked, base->version()));
    checked = std::max(checked, base->version());
    if (base->files().size() + commit.add.size() > kFilesMax) {
      return Error(Code::exhausted, "the table would have more than {} data files", kFilesMax);
    }
    Status put = put_commit(base->version() + 1, lines);
    if (put.has_value()) {
      SnapshotPtr now = applied(base, std::move(actions));
      publish(now);
      if (now->version() % checkpoint_interval(now->metadata()) == 0) {
        Status written = write_checkpoint(*now);
        ++checkpoints_;
        if (!written.has_value()) {
          log_warn("lake", "checkpoint not written; the next will be",
                   "table={} version={} error={}", context_->store->path_of(""), now->version(),
                   written.error().to_string());
        }
      }
      return now;
    }
    if (put.error().code() != Code::already_exists) return std::move(put).error();
    base = TRY(refresh_locked());
  }
  return Error(Code::conflict, "other writers were first {} times in a row", kCommitAttemptsMax)
      .with_hint("retry later");
}

Result<std::vector<Table::Change>> DeltaTable::changes(int64_t from, int64_t to) {
  SnapshotPtr end = TRY([&]() -> Result<SnapshotPtr> {
    SnapshotPtr now = current();
    if (now->version() == to) return now;
    return load_snapshot(context_, to);
  }());
  TRY(end->readable());
  if (from < 0) return std::vector<Change>{{.rows = end->scan(), .weight = 1}};
  std::map<std::string, DataFilePtr> added;
  std::map<std::string, DataFilePtr> removed;
  for (int64_t version = from + 1; version <= to; ++version) {
    Actions actions = TRY(read_commit(*context_, version));
    for (const RemoveAction& remove : actions.removes) {
      if (!remove.data_change || added.erase(remove.path) > 0) continue;
      auto file = std::make_shared<DataFile>();
      file->path = remove.path;
      file->size = remove.size.value_or(0);
      if (!remove.partition_values && !end->partition_columns().empty()) {
        return Error(Code::unsupported, "version {} removes {} without its partition values",
                     version, remove.path);
      }
      if (remove.partition_values) file->partition_values = *remove.partition_values;
      removed[remove.path] = std::move(file);
    }
    for (AddAction& add : actions.adds) {
      if (add.data_change && removed.erase(add.file->path) == 0)
        added[add.file->path] = std::move(add.file);
    }
  }
  std::vector<Change> changes;
  auto append = [&](std::map<std::string, DataFilePtr>& files, int weight) {
    if (files.empty()) return;
    auto list = std::make_shared<std::vector<DataFilePtr>>();
    for (auto& [path, file] : files) list->push_back(std::move(file));
    changes.push_back(
        {.rows = make_scan(context_, end->columns(), end, std::move(list)), .weight = weight});
  };
  append(removed, -1);
  append(added, 1);
  return changes;
}

Result<Cleaned> DeltaTable::clean(const CleanUp& how) {
  std::lock_guard guard(clean_mutex_);
  const int64_t now_ms = context_->clock.now().value;
  const int64_t day = now_ms / kMsPerDay;
  const bool due = cleaned_ != day || (held_at_ && *held_at_ != checkpoints_);
  // A clock that went back does not keep it waiting.
  const bool waits = retry_ms_ && now_ms < *retry_ms_ && now_ms + kCleanRetryMs >= *retry_ms_;
  if (!due || waits) return Cleaned();
  auto done = clean_now(how);
  // A property that makes no sense makes none in ten minutes either.
  const bool over = done.has_value() || done.error().code() == Code::invalid_argument;
  if (over) cleaned_ = day;
  retry_ms_ = over ? std::nullopt : std::optional(now_ms + kCleanRetryMs);
  return done;
}

Result<Cleaned> DeltaTable::clean_now(const CleanUp& how) {
  const int64_t checkpoints = checkpoints_;
  auto round = TRY(CleanUpRound::begin(context_));
  const Needs needs = TRY(how.needs());
  // Whatever was committed before its writer stopped needing it is in this one.
  TRY(refresh());
  SnapshotPtr now = current();
  held_at_.reset();
  const bool writable = now->readable().has_value() &&
                        check_writable(now->protocol(), now->metadata(), false).has_value();
  if (writable) {
    TRY(round.clean_log(*now, needs));
    TRY(round.clean_data(*now, needs));
  }
  if (round.held_back()) held_at_ = checkpoints;
  Cleaned cleaned = round.cleaned();
  if (how.only_us && staged_cleaned_) return cleaned;
  const int64_t before_ms =
      how.only_us ? std::numeric_limits<int64_t>::max()
                  : context_->clock.now().value - TRY(deleted_file_retention_ms(now->metadata()));
  cleaned.staged = TRY(context_->store->discard_abandoned(before_ms));
  staged_cleaned_ = true;
  return cleaned;
}

Status check_partition_columns(const TableColumns& columns) {
  bool any_data = false;
  for (size_t i = 0; i < columns.stored.size(); ++i) {
    any_data |= !columns.is_partition[i];
    if (columns.is_partition[i] && columns.stored[i].IsNested()) {
      return Error(Code::unsupported, "column {} of type {} cannot partition",
                   columns.schema.columns[i].name, columns.schema.columns[i].type);
    }
  }
  if (!any_data)
    return Error(Code::invalid_argument, "at least one column must not be a partition column");
  return {};
}

/// As they will be read back from the log.
Status expect(TableContext& context, const Table::Create& wanted) {
  Metadata metadata;
  metadata.schema_string = TRY(schema_to_string(wanted.schema));
  for (const std::string& name : wanted.partition_columns) {
    auto index = wanted.schema.find(name);
    CHECK(index.has_value(), "a partition column \"{}\" that is none", name);
    metadata.partition_columns.push_back(wanted.schema.columns[*index].name);
  }
  context.expected = std::make_shared<const TableColumns>(TRY(parse_schema(metadata)));
  context.expected_partition_columns = std::move(metadata.partition_columns);
  return {};
}

}  // namespace

Result<std::shared_ptr<Table>> Table::create(std::shared_ptr<ObjectStore> store,
                                             duck::Instance& instance, const Clock& clock,
                                             const Create& create) {
  Metadata metadata;
  metadata.id = random_uuid();
  metadata.schema_string = TRY(schema_to_string(create.schema));
  metadata.configuration = create.properties;
  metadata.created_ms = clock.now().value;
  for (const std::string& name : create.partition_columns) {
    auto index = create.schema.find(name);
    if (!index)
      return Error(Code::invalid_argument, "there is no column \"{}\" to partition by", name)
          .because(Cause::undefined_column);
    metadata.partition_columns.push_back(create.schema.columns[*index].name);
  }
  TableColumns columns = TRY(parse_schema(metadata));
  TRY(check_partition_columns(columns));
  bool without_zone = false;
  for (const auto& type : columns.stored) without_zone |= has_timestamp_without_zone(type);

  Actions actions;
  actions.protocol = protocol_for(without_zone);
  actions.metadata = std::move(metadata);
  TRY(check_writable(*actions.protocol, *actions.metadata, false));
  auto context = std::make_shared<TableContext>(
      TableContext{.store = std::move(store), .instance = instance, .clock = clock});
  TRY(expect(*context, create));
  if (!TRY(context->store->list(kLogFolder, "", 1)).empty()) {
    return Error(Code::already_exists, "there is a Delta table at {} already",
                 context->store->path_of(""));
  }
  const json info = commit_info("CREATE TABLE", true, {}, clock.now().value);
  const std::string lines = to_lines(info, actions);
  TRY(context->store->put_new(commit_key(0), as_bytes(lines)));
  Replay replay(context);
  TRY(replay.apply(std::move(actions), 0));
  return std::shared_ptr<Table>(std::make_shared<DeltaTable>(context, TRY(replay.finish())));
}

Result<std::shared_ptr<Table>> Table::open(std::shared_ptr<ObjectStore> store,
                                           duck::Instance& instance, const Clock& clock,
                                           const std::optional<Create>& expected) {
  auto context = std::make_shared<TableContext>(
      TableContext{.store = std::move(store), .instance = instance, .clock = clock});
  if (expected) TRY(expect(*context, *expected));
  auto snapshot = TRY(load_snapshot(context, std::nullopt));
  return std::shared_ptr<Table>(std::make_shared<DeltaTable>(context, std::move(snapshot)));
}

}  // namespace ziwa::lake
