#include "protocol/kafka/door.h"

#include "base/log.h"
#include "base/metric_table.h"
#include "base/thread_pool.h"
#include "log/groups/storage.h"
#include "protocol/kafka/broker.h"
#include "protocol/kafka/session.h"
#include "protocol/listen/listener.h"

#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>

#include <atomic>
#include <future>
#include <random>
#include <thread>
#include <unordered_set>

namespace ziwa::kafka {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;

constexpr size_t kBackgroundJobsMax =
    100'000;  ///< Connections hold one each at most, besides fetches.
constexpr std::chrono::seconds kStopWait{5};
constexpr std::string_view kClusterKey = "c";  ///< In table "groups", see docs/formats/groups.md.

/// A job that runs later on the loop. Shared by the timer's handler and the handle that cancels.
struct Timer {
  Timer(asio::io_context& io, Loop::Job run) : timer(io), job(std::move(run)) {}
  asio::steady_timer timer;
  Loop::Job job;
};

class AsioLoop final : public Loop {
 public:
  AsioLoop(asio::io_context& io, int threads)
      : io_(io), pool_("kafka", threads, kBackgroundJobsMax) {}

  void post(Job job) override { asio::post(io_, std::move(job)); }

  Status try_background(Job job) { return pool_.submit(std::move(job)); }

  void background(Job job) override {
    if (Status queued = try_background(std::move(job)); !queued) {
      // Stopping, or far more work than connections can ask for: the client will time out and ask
      // again.
      log_warn("kafka", "background work was dropped", "reason={}", queued.error().to_string());
    }
  }

  std::shared_ptr<void> after(int64_t ms, Job job) override {
    if (stopped_) return nullptr;
    auto timer = std::make_shared<Timer>(io_, std::move(job));
    timers_.insert(timer.get());
    timer->timer.expires_after(std::chrono::milliseconds(ms));
    timer->timer.async_wait([timer](error_code cancelled) {
      if (!cancelled && timer->job) std::exchange(timer->job, {})();
    });
    return std::shared_ptr<void>(timer.get(), [this, timer](void*) {
      timers_.erase(timer.get());
      timer->job = {};
      timer->timer.cancel();
    });
  }

  /// Loop thread: drops all jobs that wait for their time, and takes no more.
  void drop_timers() {
    stopped_ = true;
    auto timers = timers_;
    for (Timer* timer : timers) {
      if (!timers_.contains(timer)) continue;  // Dropping another one's job has cancelled it.
      auto job = std::exchange(timer->job, {});
      timer->timer.cancel();
    }
  }
  void stop_background() { pool_.stop(); }

 private:
  asio::io_context& io_;
  std::unordered_set<Timer*> timers_;
  bool stopped_ = false;
  ThreadPool pool_;
};

groups::Coordinator::Options group_options(const Door::Options& options) {
  groups::Coordinator::Options result;
  result.group.session_timeout_min_ms = options.group_session_timeout_min_ms;
  result.group.initial_rebalance_delay_ms = options.group_initial_rebalance_delay_ms;
  result.group.members_max = options.group_members_max;
  result.retention_ms = options.group_retention_ms;
  auto random = std::make_shared<std::mt19937_64>(std::random_device{}());
  result.unique_text = [random] { return fmt::format("{:016x}{:016x}", (*random)(), (*random)()); };
  return result;
}

BrokerOptions broker_options(const Door::Options& options) {
  BrokerOptions result;
  result.host = options.address;
  result.default_partitions = options.default_partitions;
  result.partitions_max = options.partitions_max;
  result.auto_create_topics = options.auto_create_topics;
  result.batch_bytes_max = options.batch_bytes_max;
  result.fetch_bytes_max = options.fetch_bytes_max;
  result.memory_bytes_max = options.memory_bytes_max;
  return result;
}

std::shared_ptr<Broker> make_broker(const Door::Deps& deps, const Door::Options& options,
                                    BrokerOptions broker, const std::shared_ptr<AsioLoop>& loop) {
  auto storage = std::make_unique<groups::StoreStorage>(
      deps.store,
      groups::StoreStorage::Threads{
          .background = [loop](Loop::Job job) { return loop->try_background(std::move(job)); },
          .owner = [loop](Loop::Job job) { loop->post(std::move(job)); }});
  return std::make_shared<Broker>(Broker::Parts{.log = deps.log,
                                                .catalog = deps.catalog,
                                                .group_storage = std::move(storage),
                                                .clock = deps.clock,
                                                .metrics = deps.metrics,
                                                .loop = loop,
                                                .settle_readers = deps.settle_readers},
                                  std::move(broker), group_options(options));
}

/// The name of this data directory for clients, made at its first start: 22 characters, as Kafka's
/// are.
Result<std::string> cluster_id(state::Store& store) {
  constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  const state::TableId table = store.table("groups");
  if (auto stored = TRY(store.get(table, kClusterKey))) return *stored;
  std::random_device random;
  std::string id;
  for (int i = 0; i < 22; ++i) id.push_back(kAlphabet[random() % kAlphabet.size()]);
  state::WriteBatch batch;
  batch.put(table, kClusterKey, id);
  TRY(store.write(batch, /*sync=*/true));
  return id;
}

class TcpDoor final : public Door {
 public:
  TcpDoor(asio::io_context& io, const Deps& deps, const Options& options, BrokerOptions broker)
      : io_(io),
        bytes_in_(deps.metrics.counter(metric::kafka_received_bytes_total)),
        bytes_out_(deps.metrics.counter(metric::kafka_sent_bytes_total)),
        limits_{.connection = {.request_bytes_max = options.request_bytes_max,
                               .unanswered_bytes_max = options.unanswered_bytes_max,
                               .in_flight_max = options.in_flight_max},
                .idle_ms = options.idle_ms,
                .stall_ms = options.stall_ms,
                .request_ms = options.request_ms},
        loop_(std::make_shared<AsioLoop>(io, options.threads)),
        broker_(make_broker(deps, options, std::move(broker), loop_)) {}
  ~TcpDoor() override { stop(); }

