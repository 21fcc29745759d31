#include "lake/path_internal.h"

namespace ziwa::lake {
namespace {

constexpr char kHex[] = "0123456789ABCDEF";

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void append_escaped(std::string& out, char c) {
  out += '%';
  out += kHex[static_cast<unsigned char>(c) >> 4];
  out += kHex[static_cast<unsigned char>(c) & 15];
}

bool is_alphanumeric(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

}  // namespace

std::string decode_path(std::string_view uri) {
  std::string path;
  path.reserve(uri.size());
  for (size_t i = 0; i < uri.size(); ++i) {
    if (uri[i] == '%' && i + 2 < uri.size() && hex_digit(uri[i + 1]) >= 0 &&
        hex_digit(uri[i + 2]) >= 0) {
      path += static_cast<char>(hex_digit(uri[i + 1]) * 16 + hex_digit(uri[i + 2]));
      i += 2;
    } else {
      path += uri[i];
    }
  }
  // file:/x, file:///x -> /x: writers use both forms for one file.
  if (path.starts_with("file:/")) {
    path.erase(0, 5);
    while (path.starts_with("//")) path.erase(0, 1);
  }
  return path;
}

std::string encode_path(std::string_view path) {
  constexpr std::string_view kSafe = "/-_.!~*'()=@&+$,;";
  std::string uri;
  uri.reserve(path.size());
  for (char c : path) {
    if (is_alphanumeric(c) || kSafe.find(c) != std::string_view::npos) {
      uri += c;
    } else {
      append_escaped(uri, c);
    }
  }
  return uri;
}

bool inside_table(std::string_view path) {
  if (path.empty() || path.front() == '/' || path.find("://") != std::string_view::npos)
    return false;
  while (!path.empty()) {
    size_t end = path.find('/');
    std::string_view part = path.substr(0, end);
    if (part == ".." || part == ".") return false;
    path.remove_prefix(end == std::string_view::npos ? path.size() : end + 1);
  }
  return true;
}

std::string partition_folder(std::string_view name, const std::optional<std::string>& value) {
  auto escape = [](std::string_view text) {
    std::string out;
    for (char c : text) {
      bool safe = is_alphanumeric(c) ||
                  std::string_view("-_. @+,").find(c) != std::string_view::npos ||
                  static_cast<unsigned char>(c) >= 0x80;
      if (safe) {
        out += c;
      } else {
        append_escaped(out, c);
      }
    }
    return out;
  };
  return escape(name) + "=" + (value ? escape(*value) : "__HIVE_DEFAULT_PARTITION__");
}

}  // namespace ziwa::lake
