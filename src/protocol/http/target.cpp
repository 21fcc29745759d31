#include "protocol/http/target.h"

#include "duck/values.h"

namespace ziwa::protocol::http {
namespace {

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

Result<std::string> decode(std::string_view text, bool plus_is_space) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out.push_back(' ');
    } else if (text[i] == '%') {
      int high = i + 2 < text.size() ? hex_value(text[i + 1]) : -1;
      int low = i + 2 < text.size() ? hex_value(text[i + 2]) : -1;
      if (high < 0 || low < 0) {
        return Error(Code::invalid_argument, "\"{}\" has a bad %-escape", text);
      }
      out.push_back(static_cast<char>(high * 16 + low));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  if (!duckdb::Value::StringIsValid(out.data(), out.size())) {
    return Error(Code::invalid_argument, "the request target is not valid UTF-8");
  }
  if (out.find('\0') != std::string::npos) {
    return Error(Code::invalid_argument, "the request target holds a zero byte");
  }
  return out;
}

constexpr std::string_view kBase64 =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

}  // namespace

Result<Target> parse_target(std::string_view target) {
  if (target.size() > kTargetBytesMax) {
    return Error(Code::exhausted, "the request target is longer than {} bytes", kTargetBytesMax);
  }
  if (!target.starts_with('/')) {
    return Error(Code::invalid_argument, "the request target must be a path");
  }
  target = target.substr(0, target.find('#'));
  size_t question = target.find('?');
  std::string_view path =
      target.substr(1, question == std::string_view::npos ? std::string_view::npos : question - 1);
  Target out;
  while (!path.empty()) {
    size_t slash = path.find('/');
    out.path.push_back(TRY(decode(path.substr(0, slash), false)));
    path = slash == std::string_view::npos ? std::string_view() : path.substr(slash + 1);
  }
  if (question == std::string_view::npos) return out;
  std::string_view query = target.substr(question + 1);
  while (!query.empty()) {
    size_t end = query.find('&');
    std::string_view pair = query.substr(0, end);
    query = end == std::string_view::npos ? std::string_view() : query.substr(end + 1);
    if (pair.empty()) continue;
    if (out.parameters.size() == kParametersMax) {
      return Error(Code::exhausted, "a request has at most {} parameters", kParametersMax);
    }
    size_t equals = pair.find('=');
    std::string name = TRY(decode(pair.substr(0, equals), true));
    std::string value;
    if (equals != std::string_view::npos) value = TRY(decode(pair.substr(equals + 1), true));
    out.parameters.emplace_back(std::move(name), std::move(value));
  }
  return out;
}

std::string encode_component(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (char c : text) {
    auto byte = static_cast<unsigned char>(c);
    bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                 c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out.push_back(c);
    } else {
      out.push_back('%');
      out.push_back(kHex[byte >> 4]);
      out.push_back(kHex[byte & 15]);
    }
  }
  return out;
}

bool names_etag(std::string_view header, std::string_view etag) {
  while (!header.empty()) {
    size_t comma = header.find(',');
    std::string_view tag = header.substr(0, comma);
    header = comma == std::string_view::npos ? std::string_view() : header.substr(comma + 1);
    while (tag.starts_with(' ')) tag.remove_prefix(1);
    while (tag.ends_with(' ')) tag.remove_suffix(1);
    if (tag.starts_with("W/")) tag.remove_prefix(2);
    if (tag == "*" || tag == etag) return true;
  }
  return false;
}

std::string encode_base64(std::string_view bytes) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (char c : bytes) {
    bits = (bits << 8) | static_cast<unsigned char>(c);
    for (count += 8; count >= 6; count -= 6) out.push_back(kBase64[(bits >> (count - 6)) & 63]);
  }
  if (count > 0) out.push_back(kBase64[(bits << (6 - count)) & 63]);
  return out;
}

Result<std::string> decode_base64(std::string_view text) {
  std::string out;
  uint32_t bits = 0;
  int count = 0;
  for (char c : text) {
    size_t digit = kBase64.find(c);
    if (digit == std::string_view::npos) {
      return Error(Code::invalid_argument, "a cursor is taken from the Link header as it is");
    }
    bits = (bits << 6) | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    out.push_back(static_cast<char>((bits >> count) & 255));
  }
  return out;
}

}  // namespace ziwa::protocol::http
