#include "protocol/listen/client_watch.h"

#include <boost/asio/steady_timer.hpp>

#include <chrono>
#include <poll.h>

namespace ziwa::protocol {
namespace {

constexpr std::chrono::milliseconds kLookEvery{500};

/// Not to be seen by waiting for input: a client may have sent its next requests already.
bool has_hung_up(int socket) {
  pollfd watched{.fd = socket, .events = POLLRDHUP, .revents = 0};
  return ::poll(&watched, 1, 0) > 0;
}

}  // namespace

/// Outlives the watch while its timer is armed, which happens at most once per interval, however
/// many statements begin and end.
struct ClientWatch::State : std::enable_shared_from_this<State> {
  State(boost::asio::ip::tcp::socket& watched, Tick call)
      : socket(&watched), tick(std::move(call)), timer(watched.get_executor()) {}

  void arm() {
    armed = true;
    timer.expires_after(kLookEvery);
    timer.async_wait([self = shared_from_this()](boost::system::error_code) {
      self->armed = false;
      if (!self->active || self->socket == nullptr) return;
      self->tick(has_hung_up(self->socket->native_handle()));
      self->arm();
    });
  }

  boost::asio::ip::tcp::socket* socket;
  Tick tick;
  boost::asio::steady_timer timer;
  bool armed = false;
  bool active = false;
};

ClientWatch::ClientWatch(boost::asio::ip::tcp::socket& socket, Tick tick)
    : state_(std::make_shared<State>(socket, std::move(tick))) {}

ClientWatch::~ClientWatch() {
  state_->socket = nullptr;
  state_->timer.cancel();
}

void ClientWatch::begin() {
  state_->active = true;
  if (!state_->armed) state_->arm();
}

void ClientWatch::end() { state_->active = false; }

}  // namespace ziwa::protocol
