#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ziwa {

/// A number that only grows. Any thread; adding costs one relaxed atomic.
class Counter {
 public:
  virtual ~Counter() = default;
  virtual void add(double by = 1) = 0;
  virtual double value() const = 0;
};

/// Observations in buckets (seconds, bytes, rows).
class Histogram {
 public:
  virtual ~Histogram() = default;
  virtual void observe(double value) = 0;
};

/// One dimension of a figure: {"topic", "flights"}.
struct MetricLabel {
  std::string name;
  std::string value;
};

// Figures by name and what they say; all there are stand in schemas/metrics.yaml, from which
// base/metric_table.h is generated.
/// A figure that only grows.
struct CounterSpec {
  const char* name;
  const char* help;
};
/// A figure that goes up and down.
struct GaugeSpec {
  const char* name;
  const char* help;
};
/// How often a value lay below each bound.
struct HistogramSpec {
  const char* name;
  const char* help;
  std::span<const double> bounds;
};

/// All figures of one server; handed to each component, never global. References stay valid for the
/// life of the registry; the same figure and labels give the same object.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Counter& counter(const CounterSpec& spec, const std::vector<MetricLabel>& labels = {});
  Histogram& histogram(const HistogramSpec& spec, const std::vector<MetricLabel>& labels = {});
  /// A value read when somebody looks. `read` is called from the thread that renders.
  void gauge(const GaugeSpec& spec, const std::vector<MetricLabel>& labels,
             std::function<double()> read);
  /// The Prometheus text exposition format 0.0.4.
  std::string render() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace ziwa
