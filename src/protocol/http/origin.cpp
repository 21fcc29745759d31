#include "protocol/http/origin.h"

#include <boost/asio/ip/address_v4.hpp>

#include <algorithm>
#include <cctype>
#include <string>

namespace ziwa::protocol::http {
namespace {

/// "[::1]:8080" -> "[::1]"; a port must be digits.
std::optional<std::string> host_name(std::string_view host) {
  size_t name_end = host.starts_with('[') ? host.find(']') : host.find(':');
  if (host.starts_with('[')) {
    if (name_end == std::string_view::npos) return std::nullopt;
    ++name_end;
  }
  std::string name(host.substr(0, name_end));
  std::string_view port = name_end < host.size() ? host.substr(name_end) : std::string_view();
  if (!port.empty()) {
    bool digits = port.size() > 1 && port[0] == ':' &&
                  std::all_of(port.begin() + 1, port.end(),
                              [](unsigned char c) { return std::isdigit(c) != 0; });
    if (!digits) return std::nullopt;
  }
  std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
  return name;
}

bool is_local(std::string_view host) {
  auto name = host_name(host);
  if (!name || *name == "localhost" || *name == "[::1]") return name.has_value();
  boost::system::error_code error;
  auto address = boost::asio::ip::make_address_v4(*name, error);  // 127.0.0.0/8
  return !error && address.is_loopback();
}

}  // namespace

Status check_origin(std::optional<std::string_view> host, std::optional<std::string_view> origin) {
  if (!host) return Error(Code::invalid_argument, "the request has no Host header");
  if (!is_local(*host)) {
    return Error(Code::permission, "this server answers to localhost, not to \"{}\"", *host)
        .with_hint("use http://localhost or http://127.0.0.1");
  }
  if (!origin) return {};
  size_t scheme = origin->find("://");
  bool http = scheme != std::string_view::npos &&
              (origin->substr(0, scheme) == "http" || origin->substr(0, scheme) == "https");
  if (!http || !is_local(origin->substr(scheme + 3))) {
    return Error(Code::permission, "requests from pages of \"{}\" are refused", *origin);
  }
  return {};
}

}  // namespace ziwa::protocol::http
