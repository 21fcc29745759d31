#include "stream/pipeline.h"

#include "base/log.h"

namespace ziwa::stream {

TopicFeed* Pipeline::feed(ObjectId topic) {
  auto at = feeds.find(topic);
  return at == feeds.end() ? nullptr : at->second.get();
}

View* Pipeline::view(ObjectId id) const {
  for (const auto& view : views) {
    if (view->id() == id) return view.get();
  }
  return nullptr;
}

bool Pipeline::reads(ObjectId topic) const {
  for (const auto& view : views) {
    if (view->reads(topic)) return true;
  }
  for (const auto& sink : sinks) {
    if (sink->from() == topic) return true;
  }
  return false;
}

void Pipeline::add(std::shared_ptr<View> added) {
  added->set_watermark([this](ObjectId topic) {
    const auto* from = feed(topic);
    return from == nullptr ? kNoWatermark : from->watermark();
  });
  for (auto* source : added->sources()) {
    if (auto* read = view(source->object())) {
      // Also when a private pipeline joins: what it reads may be there already.
      read->contents().remove_target(source);
      read->contents().add_target(source, 0);
    }
  }
  views.push_back(std::move(added));
}

void Pipeline::add(std::shared_ptr<Sink> added) {
  if (auto* read = view(added->from())) {
    read->contents().remove_target(added.get());
    read->contents().add_target(added.get(), 0);
  }
  sinks.push_back(std::move(added));
}

void Pipeline::remove(ObjectId id) {
  for (const auto& view : views) {
    for (const auto& other : views) {
      if (other->id() != id) continue;
      for (auto* source : other->sources()) view->contents().remove_target(source);
    }
    for (const auto& sink : sinks) {
      if (sink->id() == id) view->contents().remove_target(sink.get());
    }
  }
  std::erase_if(views, [&](const auto& view) { return view->id() == id; });
  std::erase_if(sinks, [&](const auto& sink) { return sink->id() == id; });
}

std::vector<std::unique_ptr<TopicFeed>> Pipeline::drop_unused_feeds() {
  std::vector<std::unique_ptr<TopicFeed>> dropped;
  for (auto at = feeds.begin(); at != feeds.end();) {
    if (reads(at->first)) {
      ++at;
      continue;
    }
    dropped.push_back(std::move(at->second));
    at = feeds.erase(at);
  }
  return dropped;
}

void Pipeline::set_wants_blobs() {
  for (auto& [topic, feed] : feeds) {
    bool wants = false;
    for (const auto& view : views) {
      for (const auto* source : view->sources()) {
        wants = wants || (source->object() == topic && source->wants_blobs());
      }
    }
    feed->set_wants_blobs(wants);
  }
}

Result<uint64_t> Pipeline::read(TopicFeed& feed, std::span<const TopicCut> cuts,
                                std::span<const IdleEvent> idles,
                                const TopicFeed::OnDead& on_dead) {
  std::vector<std::pair<View*, Source*>> sources;
  for (const auto& view : views) {
    for (auto* source : view->sources()) {
      if (source->object() == feed.topic()) sources.emplace_back(view.get(), source);
    }
  }
  auto on_chunk = [&](const TopicChunk& chunk) -> Status {
    for (auto [view, source] : sources) {
      if (view->state != View::State::failed) TRY(guard(*view, source->push(chunk)));
    }
    for (const auto& sink : sinks) {
      if (sink->from() != feed.topic() || sink->state == Sink::State::failed) continue;
      if (!sink->stalled) TRY(guard(*sink, sink->write(chunk)));
    }
    return {};
  };
  return feed.read(cuts, idles, on_chunk, on_dead);
}

Status push_scan(data::Scan& scan, Source& source, Weight weight) {
  data::ScanRequest request{.columns = source.schema_columns(), .bounds = {}};
  duckdb::DataChunk rows;
  rows.Initialize(duckdb::Allocator::DefaultAllocator(), source.types());
  std::vector<Weight> weights(STANDARD_VECTOR_SIZE, weight);
  for (auto& stream : TRY(scan.open(request, 1))) {
    while (true) {
      rows.Reset();
      if (Status read = stream->next(rows); !read) {
        // What the source held is not to be had any more, or not now.
        return lost(std::move(read).error());
      }
      if (rows.size() == 0) break;
      Delta delta{.rows = rows, .weights = weights.data()};
      TRY(source.push_own(delta));
    }
  }
  return {};
}

Status Pipeline::push(ObjectId object, data::Scan& rows, Weight weight, const View* only) {
  for (const auto& view : views) {
    if (only != nullptr && view.get() != only) continue;
    for (auto* source : view->sources()) {
      if (source->object() != object || view->state == View::State::failed) continue;
      TRY(guard(*view, push_scan(rows, *source, weight)));
    }
  }
  return {};
}

void Pipeline::fail_readers(ObjectId object, const Error& error) {
  for (const auto& view : views) {
    if (view->reads(object)) fail(*view, error);
  }
  for (const auto& sink : sinks) {
    if (sink->from() == object) fail(*sink, error);
  }
}

Result<bool> Pipeline::finish(Epoch epoch, std::map<ObjectId, Epoch> spoken) {
  for (const auto& view : views) TRY(finish_view(*view, epoch, spoken));
  for (const auto& sink : sinks) TRY(finish_sink(*sink));
  return drop_failed();
}

Status Pipeline::finish_view(View& view, Epoch epoch, std::map<ObjectId, Epoch>& spoken) {
  Epoch changed;
  for (auto* source : view.sources()) {
    const auto* read = this->view(source->object());
    if (read != nullptr && read->state == View::State::failed) {
      fail(view, Error(Code::unavailable, "view \"{}\", which it reads, has failed",
                       read->object().name));
    }
    TRY(guard(view, source->take_failure()));
    if (auto at = spoken.find(source->object()); at != spoken.end()) {
      changed = std::max(changed, at->second);
    }
  }
  if (view.state == View::State::failed) return {};
  if (changed == Epoch()) changed = epoch;
  auto done = view.finish(epoch, changed);
  if (!done) TRY(guard(view, std::move(done).error()));
  spoken[view.id()] = changed;
  return {};
}

Status Pipeline::finish_sink(Sink& sink) {
  const auto* read = view(sink.from());
  if (read != nullptr && read->state == View::State::failed) {
    fail(sink,
         Error(Code::unavailable, "view \"{}\", which it reads, has failed", read->object().name));
  }
  return guard(sink, sink.take_failure());
}

/// Their state on disk stays until they are dropped, what is in memory goes now.
bool Pipeline::drop_failed() {
  std::vector<std::shared_ptr<View>> failed;
  for (const auto& view : views) {
    if (view->state == View::State::failed) failed.push_back(view);
  }
  std::vector<ObjectId> sinks_failed;
  for (const auto& sink : sinks) {
    if (sink->state == Sink::State::failed) sinks_failed.push_back(sink->id());
  }
  for (const auto& view : failed) remove(view->id());
  for (ObjectId id : sinks_failed) remove(id);
  for (const auto& view : failed) view->release();
  return !failed.empty() || !sinks_failed.empty();
}

bool may_pass(const Error& error) {
  return error.code() == Code::exhausted || error.code() == Code::unavailable ||
         error.code() == Code::io;
}

Error lost(Error error) {
  if (may_pass(error) || error.code() == Code::unsupported) return error;
  return std::move(error).context("data_lost");
}

Status Pipeline::guard(View& view, Status status) {
  if (status) return {};
  if (patient && may_pass(status.error())) return status;
  fail(view, status.error());
  return {};
}

Status Pipeline::guard(Sink& sink, Status status) {
  if (status) return {};
  const Error& error = status.error();
  if (may_pass(error)) {
    if (stalls_sinks) {
      sink.stalled = error;
      return {};
    }
    // A full disk is nobody's fault.
    if (patient || error.code() == Code::exhausted) return status;
  }
  fail(sink, error);
  return {};
}

void Pipeline::fail(View& view, const Error& error) {
  if (view.state == View::State::failed) return;
  view.state = View::State::failed;
  view.error = error.to_string();
  for (auto* source : view.sources()) source->close();
  log_error("stream", "a view has failed and is not served any more", "view={} error={}",
            view.object().name, view.error);
}

void Pipeline::fail(Sink& sink, const Error& error) {
  if (sink.state == Sink::State::failed) return;
  sink.state = Sink::State::failed;
  sink.error = error.to_string();
  sink.restart();
  log_error("stream", "a sink has failed", "sink={} error={}", sink.object().name, sink.error);
}

}  // namespace ziwa::stream
