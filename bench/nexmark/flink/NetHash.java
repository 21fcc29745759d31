package ziwa.nexmark;

import java.math.RoundingMode;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.LongAdder;
import org.apache.flink.api.connector.sink2.Sink;
import org.apache.flink.api.connector.sink2.SinkWriter;
import org.apache.flink.api.connector.sink2.WriterInitContext;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.sink.DynamicTableSink;
import org.apache.flink.table.connector.sink.SinkV2Provider;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.binary.BinaryStringData;
import org.apache.flink.table.factories.DynamicTableSinkFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.types.logical.DecimalType;
import org.apache.flink.table.types.logical.LogicalType;
import org.apache.flink.table.types.logical.TimestampType;
import org.apache.flink.types.RowKind;

/**
 * Connector 'net-hash': reads every column of every row that comes, and adds up the hashes of rows,
 * or takes them off where a row is taken back. The sums of a job say what the net result is, in
 * whatever order its changes came. Hashes are those of DuckDB's hash(column, ...), so that a query
 * of DuckDB's can compute the same over a table.
 */
public final class NetHash implements DynamicTableSinkFactory {
  /** Of all sinks of this process, since it began. */
  static final LongAdder CHANGES = new LongAdder();

  static final LongAdder ROWS = new LongAdder();
  static final LongAdder HASH = new LongAdder();
  static final LongAdder HASH_OF_ALL = new LongAdder();
  static final LongAdder SUM = new LongAdder();

  /** Of columns that are the same in every right answer; others only go into HASH_OF_ALL. */
  private static final ConfigOption<List<String>> COLUMNS =
      ConfigOptions.key("columns").stringType().asList().defaultValues();

  /** A column whose sum over all rows is kept, for answers that depend on the time of day. */
  private static final ConfigOption<String> SUMMED =
      ConfigOptions.key("summed").stringType().defaultValue("");

  /** Whether rows that an update replaces are asked for. Without them there is no net hash. */
  private static final ConfigOption<Boolean> RETRACT =
      ConfigOptions.key("retract").booleanType().defaultValue(true);

  @Override
  public String factoryIdentifier() {
    return "net-hash";
  }

  @Override
  public Set<ConfigOption<?>> requiredOptions() {
    return Set.of();
  }

  @Override
  public Set<ConfigOption<?>> optionalOptions() {
    return new HashSet<>(List.of(COLUMNS, SUMMED, RETRACT));
  }

  @Override
  public DynamicTableSink createDynamicTableSink(Context context) {
    var helper = FactoryUtil.createTableFactoryHelper(this, context);
    helper.validate();
    var schema = context.getCatalogTable().getResolvedSchema();
    var names = schema.getColumnNames();
    List<LogicalType> types = new ArrayList<>();
    schema.getColumnDataTypes().forEach(type -> types.add(type.getLogicalType()));
    List<String> hashed = helper.getOptions().get(COLUMNS);
    boolean[] inHash = new boolean[names.size()];
    for (int i = 0; i < inHash.length; i++) {
      inHash[i] = hashed.isEmpty() || hashed.contains(names.get(i));
    }
    int summed = names.indexOf(helper.getOptions().get(SUMMED));
    return new TableSink(new HashSink(types, inHash, summed), helper.getOptions().get(RETRACT));
  }

  /** What the planner asks. */
  private record TableSink(HashSink sink, boolean retract) implements DynamicTableSink {
    @Override
    public ChangelogMode getChangelogMode(ChangelogMode requested) {
      var mode = ChangelogMode.newBuilder();
      for (RowKind kind : requested.getContainedKinds()) {
        if (retract || kind != RowKind.UPDATE_BEFORE) {
          mode.addContainedKind(kind);
        }
      }
      return mode.build();
    }

    @Override
    public SinkRuntimeProvider getSinkRuntimeProvider(Context context) {
      return SinkV2Provider.of(sink);
    }

    @Override
    public DynamicTableSink copy() {
      return new TableSink(sink, retract);
    }

    @Override
    public String asSummaryString() {
      return "net-hash";
    }
  }