  Status open(state::Store& store, const Options& options) {
    TRY(broker_->groups().load(store));
    listener_ = TRY(protocol::Listener::open(io_,
                                             {.address = options.address,
                                              .port = options.port,
                                              .connections_max = options.connections_max},
                                             "doors.kafka.port"));
    broker_->options().port = listener_->port();
    listener_->start([this](asio::ip::tcp::socket socket, std::shared_ptr<void> token) {
      accept(std::move(socket), std::move(token));
    });
    asio::post(io_, [broker = broker_] { broker->keep_ticking(); });
    return {};
  }

  uint16_t port() const override { return listener_->port(); }
  int connections() const override { return *connections_; }

  Result<std::vector<GroupStatus>> groups() override {
    auto answer = std::make_shared<std::promise<std::vector<GroupStatus>>>();
    auto answered = answer->get_future();
    asio::post(io_, [broker = broker_, answer] {
      std::vector<GroupStatus> all;
      for (const auto& listed : broker->groups().list()) {
        all.push_back({.group = broker->groups().describe(listed.group_id),
                       .offsets = broker->groups().offsets(listed.group_id)});
      }
      answer->set_value(std::move(all));
    });
    if (answered.wait_for(kStopWait) != std::future_status::ready)
      return Error(Code::unavailable, "the Kafka door does not answer: the server is stopping");
    return answered.get();
  }

  void stop() override {
    if (stopped_.exchange(true)) return;
    if (io_.stopped()) {
      stop_on_loop();
    } else {
      auto done = std::make_shared<std::promise<void>>();
      auto finished = done->get_future();
      asio::dispatch(io_, [this, done] {
        stop_on_loop();
        done->set_value();
      });
      if (finished.wait_for(kStopWait) != std::future_status::ready) {
        log_error("kafka", "the io loop does not run, so the door cannot close its connections");
      }
    }
    loop_->stop_background();
    wait_for_log();
  }

 private:
  void accept(asio::ip::tcp::socket socket, std::shared_ptr<void> token) {
    std::erase_if(sessions_, [](const auto& session) { return session.expired(); });
    ++*connections_;
    std::shared_ptr<void> counted(
        nullptr, [token = std::move(token), count = connections_](void*) { --*count; });
    auto session = std::make_shared<Session>(std::move(socket), std::move(counted), broker_,
                                             limits_, bytes_in_, bytes_out_);
    sessions_.push_back(session);
    session->start();
  }

  void stop_on_loop() {
    if (listener_) listener_->stop();
    for (const auto& weak : sessions_) {
      if (auto session = weak.lock()) session->close();
    }
    loop_->drop_timers();
  }

  /// Appends that are under way are answered by the log's thread, which posts to `io_`.
  void wait_for_log() {
    const auto deadline = std::chrono::steady_clock::now() + kStopWait;
    while (broker_->gate()->inside() != 0) {
      if (std::chrono::steady_clock::now() > deadline) {
        log_error("kafka", "the log still owes answers at the stop", "appends={}",
                  broker_->gate()->inside());
        return;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }

  asio::io_context& io_;
  Counter& bytes_in_;
  Counter& bytes_out_;
  const Session::Limits limits_;
  std::shared_ptr<AsioLoop> loop_;
  std::shared_ptr<Broker> broker_;
  std::unique_ptr<protocol::Listener> listener_;
  std::vector<std::weak_ptr<Session>> sessions_;
  std::shared_ptr<std::atomic<int>> connections_ = std::make_shared<std::atomic<int>>(0);
  std::atomic<bool> stopped_{false};
};

}  // namespace

Result<std::unique_ptr<Door>> Door::start(asio::io_context& io, Deps deps, Options options) {
  BrokerOptions broker = broker_options(options);
  broker.cluster_id = TRY(cluster_id(deps.store));
  auto door = std::make_unique<TcpDoor>(io, deps, options, std::move(broker));
  TRY(door->open(deps.store, options));
  return door;
}

}  // namespace ziwa::kafka
