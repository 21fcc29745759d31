#include "stream/testing/cpu_seconds.h"
#include "stream/testing/stream_rig.h"

#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <cstdlib>
#include <filesystem>

// The views and the sink of examples/flights over its three million events, as JSON, in steps as
// large as a producer of 200,000 events a second makes them, with a checkpoint each second of such
// events. CPU seconds of the whole process, but without making the events. ZIWA_FLIGHTS names the
// Parquet file; ZIWA_ROWS takes fewer events.
namespace ziwa::stream {
namespace {

using testing::cpu_seconds;
using testing::PlanBuilder;
using testing::StreamRig;

const PlanBuilder::Columns kFlights = {{"seq", "BIGINT"},     {"time", "TIMESTAMP"},
                                       {"delay", "INTEGER"},  {"distance", "INTEGER"},
                                       {"origin", "VARCHAR"}, {"destination", "VARCHAR"}};
constexpr size_t kBatchRows = 500;
constexpr size_t kStepRows = 4'000;
constexpr size_t kCheckpointRows = 200'000;

std::string flights_file() {
  if (const char* path = std::getenv("ZIWA_FLIGHTS")) return path;
  return std::string(std::getenv("HOME")) +
         "/.cache/ziwa/deps/vega-datasets-3.2.1/flights-3m.parquet";
}

Plan departures_per_hour(ObjectId topic) {
  PlanBuilder b;
  auto s = b.source(topic, {kFlights[1], kFlights[2], kFlights[4]});
  auto w = b.tumble(s, b.column(s, 0), 3'600'000'000);
  auto delay = b.column(s, 1);
  b.aggregate(w, {b.column(s, 2), b.column(w, 3)},
              {{.function = "count_star"},
               {.function = "avg", .arguments = {delay}},
               {.function = "max", .arguments = {delay}}},
              {{"origin", "VARCHAR"},
               {"window_start", "TIMESTAMP"},
               {"n", "BIGINT"},
               {"mean", "DOUBLE"},
               {"max", "INTEGER"}});
  return b.build({0, 1});
}

Plan routes(ObjectId topic) {
  PlanBuilder b;
  auto s = b.source(topic, {kFlights[2], kFlights[4], kFlights[5]});
  auto delay = b.column(s, 0);
  b.aggregate(s, {b.column(s, 1), b.column(s, 2)},
              {{.function = "count_star"},
               {.function = "avg", .arguments = {delay}},
               {.function = "max", .arguments = {delay}}},
              {{"origin", "VARCHAR"},
               {"destination", "VARCHAR"},
               {"n", "BIGINT"},
               {"mean", "DOUBLE"},
               {"max", "INTEGER"}});
  return b.build({0, 1});
}

Plan worst_airports(ObjectId topic) {
  PlanBuilder b;
  auto s = b.source(topic, {kFlights[1], kFlights[2], kFlights[4]});
  auto p = b.project(
      s, {fmt::format("CAST({} AS DATE)", b.column(s, 0)), b.column(s, 1), b.column(s, 2)},
      {{"day", "DATE"}, {"delay", "INTEGER"}, {"origin", "VARCHAR"}});
  auto a =
      b.aggregate(p, {b.column(p, 0), b.column(p, 2)},
                  {{.function = "count_star"}, {.function = "avg", .arguments = {b.column(p, 1)}}},
                  {{"day", "DATE"}, {"origin", "VARCHAR"}, {"n", "BIGINT"}, {"mean", "DOUBLE"}});
  auto f = b.filter(a, fmt::format("({} >= CAST(20 AS BIGINT))", b.column(a, 2)));
  b.top_n(f, TopNNode{.partition_by = {b.column(a, 0)},
                      .order = {{.expression = b.column(a, 3), .descending = true},
                                {.expression = b.column(a, 1)}},
                      .limit = 10,
                      .with_rank = true});
  return b.build();
}

Plan flights_per_state(ObjectId topic, ObjectId airports) {
  PlanBuilder b;
  auto s = b.source(topic, {kFlights[2], kFlights[4]});
  auto t = b.source(airports, {{"iata", "VARCHAR"}, {"state", "VARCHAR"}});
  auto j = b.join(
      s, t,
      JoinNode{
          .left_keys = {b.column(s, 1)}, .right_keys = {b.column(t, 0)}, .null_safe = {false}});
  b.aggregate(j, {b.column(t, 1)},
              {{.function = "count_star"}, {.function = "avg", .arguments = {b.column(s, 0)}}},
              {{"state", "VARCHAR"}, {"n", "BIGINT"}, {"mean", "DOUBLE"}});
  return b.build({0});
}

/// Sends all events to the topic, keyed by origin, slightly out of order.
size_t produce_all(StreamRig& rig, ObjectId topic) {
  auto connection = rig.duck().connect();
  const char* limit = std::getenv("ZIWA_ROWS");
  auto result = connection->Query(fmt::format(
      "SELECT hash(origin) % 4, '{{\"seq\":' || (row_number() OVER () - 1) || ',\"time\":\"' || "
      "strftime(date, '%Y-%m-%d "
      "%H:%M:%S') || '\",\"delay\":' || delay || ',\"distance\":' || distance || ',\"origin\":\"' "
      "|| origin || "
      "'\",\"destination\":\"' || destination || '\"}}' FROM (SELECT * FROM read_parquet('{}') "
      "ORDER BY date + "
      "to_minutes(CAST(hash(origin, destination, distance, delay) % 10 AS BIGINT)) LIMIT {})",
      flights_file(), limit == nullptr ? "3000000" : limit));
  if (result->HasError()) {
    fmt::print(stderr, "{}\n", result->GetError());
    std::abort();
  }
  std::array<std::vector<std::string>, 4> pending;
  size_t rows = 0;
  while (auto chunk = result->Fetch()) {
    chunk->Flatten();
    const auto* partitions = duckdb::FlatVector::GetData<uint64_t>(chunk->data[0]);
    const auto* texts = duckdb::FlatVector::GetData<duckdb::string_t>(chunk->data[1]);
    for (size_t row = 0; row < chunk->size(); ++row, ++rows) {
      auto& batch = pending[partitions[row]];
      batch.push_back(texts[row].GetString());
      if (batch.size() < kBatchRows) continue;
      rig.produce(topic, static_cast<int32_t>(partitions[row]), batch);
      batch.clear();
    }
  }
  for (size_t p = 0; p < pending.size(); ++p) {
    if (!pending[p].empty()) rig.produce(topic, static_cast<int32_t>(p), pending[p]);
  }
  return rows;
}

void flights(benchmark::State& state) {
  auto which = static_cast<int>(state.range(0));  // Bits: the four views, the sink.
  for (auto _ : state) {
    auto root = std::filesystem::temp_directory_path() / "ziwa_stream_profile";
    std::filesystem::remove_all(root);
    StreamRig rig(posix_file_system(), root.string());
    rig.journal_options.flush = journal::Flush::os;
    auto opened = rig.try_open();
    if (!opened) return state.SkipWithError(opened.error().to_string().c_str());
    auto topic = rig.create_topic(
        {.columns = kFlights, .partitions = 4, .watermark = "time", .delay_us = 900'000'000});
    auto airports = rig.create_table("airports", {{"iata", "VARCHAR"}, {"state", "VARCHAR"}});
    rig.insert(
        airports,
        fmt::format("SELECT DISTINCT origin, 'S' || hash(origin) % 50 FROM read_parquet('{}')",
                    flights_file()));
    auto history = rig.create_table("history", kFlights, {{"time", "month", "time_month"}});
    if (which & 1) rig.create_view("departures_per_hour", departures_per_hour(topic));
    if (which & 2) rig.create_view("routes", routes(topic));
    if (which & 4) rig.create_view("worst_airports", worst_airports(topic));
    if (which & 8) rig.create_view("flights_per_state", flights_per_state(topic, airports));
    if (which & 16) rig.create_sink("keep_history", topic, history, 64u << 20);
    rig.settle();
    size_t rows = produce_all(rig, topic);
    double cpu = cpu_seconds();
    auto begun = std::chrono::steady_clock::now();
    size_t steps = 0;
    double checkpoints = 0;
    while (true) {
      auto stepped = rig.core().step(kStepRows);
      if (!stepped) return state.SkipWithError(stepped.error().to_string().c_str());
      if (!*stepped) break;
      if (++steps % (kCheckpointRows / kStepRows) != 0) continue;
      double before = cpu_seconds();
      if (which & 16 && steps % (2 * kCheckpointRows / kStepRows) == 0) {
        rig.core().finish_sinks(true).ignore("the table tells");
      }
      rig.checkpoint();
      checkpoints += cpu_seconds() - before;
    }
    rig.core().finish_sinks(true).ignore("the table tells");
    rig.checkpoint();
    state.SetIterationTime(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count());
    double used = cpu_seconds() - cpu;
    state.counters["cpu_s"] = used;
    state.counters["checkpoint_cpu_s"] = checkpoints;
    state.counters["us_per_event"] = used / static_cast<double>(rows) * 1e6;
    state.counters["events"] = static_cast<double>(rows);
    state.counters["steps"] = static_cast<double>(steps);
    rig.kill();
    std::filesystem::remove_all(root);
  }
}
BENCHMARK(flights)
    ->Arg(0)
    ->Arg(1)
    ->Arg(2)
    ->Arg(4)
    ->Arg(8)
    ->Arg(16)
    ->Arg(31)
    ->Iterations(1)
    ->UseManualTime()
    ->Unit(benchmark::kSecond);

}  // namespace
}  // namespace ziwa::stream
