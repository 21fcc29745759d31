#include "protocol/listen/listener.h"

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <unistd.h>

namespace ziwa::protocol {
namespace {

namespace fs = std::filesystem;

/// Inode of the socket that listens on `port` according to one of /proc/net/tcp and tcp6, or empty.
std::string listening_inode(const char* table, uint16_t port) {
  std::ifstream file(table);
  std::string line;
  std::getline(file, line);  // The heading.
  const std::string suffix = fmt::format(":{:04X}", port);
  while (std::getline(file, line)) {
    std::istringstream fields(line);
    std::string slot, local, remote, state, queues, timer, retransmits, uid, timeout, inode;
    fields >> slot >> local >> remote >> state >> queues >> timer >> retransmits >> uid >>
        timeout >> inode;
    if (state == "0A" && local.ends_with(suffix)) return inode;  // 0A: LISTEN
  }
  return {};
}

bool holds_socket(const fs::path& process, const std::string& link) {
  std::error_code
      error;  // Processes end and descriptors are private: both just mean "not this one".
  for (fs::directory_iterator it(process / "fd", error), end; !error && it != end;
       it.increment(error)) {
    std::error_code unreadable;
    if (fs::read_symlink(it->path(), unreadable).string() == link) return true;
  }
  return false;
}

std::string process_name(const fs::path& process) {
  std::ifstream file(process / "comm");
  std::string name;
  std::getline(file, name);
  return name;
}

}  // namespace

std::string port_owner(uint16_t port) {
  std::string inode = listening_inode("/proc/net/tcp", port);
  if (inode.empty()) inode = listening_inode("/proc/net/tcp6", port);
  if (inode.empty()) return {};
  const std::string link = "socket:[" + inode + "]";
  std::error_code error;
  for (fs::directory_iterator it("/proc", error), end; !error && it != end; it.increment(error)) {
    const std::string pid = it->path().filename().string();
    if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
    if (holds_socket(it->path(), link))
      return fmt::format("{} (pid {})", process_name(it->path()), pid);
  }
  return {};
}

}  // namespace ziwa::protocol
