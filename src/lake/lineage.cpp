#include "lake/lineage.h"

#include "lake/log_internal.h"

#include <algorithm>
#include <set>

namespace ziwa::lake {

Result<std::vector<DataFilePtr>> files_with_rows_of(const TableSnapshot& from,
                                                    const TableSnapshot& to) {
  std::set<std::string> paths;
  for (const DataFilePtr& file : from.files()) paths.insert(file->path);
  const auto& context = *dynamic_cast<const Snapshot&>(to).context();
  for (int64_t version = from.version() + 1; version <= to.version(); ++version) {
    const Actions commit = TRY(read_commit(context, version));
    auto of_ours = [&](const RemoveAction& remove) { return paths.contains(remove.path); };
    if (std::ranges::none_of(commit.removes, of_ours)) continue;
    // A commit that only takes rows away leaves the others in the files that stay.
    const bool rewrites = !commit.adds.empty();
    if (rewrites && std::ranges::any_of(commit.removes, &RemoveAction::data_change)) {
      return Error(Code::conflict, "version {} changed the rows of version {}", version,
                   from.version());
    }
    if (rewrites && !std::ranges::all_of(commit.removes, of_ours)) {
      return Error(Code::conflict, "version {} put rows of version {} and later ones together",
                   version, from.version());
    }
    for (const RemoveAction& remove : commit.removes) paths.erase(remove.path);
    for (const AddAction& add : commit.adds) paths.insert(add.file->path);
  }
  std::vector<DataFilePtr> found;
  for (const DataFilePtr& file : to.files()) {
    if (paths.contains(file->path)) found.push_back(file);
  }
  return found;
}

}  // namespace ziwa::lake
