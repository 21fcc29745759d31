#include "base/log.h"
#include "stream/core.h"

// Sinks of the main pipeline: when their files end, and what an error makes of them.
namespace ziwa::stream {

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
    if (sink->stalled) continue;
    if (!all && !sink->due(now)) continue;
    Status done = sink->finish_files(epoch_, sink->of_view ? "{}" : offsets_json(sink->from()));
    if (!done) {
      TRY(main_.guard(*sink, std::move(done).error()));
      continue;
    }
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

/// A sink of a topic reads its records again from the end of its last finished files, in a pipeline
/// of its own: nobody else waits for it.
void Core::restart_stalled_sinks() {
  std::vector<std::shared_ptr<Sink>> stalled;
  for (const auto& sink : main_.sinks) {
    if (sink->stalled) stalled.push_back(sink);
  }
  for (const auto& sink : stalled) {
    Error error = *sink->stalled;
    main_.remove(sink->id());
    sink->restart();
    start_backfill({}, {sink});
    if (sink->state == Sink::State::backfilling) postpone(*backfills_.back(), error);
  }
  if (!stalled.empty()) drop_unused_feeds();
}

std::optional<int64_t> Core::next_sink_due_ns() const {
  std::optional<int64_t> next;
  for (const auto& sink : main_.sinks) {
    if (sink->state == Sink::State::failed || sink->pending() || !sink->has_rows()) continue;
    next = next ? std::min(*next, sink->due_at_ns()) : sink->due_at_ns();
  }
  return next;
}

bool Core::has_pending_files() const {
  for (const auto& [id, sink] : sinks_) {
    if (sink->pending() && sink->state != Sink::State::failed) return true;
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
    if (!sink->has_rows() && !sink->pending() && epoch_ >= wanted) continue;
    if (sink->committed < wanted) return false;
  }
  return true;
}

}  // namespace ziwa::stream