  /** Makes a writer for each task. */
  private record HashSink(List<LogicalType> types, boolean[] inHash, int summed)
      implements Sink<RowData> {
    @Override
    public SinkWriter<RowData> createWriter(WriterInitContext context) {
      return new Writer(types.toArray(new LogicalType[0]), inHash, summed);
    }
  }

  /** Hashes rows on one task's thread; what it has seen goes to the sums when Flink flushes. */
  private static final class Writer implements SinkWriter<RowData> {
    private final LogicalType[] types;
    private final boolean[] inHash;
    private final int summed;
    private long changes;
    private long rows;
    private long hash;
    private long hashOfAll;
    private long sum;

    Writer(LogicalType[] types, boolean[] inHash, int summed) {
      this.types = types;
      this.inHash = inHash;
      this.summed = summed;
    }

    @Override
    public void write(RowData row, Context context) {
      long some = 0;
      long all = 0;
      boolean begun = false;
      for (int i = 0; i < types.length; i++) {
        long one = ofColumn(row, i);
        all = i == 0 ? one : combined(all, one);
        if (inHash[i]) {
          some = begun ? combined(some, one) : one;
          begun = true;
        }
      }
      RowKind kind = row.getRowKind();
      boolean gone = kind == RowKind.UPDATE_BEFORE || kind == RowKind.DELETE;
      changes++;
      rows += gone ? -1 : 1;
      hash += gone ? -some : some;
      hashOfAll += gone ? -all : all;
      if (summed >= 0) {
        sum += gone ? -row.getLong(summed) : row.getLong(summed);
      }
    }

    private long ofColumn(RowData row, int i) {
      if (row.isNullAt(i)) {
        return 0xbf58476d1ce4e5b9L;
      }
      LogicalType type = types[i];
      switch (type.getTypeRoot()) {
        case BIGINT:
          return mixed(row.getLong(i));
        case INTEGER:
          return mixed(row.getInt(i));
        case VARCHAR:
        case CHAR:
          return ofBytes(((BinaryStringData) row.getString(i)).toBytes());
        case TIMESTAMP_WITHOUT_TIME_ZONE:
          return mixed(
              row.getTimestamp(i, ((TimestampType) type).getPrecision()).getMillisecond());
        case DECIMAL:
          // Thousandths.
          DecimalType decimal = (DecimalType) type;
          return mixed(
              row.getDecimal(i, decimal.getPrecision(), decimal.getScale())
                  .toBigDecimal()
                  .setScale(3, RoundingMode.HALF_UP)
                  .unscaledValue()
                  .longValueExact());
        default:
          throw new IllegalArgumentException("net-hash knows no " + type);
      }
    }

    @Override
    public void flush(boolean endOfInput) {
      CHANGES.add(changes);
      ROWS.add(rows);
      HASH.add(hash);
      HASH_OF_ALL.add(hashOfAll);
      SUM.add(sum);
      changes = rows = hash = hashOfAll = sum = 0;
    }

    @Override
    public void close() {
      flush(true);
    }
  }

  static long mixed(long x) {
    x ^= x >>> 32;
    x *= 0xd6e8feb86659fd93L;
    x ^= x >>> 32;
    x *= 0xd6e8feb86659fd93L;
    return x ^ x >>> 32;
  }

  static long combined(long a, long b) {
    a ^= a >>> 32;
    return a * 0xd6e8feb86659fd93L ^ b;
  }

  private static final java.lang.invoke.VarHandle LONGS =
      java.lang.invoke.MethodHandles.byteArrayViewVarHandle(
          long[].class, java.nio.ByteOrder.LITTLE_ENDIAN);

  static long ofBytes(byte[] bytes) {
    long h = 0xe17a1465L ^ bytes.length * 0xc6a4a7935bd1e995L;
    int at = 0;
    for (; at + 8 <= bytes.length; at += 8) {
      h = (h ^ (long) LONGS.get(bytes, at)) * 0xd6e8feb86659fd93L;
    }
    if (at < bytes.length) {
      long rest = 0;
      for (int i = bytes.length - 1; i >= at; i--) {
        rest = rest << 8 | bytes[i] & 0xff;
      }
      h = (h ^ rest) * 0xd6e8feb86659fd93L;
    }
    return mixed(h);
  }
}
