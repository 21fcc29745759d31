#include "log/log.h"

#include "base/advice.h"
#include "base/checksum.h"
#include "base/log.h"
#include "base/metric_table.h"
#include "log/log_impl_internal.h"
#include "log/topic_config_internal.h"

#include <algorithm>
#include <charconv>

namespace ziwa::log {

namespace {

constexpr std::string_view kFormat = "ziwa log format ";
constexpr int kFormatVersion = 1;
constexpr size_t kReplayEntries = 10'000;
constexpr int64_t kProducerIdBlock = 1'000;

template <typename Number>
std::optional<Number> parse_number(std::string_view text) {
  Number number = 0;
  auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (code != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

const std::vector<journal::PartitionEnd>* ends_of(const journal::Body& body) {
  if (const auto* commit = std::get_if<journal::LogCommit>(&body)) return &commit->ends;
  if (const auto* decision = std::get_if<journal::TransactionDecision>(&body))
    return &decision->ends;
  return nullptr;
}

/// A file of ours that is never larger than `limit`.
Result<Bytes> read_small(FileSystem& fs, const std::string& path, uint64_t limit) {
  auto bytes = read_file(fs, path, limit);
  if (bytes || bytes.error().code() != Code::exhausted) return bytes;
  return Error(Code::corrupt, "{}", bytes.error().message());
}

Error no_partition(PartitionId id) {
  return Error(Code::not_found, "topic {} has no partition {}", id.topic, id.partition);
}

}  // namespace

FileLog::FileLog(FileSystem& fs, std::string path, const Clock& clock, Metrics& metrics,
                 Options options)
    : path_(std::move(path)),
      shared_{.fs = fs,
              .clock = clock,
              .options = options,
              .cache = TailCache(options.cache_bytes),
              .files = FileCache(fs, options.open_files_max),
              .appended_bytes = metrics.counter(metric::log_appended_bytes_total),
              .appended_batches = metrics.counter(metric::log_appended_batches_total),
              .fetched_bytes = metrics.counter(metric::log_fetched_bytes_total),
              .cache_hits = metrics.counter(metric::log_cache_hits_total),
              .cache_misses = metrics.counter(metric::log_cache_misses_total)},
      list_(fs, join_path(path_, "topics")) {}

FileLog::~FileLog() {
  listening_.reset();
  for (auto& [id, partition] : all())
    partition->stop(Error(Code::unavailable, "the log is closed"));
}

Status FileLog::check_format() {
  std::string path = join_path(path_, "format");
  auto bytes = read_small(shared_.fs, path, 1024);
  if (!bytes && bytes.error().code() == Code::not_found) {
    auto text = fmt::format("{}{}\n", kFormat, kFormatVersion);
    return write_file_atomically(shared_.fs, path, as_bytes(text));
  }
  if (!bytes) return std::move(bytes).error();
  std::string_view text = as_text(*bytes);
  std::optional<int> version;
  if (text.starts_with(kFormat) && text.ends_with('\n')) {
    version = parse_number<int>(text.substr(kFormat.size(), text.size() - kFormat.size() - 1));
  }
  if (!version || *version < 1)
    return Error(Code::corrupt, "{} does not name the format of the log", path);
  if (*version > kFormatVersion) {
    return Error(Code::unsupported,
                 "{} has log format {}, written by a newer Ziwa; this one reads up to {}", path_,
                 *version, kFormatVersion)
        .with_hint(kNewerOrDamaged);
  }
  return {};
}

Status FileLog::recover() {
  TRY(make_dirs_durably(shared_.fs, path_));
  TRY(check_format());
  TRY(list_.load());
  auto ids = read_small(shared_.fs, join_path(path_, "producer_ids"), 1024);
  if (ids) {
    if (ids->size() != 12 ||
        crc32c(ByteView(*ids).subspan(0, 8)) != load_le<uint32_t>(ids->data() + 8)) {
      return Error(Code::corrupt, "{}/producer_ids is damaged", path_);
    }
    next_producer_id_ = producer_id_limit_ = load_le<int64_t>(ids->data());
  } else if (ids.error().code() != Code::not_found) {
    return std::move(ids).error();
  }
  for (const auto& info : TRY(shared_.fs.list(path_))) {
    auto id = parse_number<uint64_t>(info.name);
    if (info.is_directory && id) TRY(recover_topic(ObjectId(*id)));
  }
  return {};
}

Status FileLog::recover_topic(ObjectId id) {
  auto bytes = read_small(shared_.fs, join_path(topic_path(id), "topic"), 1u << 20);
  if (!bytes && bytes.error().code() == Code::not_found) {
    if (list_.topics().contains(id))
      return {};  // The catalog tells: create_topic() or drop_unknown().
    // Its creation or its removal was interrupted: without a configuration it never was, or is no
    // more, a topic.
    return shared_.fs.remove_all(topic_path(id));
  }
  if (!bytes) return std::move(bytes).error();
  auto config = decode_topic_config(*bytes);
  if (!config) return std::move(config).error().context(topic_path(id));
  Topic topic{*config, {}};
  for (int32_t p = 0; p < topic.config.partitions; ++p) {
    auto directory = join_path(topic_path(id), std::to_string(p));
    auto partition =
        std::make_shared<Partition>(shared_, PartitionId{id, p}, directory, topic.config);
    auto recovered = partition->recover();
    if (!recovered && recovered.error().code() == Code::not_found) {
      return Error(Code::corrupt, "{} is missing, though topic {} has {} partitions", directory, id,
                   topic.config.partitions)
          .with_hint(kRestoreBackup);
    }
    if (!recovered) return std::move(recovered).error().context(directory);
    topic.partitions.push_back(std::move(partition));
  }
  topics_[id] = std::move(topic);
  return {};
}

bool FileLog::has_data(const journal::PartitionEnd& end) const {
  auto partition = find(end.id);
  // A topic that is not there was dropped: creating one is durable before anything is appended.
  return !partition || partition->recovered_end() >= end.end.value;
}

EntryNumber FileLog::must_reach() const {
  EntryNumber newest;
  for (const auto& [id, partition] : all()) newest = std::max(newest, partition->vouches_for());
  return newest;
}

Status FileLog::start(journal::Journal& journal) {
  shared_.journal = &journal;
  auto partitions = all();
  EntryNumber after = journal.durable();
  for (const auto& [id, partition] : partitions) after = std::min(after, partition->replay_after());
  // The entry that a checkpoint ends with may go on behind it, in the next segment: once more.
  if (after >= journal.first()) after = EntryNumber(after.value - 1);
  auto replays = TRY(read_journal(after));
  const auto ends = journal.take_recovered_ends();
  for (const auto& [id, partition] : partitions) {
    auto& replay = replays[id];
    replay.newest = journal.durable();
    if (auto end = ends.find(id); end != ends.end()) replay.end_min = end->second.value;
    TRY(partition->start(replay));
    replays.erase(id);
  }
  for (const auto& [id, replay] : replays) {
    if (!replay.ends.empty()) missing_[id.topic] = replay.ends.back().end;
  }
  shared_.applied = journal.durable().value;
  listening_ = journal.listen([this](const auto& entries) { on_entries(entries); },
                              journal::Journal::When::before_visible);
  started_ = true;
  for (const auto& [id, partition] : partitions) TRY(partition->delete_below_start());
  hold_journal();
  return {};
}

Result<std::map<PartitionId, Partition::Replay>> FileLog::read_journal(EntryNumber after) {
  std::map<PartitionId, Partition::Replay> replays;
  std::map<PartitionId, EntryNumber> from;
  for (const auto& [id, partition] : all()) from[id] = partition->replay_after();
  while (true) {
    auto entries = shared_.journal->read(after, kReplayEntries);
    if (!entries) {
      Error error = std::move(entries).error();
      if (error.code() == Code::not_found)
        error = Error(Code::corrupt, "{}", error.message()).with_hint(kRestoreBackup);
      return std::move(error).context("the log needs older journal entries");
    }
    if (entries->empty()) return replays;
    for (const auto& entry : *entries) {
      if (const auto* ends = ends_of(entry.body)) {
        for (const auto& end : *ends) {
          auto known = from.find(end.id);
          if (known != from.end() && entry.number < known->second) continue;
          replays[end.id].ends.push_back({end.end, entry.number});
        }
      } else if (const auto* start = std::get_if<journal::LogStart>(&entry.body)) {
        auto& replay = replays[start->start.id];
        replay.log_start = std::max(replay.log_start, start->start.end.value);
      }
    }
    after = entries->back().number;
  }
}

void FileLog::on_entries(const std::vector<journal::Entry>& entries) {
  Wakes wakes;
  for (const auto& entry : entries) {
    if (const auto* ends = ends_of(entry.body)) {
      for (const auto& end : *ends) {
        if (auto partition = find(end.id)) partition->commit(end.end.value, entry.number, wakes);
      }
    } else if (const auto* start = std::get_if<journal::LogStart>(&entry.body)) {
      if (auto partition = find(start->start.id))
        partition->raise_log_start(start->start.end.value, entry.number);
    }
  }
  shared_.applied = entries.back().number.value;
  for (auto& wake : wakes) wake->call_once();
}

FileLog::PartitionPtr FileLog::find(PartitionId id) const {
  std::shared_lock lock(topics_mutex_);
  auto topic = topics_.find(id.topic);
  if (topic == topics_.end() || id.partition < 0) return nullptr;
  const auto& partitions = topic->second.partitions;
  auto index = static_cast<size_t>(id.partition);
  return index < partitions.size() ? partitions[index] : nullptr;
}

Result<FileLog::PartitionPtr> FileLog::get(PartitionId id) const {
  auto partition = find(id);
  if (!partition) return no_partition(id);
  return partition;
}

std::vector<std::pair<PartitionId, FileLog::PartitionPtr>> FileLog::all() const {
  std::shared_lock lock(topics_mutex_);
  std::vector<std::pair<PartitionId, PartitionPtr>> out;
  for (const auto& [id, topic] : topics_) {
    for (size_t p = 0; p < topic.partitions.size(); ++p) {
      out.emplace_back(PartitionId{id, static_cast<int32_t>(p)}, topic.partitions[p]);
    }
  }
  return out;
}

void FileLog::append(PartitionId id, ByteView batch, AppendDone done) {
  auto partition = find(id);
  if (!partition) return done(no_partition(id), AppendRefusal::none);
  partition->append(batch, std::move(done));
}

void FileLog::append_together(std::vector<PartitionBatches> parts, journal::Journal::Done done) {
  std::map<PartitionId, std::vector<Bytes>> batches;
  std::vector<PartitionId> ids;
  for (PartitionBatches& part : parts) {
    ids.push_back(part.id);
    std::ranges::move(part.batches, std::back_inserter(batches[part.id]));
  }
  auto writes = write_all(std::move(ids), [&](Partition& partition, PartitionId id) {
    return partition.write_batches(batches[id]);
  });
  if (!writes) return done(std::move(writes).error());
  journal::Dirty dirty;
  journal::LogCommit commit{writes->adopt(dirty)};
  submit(std::move(*writes), std::move(commit), std::move(dirty),
         [done = std::move(done)](Result<EntryNumber> result) mutable {
           if (result) return done(*result);
           done(Error(Code::maybe_applied, "the batches may be in the log: {}",
                      result.error().message()));
         });
}

void FileLog::end_transaction(const std::string& transactional_id, int64_t producer_id,
                              int16_t producer_epoch, bool commit, std::vector<PartitionId> ids,
                              journal::Journal::Done done) {
  auto writes = write_all(std::move(ids), [&](Partition& partition, PartitionId) {
    return partition.write_marker(producer_id, producer_epoch, commit);
  });
  if (!writes) return done(std::move(writes).error());
  journal::Dirty dirty;
  journal::TransactionDecision decision{transactional_id, producer_id, producer_epoch, commit,
                                        writes->adopt(dirty)};
  submit(std::move(*writes), std::move(decision), std::move(dirty), std::move(done));
}

/// Writes to all of these partitions, or to none, and holds their append locks.
Result<FileLog::Writes> FileLog::write_all(
    std::vector<PartitionId> ids,
    const std::function<Result<std::vector<Partition::Written>>(Partition&, PartitionId)>& write) {
  TRY(check_started());
  // In one order everywhere, so that two of these cannot wait for each other.
  std::ranges::sort(ids);
  auto rest = std::ranges::unique(ids);
  ids.erase(rest.begin(), rest.end());
  Writes writes;
  for (PartitionId id : ids) writes.partitions.push_back(TRY(get(id)));
  for (auto& partition : writes.partitions) writes.locks.push_back(partition->lock_appends());
  for (size_t i = 0; i < ids.size(); ++i) {
    auto written = write(*writes.partitions[i], ids[i]);
    if (written) {
      writes.written.push_back(std::move(*written));
      continue;
    }
    for (size_t done = 0; done < i; ++done) writes.partitions[done]->take_back_write();
    return std::move(written).error();
  }
  return writes;
}

std::vector<journal::PartitionEnd> FileLog::Writes::adopt(journal::Dirty& dirty) {
  std::vector<journal::PartitionEnd> ends;
  for (size_t i = 0; i < partitions.size(); ++i)
    ends.push_back(partitions[i]->adopt_written(std::move(written[i]), dirty));
  return ends;
}

/// Hands the adopted ends to the order as one entry, still under the append locks.
void FileLog::submit(Writes writes, journal::Body body, journal::Dirty dirty,
                     journal::Journal::Done done) {
  auto finish = [partitions = writes.partitions,
                 done = std::move(done)](Result<EntryNumber> result) mutable {
    for (auto& partition : partitions) partition->submitted(result);
    if (done) done(std::move(result));
  };
  shared_.journal->submit(std::move(body), std::move(dirty), std::move(finish));
}

Result<FetchedData> FileLog::fetch(PartitionId id, Offset from, size_t max_bytes,
                                   Isolation isolation) const {
  return TRY(get(id))->fetch(from.value, max_bytes, isolation);
}

Result<PartitionInfo> FileLog::info(PartitionId id) const { return TRY(get(id))->info(); }

Result<std::optional<OffsetAndTime>> FileLog::offset_for_time(PartitionId id,
                                                              TimestampMs time) const {
  return TRY(get(id))->offset_for_time(time);
}

Result<EntryNumber> FileLog::entry_of(PartitionId id, Offset offset) const {
  return TRY(get(id))->entry_of(offset.value);
}

Result<Offset> FileLog::end_at(PartitionId id, EntryNumber entry) const {
  return Offset(TRY(TRY(get(id))->point_at(entry)).end);
}

Result<Offset> FileLog::stable_end_at(PartitionId id, EntryNumber entry) const {
  return Offset(TRY(TRY(get(id))->point_at(entry)).stable);
}

Result<std::vector<Log::EntryEnd>> FileLog::entries_between(PartitionId id, Offset from,
                                                            Offset to) const {
  return TRY(get(id))->entries_between(from.value, to.value);
}

Status FileLog::move_start(PartitionId id, Partition& partition, int64_t start) {
  TRY(partition.roll_if_below(start));
  TRY(shared_.journal->submit_and_wait(journal::LogStart{{id, Offset(start)}}, {}));
  return {};
}

Result<Offset> FileLog::delete_records(PartitionId id, Offset before) {
  TRY(check_started());
  auto partition = TRY(get(id));
  if (auto move = TRY(partition->start_after_delete(before.value)))
    TRY(move_start(id, *partition, move->to()));
  TRY(partition->delete_below_start());
  return partition->info().log_start;
}

Offset FileLog::hold(PartitionId id, const std::string& holder, std::optional<Offset> from) {
  if (auto partition = find(id)) return partition->hold(holder, from);
  return from.value_or(Offset());
}

uint64_t FileLog::overdue_bytes(PartitionId id, Offset from) const {
  auto partition = find(id);
  return partition ? partition->overdue_bytes(from.value) : 0;
}

Result<uint64_t> FileLog::enforce_retention() {
  TRY(check_started());
  uint64_t bytes = 0;
  std::optional<Error> first;
  // A partition in trouble must not keep the others from being cared for.
  for (auto& [id, partition] : all()) {
    auto deleted = care_for(id, *partition);
    if (deleted) bytes += *deleted;
    if (!deleted && !first) first = std::move(deleted).error();
  }
  hold_journal();
  if (first) return std::move(*first);
  return bytes;
}

Result<uint64_t> FileLog::care_for(PartitionId id, Partition& partition) {
  auto deleted = retain(id, partition);
  // Also when nothing could be deleted: the journal keeps what the oldest checkpoint would replay.
  TRY(partition.checkpoint(false));
  return deleted;
}

Result<uint64_t> FileLog::retain(PartitionId id, Partition& partition) {
  {
    auto move = TRY(partition.start_by_retention());
    if (!move) return uint64_t{0};
    TRY(move_start(id, partition, move->to()));
  }
  return partition.delete_below_start();
}

/// The journal keeps what the least advanced checkpoint would replay: see start().
void FileLog::hold_journal() {
  EntryNumber oldest(shared_.applied.load());
  for (auto& [id, partition] : all()) oldest = std::min(oldest, partition->replay_after());
  shared_.journal->hold("log", oldest);
}

std::shared_ptr<void> FileLog::when_past(std::vector<std::pair<PartitionId, Offset>> ids,
                                         std::function<void()> wake) {
  auto waiter = std::make_shared<Wake>(std::move(wake));
  bool now = false;
  for (auto& [id, offset] : ids) {
    auto partition = find(id);
    // A partition that is gone wakes too: the caller finds out by looking.
    now = !partition || partition->wake_when_past(offset.value, waiter) || now;
  }
  if (now) waiter->call_once();
  return {waiter.get(), [waiter](void*) { waiter->cancel(); }};
}

std::vector<Log::OpenTransactionInfo> FileLog::open_transactions() const {
  std::vector<OpenTransactionInfo> out;
  for (auto& [id, partition] : all()) {
    auto some = partition->open_transactions();
    out.insert(out.end(), some.begin(), some.end());
  }
  return out;
}

Result<int64_t> FileLog::new_producer_id() {
  std::lock_guard lock(producer_mutex_);
  if (next_producer_id_ == producer_id_limit_) {
    ByteWriter writer;
    writer.le<int64_t>(producer_id_limit_ + kProducerIdBlock);
    writer.le<uint32_t>(crc32c(writer.view()));
    TRY(write_file_atomically(shared_.fs, join_path(path_, "producer_ids"), writer.view()));
    producer_id_limit_ += kProducerIdBlock;
  }
  return next_producer_id_++;
}

Status FileLog::close() {
  if (!started_ || closed_.exchange(true)) return {};
  auto partitions = all();
  for (auto& [id, partition] : partitions)
    partition->stop(Error(Code::unavailable, "the log is closed"));
  for (auto& [id, partition] : partitions) TRY(partition->checkpoint(true));
  hold_journal();
  listening_.reset();
  return {};
}

Result<std::unique_ptr<Log>> Log::open(FileSystem& fs, const std::string& path, const Clock& clock,
                                       Metrics& metrics, Options options) {
  auto log = std::make_unique<FileLog>(fs, path, clock, metrics, options);
  TRY(log->recover());
  return std::unique_ptr<Log>(std::move(log));
}

}  // namespace ziwa::log
