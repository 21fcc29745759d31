package ziwa.nexmark;

import org.apache.flink.table.functions.ScalarFunction;

/** count_char(text, letter) of query 14. */
public final class CountChar extends ScalarFunction {
  public long eval(String text, String letter) {
    long count = 0;
    for (int i = 0; i < text.length(); i++) {
      count += text.charAt(i) == letter.charAt(0) ? 1 : 0;
    }
    return count;
  }
}
