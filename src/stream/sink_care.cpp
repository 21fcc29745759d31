#include "base/log.h"
#include "stream/core.h"

// Sinks of the main pipeline: when their files end, and what an error makes of them.
namespace ziwa::stream {
namespace {

constexpr int64_t kRetryFirstNs = 1'000'000'000;
constexpr int kRetryDoublings = 6;  ///< Of the time between tries: at most about a minute.
constexpr int64_t kMeasureSinksNs = 1'000'000'000;

}  // namespace

std::string Core::offsets_json(ObjectId topic) const {
  auto at = main_.feeds.find(topic);
  if (at == main_.feeds.end()) return "{}";
  std::string partitions;
  for (int32_t p = 0; p < at->second->partitions(); ++p) {
    partitions += fmt::format("{}\"{}\":{}", p == 0 ? "" : ",", p, at->second->position(p));
  }
  return fmt::format("{{\"{}\":{{{}}}}}", topic, partitions);
}

Result<bool> Core::finish_sinks(bool all) {
  bool any = false;
  int64_t now = deps_.clock.monotonic_ns();
  for (const auto& sink : main_.sinks) {
    if (sink->state == Sink::State::failed || sink->pending() || !sink->has_rows()) continue;
    if (sink->stalled || sink->behind()) continue;
    if (!all && !sink->due(now)) continue;
    Status done = sink->finish_files(epoch_, sink->of_view ? "{}" : offsets_json(sink->from()));
    if (!done) {
      TRY(main_.guard(*sink, std::move(done).error()));
      continue;
    }
    settle(*sink);
    if (auto* feed = main_.feed(sink->from())) {
      ByteWriter out;
      feed->save(out);
      sink->feed_position = as_text(out.view());
    }
    any = true;
  }
  restart_stalled_sinks();
  return any;
}

int64_t Core::retry_wait_ns(int tries) { return kRetryFirstNs << std::min(tries, kRetryDoublings); }

/// A sink of a topic reads its records again from the end of its last finished files, in a pipeline
/// of its own: nobody else waits for it. One of a view stays, and its rows are kept.
void Core::restart_stalled_sinks() {
  std::vector<std::shared_ptr<Sink>> stalled;
  for (const auto& sink : main_.sinks) {
    if (sink->stalled) stalled.push_back(sink);
  }
  bool left = false;
  for (const auto& sink : stalled) {
    Error error = *std::exchange(sink->stalled, std::nullopt);
    if (sink->of_view) {
      postpone(*sink, error);
      continue;
    }
    main_.remove(sink->id());
    sink->restart();
    start_backfill({}, {sink});
    const bool waits = sink->state == Sink::State::backfilling && !backfills_.back()->retry_at_ns;
    if (waits) postpone(*backfills_.back(), error);
    left = true;
  }
  if (left) drop_unused_feeds();
}

/// A view's sink writes again in a while. Its view goes on, and its rows are kept.
void Core::postpone(Sink& sink, const Error& error) {
  int64_t wait_ns = retry_wait_ns(sink.tries++);
  sink.fall_behind();
  sink.retry_at_ns = deps_.clock.monotonic_ns() + wait_ns;
  sink.state = Sink::State::retrying;
  sink.error = fmt::format("{}; it tries again every {} s, and its rows are kept",
                           error.to_string(), wait_ns / 1'000'000'000);
  log_warn("stream", "a sink cannot write and will try again", "sink={} error={}",
           sink.object().name, sink.error);
}

/// What it had trouble with is done, unless it is behind, or reads again.
void Core::settle(Sink& sink) {
  const bool writes = sink.state == Sink::State::running || sink.state == Sink::State::retrying;
  if (sink.behind() || !writes) return;
  sink.state = Sink::State::running;
  sink.error.clear();
}

/// Sinks of views that are behind write the rows that are kept, some at a time.
bool Core::advance_sinks() {
  limit_sinks();
  // Rows that a checkpoint is about to store are neither here nor there.
  if (checkpoint_running_) return false;
  bool progress = false;
  for (const auto& sink : main_.sinks) {
    if (!sink->behind() || sink->state == Sink::State::failed) continue;
    if (sink->retry_at_ns && deps_.clock.monotonic_ns() < *sink->retry_at_ns) continue;
    progress = catch_up(*sink) || progress;
  }
  restart_stalled_sinks();
  return progress;
}

bool Core::catch_up(Sink& sink) {
  auto done = sink.catch_up(options_.backfill_rows);
  if (!done) {
    main_.guard(sink, std::move(done).error()).ignore("it has stalled, or failed");
    dirty_ = true;
    return false;
  }
  sink.retry_at_ns.reset();
  // With rows it has got over its trouble when their files are finished.
  if (*done && !sink.has_rows() && !sink.pending()) {
    sink.tries = 0;
    settle(sink);
  }
  return true;
}

/// One that does not get on must not fill the disk with what it waits for.
void Core::limit_sinks() {
  int64_t now = deps_.clock.monotonic_ns();
  if (options_.sink_hold_bytes_max == 0 || now - sinks_measured_ns_ < kMeasureSinksNs) return;
  sinks_measured_ns_ = now;
  for (const auto& sink : main_.sinks) {
    if (sink->state != Sink::State::retrying || (!sink->retry_at_ns && !sink->pending())) continue;
    if (Status within = check_limit(*sink); !within) {
      main_.fail(*sink, within.error());
      dirty_ = true;
    }
  }
  std::erase_if(backfills_, [&](const auto& backfill) {
    if (!backfill->retry_at_ns || !backfill->pipeline.views.empty()) return false;
    for (const auto& sink : backfill->pipeline.sinks) {
      if (Status within = check_limit(*sink); !within) {
        give_up(*backfill, within.error());
        return true;
      }
    }
    return false;
  });
}

Status Core::check_limit(const Sink& sink) const {
  uint64_t held = sink.kept_bytes();
  if (!sink.feed_position.empty()) {
    auto positions = TRY(TopicFeed::saved_positions(sink.feed_position));
    for (size_t p = 0; p < positions.size(); ++p) {
      held += deps_.log.overdue_bytes({sink.from(), static_cast<int32_t>(p)}, positions[p]);
    }
  }
  if (held <= options_.sink_hold_bytes_max) return {};
  return Error(Code::exhausted,
               "data_lost: {} bytes were kept for it, and stream.sink.hold.max is {}: {}", held,
               options_.sink_hold_bytes_max, sink.error)
      .with_hint(sink.of_view ? "DROP the sink; CREATE one into a new table"
                              : "DROP it; a new one begins with the records that are left");
}

std::optional<int64_t> Core::next_sink_due_ns() const {
  std::optional<int64_t> next;
  for (const auto& sink : main_.sinks) {
    if (sink->state == Sink::State::failed || sink->pending() || !sink->has_rows()) continue;
    if (sink->behind()) continue;
    next = next ? std::min(*next, sink->due_at_ns()) : sink->due_at_ns();
  }
  return next;
}

bool Core::has_pending_files() const {
  for (const auto& [id, sink] : sinks_) {
    if (sink->pending() && sink->has_table() && sink->state != Sink::State::failed) return true;
  }
  return false;
}

bool Core::sinks_hold(Epoch wanted) const {
  for (const auto& [id, sink] : sinks_) {
    if (sink->state == Sink::State::failed) continue;
    if (sink->state == Sink::State::backfilling) return false;
    // Whoever waits wants to read the rows: the version must be the one that readers get.
    auto table = lake_tables_.find(sink->into());
    if (table != lake_tables_.end() && table->second.snapshot->version() < sink->version) {
      return false;
    }
    bool empty = !sink->has_rows() && !sink->behind() && !sink->pending();
    if (empty && epoch_ >= wanted) continue;
    if (sink->committed < wanted) return false;
  }
  return true;
}

}  // namespace ziwa::stream
