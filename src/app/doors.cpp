#include "app/doors.h"

#include "base/log.h"
#include "base/thread_pool.h"
#include "protocol/http/door.h"
#include "protocol/kafka/door.h"
#include "protocol/listen/listener.h"
#include "protocol/postgres/door.h"

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include <thread>

namespace ziwa::app {
namespace {

namespace asio = boost::asio;
using protocol::Listener;

constexpr std::chrono::milliseconds kStopPoll{5};
constexpr int64_t kLastWaitMs = 500;  ///< For SQL that has been cancelled, after the timeout.
constexpr size_t kHealthQueueMax = 100;

/// "port 5432 in use by postgres (pid 12); avoid with --set doors.postgres.port=0"
std::string blocked_text(const Error& error, const std::string& setting) {
  return fmt::format("{}; avoid with --set {}=0", error.message(), setting);
}

class OpenDoors final : public Doors {
 public:
  OpenDoors(Engines& engines, Metrics& metrics, const Clock& clock, const Settings& settings,
            RenderStatus render_status)
      : engines_(engines),
        metrics_(metrics),
        clock_(clock),
        settings_(settings),
        pool_("sql", static_cast<int>(settings.integer("sql.threads")),
              static_cast<size_t>(settings.integer("sql.queue.max"))),
        health_("health", 1, kHealthQueueMax),
        starts_("starts", 1, static_cast<size_t>(settings.integer("doors.connections.max"))),
        postgres_({.io = io_,
                   .pool = pool_,
                   .starts = starts_,
                   .database = engines.database(),
                   .metrics = metrics},
                  {.limits = {.message_bytes = static_cast<size_t>(
                                  settings.integer("postgres.message.bytes.max"))},
                   .server_version = postgres_version(),
                   .message_timeout_ms = settings.integer("postgres.message.timeout"),
                   .statement_timeout_ms = settings.integer("sql.statement.timeout"),
                   .memory_bytes_max = static_cast<size_t>(settings.integer("postgres.memory.max")),
                   .session_memory_bytes_max =
                       static_cast<size_t>(settings.integer("postgres.session.memory.max"))}),
        http_({.io = io_,
               .pool = pool_,
               .health = health_,
               .database = engines.database(),
               .engine = engines.stream(),
               .metrics = metrics,
               .status = [this, render = std::move(render_status)] { return render(status()); }},
              {.header_bytes_max = static_cast<uint32_t>(settings.integer("http.header.bytes.max")),
               .body_bytes_max = static_cast<uint64_t>(settings.integer("http.request.bytes.max")),
               .rows_max = static_cast<uint64_t>(settings.integer("http.rows.max")),
               .request_timeout_ms = settings.integer("http.timeout"),
               .statement_timeout_ms = settings.integer("sql.statement.timeout"),
               .memory_bytes_max = static_cast<size_t>(settings.integer("http.memory.max"))}),
        io_thread_([this] { run_io(); }) {}

  ~OpenDoors() override { stop(); }

  Status open_all() {
    TRY(open_kafka());
    TRY(open_listener("postgres", postgres_listener_,
                      [this](asio::ip::tcp::socket socket, std::shared_ptr<void> token) {
                        postgres_.accept(std::move(socket), std::move(token));
                      }));
    return open_listener("http", http_listener_,
                         [this](asio::ip::tcp::socket socket, std::shared_ptr<void> token) {
                           http_.accept(std::move(socket), std::move(token));
                         });
  }

  std::vector<DoorStatus> status() const override {
    auto list = doors_;
    for (auto& door : list) {
      if (door.name == "postgres") door.connections = postgres_.connections();
      if (door.name == "http") door.connections = http_.connections();
    }
    return list;
  }

  bool stop() override {
    if (stopped_) return true;
    stopped_ = true;
    engines_.database().set_consumer_groups({});
    if (postgres_listener_) postgres_listener_->stop();
    if (http_listener_) http_listener_->stop();
    postgres_.stop();
    http_.stop();
    if (kafka_) kafka_->stop();
    auto deadline = std::chrono::steady_clock::now() +
                    std::chrono::milliseconds(settings_.integer("server.shutdown.timeout"));
    while (postgres_.connections() + http_.connections() > 0 &&
           std::chrono::steady_clock::now() < deadline) {
      std::this_thread::sleep_for(kStopPoll);
    }
    const bool ended = pool_.stop_within(kLastWaitMs);
    if (!ended)
      log_warn("app", "a statement does not end; the server stops without waiting for it");
    health_.stop();
    starts_.stop();
    work_.reset();
    io_.stop();
    io_thread_.join();
    return ended;
  }

