#include "base/checksum.h"
#include "base/log.h"
#include "journal/journal.h"
#include "log/log.h"
#include "log/record_batch.h"

#include <benchmark/benchmark.h>

#include <filesystem>
#include <future>
#include <thread>
#include <unistd.h>
#include <zstd.h>

// Figures to compare with: a plain pwrite of the same bytes in the same run (plain_write, the
// peer), and the aim of 300 MB/s for appends of 15 KB batches by one thread.
namespace ziwa::log {
namespace {

const PartitionId kPartition{ObjectId(1), 0};

/// One batch of `count` records that together take about `bytes`.
Bytes make_batch(int count, size_t bytes) {
  std::vector<NewRecord> records;
  std::string value(bytes / static_cast<size_t>(count) - 10, 'v');
  for (int i = 0; i < count; ++i)
    records.push_back({TimestampMs(1'700'000'000'000 + i), std::nullopt, as_bytes(value)});
  return encode_batch(records);
}

/// The same records as JSON that no two of are alike, compressed with zstd as clients do it.
Bytes make_zstd_batch(int count) {
  std::vector<NewRecord> records;
  std::vector<std::string> values;
  uint64_t random = 1;
  for (int i = 0; i < count; ++i) {
    random = random * 6'364'136'223'846'793'005u + 1'442'695'040'888'963'407u;
    values.push_back(fmt::format(
        R"({{"flight":"X{}","altitude":{},"latitude":{:.5f},"longitude":{:.5f},"at":"2026-01-01T00:00:{:02}.{:03}Z"}})",
        random >> 52, random >> 32 & 0xFFFF, static_cast<double>(random >> 40 & 0xFFFFF) / 1e4,
        static_cast<double>(random >> 20 & 0xFFFFF) / 1e4, i % 60, random >> 50 & 0x1FF));
  }
  for (int i = 0; i < count; ++i) {
    records.push_back({TimestampMs(1'700'000'000'000 + i), std::nullopt,
                       as_bytes(values[static_cast<size_t>(i)])});
  }
  Bytes plain = encode_batch(records);
  ByteView body = ByteView(plain).subspan(kBatchHeaderBytes);
  Bytes batch(kBatchHeaderBytes + ZSTD_compressBound(body.size()));
  std::copy_n(plain.begin(), kBatchHeaderBytes, batch.begin());
  size_t size = ZSTD_compress(batch.data() + kBatchHeaderBytes, batch.size() - kBatchHeaderBytes,
                              body.data(), body.size(), 3);
  batch.resize(kBatchHeaderBytes + size);
  store_be<int32_t>(batch.data() + 8, static_cast<int32_t>(batch.size() - kBatchOverheadBytes));
  store_be<int16_t>(batch.data() + 21, 4);
  store_be(batch.data() + 17, crc32c(ByteView(batch).subspan(21)));
  return batch;
}

/// A log in a directory of its own under the temporary directory, removed at the end.
struct Rig {
  explicit Rig(journal::Flush flush, uint64_t cache_bytes = 64u << 20)
      : path(std::filesystem::temp_directory_path() / fmt::format("ziwa-log-bench-{}", getpid())) {
    set_log_level(LogLevel::error);
    std::filesystem::remove_all(path);
    auto& fs = posix_file_system();
    log = std::move(*Log::open(fs, path + "/log", clock, metrics, {.cache_bytes = cache_bytes}));
    journal =
        std::move(*journal::Journal::open(fs, path + "/journal", clock, metrics, {.flush = flush},
                                          [this](const auto& end) { return log->has_data(end); }));
    CHECK(log->start(*journal).has_value());
    CHECK(log->create_topic(kPartition.topic, {}).has_value());
  }
  ~Rig() {
    log.reset();
    journal.reset();
    std::filesystem::remove_all(path);
  }
  void append_and_wait(ByteView batch) {
    std::promise<bool> done;
    log->append(kPartition, batch, [&](auto result, auto) { done.set_value(result.has_value()); });
    CHECK(done.get_future().get());
  }

