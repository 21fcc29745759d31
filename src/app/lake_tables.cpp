#include "app/lake_tables.h"

#include "base/log.h"
#include "lake/object_store.h"

#include <charconv>

namespace ziwa::app {
LakeTables::LakeTables(FileSystem& fs, duck::Instance& duck, const Clock& clock,
                       std::string directory)
    : fs_(fs), duck_(duck), clock_(clock), directory_(std::move(directory)) {}

std::string LakeTables::path_of(const catalog::Object& object) const {
  const std::string& location = object.table().location;
  return location.empty() ? join_path(directory_, fmt::format("{}", object.id)) : location;
}

Result<std::shared_ptr<lake::Table>> LakeTables::table(const catalog::Object& object) {
  std::lock_guard lock(mutex_);
  if (auto found = open_.find(object.id); found != open_.end()) return found->second;
  auto opened = lake::Table::open(lake::make_local_store(fs_, path_of(object)), duck_, clock_);
  if (!opened) {
    return std::move(opened.error())
        .context(fmt::format("table {}.{}", object.schema, object.name));
  }
  return open_.emplace(object.id, std::move(*opened)).first->second;
}

void LakeTables::forget(ObjectId id) {
  std::lock_guard lock(mutex_);
  open_.erase(id);
}

catalog::Catalog::Watcher LakeTables::watcher() {
  return {.apply = [this](const std::vector<catalog::Change>& changes, EntryNumber) -> Status {
    for (const auto& change : changes) {
      if (change.before && !change.after) forget(change.before->id);
    }
    return {};
  }};
}

Status LakeTables::drop_unknown(const catalog::Snapshot& snapshot) {
  TRY(make_dirs_durably(fs_, directory_));
  for (const auto& entry : TRY(fs_.list(directory_))) {
    uint64_t number = 0;
    auto [end, error] =
        std::from_chars(entry.name.data(), entry.name.data() + entry.name.size(), number);
    bool ours = error == std::errc() && end == entry.name.data() + entry.name.size();
    auto object = ours ? snapshot.find(ObjectId(number)) : nullptr;
    if (!ours || (object && object->kind() == catalog::Kind::table)) continue;
    log_info("lake", "removing a table that the catalog does not have", "directory={}", entry.name);
    TRY(fs_.remove_all(join_path(directory_, entry.name)));
  }
  // Its number may be given again: a removal that a power cut takes back would meet the next owner.
  return fs_.sync_dir(directory_);
}

}  // namespace ziwa::app
