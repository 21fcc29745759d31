// The folders of a log and its journal as a disk, or half a backup, may give them back: files of a
// real one, with bytes changed, cut, taken away or put in the place of others. Checksums are put
// right again when an input says so, for else little is reached.
#include "base/checksum.h"
#include "base/sim_file.h"
#include "journal/frame_internal.h"
#include "log/log.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <future>
#include <fuzzer/FuzzedDataProvider.h>
#include <map>

namespace ziwa::log {
namespace {

using Folder = std::map<std::string, Bytes>;  ///< Path -> content.

constexpr const char* kLogPath = "data/log";
constexpr const char* kJournalPath = "data/journal";
constexpr size_t kChangesMax = 4;
constexpr size_t kFetchBytes = 700;
constexpr size_t kRoomBytes = 4'096;
const PartitionId kFirst{ObjectId(1), 0};
const PartitionId kSecond{ObjectId(1), 1};

/// A journal and a log on a disk of their own.
class Opened {
 public:
  explicit Opened(SimFileSystem& files) : files_(files) {}
  ~Opened() { stop(); }

  Status start() {
    log_ = TRY(Log::open(files_, kLogPath, clock_, metrics_, {.index_interval_bytes = 200}));
    journal_ = TRY(journal::Journal::open(
        files_, kJournalPath, clock_, metrics_,
        {.segment_bytes = 2'048, .unclean_skip = 1'000, .must_reach = log_->must_reach()},
        [this](const auto& end) { return log_->has_data(end); }));
    return log_->start(*journal_);
  }
  void stop() {
    log_.reset();
    journal_.reset();
  }
  Status close() {
    TRY(log_->close());
    return journal_->close();
  }
  Log& log() { return *log_; }
  journal::Journal& journal() { return *journal_; }
  void pass(std::chrono::milliseconds time) { clock_.advance(time); }

  Result<Appended> append(PartitionId id, int64_t producer = -1, int32_t sequence = -1,
                          int16_t attributes = 0) {
    std::vector<NewRecord> records(
        2, {clock_.now(), std::nullopt, as_bytes("what a record of a log may say")});
    auto epoch = static_cast<int16_t>(producer < 0 ? -1 : 0);
    auto batch = encode_batch(records, producer, epoch, sequence, attributes);
    std::promise<Result<Appended>> answer;
    auto answered = answer.get_future();
    log_->append(id, batch, [&](Result<Appended> appended, AppendRefusal) {
      answer.set_value(std::move(appended));
    });
    return answered.get();
  }
  Status end_transaction(int64_t producer, bool commit, PartitionId id) {
    std::promise<Status> answer;
    auto answered = answer.get_future();
    log_->end_transaction("t", producer, 0, commit, {id}, [&](Result<EntryNumber> entry) {
      answer.set_value(entry ? Status() : Status(std::move(entry).error()));
    });
    return answered.get();
  }

