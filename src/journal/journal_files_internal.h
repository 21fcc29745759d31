#pragma once

#include "base/file.h"
#include "base/result.h"
#include "journal/frame_internal.h"
#include "journal/journal.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace ziwa::journal {

/// One file of the journal and a sparse map from entry numbers to positions in it.
struct JournalFile {
  EntryNumber first;   ///< Its name.
  EntryNumber before;  ///< The last entry of the files before it.
  std::shared_ptr<File> file;
  /// Its last entry, once there is a newer file.
  std::optional<EntryNumber> last = std::nullopt;
  std::vector<std::pair<EntryNumber, uint64_t>> marks = {};
  /// Notes that the frame of `number` begins at `position`, every 64 KiB.
  void mark(EntryNumber number, uint64_t position);
  /// Where to start reading for entries after `after`; the header has no mark.
  std::optional<std::pair<EntryNumber, uint64_t>> mark_before(EntryNumber after) const;
};

/// What recovery found: where the order stands and where to go on writing.
struct Recovered {
  std::vector<JournalFile> files;  ///< Oldest first; the last one is written to.
  uint64_t position = 0;           ///< End of the last good frame in the last file.
  EntryNumber last;
  TimestampMs time;
  EntryNumber synced_through;
  bool clean = false;
  bool fresh = false;                  ///< There was no journal.
  std::vector<Entry> recent;           ///< The newest entries of the last file.
  std::map<PartitionId, Offset> ends;  ///< The last one of each partition in the last file.
};

std::string journal_file_name(EntryNumber first);
/// Creates the file, writes its header and makes both durable.
Result<JournalFile> create_journal_file(FileSystem& fs, const std::string& directory,
                                        const FileHeader& header);
/// Reads the newest file, cuts what was never acknowledged and is not whole (see Journal::Verify),
/// and refuses damage to what was, in older files as far as their headers tell. Changes nothing on
/// the disk but a file that a roll did not finish. `recent_max`: entries to keep.
Result<Recovered> recover_journal(FileSystem& fs, const std::string& directory,
                                  const Journal::Verify& verify, size_t recent_max);
/// Up to `limit` entries after `after` and up to `through` from `file`, appended to `out`. Errors:
/// corrupt, also when entries are missing.
Status read_journal_file(const JournalFile& file, EntryNumber after, EntryNumber through,
                         size_t limit, std::vector<Entry>& out);

}  // namespace ziwa::journal
