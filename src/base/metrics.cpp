#include "base/metrics.h"

#include "base/result.h"

#include <prometheus/counter.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <mutex>

namespace ziwa {
namespace {

class PrometheusCounter final : public Counter {
 public:
  explicit PrometheusCounter(prometheus::Counter& inner) : inner_(inner) {}
  void add(double by) override { inner_.Increment(by); }
  double value() const override { return inner_.Value(); }

 private:
  prometheus::Counter& inner_;
};

class PrometheusHistogram final : public Histogram {
 public:
  explicit PrometheusHistogram(prometheus::Histogram& inner) : inner_(inner) {}
  void observe(double value) override { inner_.Observe(value); }

 private:
  prometheus::Histogram& inner_;
};

std::map<std::string, std::string> to_map(const std::vector<MetricLabel>& labels) {
  std::map<std::string, std::string> map;
  for (const auto& label : labels) map[label.name] = label.value;
  return map;
}

/// The library throws for names that are not valid or have two types: both are bugs of ours.
template <typename Body>
auto checked(const std::string& name, Body&& body) -> decltype(body()) {
  try {
    return body();
  } catch (const std::exception& problem) {
    CHECK(false, "metric {}: {}", name, problem.what());
  }
  std::abort();
}

}  // namespace

struct Metrics::State {
  /// One value per set of labels, asked for when somebody looks.
  struct GaugeFamily {
    std::string help;
    std::map<std::map<std::string, std::string>, std::function<double()>> reads;
  };

  mutable std::mutex mutex;
  prometheus::Registry registry;
  std::map<prometheus::Counter*, std::unique_ptr<PrometheusCounter>> counters;
  std::map<prometheus::Histogram*, std::unique_ptr<PrometheusHistogram>> histograms;
  std::map<std::string, GaugeFamily> gauges;

  std::vector<prometheus::MetricFamily> collect_gauges() const {
    std::vector<prometheus::MetricFamily> families;
    for (const auto& [name, gauge] : gauges) {
      prometheus::MetricFamily family{name, gauge.help, prometheus::MetricType::Gauge, {}};
      for (const auto& [labels, read] : gauge.reads) {
        prometheus::ClientMetric metric;
        for (const auto& [label, value] : labels) metric.label.push_back({label, value});
        metric.gauge.value = read();
        family.metric.push_back(std::move(metric));
      }
      families.push_back(std::move(family));
    }
    return families;
  }
};

Metrics::Metrics() : state_(std::make_unique<State>()) {}
Metrics::~Metrics() = default;

Counter& Metrics::counter(const CounterSpec& spec, const std::vector<MetricLabel>& labels) {
  std::lock_guard lock(state_->mutex);
  auto& inner = checked(spec.name, [&]() -> prometheus::Counter& {
    auto& family =
        prometheus::BuildCounter().Name(spec.name).Help(spec.help).Register(state_->registry);
    return family.Add(to_map(labels));
  });
  auto& ours = state_->counters[&inner];
  if (ours == nullptr) ours = std::make_unique<PrometheusCounter>(inner);
  return *ours;
}

Histogram& Metrics::histogram(const HistogramSpec& spec, const std::vector<MetricLabel>& labels) {
  std::lock_guard lock(state_->mutex);
  auto& inner = checked(spec.name, [&]() -> prometheus::Histogram& {
    auto& family =
        prometheus::BuildHistogram().Name(spec.name).Help(spec.help).Register(state_->registry);
    return family.Add(to_map(labels), std::vector<double>(spec.bounds.begin(), spec.bounds.end()));
  });
  auto& ours = state_->histograms[&inner];
  if (ours == nullptr) ours = std::make_unique<PrometheusHistogram>(inner);
  return *ours;
}

void Metrics::gauge(const GaugeSpec& spec, const std::vector<MetricLabel>& labels,
                    std::function<double()> read) {
  std::lock_guard lock(state_->mutex);
  auto& family = state_->gauges[spec.name];
  family.help = spec.help;
  family.reads[to_map(labels)] = std::move(read);
}

std::string Metrics::render() const {
  std::lock_guard lock(state_->mutex);
  auto families = state_->registry.Collect();
  auto gauges = state_->collect_gauges();
  families.insert(families.end(), std::make_move_iterator(gauges.begin()),
                  std::make_move_iterator(gauges.end()));
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace ziwa