 private:
  SimFileSystem& files_;
  ManualClock clock_;
  Metrics metrics_;
  std::unique_ptr<journal::Journal> journal_;  ///< Outlives the log.
  std::unique_ptr<Log> log_;
};

void read_folder(SimFileSystem& files, const std::string& path, Folder& out) {
  for (const auto& info : files.list(path).value()) {
    auto below = join_path(path, info.name);
    if (info.is_directory) {
      read_folder(files, below, out);
    } else {
      Bytes bytes = read_file(files, below).value();
      // Room that the journal took in advance says nothing and takes time.
      while (bytes.size() > kRoomBytes && bytes.back() == std::byte{0}) bytes.pop_back();
      out[below] = std::move(bytes);
    }
  }
}

/// Batches in several segments, of producers too, transactions that were committed, aborted and
/// left open, a moved start, and several journal files.
void work(Opened& opened) {
  for (int i = 0; i < 24; ++i) {
    CHECK(opened.append(kFirst).has_value());
    CHECK(opened.append(kSecond, 7, 2 * i).has_value());
    opened.pass(std::chrono::seconds(1));
  }
  for (int64_t producer : {8, 9, 10}) {
    CHECK(opened.append(kFirst, producer, 0, kTransactional).has_value());
    CHECK(opened.append(kFirst).has_value());
    if (producer < 10) CHECK(opened.end_transaction(producer, producer == 8, kFirst));
  }
  CHECK(opened.log().new_producer_id().has_value());
  CHECK(opened.log().delete_records(kFirst, Offset(5)).has_value());
}

/// What the work leaves on the disk: after a clean end, or without one.
Folder make_folder(bool clean) {
  SimFileSystem files;
  Opened opened(files);
  CHECK(opened.start());
  CHECK(opened.log().create_topic(ObjectId(1), {.partitions = 2, .segment_bytes = 1'024}));
  work(opened);
  if (clean) {
    CHECK(opened.close());
  } else {
    CHECK(opened.log().enforce_retention().has_value());
    CHECK(opened.append(kSecond).has_value());
  }
  opened.stop();
  Folder folder;
  read_folder(files, "data", folder);
  return folder;
}

void repair_batches(Bytes& bytes) {
  constexpr size_t kLengthAt = 8;
  constexpr size_t kCrcAt = 17;
  constexpr size_t kChecked = 21;
  for (size_t at = 0; bytes.size() - at >= kBatchHeaderBytes;) {
    auto length = load_be<int32_t>(bytes.data() + at + kLengthAt);
    if (length < 0) return;
    size_t size = kBatchOverheadBytes + static_cast<size_t>(length);
    if (size < kBatchHeaderBytes || size > bytes.size() - at) return;
    ByteView checked(bytes.data() + at + kChecked, size - kChecked);
    store_be(bytes.data() + at + kCrcAt, crc32c(checked));
    at += size;
  }
}

void repair_journal(Bytes& bytes) {
  constexpr size_t kLengthMin = journal::kFrameHeaderBytes - 8;
  if (bytes.size() < journal::kFileHeaderBytes) return;
  size_t at = journal::kFileHeaderBytes;
  store_le(bytes.data() + at - 8, crc32c({bytes.data(), at - 8}));
  while (bytes.size() - at >= journal::kFrameHeaderBytes) {
    size_t length = load_le<uint32_t>(bytes.data() + at);
    if (length < kLengthMin || length > bytes.size() - at - 8) return;
    ByteView view(bytes.data() + at, length + 8);
    store_le(bytes.data() + at + 4, crc32c(view.subspan(8), crc32c(view.subspan(0, 4))));
    at += length + 8;
  }
}

/// A checksum at the end of each `size` bytes.
void repair_points(Bytes& bytes, size_t size) {
  for (size_t at = 0; bytes.size() - at >= size; at += size)
    store_le(bytes.data() + at + size - 4, crc32c({bytes.data() + at, size - 4}));
}

void repair(const std::string& path, Bytes& bytes) {
  constexpr size_t kHeader = 12;
  constexpr size_t kPoint = 28;
  constexpr size_t kTimePoint = 20;
  if (path.ends_with(".log")) repair_batches(bytes);
  if (path.ends_with(".journal")) repair_journal(bytes);
  if (path.ends_with(".times")) repair_points(bytes, kTimePoint);
  if (path.ends_with(".entries") || path.ends_with(".aborted")) repair_points(bytes, kPoint);
  if (path.ends_with("producer_ids")) repair_points(bytes, kHeader);
  bool sealed = path.ends_with("checkpoint") || path.ends_with("topic") || path.ends_with("topics");
  if (sealed && bytes.size() >= kHeader)
    store_le(bytes.data() + 8, crc32c(ByteView(bytes).subspan(kHeader)));
}

/// Changes one file; `other` is the folder of another backup.
void change(FuzzedDataProvider& input, Folder& folder, const Folder& other) {
  enum class Kind : unsigned char {
    bit,
    step,
    number,
    wide,
    cut,
    grow,
    take,
    copy,
    exchange,
    rename,
    kMaxValue
  };
  auto pick = [&] {
    return std::next(folder.begin(), input.ConsumeIntegralInRange<ptrdiff_t>(
                                         0, static_cast<ptrdiff_t>(folder.size()) - 1));
  };
  auto at = pick();
  Bytes& bytes = at->second;
  size_t place = input.ConsumeIntegralInRange<size_t>(0, std::min<size_t>(bytes.size(), 4'095));
  if (input.ConsumeBool()) place = bytes.size() - place;
  auto put = [&](auto number) {
    if (bytes.size() >= place + sizeof number) store_le(bytes.data() + place, number);
  };
  switch (input.ConsumeEnum<Kind>()) {
    case Kind::bit:
      if (place < bytes.size())
        bytes[place] ^= static_cast<std::byte>(1u << input.ConsumeIntegralInRange(0, 7));
      break;
    case Kind::step:
      if (place < bytes.size())
        bytes[place] = static_cast<std::byte>(std::to_integer<int>(bytes[place]) +
                                              input.ConsumeIntegralInRange(-4, 4));
      break;
    case Kind::number:
      put(input.ConsumeIntegral<uint32_t>());
      break;
    case Kind::wide:
      put(input.ConsumeIntegral<uint64_t>());
      break;
    case Kind::cut:
      bytes.resize(place);
      break;
    case Kind::grow: {
      auto more = input.ConsumeRandomLengthString(64);
      auto view = as_bytes(more);
      bytes.insert(bytes.end(), view.begin(), view.end());
      break;
    }
    case Kind::take:
      if (folder.size() > 1) folder.erase(at);
      return;
    case Kind::copy:
      bytes = Bytes(pick()->second);
      break;
    case Kind::exchange: {
      auto found = other.find(at->first);
      if (found != other.end()) bytes = found->second;
      break;
    }
    case Kind::rename: {
      // Another number, or another name, in the same folder.
      auto name = input.ConsumeRandomLengthString(24);
      std::ranges::replace(name, '/', '0');
      std::ranges::replace(name, '\0', '0');
      if (name.empty() || name[0] == '.') return;
      auto node = folder.extract(at);
      node.key() = join_path(parent_path(node.key()), name);
      folder.insert(std::move(node));
      return;
    }
    case Kind::kMaxValue:
      break;
  }
  if (input.ConsumeBool()) repair(at->first, bytes);
}

/// What may be said of a damaged disk.
void check_refused(const Error& error) {
  CHECK(error.code() == Code::corrupt || error.code() == Code::unsupported, "{}",
        error.to_string());
}

/// Readers come to the end, with the offsets in order, or are told that something is damaged.
bool read_partition(Log& log, PartitionId id, const PartitionInfo& info, Isolation isolation) {
  Offset from = info.log_start;
  Offset end =
      isolation == Isolation::read_committed ? info.last_stable_offset : info.high_watermark;
  while (from < end) {
    auto data = log.fetch(id, from, kFetchBytes, isolation);
    if (!data) {
      check_refused(data.error());
      return false;
    }
    CHECK(!data->batches.empty(), "nothing at {} of [{}, {})", from, info.log_start, end);
    ByteView view(data->batches);
    while (!view.empty()) {
      auto header = parse_batch_header(view);
      CHECK(header && header->last_offset() >= from.value, "{} does not go on", from);
      from = Offset(header->last_offset() + 1);
      view = view.subspan(header->total_bytes());
    }
  }
  return true;
}

void look_up(Log& log, PartitionId id, const PartitionInfo& info) {
  auto refused = [](const auto& result) {
    if (!result && result.error().code() != Code::not_found) check_refused(result.error());
  };
  for (Offset at : {info.log_start, Offset(info.high_watermark.value - 1)}) {
    if (at < info.log_start || at >= info.high_watermark) continue;
    auto entry = log.entry_of(id, at);
    refused(entry);
    if (!entry) continue;
    refused(log.end_at(id, *entry));
    refused(log.stable_end_at(id, *entry));
  }
  auto ends = log.entries_between(id, info.log_start, info.high_watermark);
  refused(ends);
  if (ends) CHECK(std::ranges::is_sorted(*ends, {}, &Log::EntryEnd::end));
  for (int64_t time : {int64_t{0}, int64_t{1'000'000'000'000}, INT64_MAX})
    refused(log.offset_for_time(id, TimestampMs(time)));
}

/// A log that opens serves: it is read, written, closed and opened again with the same ends.
void serve(Opened& opened, SimFileSystem& files) {
  std::map<PartitionId, Offset> ends;
  for (PartitionId id : {kFirst, kSecond}) {
    auto info = opened.log().info(id);
    if (!info) continue;
    CHECK(info->log_start <= info->last_stable_offset &&
              info->last_stable_offset <= info->high_watermark,
          "{} {} {}", info->log_start, info->last_stable_offset, info->high_watermark);
    for (auto isolation : {Isolation::read_uncommitted, Isolation::read_committed})
      read_partition(opened.log(), id, *info, isolation);
    look_up(opened.log(), id, *info);
    auto appended = opened.append(id);
    CHECK(appended, "{}", appended.error().to_string());
    CHECK(appended->base_offset == info->high_watermark, "{} of {}: {} behind [{}, {})",
          appended->base_offset, id.partition, appended->entry, info->log_start,
          info->high_watermark);
    ends[id] = Offset(info->high_watermark.value + 2);
  }
  opened.log().open_transactions();
  opened.log().new_producer_id().ignore("the numbers may be used up");
  auto kept = opened.log().enforce_retention();
  if (!kept) check_refused(kept.error());
  auto closed = opened.close();
  if (!closed) return check_refused(closed.error());
  opened.stop();
  Opened again(files);
  auto started = again.start();
  CHECK(started, "what was served is not opened: {}", started.error().to_string());
  for (const auto& [id, end] : ends) CHECK(again.log().info(id).value().high_watermark == end);
}

void check(const Folder& folder) {
  SimFileSystem files;
  for (const auto& [path, bytes] : folder) {
    CHECK(files.make_dirs(parent_path(path)));
    auto file = files.open(path, OpenMode::create).value();
    if (!bytes.empty()) CHECK(file->write_at(0, bytes));
  }
  Opened opened(files);
  auto started = opened.start();
  if (started) return serve(opened, files);
  check_refused(started.error());
  opened.stop();
  Opened again(files);
  auto refused = again.start();
  CHECK(!refused, "the second time it opens; first: {}", started.error().to_string());
}

}  // namespace
}  // namespace ziwa::log

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace ziwa::log;
  static const Folder kClean = make_folder(true);
  static const Folder kKilled = make_folder(false);
  FuzzedDataProvider input(data, size);
  const bool clean = input.ConsumeBool();
  const Folder& other = clean ? kKilled : kClean;
  Folder folder = clean ? kClean : kKilled;
  for (size_t changes = input.ConsumeIntegralInRange<size_t>(0, kChangesMax); changes > 0;
       --changes)
    change(input, folder, other);
  check(folder);
  return 0;
}
