// The folder _delta_log as another writer may have left it: names, commits, JSON checkpoints and
// _last_checkpoint. An input is made of "@name", a line end and the file's content, again and
// again.
#include "base/sim_file.h"
#include "lake/log_internal.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>

namespace ziwa::lake {
namespace {

constexpr const char* kHint = "_last_checkpoint";

/// A bucket that only reads. Its Parquet files are nowhere.
class FolderStore final : public ObjectStore {
 public:
  std::map<std::string, std::string> objects;

  Status put(const std::string&, ByteView) override { return refuse(); }
  Status put_new(const std::string&, ByteView) override { return refuse(); }
  Result<Bytes> get(const std::string& key) override {
    auto found = objects.find(key);
    if (found == objects.end()) return Error(Code::not_found, "no object {}", key);
    ByteView bytes = as_bytes(found->second);
    return Bytes(bytes.begin(), bytes.end());
  }
  Result<Bytes> get_range(const std::string&, uint64_t, uint64_t) override { return refuse(); }
  Result<ObjectInfo> head(const std::string&) override { return refuse(); }
  Result<std::vector<ObjectInfo>> list(const std::string& prefix, const std::string& after,
                                       size_t limit) override {
    std::vector<ObjectInfo> infos;
    for (const auto& [key, content] : objects) {
      if (key.starts_with(prefix) && key > after && infos.size() < limit)
        infos.push_back({.key = key, .size = content.size()});
    }
    return infos;
  }
  Status remove(const std::string&) override { return refuse(); }
  std::string path_of(const std::string& key) const override { return "/nowhere/" + key; }
  Result<Staged> stage(const std::string&) override { return refuse(); }
  Status publish(const std::vector<Staged>&) override { return refuse(); }
  void discard(const Staged&) override {}
  Status remove_many(const std::vector<std::string>&) override { return {}; }
  Result<size_t> discard_abandoned(int64_t) override { return 0; }

 private:
  static Error refuse() { return Error(Code::unsupported, "this store only reads"); }
};

std::shared_ptr<FolderStore> make_store(std::string_view text) {
  auto store = std::make_shared<FolderStore>();
  while (text.starts_with('@')) {
    size_t line = std::min(text.find('\n'), text.size());
    size_t end = std::min(text.find("\n@", line), text.size());
    std::string key = kLogFolder + std::string(text.substr(1, line - 1));
    if (line < end) store->objects[key] = text.substr(line + 1, end - line - 1);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return store;
}

duck::Instance& instance() {
  static SimFileSystem files;
  static auto opened = duck::Instance::open(files, {}).value();
  return *opened;
}

/// All that readers see of a state.
std::string state_of(const Snapshot& snapshot) {
  std::string text = std::to_string(snapshot.version()) + to_json(snapshot.metadata()).dump();
  std::vector<std::string> files;
  for (const auto& file : snapshot.files()) {
    files.push_back(file->path + "|" + file->stats + "|" + std::to_string(file->size));
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) text += "\n" + file;
  for (const auto& [app_id, transaction] : snapshot.transactions())
    text += "\n" + app_id + "=" + std::to_string(transaction.version);
  return text;
}

void check(std::string_view text) {
  static const ManualClock clock;
  auto store = make_store(text);
  auto context = std::make_shared<TableContext>(store, instance(), clock);
  auto newest = load_snapshot(context, std::nullopt);
  bool hinted = store->objects.erase(std::string(kLogFolder) + kHint) > 0;
  if (hinted) {
    auto found = load_snapshot(context, std::nullopt);
    CHECK(found.has_value() == newest.has_value(), "the hint decided: {}",
          (found ? newest : found).error().to_string());
    if (newest) CHECK(state_of(**found) == state_of(**newest), "the hint changed the state");
  }
  if (!newest) return;
  CHECK((*newest)->schema().columns.size() == (*newest)->columns()->stored.size());
  bool checkpoints = std::ranges::any_of(
      store->objects, [](const auto& it) { return it.first.find("checkpoint") != it.first.npos; });
  if (checkpoints) return;
  // Without checkpoints every state leads to the newest by the commits after it.
  for (int64_t version = 0; version < (*newest)->version(); ++version) {
    auto older = load_snapshot(context, version);
    if (!older) continue;
    CHECK((*older)->version() == version);
    auto followed = follow(*older);
    CHECK(followed, "{}", followed.error().to_string());
    CHECK(state_of(**followed) == state_of(**newest), "from version {}", version);
  }
}

}  // namespace
}  // namespace ziwa::lake

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  ziwa::lake::check({reinterpret_cast<const char*>(data), size});
  return 0;
}
