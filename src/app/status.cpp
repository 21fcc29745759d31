#include "app/status.h"

#include <nlohmann/json.hpp>

namespace ziwa::app {
namespace {

using nlohmann::json;
constexpr size_t kSamplesMax = 10;

std::string full_name(const catalog::Object& object) {
  return object.schema == "public" ? object.name : object.schema + "." + object.name;
}

json door_json(const DoorStatus& door) {
  json out = {{"name", door.name}, {"address", door.address}};
  if (door.blocked.empty()) {
    out["port"] = door.port;
  } else {
    out["blocked"] = door.blocked;
  }
  return out;
}

json topic_json(const catalog::Object& object, const log::Log& log) {
  json out = {{"name", full_name(object)}, {"partitions", object.topic().partitions}};
  uint64_t records = 0;
  uint64_t bytes = 0;
  for (int32_t i = 0; i < object.topic().partitions; ++i) {
    auto info = log.info({object.id, i});
    if (!info) continue;
    records += static_cast<uint64_t>(info->high_watermark.value - info->log_start.value);
    bytes += info->bytes;
  }
  out["records"] = records;
  out["bytes"] = bytes;
  return out;
}

/// Journal entries that readers of the log see and the view or sink does not yet.
uint64_t lag(Epoch epoch, EntryNumber last) { return last > epoch ? last.value - epoch.value : 0; }

}  // namespace

StatusReport::StatusReport(Engines& engines, const Clock& clock)
    : engines_(engines), clock_(clock), started_(clock.now()) {}

uint64_t StatusReport::records_appended() const {
  uint64_t records = 0;
  for (const auto& object : engines_.catalog().snapshot()->all()) {
    if (object->kind() != catalog::Kind::topic) continue;
    for (int32_t i = 0; i < object->topic().partitions; ++i) {
      auto info = engines_.log().info({object->id, i});
      if (info) records += static_cast<uint64_t>(info->high_watermark.value);
    }
  }
  return records;
}

void StatusReport::sample() {
  Sample sample{.at_ns = clock_.monotonic_ns(), .records = records_appended()};
  std::lock_guard lock(mutex_);
  samples_.push_back(sample);
  if (samples_.size() > kSamplesMax) samples_.pop_front();
}

double StatusReport::records_per_second() const {
  std::lock_guard lock(mutex_);
  if (samples_.size() < 2) return 0;
  const Sample& first = samples_.front();
  const Sample& last = samples_.back();
  double seconds = static_cast<double>(last.at_ns - first.at_ns) * 1e-9;
  // A dropped topic takes its records out of the sum.
  if (seconds <= 0 || last.records < first.records) return 0;
  return static_cast<double>(last.records - first.records) / seconds;
}

std::string StatusReport::json(const std::vector<DoorStatus>& doors) const {
  auto published = engines_.stream().published();
  auto snapshot = engines_.catalog().snapshot();
  EntryNumber last = engines_.journal().durable();
  nlohmann::json out = {{"version", program_version()},
                        {"data", engines_.data_directory()},
                        {"uptime_s", (clock_.now().value - started_.value) / 1000},
                        {"journal", last.value},
                        {"epoch", published->epoch.value},
                        {"lag", lag(published->epoch, last)},
                        {"records_per_s", records_per_second()}};
  for (const char* list : {"doors", "topics", "views", "sinks"})
    out[list] = nlohmann::json::array();
  for (const auto& door : doors) out["doors"].push_back(door_json(door));
  for (const auto& object : snapshot->all()) {
    if (object->kind() == catalog::Kind::topic)
      out["topics"].push_back(topic_json(*object, engines_.log()));
  }
  auto name_of = [&](ObjectId id) {
    auto object = snapshot->find(id);
    return object ? full_name(*object) : fmt::format("{}", id);
  };
  for (const auto& view : engines_.stream().view_status()) {
    nlohmann::json one = {{"name", name_of(view.id)},
                          {"state", view.state},
                          {"rows", view.rows},
                          {"state_bytes", view.state_bytes},
                          {"epoch", view.epoch.value},
                          {"lag", lag(view.epoch, last)},
                          {"checkpoint", view.checkpoint.value},
                          {"late_rows", view.late_rows},
                          {"row_errors", view.row_errors}};
    one["watermark_us"] = view.watermark_us ? nlohmann::json(*view.watermark_us) : nlohmann::json();
    if (!view.error.empty()) one["error"] = view.error;
    out["views"].push_back(std::move(one));
  }
  for (const auto& sink : engines_.stream().sink_status()) {
    nlohmann::json one = {{"name", name_of(sink.id)},  {"state", sink.state},
                          {"rows", sink.rows},         {"version", sink.version},
                          {"epoch", sink.epoch.value}, {"lag", lag(sink.epoch, last)}};
    if (!sink.error.empty()) one["error"] = sink.error;
    out["sinks"].push_back(std::move(one));
  }
  return out.dump(2) + "\n";
}

}  // namespace ziwa::app