 private:
  Status open_kafka() {
    kafka::Door::Options options;
    options.address = settings_.text("doors.address");
    options.port = static_cast<uint16_t>(settings_.integer("doors.kafka.port"));
    options.connections_max = static_cast<int>(settings_.integer("doors.connections.max"));
    options.request_bytes_max = static_cast<size_t>(settings_.integer("kafka.request.bytes.max"));
    options.memory_bytes_max = static_cast<size_t>(settings_.integer("kafka.memory.max"));
    options.idle_ms = settings_.integer("kafka.connection.idle");
    options.request_ms = settings_.integer("kafka.request.timeout");
    auto door = kafka::Door::start(io_,
                                   {.log = engines_.log(),
                                    .catalog = engines_.catalog(),
                                    .store = engines_.meta(),
                                    .clock = clock_,
                                    .metrics = metrics_,
                                    .settle_readers = [this] { return settle_readers(); }},
                                   options);
    if (!door) return blocked("kafka", door.error());
    kafka_ = std::move(*door);
    engines_.database().set_consumer_groups([this] { return consumer_groups(); });
    doors_.push_back({.name = "kafka", .address = options.address, .port = kafka_->port()});
    return {};
  }

  /// As DELETE of SQL does: views keep their rows, but what they have still to read must be in a
  /// checkpoint first.
  Status settle_readers() {
    TRY(engines_.stream().wait(Epoch(engines_.journal().durable().value),
                               settings_.integer("sql.read.timeout")));
    return engines_.stream().checkpoint();
  }

  Result<std::vector<sql::ConsumerGroupOffset>> consumer_groups() {
    std::vector<sql::ConsumerGroupOffset> rows;
    for (const kafka::GroupStatus& status : TRY(kafka_->groups())) {
      sql::ConsumerGroupOffset row{.group = status.group.group_id,
                                   .state = std::string(groups::state_name(status.group.state)),
                                   .members = status.group.members.size(),
                                   .partition = {},
                                   .committed = {}};
      if (status.offsets.empty()) rows.push_back(row);
      for (const groups::GroupOffset& offset : status.offsets) {
        row.partition = offset.partition;
        row.committed = offset.offset;
        rows.push_back(row);
      }
    }
    return rows;
  }

  Status open_listener(const std::string& name, std::unique_ptr<Listener>& listener,
                       std::function<void(asio::ip::tcp::socket, std::shared_ptr<void>)> accept) {
    std::string setting = "doors." + name + ".port";
    Listener::Options options{
        .address = settings_.text("doors.address"),
        .port = static_cast<uint16_t>(settings_.integer(setting)),
        .connections_max = static_cast<int>(settings_.integer("doors.connections.max"))};
    auto opened = Listener::open(io_, options, setting);
    if (!opened) return blocked(name, opened.error());
    listener = std::move(*opened);
    doors_.push_back({.name = name, .address = options.address, .port = listener->port()});
    listener->start(std::move(accept));
    return {};
  }

  /// A handler that throws ends its connection, not the program.
  void run_io() {
    while (true) {
      try {
        io_.run();
        return;
      } catch (const std::exception& error) {
        log_error("app", "a connection's handler threw", "error={}", error.what());
      }
    }
  }

  /// A taken port blocks one door; anything else is a mistake that the user must see.
  Status blocked(const std::string& name, const Error& error) {
    if (error.code() != Code::already_exists) return Error(error).context("the " + name + " door");
    doors_.push_back({.name = name,
                      .address = settings_.text("doors.address"),
                      .blocked = blocked_text(error, "doors." + name + ".port")});
    return {};
  }

  Engines& engines_;
  Metrics& metrics_;
  const Clock& clock_;
  const Settings& settings_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  ThreadPool pool_;
  ThreadPool health_;
  ThreadPool starts_;
  protocol::postgres::Door postgres_;
  protocol::http::Door http_;
  std::unique_ptr<kafka::Door> kafka_;
  std::unique_ptr<Listener> postgres_listener_;
  std::unique_ptr<Listener> http_listener_;
  std::vector<DoorStatus> doors_;  ///< Written before the first status().
  bool stopped_ = false;
  std::thread io_thread_;
};

}  // namespace

Result<std::unique_ptr<Doors>> Doors::open(Engines& engines, Metrics& metrics, const Clock& clock,
                                           const Settings& settings, RenderStatus render_status) {
  auto doors =
      std::make_unique<OpenDoors>(engines, metrics, clock, settings, std::move(render_status));
  TRY(doors->open_all());
  return doors;
}

std::string_view program_version() { return ZIWA_VERSION; }

std::string postgres_version() { return fmt::format("15.0 (Ziwa {})", program_version()); }

}  // namespace ziwa::app
