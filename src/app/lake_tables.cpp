#include "app/lake_tables.h"

#include "base/log.h"
#include "catalog/stored_columns.h"

#include <algorithm>
#include <charconv>

namespace ziwa::app {
namespace {

/// Of folders that are to be removed: behind it the name they had, and a number against twins.
constexpr std::string_view kSetAside = ".dropped.";

}  // namespace

LakeTables::LakeTables(FileSystem& fs, duck::Instance& duck, const Clock& clock,
                       std::string directory)
    : fs_(fs), duck_(duck), clock_(clock), directory_(std::move(directory)) {}

std::string LakeTables::managed_path(ObjectId id) const {
  return join_path(directory_, fmt::format("{}", id));
}

std::string LakeTables::path_of(const catalog::Object& object) const {
  return catalog::table_directory(object, directory_);
}

Result<std::shared_ptr<lake::Table>> LakeTables::table(const catalog::Object& object) {
  std::lock_guard lock(mutex_);
  if (auto found = open_.find(object.id); found != open_.end()) return found->second.table;
  auto is_it = [&](const Dropped& dropped) { return dropped.id == object.id; };
  if (std::ranges::any_of(dropped_, is_it)) {
    return Error(Code::not_found, "table {}.{} was dropped", object.schema, object.name);
  }
  std::shared_ptr<lake::ObjectStore> store = lake::make_local_store(fs_, path_of(object), staging_);
  auto opened = lake::Table::open(
      store, duck_, clock_,
      lake::Table::Create{.schema = catalog::stored_schema(object.table()),
                          .partition_columns = catalog::stored_partition_columns(object.table())});
  if (!opened) {
    return std::move(opened.error())
        .context(fmt::format("table {}.{}", object.schema, object.name));
  }
  return open_.emplace(object.id, Open{std::move(*opened), store}).first->second.table;
}

void LakeTables::drop(const catalog::Object& object) {
  std::lock_guard lock(mutex_);
  auto open = open_.extract(object.id);
  if (path_of(object) != managed_path(object.id)) return;
  dropped_.push_back({.id = object.id,
                      .path = managed_path(object.id),
                      .in_use = open ? open.mapped().in_use : std::weak_ptr<void>()});
}

catalog::Catalog::Watcher LakeTables::watcher() {
  return {.apply = [this](const std::vector<catalog::Change>& changes, EntryNumber) -> Status {
    for (const auto& change : changes) {
      if (change.before && !change.after && change.before->kind() == catalog::Kind::table)
        drop(*change.before);
    }
    return {};
  }};
}

Status LakeTables::set_aside_unknown(const catalog::Snapshot& snapshot) {
  TRY(make_dirs_durably(fs_, directory_));
  std::lock_guard lock(mutex_);
  for (const auto& entry : TRY(fs_.list(directory_))) {
    uint64_t number = 0;
    auto [end, error] =
        std::from_chars(entry.name.data(), entry.name.data() + entry.name.size(), number);
    bool ours = error == std::errc() && end == entry.name.data() + entry.name.size();
    std::string path = join_path(directory_, entry.name);
    if (ours) {
      auto object = snapshot.find(ObjectId(number));
      if (object && object->kind() == catalog::Kind::table) continue;
      std::string aside = join_path(
          directory_, fmt::format("{}{}.{:08x}", kSetAside, entry.name, lake::new_staging_id()));
      TRY(fs_.rename(path, aside));
      path = std::move(aside);
    } else if (!entry.name.starts_with(kSetAside)) {
      continue;
    }
    dropped_.push_back({.id = ObjectId(), .path = std::move(path), .in_use = {}});
  }
  // Its number may be given again: a renaming that a power cut takes back would meet the next
  // owner.
  return fs_.sync_dir(directory_);
}

void LakeTables::remove_dropped() {
  std::vector<Dropped> unused;
  {
    std::lock_guard lock(mutex_);
    for (const Dropped& dropped : dropped_) {
      if (dropped.in_use.expired()) unused.push_back(dropped);
    }
  }
  for (const Dropped& dropped : unused) {
    Status removed = fs_.remove_all(dropped.path);
    if (removed) removed = fs_.sync_dir(directory_);
    if (removed) {
      log_info("lake", "removed the folder of a table that is gone", "path={}", dropped.path);
    } else if (!dropped.failed) {
      log_warn("lake", "the folder of a table that is gone stays; it is tried again",
               "path={} error={}", dropped.path, removed.error().to_string());
    }
    std::lock_guard lock(mutex_);
    auto at = std::ranges::find(dropped_, dropped.path, &Dropped::path);
    if (removed) {
      dropped_.erase(at);
    } else {
      at->failed = true;
    }
  }
}

void LakeTables::clean_table(const catalog::Object& object, lake::Table& table,
                             const NeedsOf& needs) {
  auto cleaned = table.clean({.needs = [&] { return needs(object); },
                              .only_us = path_of(object) == managed_path(object.id)});
  if (!cleaned) {
    auto error = cleaned.error().to_string();
    if (!clean_errors_.raise(object.id, error)) return;
    log_warn("lake", "a table is not cleaned up; it is tried again", "table={}.{} error={}",
             object.schema, object.name, error);
    return;
  }
  if (cleaned->log + cleaned->data + cleaned->staged == 0) return;  // Perhaps not its time yet.
  clean_errors_.clear(object.id);
  log_info("lake", "cleaned a table up", "table={}.{} log={} data={} staged={}", object.schema,
           object.name, cleaned->log, cleaned->data, cleaned->staged);
}

void LakeTables::clean(const catalog::Snapshot& snapshot, const NeedsOf& needs) {
  std::vector<std::pair<ObjectId, std::shared_ptr<lake::Table>>> open;
  {
    std::lock_guard lock(mutex_);
    for (const auto& [id, table] : open_) open.emplace_back(id, table.table);
  }
  for (auto& [id, table] : open) {
    // Dropped in this moment: perhaps this was the last to hold it.
    if (auto object = snapshot.find(id)) clean_table(*object, *table, needs);
    table.reset();
  }
  remove_dropped();
}

}  // namespace ziwa::app
