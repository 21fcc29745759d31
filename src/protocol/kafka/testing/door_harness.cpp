// A server with nothing but the Kafka door, for trying clients against it: door_harness DIR [PORT].
#include "base/log.h"
#include "protocol/kafka/door.h"
#include "protocol/kafka/testing/served_data.h"

#include <boost/asio/signal_set.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>

namespace ziwa::kafka {
namespace {

Status serve(const std::string& path, uint16_t port) {
  SystemClock clock;
  testing::ServedData data(posix_file_system(), clock);
  TRY(data.open(path));
  boost::asio::io_context io(1);
  Door::Options options{.port = port};
  options.auto_create_topics = std::getenv("AUTO_CREATE") != nullptr;
  auto door = TRY(Door::start(io,
                              {.log = data.log(),
                               .catalog = data.catalog(),
                               .store = data.store(),
                               .clock = clock,
                               .metrics = data.metrics()},
                              options));
  std::printf("ready kafka 127.0.0.1:%d\n", door->port());
  std::fflush(stdout);
  boost::asio::signal_set signals(io, SIGINT, SIGTERM);
  signals.async_wait([&](auto, int) { io.stop(); });
  io.run();
  door->stop();
  std::fputs(data.metrics().render().c_str(), stderr);
  return {};
}

}  // namespace
}  // namespace ziwa::kafka

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  ziwa::init_logging(ziwa::LogLevel::info, false);
  auto served =
      ziwa::kafka::serve(argv[1], static_cast<uint16_t>(argc > 2 ? std::atoi(argv[2]) : 0));
  if (!served) std::fprintf(stderr, "%s\n", served.error().to_string().c_str());
  return served ? 0 : 1;
}
