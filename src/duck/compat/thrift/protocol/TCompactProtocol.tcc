// DuckDB's Parquet headers end up including the bodies of thrift's compact protocol. They are compiled into libduckdb.so, and
// nothing here calls them, so this empty file stands in for the real one, which is not among the headers that are installed.
