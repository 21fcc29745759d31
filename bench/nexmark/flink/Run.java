package ziwa.nexmark;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.CompletableFuture;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.core.execution.JobClient;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.table.api.TableDescriptor;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;

/**
 * Runs the statements of a file, separated by lines of `;`, on a cluster inside this process. The
 * last is a query: its rows go to net-hash. Prints one line of JSON: what the last quarter of the
 * events cost, and what the result is. Arguments: the file, the number of events, then name=value:
 * settings of Flink, and after `sink.` options of net-hash.
 */
public final class Run {
  private static final long POLL_MS = 5;

  /** The state of this process. */
  private record Instant(long ns, long cpuNs, long records) {
    static Instant now(long records) {
      var system =
          (com.sun.management.OperatingSystemMXBean)
              java.lang.management.ManagementFactory.getOperatingSystemMXBean();
      return new Instant(System.nanoTime(), system.getProcessCpuTime(), records);
    }
  }

  private static Instant reached(CompletableFuture<?> end, long records) throws Exception {
    while (Progress.records() < records && !end.isDone()) {
      Thread.sleep(POLL_MS);
    }
    return Instant.now(Progress.records());
  }

  private static long peakKib() throws Exception {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("VmHWM:")) {
        return Long.parseLong(line.replaceAll("[^0-9]", ""));
      }
    }
    throw new IllegalStateException("no VmHWM");
  }

  public static void main(String[] arguments) throws Exception {
    long events = Long.parseLong(arguments[1]);
    Configuration settings = new Configuration();
    var sink = TableDescriptor.forConnector("net-hash");
    settings.setString("metrics.reporters", "progress");
    settings.setString("metrics.reporter.progress.factory.class", Progress.class.getName());
    for (int i = 2; i < arguments.length; i++) {
      String[] pair = arguments[i].split("=", 2);
      if (pair[0].startsWith("sink.")) {
        sink.option(pair[0].substring("sink.".length()), pair[1]);
      } else {
        settings.setString(pair[0], pair[1]);
      }
    }
    var tables =
        StreamTableEnvironment.create(StreamExecutionEnvironment.getExecutionEnvironment(settings));
    String[] statements = Files.readString(Path.of(arguments[0])).split("\n;\n");
    for (int i = 0; i + 1 < statements.length; i++) {
      tables.executeSql(statements[i]);
    }
    var insert = tables.sqlQuery(statements[statements.length - 1]).insertInto(sink.build());
    System.err.println(insert.explain());
    JobClient job = insert.execute().getJobClient().orElseThrow();
    var end = job.getJobExecutionResult();
    Instant begun = reached(end, 1);
    Instant warm = reached(end, events - events / 4);
    end.get();
    Instant done = Instant.now(Progress.records());
    if (done.records != events) {
      throw new IllegalStateException("of " + events + " events " + done.records + " were read");
    }
    System.out.printf(
        Locale.ROOT,
        "{\"sources\": %d, \"warm_events\": %d, \"seconds\": %.3f, \"cpu_s\": %.3f, "
            + "\"total_s\": %.3f, \"total_cpu_s\": %.3f, \"peak_mib\": %d, \"changes\": %d, "
            + "\"rows\": %d, \"hash\": \"%s\", \"hash_of_all\": \"%s\", \"sum\": %d}%n",
        Progress.sources(),
        warm.records,
        (done.ns - warm.ns) / 1e9,
        (done.cpuNs - warm.cpuNs) / 1e9,
        (done.ns - begun.ns) / 1e9,
        (done.cpuNs - begun.cpuNs) / 1e9,
        peakKib() / 1024,
        NetHash.CHANGES.sum(),
        NetHash.ROWS.sum(),
        Long.toUnsignedString(NetHash.HASH.sum()),
        Long.toUnsignedString(NetHash.HASH_OF_ALL.sum()),
        NetHash.SUM.sum());
    System.exit(0);
  }
}
