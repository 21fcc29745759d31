#include "app/server.h"

#include "app/status.h"
#include "base/log.h"
#include "base/metric_table.h"
#include "base/vital_thread.h"

#include <condition_variable>
#include <mutex>
#include <thread>

namespace ziwa::app {
namespace {

constexpr int64_t kSampleEveryMs = 1'000;
constexpr int64_t kMaintainEveryMs = 2'000;

/// A thread that does the housekeeping until it is stopped.
class Housekeeping {
 public:
  Housekeeping(Engines& engines, StatusReport& report, const Settings& settings,
               std::function<void()> on_failure)
      : engines_(engines),
        report_(report),
        on_failure_(std::move(on_failure)),
        every_ms_(std::min(kMaintainEveryMs, settings.integer("log.retention.check"))),
        thread_([this] { run_vital_thread("housekeeping", [this] { run(); }); }) {}
  ~Housekeeping() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_all();
    thread_.join();
  }

 private:
  void run() {
    int64_t due_ms = 0;
    int64_t passed_ms = 0;
    auto step = std::chrono::milliseconds(std::min(every_ms_, kSampleEveryMs));
    std::unique_lock lock(mutex_);
    while (!wake_.wait_for(lock, step, [this] { return stopping_; })) {
      lock.unlock();
      report_.sample();
      check_health();
      passed_ms += step.count();
      if (passed_ms >= due_ms) {
        due_ms = passed_ms + every_ms_;
        if (auto done = engines_.maintain(); !done) {
          log_warn("app", "housekeeping failed; the next round tries again", "reason={}",
                   done.error().to_string());
        }
      }
      lock.lock();
    }
  }

  void check_health() {
    auto health = engines_.health();
    if (health || std::exchange(failed_, true)) return;
    log_error("app", "the server stops", "error={}", health.error().to_string());
    on_failure_();
  }

  Engines& engines_;
  StatusReport& report_;
  std::function<void()> on_failure_;
  bool failed_ = false;
  int64_t every_ms_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  std::thread thread_;
};

class RunningServer final : public Server {
 public:
  RunningServer(FileSystem& fs, const Settings& settings) : fs_(fs), settings_(settings) {}
  ~RunningServer() override {
    doors_.reset();
    housekeeping_.reset();
  }

  Status open(const Options& options) {
    engines_ =
        TRY(Engines::open({.fs = fs_, .clock = clock_, .metrics = metrics_, .settings = settings_},
                          {.data_directory = options.data_directory,
                           .project_directory = options.project_directory}));
    if (!options.project_directory.empty())
      TRY(engines_->apply_project(options.project_directory, options.allow_drop));
    report_ = std::make_unique<StatusReport>(*engines_, clock_);
    housekeeping_ =
        std::make_unique<Housekeeping>(*engines_, *report_, settings_, options.on_failure);
    doors_ = TRY(Doors::open(*engines_, metrics_, clock_, settings_,
                             [this](const auto& doors) { return report_->json(doors); }));
    show_gauges();
    const auto doors = doors_->status();
    auto open = [](const DoorStatus& door) { return door.blocked.empty(); };
    auto blocked = std::ranges::find_if_not(doors, open);
    if (blocked == doors.end()) return {};
    if (!options.strict && std::ranges::any_of(doors, open)) return {};
    return Error(Code::already_exists, "{}: {}", blocked->name, blocked->blocked);
  }

  std::vector<DoorStatus> doors() const override { return doors_->status(); }

  void show_gauges() {
    auto last = [this] { return engines_->journal().durable().value; };
    auto epoch = [this] {
      auto published = engines_->stream().published();
      return published ? published->epoch.value : 0;
    };
    metrics_.gauge(metric::build_info, {{"version", std::string(program_version())}},
                   [] { return 1.0; });
    metrics_.gauge(metric::journal_last_entry, {}, [last] { return static_cast<double>(last()); });
    metrics_.gauge(metric::stream_epoch, {}, [epoch] { return static_cast<double>(epoch()); });
    metrics_.gauge(metric::stream_lag_entries, {}, [last, epoch] {
      const auto seen = epoch();  // Before what it is compared with: both only grow.
      return static_cast<double>(last() - seen);
    });
    for (const auto& door : doors_->status()) {
      metrics_.gauge(metric::connections, {{"door", door.name}}, [this, name = door.name] {
        for (const auto& one : doors_->status())
          if (one.name == name) return static_cast<double>(one.connections);
        return 0.0;
      });
    }
  }
  Engines& engines() override { return *engines_; }
  bool left_running() const override { return left_running_; }
  std::string status_json() override {
    return report_->json(doors_ ? doors_->status() : std::vector<DoorStatus>());
  }

  Status stop() override {
    if (!engines_) return {};
    left_running_ = doors_ && !doors_->stop();
    housekeeping_.reset();
    const Status health = engines_->health();
    Status stopped = engines_->stop();
    if (stopped && !health) stopped = health;
    if (left_running_) {
      // The statement that does not end uses them: they stay until the process ends.
      [[maybe_unused]] auto* doors = doors_.release();
      [[maybe_unused]] auto* engines = engines_.release();
      return stopped;
    }
    doors_.reset();
    report_.reset();
    engines_.reset();
    return stopped;
  }

 private:
  FileSystem& fs_;
  const Settings& settings_;
  SystemClock clock_;
  Metrics metrics_;
  std::unique_ptr<Engines> engines_;
  std::unique_ptr<StatusReport> report_;
  std::unique_ptr<Housekeeping> housekeeping_;
  std::unique_ptr<Doors> doors_;
  bool left_running_ = false;
};

}  // namespace

Result<std::unique_ptr<Server>> Server::start(FileSystem& fs, const Settings& settings,
                                              const Options& options) {
  auto server = std::make_unique<RunningServer>(fs, settings);
  if (auto opened = server->open(options); !opened) {
    server->stop().ignore("the first error says more");
    return opened.error();
  }
  return server;
}

}  // namespace ziwa::app
