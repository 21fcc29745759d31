#include "log/testing/crash_scenario.h"

#include <algorithm>
#include <condition_variable>
#include <utility>

namespace ziwa::log::testing {

namespace {

constexpr int kTopics = 2;
constexpr int kPartitions = 2;

std::string text_of(const std::vector<journal::PartitionEnd>& ends) {
  std::string text;
  for (const auto& end : ends)
    text += fmt::format(" {}/{}<{}", end.id.topic, end.id.partition, end.end);
  return text;
}

/// All that an entry of the kinds that occur here says.
std::string text_of(const journal::Entry& entry) {
  std::string text = fmt::format("{} at {}:", entry.body.index(), entry.time);
  if (const auto* it = std::get_if<journal::LogCommit>(&entry.body)) text += text_of(it->ends);
  if (const auto* it = std::get_if<journal::LogStart>(&entry.body)) text += text_of({it->start});
  if (const auto* it = std::get_if<journal::Opened>(&entry.body))
    text += it->clean ? "clean" : "unclean";
  if (const auto* it = std::get_if<journal::TransactionDecision>(&entry.body)) {
    text += fmt::format("{} {} {}{}", it->transactional_id, it->producer_id, it->commit,
                        text_of(it->ends));
  }
  return text;
}

std::string name(PartitionId id) { return fmt::format("{}/{}", id.topic, id.partition); }

}  // namespace

CrashScenario::CrashScenario(Options options)
    : options_(std::move(options)), random_(options_.seed), rig_(options_.seed) {
  rig_.journal_options.sync_all_above = options_.sync_all_above;
  rig_.journal_options.segment_bytes = 3'000;
  rig_.log_options.index_interval_bytes = 300;
  rig_.log_options.checkpoint_bytes = 2'000;
  rig_.log_options.cache_bytes = options_.seed % 2 == 0 ? 1'500 : 1u << 20;
  rig_.log_options.open_files_max = 4;
  for (uint64_t t = 1; t <= kTopics; ++t) {
    for (int32_t p = 0; p < kPartitions; ++p) ids_.push_back({ObjectId(t), p});
  }
  for (size_t i = 0; i < ids_.size(); ++i) {
    producers_.push_back({.id = static_cast<int64_t>(100 + i), .partition = ids_[i]});
    producers_.push_back(
        {.id = static_cast<int64_t>(200 + i), .partition = ids_[i], .transactional = true});
  }
}

void CrashScenario::broken(std::string what) {
  if (!violation_) violation_ = fmt::format("seed {}: {}", options_.seed, what);
}

std::optional<std::string> CrashScenario::run() {
  if (options_.skip_syncs) {
    rig_.fs->skip_syncs(
        [skip = options_.skip_syncs](const SyncCall& sync) { return skip(sync.path); });
  }
  for (int life = 0; life < options_.lives && !violation_; ++life) {
    bool last = life + 1 == options_.lives;
    if (!last) rig_.fs->die_after(1 + random(400));
    live();
    if (violation_) break;
    bool died = rig_.fs->dead();
    bool clean = !died && random(3) == 0;
    if (clean) {
      settle();
      if (!rig_.log().close() || !rig_.journal().close()) clean = rig_.fs->dead();
    }
    if (died || options_.power_cuts || last) {
      rig_.crash();
      ++cuts_;
    } else {
      rig_.kill();
      rig_.fs->die_after(0);
    }
  }
  if (!violation_) {
    rig_.fs->die_after(0);
    live();
    settle();
    check_once();
  }
  rig_.kill();
  return violation_;
}

void CrashScenario::live() {
  auto opened = rig_.try_open();
  if (!opened) {
    if (!rig_.fs->dead()) broken("does not open: " + opened.error().to_string());
    return;
  }
  for (int t = 1; t <= kTopics && !dead(); ++t) {
    TopicConfig config{
        .partitions = kPartitions, .retention_bytes = t == 1 ? -1 : 6'000, .segment_bytes = 2'048};
    auto created = rig_.log().create_topic(ObjectId(static_cast<uint64_t>(t)), config);
    if (!created && !rig_.fs->dead()) broken("create: " + created.error().to_string());
  }
  if (dead()) return;
  check_after_start();
  if (!dead()) resend();
  for (int i = 0; i < options_.steps && !dead(); ++i) step();
  if (!dead()) settle();
  if (!dead()) read_all();
}

void CrashScenario::step() {
  rig_.clock.advance(std::chrono::milliseconds(random(50)));
  switch (random(12)) {
    case 0:
      return read_partition(ids_[random(ids_.size())]);
    case 1:
      return read_journal();
    case 2:
      return end_transaction();
    case 3:
      return random(4) == 0 ? delete_records() : maintain();
    default:
      return send(random(2) == 0);
  }
}

void CrashScenario::send(bool wait) {
  Batch batch;
  std::vector<std::string> values;
  for (uint64_t i = 0; i <= random(4); ++i)
    values.push_back(std::string(random(200), static_cast<char>('a' + random(26))));
  if (random(3) == 0) {
    batch.id = ids_[random(ids_.size())];
    batch.bytes = rig_.batch(values);
  } else {
    Producer& producer = producers_[random(producers_.size())];
    batch.id = producer.partition;
    batch.producer = producer.id;
    batch.sequence = producer.next_sequence;
    batch.transactional = producer.transactional;
    batch.bytes = rig_.batch(values, producer.id, 0, producer.next_sequence,
                             producer.transactional ? kTransactional : 0);
    producer.next_sequence += static_cast<int32_t>(values.size());
    producer.in_transaction = producer.transactional;
    producer.may_be_decided = false;
    producer.unanswered.push_back(batches_.size());
    // A retry is recognised among the last five.
    if (producer.unanswered.size() >= 4) wait = true;
  }
  {
    std::lock_guard lock(mutex_);
    batches_.push_back(std::move(batch));
  }
  send_batch(batches_.size() - 1);
  if (wait) settle();
}

void CrashScenario::send_batch(size_t index) {
  Bytes bytes = batches_[index].bytes;
  rig_.log().append(batches_[index].id, bytes,
                    [this, index](Result<Appended> appended, AppendRefusal refusal) {
                      std::lock_guard lock(mutex_);
                      Batch& batch = batches_[index];
                      batch.answered = true;
                      if (appended) batch.outcome = *appended;
                      bool allowed = rig_.fs->dead() && refusal == AppendRefusal::none;
                      if (!appended && !allowed)
                        broken("append refused: " + appended.error().to_string());
                      answered_.notify_all();
                    });
}

/// Waits for all answers and notes what was acknowledged.
void CrashScenario::settle() {
  std::unique_lock lock(mutex_);
  answered_.wait(lock, [&] { return std::ranges::all_of(batches_, &Batch::answered); });
  for (size_t i = 0; i < batches_.size(); ++i) {
    const Batch& batch = batches_[i];
    if (!batch.outcome) continue;
    auto [at, fresh] =
        models_[batch.id].acknowledged.try_emplace(batch.outcome->base_offset.value, i);
    if (!fresh && at->second != i)
      broken(fmt::format("offset {} was given twice", batch.outcome->base_offset));
  }
  for (Producer& producer : producers_) {
    std::erase_if(producer.unanswered, [&](size_t i) { return batches_[i].outcome.has_value(); });
  }
}

void CrashScenario::check_batch(PartitionId id, const BatchHeader& header, ByteView bytes) {
  Model& model = models_[id];
  int64_t base = header.base_offset;
  auto [at, fresh] = model.served.try_emplace(
      base, Seen{Bytes(bytes.begin(), bytes.end()), header.last_offset() + 1});
  if (!fresh && !std::ranges::equal(at->second.bytes, bytes)) {
    broken(fmt::format("{}: offset {} was served with other bytes before", name(id), base));
  }
  if (auto known = model.acknowledged.find(base); known != model.acknowledged.end()) {
    Bytes sent = batches_[known->second].bytes;
    place_batch(sent, Offset(base));
    if (!std::ranges::equal(sent, bytes))
      broken(fmt::format("{}: offset {} is not what was sent", name(id), base));
  }
}

void CrashScenario::read_partition(PartitionId id) {
  auto info = rig_.log().info(id);
  if (!info) return broken("info: " + info.error().to_string());
  Model& model = models_[id];
  if (info->log_start.value < model.log_start) broken(name(id) + ": the log start went back");
  model.log_start = info->log_start.value;
  auto bytes = rig_.fetch_all(id, info->log_start, 1 + random(3'000));
  if (!bytes) {
    if (!rig_.fs->dead()) broken(fmt::format("fetch {}: {}", name(id), bytes.error().to_string()));
    return;
  }
  ByteView view(*bytes);
  int64_t next = -1;
  for (size_t at = 0; at < view.size();) {
    auto header = parse_batch_header(view.subspan(at));
    ByteView batch = view.subspan(at, header->total_bytes());
    if (!verify_batch(batch)) broken(name(id) + ": a bad batch was served");
    if (next >= 0 && header->base_offset != next) broken(name(id) + ": a gap was served");
    check_batch(id, *header, batch);
    next = header->last_offset() + 1;
    at += batch.size();
  }
  if (next >= 0) check_time(id, view);
  // Everything that was ever served or acknowledged is still there.
  int64_t end = std::max(next, info->log_start.value);
  for (const auto& [base, seen] : model.served) {
    if (seen.end > end)
      broken(
          fmt::format("{}: offset {} was served and is gone, the end is {}", name(id), base, end));
  }
  for (const auto& [base, index] : model.acknowledged) {
    if (base < model.log_start) continue;
    if (!model.served.contains(base))
      broken(fmt::format("{}: offset {} was acknowledged and is gone", name(id), base));
    auto entry = rig_.log().entry_of(id, Offset(base));
    if (!entry && rig_.fs->dead()) return;
    if (!entry) return broken("entry_of: " + entry.error().to_string());
    EntryNumber given = batches_[index].outcome->entry;
    if (*entry != given && given.value != 0) {
      broken(fmt::format("{}: offset {} has entry {}, it was acknowledged with {}", name(id), base,
                         *entry, given));
    }
    auto end_then = rig_.log().end_at(id, *entry);
    auto end_before = rig_.log().end_at(id, EntryNumber(entry->value - 1));
    if (rig_.fs->dead()) return;
    if (!end_then || !end_before || end_then->value <= base || end_before->value > base) {
      broken(fmt::format("{}: the ends at entry {} do not agree with offset {}", name(id), *entry,
                         base));
    }
  }
}

void CrashScenario::read_all() {
  for (PartitionId id : ids_) {
    if (!dead()) read_partition(id);
  }
  if (!dead()) read_journal();
}

/// Looking for a time finds the first record that has it or a later one.
void CrashScenario::check_time(PartitionId id, ByteView batches) {
  TimestampMs time(rig_.clock.now().value - static_cast<int64_t>(random(3'000)));
  std::optional<OffsetAndTime> expected;
  for (size_t at = 0; at < batches.size() && !expected;) {
    auto header = parse_batch_header(batches.subspan(at));
    std::vector<RecordView> records;
    Bytes buffer;
    read_records(batches.subspan(at), records, buffer).ignore("verified before");
    for (const auto& record : records) {
      bool counts = !header->control() && record.offset.value >= models_[id].log_start &&
                    record.timestamp >= time;
      if (counts && !expected) expected = {record.offset, record.timestamp};
    }
    at += header->total_bytes();
  }
  // Batches that came since are not in `batches`: only what is there is judged.
  auto found = rig_.log().offset_for_time(id, time);
  if (!found && rig_.fs->dead()) return;
  if (!found) return broken("offset_for_time: " + found.error().to_string());
  if (expected && (!*found || (*found)->offset != expected->offset)) {
    broken(fmt::format("{}: time {} finds {}, not {}", name(id), time,
                       *found ? (*found)->offset.value : -1, expected->offset));
  }
}

/// Every number means what it was first seen to mean.
void CrashScenario::read_journal() {
  EntryNumber after(rig_.journal().first().value - 1);
  uint64_t last = 0;
  while (true) {
    auto entries = rig_.journal().read(after, 1 + random(100));
    if (!entries && rig_.fs->dead()) return;
    if (!entries) return broken("journal: " + entries.error().to_string());
    if (entries->empty()) break;
    for (const auto& entry : *entries) {
      std::string meaning = text_of(entry);
      auto [at, fresh] = entries_.try_emplace(entry.number.value, meaning);
      if (!fresh && at->second != meaning)
        broken(fmt::format("entry {} changed its meaning", entry.number));
      if (entry.number.value <= last) broken("entries are out of order");
      last = entry.number.value;
    }
    after = entries->back().number;
  }
  if (last < last_entry_) broken(fmt::format("entry {} was visible and is gone", last_entry_));
  last_entry_ = std::max(last, last_entry_);
}

void CrashScenario::end_transaction() {
  settle();
  if (dead()) return;
  bool commit = random(2) == 0;
  Producer& producer = producers_[random(producers_.size())];
  if (!producer.in_transaction || !producer.unanswered.empty()) return;
  auto ended = rig_.end_transaction(producer.id, 0, commit, {producer.partition});
  bool decided = std::exchange(producer.may_be_decided, !ended);
  if (ended) producer.in_transaction = false;
  if (!ended && !rig_.fs->dead()) broken("end of transaction: " + ended.error().to_string());
  if (!ended) return;
  auto info = rig_.log().info(producer.partition);
  auto data =
      rig_.log().fetch(producer.partition, info->log_start, 1u << 20, Isolation::read_committed);
  if (!data && !rig_.fs->dead()) return broken("fetch: " + data.error().to_string());
  if (!data) return;
  if (!std::ranges::is_sorted(data->aborted, {}, &AbortedTransaction::first_offset))
    broken("aborted out of order");
  bool named = std::ranges::any_of(data->aborted,
                                   [&](const auto& it) { return it.producer_id == producer.id; });
  bool stable = data->last_stable_offset == data->high_watermark;
  if (!commit && !decided && stable && !named) broken("an aborted transaction is not named");
}

void CrashScenario::delete_records() {
  settle();
  if (dead()) return;
  PartitionId id = ids_[random(ids_.size())];
  auto info = rig_.log().info(id);
  int64_t span = info->high_watermark.value - info->log_start.value;
  Offset before(info->log_start.value +
                static_cast<int64_t>(random(static_cast<uint64_t>(span + 1))));
  auto start = rig_.log().delete_records(id, before);
  if (start && *start < before) broken("the log start did not move");
  if (start) models_[id].log_start = start->value;
  if (!start && !rig_.fs->dead()) broken("delete: " + start.error().to_string());
}

void CrashScenario::maintain() {
  if (random(2) == 0) settle();
  if (dead()) return;
  auto done = rig_.log().enforce_retention();
  if (!done && !rig_.fs->dead()) broken("retention: " + done.error().to_string());
  if (rig_.fs->dead()) return;
  auto trimmed = rig_.journal().trim(EntryNumber(rig_.journal().durable().value));
  if (!trimmed && !rig_.fs->dead()) broken("trim: " + trimmed.error().to_string());
}

void CrashScenario::check_after_start() { read_all(); }

/// What a producer library does after a restart: it sends again what was not answered, in order.
void CrashScenario::resend() {
  for (Producer& producer : producers_) {
    for (size_t index : producer.unanswered) {
      {
        std::lock_guard lock(mutex_);
        batches_[index].answered = false;
      }
      send_batch(index);
    }
  }
  settle();
  // And one that was answered: the same offset again.
  for (const Producer& producer : producers_) {
    if (dead()) return;
    auto last = std::find_if(batches_.rbegin(), batches_.rend(),
                             [&](const Batch& batch) { return batch.producer == producer.id; });
    if (last == batches_.rend() || !last->outcome) continue;
    auto again = rig_.try_append(last->id, last->bytes);
    if (!again.appended && rig_.fs->dead()) return;
    if (!again.appended) return broken("retry refused: " + again.appended.error().to_string());
    if (again.appended->base_offset != last->outcome->base_offset) {
      broken(fmt::format("producer {}: a retry was appended at {} again, first at {}", producer.id,
                         again.appended->base_offset, last->outcome->base_offset));
    }
  }
}

/// No idempotent batch stands in the log twice.
void CrashScenario::check_once() {
  for (const auto& [id, model] : models_) {
    std::set<std::pair<int64_t, int32_t>> sequences;
    for (const auto& [base, seen] : model.served) {
      auto header = parse_batch_header(seen.bytes);
      if (header->producer_id < 0 || header->control()) continue;
      if (!sequences.insert({header->producer_id, header->base_sequence}).second) {
        broken(fmt::format("{}: producer {} sequence {} is there twice", name(id),
                           header->producer_id, header->base_sequence));
      }
    }
  }
}

}  // namespace ziwa::log::testing
