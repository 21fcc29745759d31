#include "base/advice.h"
#include "base/log.h"
#include "journal/journal_files_internal.h"

#include <algorithm>
#include <charconv>
#include <deque>
#include <map>
#include <ranges>
#include <span>

namespace ziwa::journal {

namespace {

constexpr std::string_view kExtension = ".journal";
constexpr size_t kNumberDigits = 20;
constexpr uint64_t kMarkEveryBytes = 64u << 10;

std::optional<EntryNumber> parse_file_name(std::string_view name) {
  if (name.size() != kNumberDigits + kExtension.size() || !name.ends_with(kExtension))
    return std::nullopt;
  uint64_t number = 0;
  const std::string_view digits = name.substr(0, kNumberDigits);
  auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (code != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return EntryNumber(number);
}

Result<std::vector<EntryNumber>> list_files(FileSystem& fs, const std::string& directory) {
  std::vector<EntryNumber> numbers;
  for (const auto& info : TRY(fs.list(directory))) {
    if (auto number = parse_file_name(info.name)) numbers.push_back(*number);
  }
  std::ranges::sort(numbers);
  return numbers;
}

Result<FileHeader> read_header(const File& file) {
  Bytes bytes(kFileHeaderBytes);
  bytes.resize(TRY(file.read_at(0, bytes)));
  return decode_file_header(bytes);
}

Error lost(const File& file, uint64_t position, EntryNumber last, EntryNumber proof) {
  return Error(Code::corrupt,
               "journal file {} is damaged at byte {}: entries after {} were acknowledged (entry "
               "{} says so) and "
               "cannot be read",
               file.path(), position, last, proof)
      .with_hint(kRestoreBackup);
}

bool follows(const Frame& frame, EntryNumber last) {
  if (!frame.is_entry()) return frame.number == last;
  if (frame.kind == FrameKind::opened) return frame.number > last;
  return frame.number == last.next();
}

Error damaged(const File& file, uint64_t position, std::string_view why) {
  return Error(Code::corrupt, "journal file {} is damaged at byte {}: {}", file.path(), position,
               why)
      .with_hint(kRestoreBackup);
}

/// The state of one pass over the newest file.
class TailScan {
 public:
  TailScan(const JournalFile& file, const FileHeader& header, const Journal::Verify& verify,
           size_t recent_max)
      : verify_(verify), recent_max_(recent_max) {
    found_.files.push_back(file);
    found_.position = kFileHeaderBytes;
    found_.last = header.previous_last;
    found_.time = header.previous_time;
    found_.synced_through = header.previous_last;
    settled_ = header.previous_last;
    settled_time_ = header.previous_time;
  }

  Result<Recovered> run() {
    const File& file = *found_.files.back().file;
    TRY(read_frames(file));
    auto proof = TRY(find_proof_of_loss(file, found_.position, found_.last));
    if (proof) return lost(file, found_.position, found_.last, *proof);
    TRY(check_acknowledged());
    TRY(cut_unverified(file));
    for (auto& [position, frame] : tail_) {
      note_ends(frame);
      keep(frame);
    }
    found_.ends = std::move(ends_);
    found_.recent.assign(recent_.begin(), recent_.end());
    return std::move(found_);
  }

 private:
  struct Placed {
    uint64_t position;
    Frame frame;
  };

  Status read_frames(const File& file) {
    FrameReader reader(file, found_.position);
    Frame frame;
    while (TRY(reader.next(frame)) == FrameReader::Outcome::frame && follows(frame, found_.last)) {
      found_.synced_through = std::max(found_.synced_through, frame.synced_through);
      found_.clean = frame.kind == FrameKind::closed_mark;
      settle();
      if (frame.is_entry()) {
        found_.last = frame.number;
        found_.time = frame.time;
        found_.files.back().mark(frame.number, found_.position);
        tail_.push_back({found_.position, std::move(frame)});
      }
      found_.position = reader.position();
    }
    return {};
  }

  /// Entries that are now known to be durable leave the tail; their ends must be there.
  void settle() {
    while (!tail_.empty() && tail_.front().frame.number <= found_.synced_through) {
      const Frame& frame = tail_.front().frame;
      note_ends(frame);
      keep(frame);
      settled_ = frame.number;
      settled_time_ = frame.time;
      tail_.pop_front();
    }
  }

  void note_ends(const Frame& frame) {
    each_end(frame.body, [&](const PartitionEnd& end) {
      auto& known = ends_[end.id];
      known = std::max(known, end.end);
    });
  }

  void keep(const Frame& frame) {
    recent_.push_back({frame.number, frame.time, frame.body});
    if (recent_.size() > recent_max_) recent_.pop_front();
  }

  template <typename Visit>
  static void each_end(const Body& body, Visit visit) {
    const std::vector<PartitionEnd>* ends = nullptr;
    if (const auto* commit = std::get_if<LogCommit>(&body)) ends = &commit->ends;
    if (const auto* decision = std::get_if<TransactionDecision>(&body)) ends = &decision->ends;
    if (ends != nullptr) std::ranges::for_each(*ends, visit);
  }

  Status check_acknowledged() const {
    for (const auto& [id, end] : ends_) {
      if (verify_({id, end})) continue;
      return Error(Code::corrupt,
                   "partition {} of topic {} lost acknowledged records: they go up to offset {} by "
                   "the journal, and "
                   "the files of the partition are damaged or cut before that",
                   id.partition, id.topic, end)
          .with_hint(kRestoreBackup);
    }
    return {};
  }

  bool whole(const Frame& frame) const {
    bool all = true;
    each_end(frame.body, [&](const PartitionEnd& end) { all = all && verify_(end); });
    return all;
  }

  /// Cuts before the first entry whose data is not whole: neither it nor what follows was
  /// acknowledged.
  Status cut_unverified(const File& file) {
    auto cut = std::ranges::find_if(tail_, [&](const Placed& it) { return !whole(it.frame); });
    if (cut == tail_.end()) return {};
    log_warn("journal", "entries that were never acknowledged are cut: their data is not whole",
             "file={} first={} last={}", file.path(), cut->frame.number, found_.last);
    found_.position = cut->position;
    tail_.erase(cut, tail_.end());
    const auto& marks = found_.files.back().marks;
    found_.files.back().marks.erase(
        std::ranges::find_if(marks, [&](const auto& it) { return it.second >= found_.position; }),
        marks.end());
    found_.clean = false;
    found_.last = tail_.empty() ? settled_ : tail_.back().frame.number;
    found_.time = tail_.empty() ? settled_time_ : tail_.back().frame.time;
    return {};
  }

  const Journal::Verify& verify_;
  size_t recent_max_;
  Recovered found_;
  std::deque<Placed> tail_;  ///< Entries not known to be durable.
  EntryNumber settled_;      ///< The last entry known to be durable.
  TimestampMs settled_time_;
  std::deque<Entry> recent_;
  std::map<PartitionId, Offset> ends_;  ///< Of the entries that have left the tail.
};

/// Removes a file that a roll left without a header, or without an entry beside `next`, which took
/// its place: it holds nothing. False: it may hold something.
Result<bool> remove_unfinished(FileSystem& fs, const std::string& directory, EntryNumber number,
                               const FileHeader* next = nullptr) {
  std::string path = join_path(directory, journal_file_name(number));
  std::shared_ptr<File> file = TRY(fs.open(path, OpenMode::read));
  auto header = read_header(*file);
  if (header) {
    Frame frame;
    FrameReader reader(*file, kFileHeaderBytes);
    const bool replaced = next != nullptr && header->previous_first == next->previous_first;
    if (!replaced || TRY(reader.next(frame)) != FrameReader::Outcome::end) return false;
  } else if (header.error().code() != Code::corrupt) {
    return std::move(header).error().context(path);
  }
  EntryNumber before(number.value - 1);
  if (auto proof = TRY(find_proof_of_loss(*file, 0, before))) return lost(*file, 0, before, *proof);
  log_warn("journal", "a file that was being created is removed", "file={}", path);
  file.reset();
  TRY(fs.remove(path));
  return true;
}

/// Opens the newest file that has a good header. Those that a roll left without are removed.
Result<std::pair<JournalFile, FileHeader>> open_newest(FileSystem& fs, const std::string& directory,
                                                       std::vector<EntryNumber>& numbers) {
  while (!numbers.empty()) {
    std::string path = join_path(directory, journal_file_name(numbers.back()));
    std::shared_ptr<File> file = TRY(fs.open(path, OpenMode::read_write));
    auto header = read_header(*file);
    if (header && header->first != numbers.back())
      header = Error(Code::corrupt, "{} was renamed", path);
    if (header) return std::pair(JournalFile{numbers.back(), header->previous_last, file}, *header);
    if (header.error().code() != Code::corrupt) return std::move(header).error().context(path);
    file.reset();
    if (!TRY(remove_unfinished(fs, directory, numbers.back()))) return std::move(header).error();
    numbers.pop_back();
  }
  return Error(Code::not_found, "no journal in {}", directory);
}

/// The files before the newest, oldest first. Each header says what the file before it was.
Result<std::vector<JournalFile>> open_older(FileSystem& fs, const std::string& directory,
                                            std::span<const EntryNumber> numbers, FileHeader next) {
  std::vector<JournalFile> files;
  for (EntryNumber number : std::views::reverse(numbers)) {
    if (next.previous_first != number) {
      if (number > next.previous_first && TRY(remove_unfinished(fs, directory, number, &next)))
        continue;
      return Error(Code::corrupt, "journal file {} is missing in {}",
                   journal_file_name(next.previous_first), directory)
          .with_hint(kRestoreBackup);
    }
    std::shared_ptr<File> file =
        TRY(fs.open(join_path(directory, journal_file_name(number)), OpenMode::read));
    auto header = read_header(*file);
    if (!header && header.error().code() == Code::corrupt)
      return damaged(*file, 0, header.error().message());
    if (!header) return std::move(header).error();
    if (header->first != number) return damaged(*file, 0, "it has another name");
    files.push_back({number, header->previous_last, std::move(file), next.previous_last});
    next = *header;
  }
  std::ranges::reverse(files);
  return files;
}

}  // namespace

void JournalFile::mark(EntryNumber number, uint64_t position) {
  if (marks.empty() || position >= marks.back().second + kMarkEveryBytes)
    marks.emplace_back(number, position);
}

std::optional<std::pair<EntryNumber, uint64_t>> JournalFile::mark_before(EntryNumber after) const {
  auto above = std::ranges::upper_bound(marks, after, {}, &std::pair<EntryNumber, uint64_t>::first);
  if (above == marks.begin()) return std::nullopt;
  return *std::prev(above);
}

std::string journal_file_name(EntryNumber first) {
  return fmt::format("{:020}{}", first.value, kExtension);
}

Result<JournalFile> create_journal_file(FileSystem& fs, const std::string& directory,
                                        const FileHeader& header) {
  std::string path = join_path(directory, journal_file_name(header.first));
  std::shared_ptr<File> file;
  Status made = [&]() -> Status {
    file = TRY(fs.open(path, OpenMode::truncate));
    TRY(file->write_at(0, encode_file_header(header)));
    TRY(file->sync());
    return fs.sync_dir(directory);
  }();
  if (made) return JournalFile{header.first, header.previous_last, file};
  if (file == nullptr) return std::move(made).error();
  // It must not come back after a power cut: entries go on in the file before. Whatever keeps it,
  // be it a lack of room, ends the journal.
  Status gone = fs.remove(path);
  if (gone) gone = fs.sync_dir(directory);
  if (!gone) return Error(Code::io, "{} cannot be removed: {}", path, gone.error().message());
  return std::move(made).error();
}

Result<Recovered> recover_journal(FileSystem& fs, const std::string& directory,
                                  const Journal::Verify& verify, size_t recent_max) {
  auto numbers = TRY(list_files(fs, directory));
  bool had_files = !numbers.empty();
  auto newest = open_newest(fs, directory, numbers);
  if (!newest && newest.error().code() == Code::not_found && (!had_files || numbers.empty())) {
    Recovered fresh;
    fresh.fresh = true;
    return fresh;
  }
  auto [file, header] = TRY(std::move(newest));
  auto older = TRY(open_older(fs, directory, std::span(numbers).first(numbers.size() - 1), header));
  Recovered found = TRY(TailScan(file, header, verify, recent_max).run());
  found.files.insert(found.files.begin(), older.begin(), older.end());
  return found;
}

Status read_journal_file(const JournalFile& file, EntryNumber after, EntryNumber through,
                         size_t limit, std::vector<Entry>& out) {
  const auto mark = file.mark_before(after);
  FrameReader reader(*file.file, mark ? mark->second : kFileHeaderBytes);
  // A mark's frame follows whatever was before it.
  EntryNumber last = mark ? EntryNumber(mark->first.value - 1) : file.before;
  const EntryNumber end = std::min(through, file.last.value_or(through));
  Frame frame;
  // Not one frame further than `through`: it may be half written right now.
  while (out.size() < limit && last < end) {
    const uint64_t position = reader.position();
    auto outcome = TRY(reader.next(frame));
    if (outcome == FrameReader::Outcome::bad) return damaged(*file.file, position, "no frame");
    if (outcome == FrameReader::Outcome::end || !follows(frame, last) || frame.number > end) {
      return damaged(*file.file, position, fmt::format("entries after {} are missing", last));
    }
    last = frame.number;
    if (frame.is_entry() && frame.number > after) {
      out.push_back({frame.number, frame.time, std::move(frame.body)});
    }
  }
  return {};
}

}  // namespace ziwa::journal
