#include "app/data_directory.h"

#include "base/advice.h"

#include <algorithm>
#include <charconv>
#include <random>

namespace ziwa::app {
namespace {

constexpr std::string_view kLockName = "LOCK";
constexpr std::string_view kVersionName = "VERSION";
constexpr std::string_view kVersionHead = "ziwa data directory, format ";
constexpr std::string_view kIdHead = "id ";
constexpr std::string_view kOwnerName = "OWNER";
constexpr uint64_t kVersionBytesMax = 4096;

/// Things a file system may put there by itself.
bool ignorable(const FileInfo& entry) {
  return entry.name == kLockName || entry.name == "lost+found" || entry.name.starts_with(".") ||
         entry.name.ends_with(".tmp");
}

std::string random_id() {
  std::random_device random;
  std::string id;
  for (int i = 0; i < 4; ++i) id += fmt::format("{:08x}", random());
  return id;
}

/// The second line of the version file.
std::string id_in(std::string_view text) {
  size_t line = text.find('\n');
  if (line == std::string_view::npos) return {};
  text.remove_prefix(line + 1);
  if (!text.starts_with(kIdHead)) return {};
  text.remove_prefix(kIdHead.size());
  return std::string(text.substr(0, text.find('\n')));
}

/// "meta of 0123..."
std::string owner_text(std::string_view part, std::string_view id) {
  return fmt::format("ziwa {} of {}\n", part, id);
}

Status check_version(std::string_view text, const std::string& path) {
  int format = 0;
  bool known = text.starts_with(kVersionHead);
  if (known) {
    text.remove_prefix(kVersionHead.size());
    known = std::from_chars(text.data(), text.data() + text.size(), format).ec == std::errc();
  }
  if (!known || format < 1) return Error(Code::corrupt, "{} is not a version file", path);
  if (format > kDataFormat) {
    return Error(Code::unsupported, "the data directory has format {}; this Ziwa knows up to {}",
                 format, kDataFormat)
        .with_hint(kNewerOrDamaged);
  }
  return {};
}

}  // namespace

Result<DataDirectory> DataDirectory::open(FileSystem& fs, const std::string& path) {
  DataDirectory directory;
  directory.path_ = path;
  TRY(fs.make_dirs(path));
  directory.lock_ = TRY(fs.lock(directory.below(kLockName)));
  std::string version = directory.below(kVersionName);
  if (fs.exists(version)) {
    Bytes text = TRY(read_file(fs, version, kVersionBytesMax));
    TRY(check_version(as_text(text), version));
    directory.id_ = id_in(as_text(text));
    return directory;
  }
  auto entries = TRY(fs.list(path));
  auto foreign =
      std::ranges::find_if(entries, [](const FileInfo& entry) { return !ignorable(entry); });
  if (fs.exists(directory.below("meta"))) {
    return Error(Code::corrupt, "{} is missing, though {} is there", version,
                 directory.below("meta"))
        .with_hint(kRestoreBackup);
  }
  if (foreign != entries.end()) {
    return Error(Code::invalid_argument, "{} holds \"{}\" and is no data directory of Ziwa", path,
                 foreign->name)
        .with_hint("name an empty or a new directory");
  }
  directory.id_ = random_id();
  TRY(write_file_atomically(
      fs, version,
      as_bytes(fmt::format("{}{}\n{}{}\n", kVersionHead, kDataFormat, kIdHead, directory.id_))));
  TRY(fs.sync_dir(parent_path(path)));
  return directory;
}

Result<std::string> DataDirectory::owner_of(FileSystem& fs, std::string_view part) const {
  const std::string path = join_path(below(part), kOwnerName);
  if (!fs.exists(path)) return std::string();
  Bytes text = TRY(read_file(fs, path, kVersionBytesMax));
  // It is not synced: a power cut may leave anything, and then it says nothing.
  const bool whole = as_text(text).starts_with("ziwa ") && as_text(text).ends_with("\n");
  return whole ? std::string(as_text(text)) : std::string();
}

Status DataDirectory::check_owner(FileSystem& fs, std::string_view part) const {
  const std::string owner = TRY(owner_of(fs, part));
  if (id_.empty() || owner.empty() || owner == owner_text(part, id_)) return {};
  return Error(Code::corrupt, "{} is not its own {}: its {} says \"{}\"", path_, part, kOwnerName,
               owner.substr(0, owner.size() - 1))
      .with_hint("put the folders of one backup together; nothing was changed");
}

Status DataDirectory::own(FileSystem& fs, std::string_view part) const {
  if (id_.empty() || !fs.exists(below(part)) || !TRY(owner_of(fs, part)).empty()) return {};
  auto file = TRY(fs.open(join_path(below(part), kOwnerName), OpenMode::truncate));
  return file->write_at(0, as_bytes(owner_text(part, id_)));
}

}  // namespace ziwa::app
