#include "catalog/topic_name.h"

#include <algorithm>

namespace ziwa::catalog {
namespace {

constexpr size_t kTopicNameBytesMax = 249;  // Kafka: so that the log's directory has a name.

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
         c == '_' || c == '-';
}

}  // namespace

std::string topic_name(const Object& topic) {
  return topic.schema == "public" ? topic.name : topic.schema + "." + topic.name;
}

Status check_topic_name(std::string_view name) {
  if (!name.empty() && name.size() <= kTopicNameBytesMax && name != "." && name != ".." &&
      std::ranges::all_of(name, is_name_character)) {
    return {};
  }
  return Error(Code::invalid_argument, "\"{}\" is not a topic name", name)
      .with_hint("use 1 to 249 of the characters a-z, A-Z, 0-9, '.', '_' and '-'");
}

}  // namespace ziwa::catalog
