#include "protocol/kafka/topics.h"

#include <algorithm>

namespace ziwa::kafka {
namespace {

constexpr std::string_view kDefaultSchema = "public";
constexpr std::string_view kSystemSchema = "ziwa";

catalog::ObjectPtr topic_or_null(catalog::ObjectPtr object) {
  return object && object->kind() == catalog::Kind::topic ? object : nullptr;
}

bool has_schema(const catalog::Snapshot& snapshot, std::string_view schema) {
  const std::vector<std::string> schemas = snapshot.schemas();
  return std::ranges::find(schemas, schema) != schemas.end();
}

}  // namespace

catalog::ObjectPtr find_topic(const catalog::Snapshot& snapshot, std::string_view name) {
  if (auto topic = topic_or_null(snapshot.find(kDefaultSchema, name))) return topic;
  const size_t dot = name.find('.');
  if (dot == std::string_view::npos) return nullptr;
  return topic_or_null(snapshot.find(name.substr(0, dot), name.substr(dot + 1)));
}

Result<TopicPlace> place_topic(const catalog::Snapshot& snapshot, std::string_view name) {
  TRY(catalog::check_topic_name(name));
  const size_t dot = name.find('.');
  if (dot != std::string_view::npos) {
    const std::string_view schema = name.substr(0, dot);
    if (schema == kSystemSchema)
      return Error(Code::invalid_argument, "schema {} belongs to the system", schema);
    if (dot + 1 < name.size() && has_schema(snapshot, schema)) {
      return TopicPlace{.schema = std::string(schema), .name = std::string(name.substr(dot + 1))};
    }
  }
  return TopicPlace{.schema = std::string(kDefaultSchema), .name = std::string(name)};
}

TopicIds::TopicIds(std::string_view cluster_id) : cluster_(0xcbf29ce484222325ull) {
  for (char c : cluster_id)
    cluster_ = (cluster_ ^ static_cast<uint8_t>(c)) * 0x100000001b3ull;  // FNV-1a
  cluster_ |= 1;  // Never zero, which would mean "none".
}

Uuid TopicIds::of(ObjectId id) const {
  Uuid uuid;
  store_be(uuid.bytes.data(), cluster_);
  store_be(uuid.bytes.data() + sizeof cluster_, id.value);
  return uuid;
}

std::optional<ObjectId> TopicIds::object(const Uuid& id) const {
  if (load_be<uint64_t>(id.bytes.data()) != cluster_) return std::nullopt;
  return ObjectId(load_be<uint64_t>(id.bytes.data() + sizeof cluster_));
}

catalog::ObjectPtr TopicIds::find(const catalog::Snapshot& snapshot, const Uuid& id) const {
  std::optional<ObjectId> object_id = object(id);
  return object_id ? topic_or_null(snapshot.find(*object_id)) : nullptr;
}

}  // namespace ziwa::kafka
