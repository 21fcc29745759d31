package ziwa.nexmark;

import java.util.Collection;
import java.util.List;
import java.util.Set;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.connector.source.LookupTableSource;
import org.apache.flink.table.connector.source.lookup.LookupFunctionProvider;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.factories.DynamicTableSourceFactory;
import org.apache.flink.table.functions.LookupFunction;

/**
 * Connector 'side-input': the 10,000 rows (i, 'i') of query 13, looked up in memory by their key.
 * The file connector that the published query names is gone from Flink.
 */
public final class SideInput implements DynamicTableSourceFactory {
  private static final long ROWS = 10_000;

  @Override
  public String factoryIdentifier() {
    return "side-input";
  }

  @Override
  public Set<ConfigOption<?>> requiredOptions() {
    return Set.of();
  }

  @Override
  public Set<ConfigOption<?>> optionalOptions() {
    return Set.of();
  }

  @Override
  public DynamicTableSource createDynamicTableSource(Context context) {
    return new Table();
  }

  private record Table() implements LookupTableSource {
    @Override
    public LookupRuntimeProvider getLookupRuntimeProvider(LookupContext context) {
      return LookupFunctionProvider.of(new Lookup());
    }

    @Override
    public DynamicTableSource copy() {
      return this;
    }

    @Override
    public String asSummaryString() {
      return "side-input";
    }
  }

  /** Finds the row of a key. */
  public static final class Lookup extends LookupFunction {
    @Override
    public Collection<RowData> lookup(RowData key) {
      long number = key.getLong(0);
      if (number < 0 || number >= ROWS) {
        return List.of();
      }
      return List.of(GenericRowData.of(number, StringData.fromString(Long.toString(number))));
    }
  }
}