  std::string path;
  SystemClock clock;
  Metrics metrics;
  std::unique_ptr<journal::Journal> journal;
  std::unique_ptr<Log> log;
};

void plain_write(benchmark::State& state) {
  auto path = std::filesystem::temp_directory_path() / fmt::format("ziwa-write-bench-{}", getpid());
  auto file = std::move(*posix_file_system().open(path, OpenMode::truncate));
  Bytes batch = make_batch(100, static_cast<size_t>(state.range(0)));
  for (auto _ : state) {
    CHECK(file->append(batch).has_value());
  }
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(batch.size()));
  std::filesystem::remove(path);
}
// Fixed amounts below the dirty limits of a small machine: the page cache is measured, not the
// disk.
BENCHMARK(plain_write)->Arg(15'000)->Iterations(20'000)->UseRealTime();

/// One thread appends without waiting.
void append_all(benchmark::State& state, journal::Flush flush, const Bytes& batch,
                int64_t in_flight_max, int64_t records) {
  Rig rig(flush);
  std::atomic<int64_t> answered{0};
  int64_t sent = 0;
  for (auto _ : state) {
    rig.log->append(kPartition, batch, [&](auto result, auto) {
      CHECK(result.has_value());
      ++answered;
    });
    ++sent;
    while (sent - answered > in_flight_max) std::this_thread::yield();
  }
  while (answered < sent) std::this_thread::yield();
  state.SetBytesProcessed(state.iterations() * static_cast<int64_t>(batch.size()));
  state.SetItemsProcessed(state.iterations() * records);
}

/// As many in flight as a few clients would have; the operating system writes back when it likes.
void append_to_page_cache(benchmark::State& state) {
  append_all(state, journal::Flush::os, make_batch(100, static_cast<size_t>(state.range(0))), 1'000,
             100);
}
BENCHMARK(append_to_page_cache)->Arg(2'000)->Arg(15'000)->Iterations(20'000)->UseRealTime();

void append_zstd_to_page_cache(benchmark::State& state) {
  append_all(state, journal::Flush::os, make_zstd_batch(static_cast<int>(state.range(0))), 1'000,
             state.range(0));
}
BENCHMARK(append_zstd_to_page_cache)->Arg(100)->Arg(1'000)->Iterations(10'000)->UseRealTime();

/// The same, acknowledged only when synced.
void append_durably(benchmark::State& state) {
  append_all(state, journal::Flush::always, make_batch(100, 15'000), state.range(0), 100);
}
BENCHMARK(append_durably)
    ->ArgName("in flight")
    ->Arg(0)
    ->Arg(20)
    ->Arg(1'000)
    ->Iterations(5'000)
    ->UseRealTime();

void append_zstd_durably(benchmark::State& state) {
  append_all(state, journal::Flush::always, make_zstd_batch(1'000), 20, 1'000);
}
BENCHMARK(append_zstd_durably)->Iterations(5'000)->UseRealTime();

void fetch_one_megabyte(benchmark::State& state) {
  Rig rig(journal::Flush::os, state.range(0) != 0 ? 256u << 20 : 0);
  Bytes batch = make_batch(100, 15'000);
  for (int i = 0; i < 4'000; ++i) rig.append_and_wait(batch);
  int64_t from = 0;
  int64_t bytes = 0;
  for (auto _ : state) {
    auto data = rig.log->fetch(kPartition, Offset(from), 1u << 20, Isolation::read_uncommitted);
    bytes += static_cast<int64_t>(data->batches.size());
    from = (from + 6'900) % 390'000;
  }
  state.SetBytesProcessed(bytes);
}
BENCHMARK(fetch_one_megabyte)->ArgName("cached")->Arg(1)->Arg(0)->UseRealTime();

void decode_records(benchmark::State& state) {
  Bytes batch = make_batch(100, 15'000);
  std::vector<RecordView> records;
  Bytes buffer;
  for (auto _ : state) {
    records.clear();
    CHECK(read_records(batch, records, buffer).has_value());
    benchmark::DoNotOptimize(records.data());
  }
  state.SetItemsProcessed(state.iterations() * 100);
}
BENCHMARK(decode_records);

/// Opening after a kill: the tail since the last checkpoint is read again.
void recover_tail(benchmark::State& state) {
  Rig rig(journal::Flush::os);
  Bytes batch = make_batch(100, 15'000);
  for (int i = 0; i < 4'000; ++i) rig.append_and_wait(batch);
  for (auto _ : state) {
    Metrics metrics;
    auto log = Log::open(posix_file_system(), rig.path + "/log", rig.clock, metrics, {});
    CHECK(log.has_value() && (*log)->has_data({kPartition, Offset(400'000)}));
  }
  state.SetBytesProcessed(state.iterations() * 4'000 * static_cast<int64_t>(batch.size()));
}
BENCHMARK(recover_tail)->UseRealTime()->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace ziwa::log
