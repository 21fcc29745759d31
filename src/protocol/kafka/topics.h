#pragma once

#include "catalog/catalog.h"
#include "catalog/topic_name.h"
#include "protocol/kafka/errors.h"
#include "protocol/kafka/wire.h"

#include <optional>
#include <string>
#include <string_view>

// Topics are catalog objects. One in schema public goes by its own name, others by "schema.name".
namespace ziwa::kafka {

using catalog::topic_name;
/// The topic called `name`, or null; what is not a topic is not found.
catalog::ObjectPtr find_topic(const catalog::Snapshot& snapshot, std::string_view name);
/// Where a new topic called `name` belongs. Errors: invalid_argument (not a name that clients may
/// use).
struct TopicPlace {
  std::string schema;
  std::string name;
};
Result<TopicPlace> place_topic(const catalog::Snapshot& snapshot, std::string_view name);

/// Topic ids of one cluster: made from the object's id, so they are stable and a topic made again
/// gets another.
class TopicIds {
 public:
  explicit TopicIds(std::string_view cluster_id);
  Uuid of(ObjectId id) const;
  /// Nothing when the id was not given by this cluster.
  std::optional<ObjectId> object(const Uuid& id) const;
  catalog::ObjectPtr find(const catalog::Snapshot& snapshot, const Uuid& id) const;

 private:
  uint64_t cluster_ = 0;
};

}  // namespace ziwa::kafka
