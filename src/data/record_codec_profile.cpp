// Records per second and core: six fields of a flight, as a producer writes them.
#include "data/record_codec.h"
#include "duck/expression.h"

#include <benchmark/benchmark.h>

namespace ziwa::data {
namespace {

Schema flight_schema() {
  return {{{1, "seq", "BIGINT"},
           {2, "ts", "TIMESTAMP"},
           {3, "origin", "VARCHAR"},
           {4, "destination", "VARCHAR"},
           {5, "delay", "INTEGER"},
           {6, "distance", "DOUBLE"}}};
}

duckdb::vector<duckdb::LogicalType> flight_types() {
  duckdb::vector<duckdb::LogicalType> types;
  for (const auto& column : flight_schema().columns)
    types.push_back(*duck::parse_type(column.type));
  return types;
}

std::vector<Bytes> flights(const std::string& format) {
  std::vector<Bytes> values;
  duck::Chunk chunk(flight_types());
  for (int64_t i = 0; i < STANDARD_VECTOR_SIZE; ++i) {
    auto row = static_cast<size_t>(i);
    chunk.rows.SetValue(0, row, duckdb::Value::BIGINT(1'000'000 + i));
    chunk.rows.SetValue(
        1, row,
        duckdb::Value::TIMESTAMP(duckdb::timestamp_t(978'307'200'000'000 + i * 60'000'000)));
    chunk.rows.SetValue(2, row, duckdb::Value(i % 2 == 0 ? "SFO" : "JFK"));
    chunk.rows.SetValue(3, row, duckdb::Value(i % 3 == 0 ? "ORD" : "ATL"));
    chunk.rows.SetValue(4, row, duckdb::Value::INTEGER(static_cast<int32_t>(i % 90) - 20));
    chunk.rows.SetValue(5, row, duckdb::Value::DOUBLE(static_cast<double>(i % 2500)));
  }
  chunk.rows.SetCardinality(STANDARD_VECTOR_SIZE);
  auto codec = *make_record_codec(flight_schema(), format);
  codec->encode(chunk, values).ignore("every value can be encoded");
  return values;
}

void decode(benchmark::State& state, const std::string& format) {
  auto values = flights(format);
  std::vector<Record> records;
  size_t bytes = 0;
  for (const auto& value : values) {
    records.push_back({.value = value});
    bytes += value.size();
  }
  auto codec = *make_record_codec(flight_schema(), format);
  duck::Chunk chunk(flight_types());
  std::vector<uint32_t> rows;
  std::vector<Rejected> rejected;
  for (auto _ : state) {
    chunk.rows.Reset();
    rows.clear();
    codec->decode(records, chunk, rows, rejected);
  }
  if (!rejected.empty()) state.SkipWithError("a record was refused");
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(records.size()));
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(bytes));
}

void encode(benchmark::State& state, const std::string& format) {
  auto codec = *make_record_codec(flight_schema(), format);
  auto values = flights(format);
  std::vector<Record> records;
  for (const auto& value : values) records.push_back({.value = value});
  duck::Chunk chunk(flight_types());
  std::vector<uint32_t> rows;
  std::vector<Rejected> rejected;
  codec->decode(records, chunk, rows, rejected);
  std::vector<Bytes> out;
  for (auto _ : state) {
    out.clear();
    codec->encode(chunk, out).ignore("every value can be encoded");
  }
  state.SetItemsProcessed(state.iterations() * static_cast<int64_t>(records.size()));
}

BENCHMARK_CAPTURE(decode, json, "json");
BENCHMARK_CAPTURE(decode, avro, "avro");
BENCHMARK_CAPTURE(encode, json, "json");
BENCHMARK_CAPTURE(encode, avro, "avro");

}  // namespace
}  // namespace ziwa::data
