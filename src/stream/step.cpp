#include "base/log.h"
#include "base/overloaded.h"
#include "stream/core.h"

// One step of the main pipeline, and what follows from its entries.
namespace ziwa::stream {
namespace {

constexpr size_t kStepEntriesMax = 10'000;

}  // namespace

/// What the entries of one step say to the main pipeline.
struct Core::StepInput {
  Epoch epoch;
  size_t rows = 0;
  size_t bytes = 0;  ///< Estimated.
  std::map<ObjectId, std::vector<TopicCut>> cuts;
  std::map<ObjectId, std::vector<IdleEvent>> idles;
  struct Start {
    Offset offset;  ///< Records before were deleted.
    EntryNumber entry;
  };
  std::set<PartitionId> decisions;  ///< Partitions in which a transaction ended.
  std::map<PartitionId, Offset> ends;
  std::map<ObjectId, int64_t> tables;
  std::map<ObjectId, Epoch> spoken;  ///< Last entry about a topic or table.
  std::map<PartitionId, Start> starts;
};

void Core::collect_ends(const journal::Entry& entry, const std::vector<journal::PartitionEnd>& ends,
                        bool decision, StepInput& input) {
  for (const auto& end : ends) {
    auto* feed = main_.feed(end.id.topic);
    if (feed == nullptr || end.id.partition >= feed->partitions()) continue;
    auto& before = input.ends.try_emplace(end.id, feed->position(end.id.partition)).first->second;
    if (end.end <= before) continue;
    auto rows = static_cast<size_t>(end.end.value - before.value);
    input.rows += rows;
    input.bytes += rows * feed->record_bytes();
    before = end.end;
    input.cuts[end.id.topic].push_back(
        {.entry = entry.number, .time = entry.time, .partition = end.id.partition, .end = end.end});
    input.spoken[end.id.topic] = entry.number;
    if (decision) input.decisions.insert(end.id);
    last_active_ns_[end.id] = deps_.clock.monotonic_ns();
    idle_submitted_.erase(end.id);
  }
}

Status Core::collect(const std::vector<journal::Entry>& entries, size_t rows_max,
                     StepInput& input) {
  std::vector<std::pair<EntryNumber, journal::IdleMark>> marks;
  for (const auto& entry : entries) {
    if (input.rows >= rows_max || input.bytes >= options_.step_bytes) break;
    std::visit(Overloaded{
                   [&](const journal::LogCommit& commit) {
                     collect_ends(entry, commit.ends, false, input);
                   },
                   [&](const journal::TransactionDecision& decision) {
                     collect_ends(entry, decision.ends, true, input);
                   },
                   [&](const journal::IdleMark& mark) { marks.emplace_back(entry.number, mark); },
                   [&](const journal::LogStart& moved) {
                     input.starts[moved.start.id] = {moved.start.end, entry.number};
                   },
                   [&](const journal::DeltaVersion& delta) {
                     auto& version =
                         input.tables.try_emplace(delta.table, delta.version).first->second;
                     version = std::max(version, delta.version);
                     input.spoken[delta.table] = entry.number;
                   },
                   [](const auto&) {},
               },
               entry.body);
    input.epoch = entry.number;
  }
  for (const auto& [entry, mark] : marks) take_idle_mark(entry, mark, input);
  return settle_transactions(input);
}

/// A mark that comes after records that it did not see says nothing.
void Core::take_idle_mark(EntryNumber entry, const journal::IdleMark& mark, StepInput& input) {
  auto end = deps_.log.stable_end_at(mark.id, entry);
  if (mark.seen && end && *end > *mark.seen) {
    idle_submitted_.erase(mark.id);
    return;
  }
  IdleEvent event{.entry = entry, .partition = mark.id.partition};
  idle_history_[mark.id.topic].push_back(event);
  unsaved_idle_.emplace_back(mark.id.topic, event);
  auto* feed = main_.feed(mark.id.topic);
  if (feed != nullptr && mark.id.partition < feed->partitions()) {
    input.idles[mark.id.topic].push_back(event);
  }
}

/// Whether a topic was dropped after the step began. The change that takes its readers away has yet
/// to come here; nobody asks for them any more.
bool Core::is_gone(ObjectId topic, const Error& error) const {
  return error.code() == Code::not_found && deps_.catalog.snapshot()->find(topic) == nullptr;
}

/// Records of an open transaction lie above the last stable offset: they belong to the entry that
/// ends it.
Status Core::settle_transactions(StepInput& input) {
  for (const auto& [id, end] : input.ends) {
    auto settled = deps_.log.stable_end_at(id, input.epoch);
    if (!settled && is_gone(id.topic, settled.error())) continue;
    const Offset stable = TRY(std::move(settled));
    bool touched = stable < end || input.decisions.contains(id) || unstable_.contains(id);
    if (!touched) continue;
    if (stable < end) {
      unstable_.insert(id);
    } else {
      unstable_.erase(id);
    }
    for (auto& cut : input.cuts[id.topic]) {
      if (cut.partition == id.partition) {
        auto at_cut = deps_.log.stable_end_at(id, cut.entry);
        if (!at_cut && is_gone(id.topic, at_cut.error())) break;
        cut.end = std::min(cut.end, TRY(std::move(at_cut)));
      }
    }
  }
  return {};
}

Status Core::read_topics(StepInput& input) {
  std::set<ObjectId> topics;
  for (const auto& [topic, cuts] : input.cuts) topics.insert(topic);
  for (const auto& [topic, idles] : input.idles) topics.insert(topic);
  for (ObjectId topic : topics) {
    auto records = main_.read(*main_.feed(topic), input.cuts[topic], input.idles[topic],
                              [this](DeadLetter letter) { add_dead_letter(std::move(letter)); });
    if (records) {
      rows_counter_.add(static_cast<double>(*records));
      continue;
    }
    if (is_gone(topic, records.error())) continue;
    // Those who saw a part of them are not served any more.
    if (main_.patient && may_pass(records.error())) return std::move(records).error();
    main_.fail_readers(topic, lost(std::move(records).error()));
  }
  return {};
}

Status Core::read_tables(const StepInput& input) {
  for (auto [id, version] : input.tables) {
    auto at = lake_tables_.find(id);
    if (at == lake_tables_.end() || version <= at->second.snapshot->version()) continue;
    LakeTable& table = at->second;
    if (main_.reads(id)) {
      auto changes = table.table->changes(table.snapshot->version(), version);
      if (!changes && main_.patient && may_pass(changes.error())) return std::move(changes).error();
      if (!changes) {
        main_.fail_readers(id, lost(std::move(changes).error()));
      } else {
        for (auto& change : *changes) TRY(main_.push(id, *change.rows, change.weight));
      }
    }
    auto newest = table.table->snapshot();
    if (newest->version() != version) {
      auto seen = table.table->at_version(version);
      if (!seen && main_.patient && may_pass(seen.error())) return std::move(seen).error();
      // It was cleaned up meanwhile: readers get the newest, and what came between is lost to
      // views.
      if (seen) {
        newest = std::move(*seen);
      } else {
        main_.fail_readers(id, lost(std::move(seen).error()));
      }
    }
    table.snapshot = std::move(newest);
  }
  return {};
}

Result<bool> Core::step(size_t rows_max) {
  auto entries = TRY(deps_.journal.read(epoch_, kStepEntriesMax));
  if (entries.empty()) return false;
  int64_t begun = deps_.clock.monotonic_ns();
  StepInput input;
  TRY(collect(entries, rows_max, input));
  last_step_full_ = input.rows >= rows_max || input.bytes >= options_.step_bytes;
  TRY(read_topics(input));
  TRY(read_tables(input));
  TRY(flush_dead_letters());
  // Letters of this step may lie below a start that moved in it.
  if (!input.starts.empty()) TRY(dead_letters_->apply(input.epoch));
  for (const auto& [id, start] : input.starts) TRY(forget_before(id, start.offset, start.entry));
  bool failed = TRY(main_.finish(input.epoch, input.spoken));
  TRY(dead_letters_->apply(input.epoch));
  epoch_ = input.epoch;
  for (const auto& [topic, feed] : main_.feeds) feed->set_last_entry(epoch_);
  restart_stalled_sinks();
  if (failed) drop_unused_feeds();
  dirty_ = dirty_ || failed;
  publish();
  steps_counter_.add();
  step_seconds_.observe(static_cast<double>(deps_.clock.monotonic_ns() - begun) / 1e9);
  return true;
}

void Core::mark_idle() {
  int64_t now = deps_.clock.monotonic_ns();
  auto catalog = deps_.catalog.snapshot();
  for (const auto& [topic, feed] : main_.feeds) {
    auto object = catalog->find(topic);
    if (object == nullptr || !object->topic().watermark) continue;
    int64_t timeout_ns = object->topic().watermark->idle_timeout_ms * 1'000'000;
    if (timeout_ns <= 0) continue;
    for (int32_t p = 0; p < feed->partitions(); ++p) {
      PartitionId id{topic, p};
      auto active = last_active_ns_.try_emplace(id, now).first->second;
      if (feed->tracker().is_idle(static_cast<size_t>(p)) || now - active < timeout_ns) continue;
      if (!idle_submitted_.insert(id).second) continue;
      deps_.journal.submit(
          journal::IdleMark{id, feed->position(p)}, {}, [](Result<EntryNumber> entered) {
            entered.ignore(
                "a partition that is not marked holds the watermark; it is marked again");
          });
    }
  }
}

bool Core::watches_idleness() const {
  for (const auto& [topic, feed] : main_.feeds) {
    if (!feed->has_watermark()) continue;
    for (int32_t p = 0; p < feed->partitions(); ++p) {
      if (!feed->tracker().is_idle(static_cast<size_t>(p)) &&
          !idle_submitted_.contains({topic, p})) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace ziwa::stream
