#include "protocol/kafka/broker.h"

#include "base/metric_table.h"
#include "protocol/kafka/api_table.h"

namespace ziwa::kafka {
namespace {

constexpr int64_t kIdleTickMs = 60'000;

}  // namespace

Broker::Broker(Parts parts, BrokerOptions options, groups::Coordinator::Options group_options)
    : parts_(std::move(parts)),
      options_(std::move(options)),
      memory_(options_.memory_bytes_max),
      topic_ids_(options_.cluster_id),
      groups_(parts_.clock, *parts_.group_storage, std::move(group_options)) {
  for (const Api& api : api_table()) {
    request_counters_.push_back(&parts_.metrics.counter(metric::kafka_requests_total,
                                                        {{.name = "api", .value = api.name}}));
  }
}

void Broker::handle(Request request, const std::string& client_host, Respond respond) {
  const RequestHeader& header = request.header;
  const Api* api = find_api(header.api_key);
  if (api == nullptr) {
    return respond(
        {.response = {}, .close_reason = fmt::format("API {} is not spoken here", header.api_key)});
  }
  const bool served =
      header.api_version >= api->version_min && header.api_version <= api->version_max;
  if (!served && header.api_key != kApiVersionsKey) {
    return respond(
        {.response = {},
         .close_reason = fmt::format("{} version {} is not served, only {} to {}", api->name,
                                     header.api_version, api->version_min, api->version_max)});
  }
  request_counters_[static_cast<size_t>(api - api_table().data())]->add();
  api->handle(*this, std::move(request), client_host, std::move(respond));
}

void Broker::keep_ticking() {
  const bool busy = groups_.busy();
  if (ticker_ && (ticking_fast_ || !busy)) return;
  ticking_fast_ = busy;
  ticker_ = parts_.loop->after(busy ? groups::Coordinator::kTickMs : kIdleTickMs,
                               [weak = weak_from_this()] {
                                 if (auto self = weak.lock()) self->tick();
                               });
}

void Broker::tick() {
  ticker_.reset();
  groups_.tick();
  forget_dropped_topics();
  keep_ticking();
}

void Broker::forget_dropped_topics() {
  auto snapshot = parts_.catalog.snapshot();
  if (snapshot->version() == seen_catalog_version_) return;
  seen_catalog_version_ = snapshot->version();
  groups_.forget_topics([&](ObjectId topic) { return snapshot->find(topic) != nullptr; });
}

}  // namespace ziwa::kafka
