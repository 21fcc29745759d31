package ziwa.nexmark;

import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.flink.metrics.Counter;
import org.apache.flink.metrics.Metric;
import org.apache.flink.metrics.MetricConfig;
import org.apache.flink.metrics.MetricGroup;
import org.apache.flink.metrics.reporter.MetricReporter;
import org.apache.flink.metrics.reporter.MetricReporterFactory;

/** Says how many records the sources of the job that runs in this process have read. */
public final class Progress implements MetricReporterFactory {
  private static final Map<String, Map<String, Counter>> SOURCES = new ConcurrentHashMap<>();

  /** Of the source that has read the least; 0 before there is one. */
  static long records() {
    return SOURCES.values().stream()
        .mapToLong(tasks -> tasks.values().stream().mapToLong(Counter::getCount).sum())
        .min()
        .orElse(0);
  }

  static int sources() {
    return SOURCES.size();
  }

  @Override
  public MetricReporter createMetricReporter(Properties properties) {
    return new Reporter();
  }

  /** Keeps the counters of sources when Flink shows them. */
  private static final class Reporter implements MetricReporter {
    @Override
    public void open(MetricConfig config) {}

    @Override
    public void close() {}

    @Override
    public void notifyOfAddedMetric(Metric metric, String name, MetricGroup group) {
      var variables = group.getAllVariables();
      String operator = variables.getOrDefault("<operator_name>", "");
      if (name.equals("numRecordsIn")
          && operator.startsWith("Source")
          && metric instanceof Counter counter) {
        SOURCES
            .computeIfAbsent(operator, any -> new ConcurrentHashMap<>())
            .put(variables.get("<subtask_index>"), counter);
      }
    }

    // The counters of a task that has ended still count.
    @Override
    public void notifyOfRemovedMetric(Metric metric, String name, MetricGroup group) {}
  }
}
