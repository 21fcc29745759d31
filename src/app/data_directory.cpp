#include "app/data_directory.h"

#include "base/advice.h"

#include <algorithm>
#include <charconv>

namespace ziwa::app {
namespace {

constexpr std::string_view kLockName = "LOCK";
constexpr std::string_view kVersionName = "VERSION";
constexpr std::string_view kVersionHead = "ziwa data directory, format ";
constexpr uint64_t kVersionBytesMax = 4096;

/// Things a file system may put there by itself.
bool ignorable(const FileInfo& entry) {
  return entry.name == kLockName || entry.name == "lost+found" || entry.name.starts_with(".") ||
         entry.name.ends_with(".tmp");
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
  TRY(write_file_atomically(fs, version,
                            as_bytes(fmt::format("{}{}\n", kVersionHead, kDataFormat))));
  TRY(fs.sync_dir(parent_path(path)));
  return directory;
}

}  // namespace ziwa::app
