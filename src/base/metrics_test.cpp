#include "base/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ziwa {
namespace {

using ::testing::HasSubstr;

constexpr double kBounds[] = {0.1, 1};
constexpr CounterSpec kSpec = {"ziwa_x_total", "X"};

TEST(Metrics, RendersWhatPrometheusReads) {
  Metrics metrics;
  metrics.counter(CounterSpec{"ziwa_log_records_total", "Records"}, {{"topic", "a\"b"}}).add(3);
  metrics.gauge({"ziwa_log_lag_rows", "Lag"}, {}, [] { return 1.5; });
  auto& seconds = metrics.histogram({"ziwa_sql_seconds", "Time", kBounds});
  seconds.observe(0.05);
  seconds.observe(7);
  std::string text = metrics.render();
  EXPECT_THAT(text, HasSubstr("# TYPE ziwa_log_records_total counter\n"));
  EXPECT_THAT(text, HasSubstr("ziwa_log_records_total{topic=\"a\\\"b\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("ziwa_log_lag_rows 1.5\n"));
  EXPECT_THAT(text, HasSubstr("ziwa_sql_seconds_bucket{le=\"0.1\"} 1\n"));
  EXPECT_THAT(text, HasSubstr("ziwa_sql_seconds_bucket{le=\"+Inf\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("ziwa_sql_seconds_count 2\n"));
}

TEST(Metrics, TheSameNameAndLabelsAreTheSameCounter) {
  Metrics metrics;
  auto& one = metrics.counter(kSpec, {{"door", "kafka"}});
  auto& same = metrics.counter(kSpec, {{"door", "kafka"}});
  auto& other = metrics.counter(kSpec, {{"door", "http"}});
  EXPECT_EQ(&one, &same);
  EXPECT_NE(&one, &other);
  one.add();
  EXPECT_EQ(same.value(), 1);
  EXPECT_EQ(other.value(), 0);
}

}  // namespace
}  // namespace ziwa
