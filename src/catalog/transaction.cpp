#include "catalog/topic_name.h"
#include "catalog/transaction_internal.h"

#include <fmt/format.h>

namespace ziwa::catalog {
namespace {

constexpr size_t kObjectsMax = 10'000;
constexpr size_t kNameBytesMax = 255;

/// "topic \"public.flights\"".
std::string describe(const Object& object) {
  return fmt::format("{} \"{}.{}\"", kind_name(object.kind()), object.schema, object.name);
}

data::Schema* schema_of(Object& object) {
  if (auto* topic = std::get_if<TopicDefinition>(&object.definition)) return &topic->schema;
  if (auto* table = std::get_if<TableDefinition>(&object.definition)) return &table->schema;
  if (auto* view = std::get_if<ViewDefinition>(&object.definition)) return &view->schema;
  return nullptr;
}

/// Columns that came without ids are numbered from 1.
void number_columns(Object& object) {
  data::Schema* schema = schema_of(object);
  if (schema == nullptr) return;
  bool bare =
      std::ranges::all_of(schema->columns, [](const auto& column) { return column.id == 0; });
  for (uint32_t i = 0; bare && i < schema->columns.size(); ++i) schema->columns[i].id = i + 1;
}

Status check_name(std::string_view what, std::string_view name) {
  if (name.empty()) return Error(Code::invalid_argument, "a {} needs a name", what);
  if (name.size() > kNameBytesMax) {
    return Error(Code::invalid_argument, "the name of a {} has {} bytes, more than {}", what,
                 name.size(), kNameBytesMax);
  }
  if (name.find('\0') != std::string_view::npos) {
    return Error(Code::invalid_argument, "the name of a {} has a zero byte", what);
  }
  return {};
}

/// Another topic that Kafka clients would call by the same name.
ObjectPtr topic_called(const SnapshotImage& image, const std::string& name) {
  auto topic = [](ObjectPtr object) {
    return object != nullptr && object->kind() == Kind::topic ? object : nullptr;
  };
  if (auto found = topic(image.find("public", name))) return found;
  for (size_t dot = name.find('.'); dot != std::string::npos; dot = name.find('.', dot + 1)) {
    if (auto found = topic(image.find(name.substr(0, dot), name.substr(dot + 1)))) return found;
  }
  return nullptr;
}

}  // namespace

TransactionImage::TransactionImage(const SnapshotImage& start, uint64_t& next_id, TimestampMs now)
    : version_(start.version() + 1), next_id_(next_id), now_(now) {
  auto image = std::make_shared<SnapshotImage>(start);
  image->set_version(version_);
  current_ = std::move(image);
}

Status TransactionImage::check(const Object& object) const {
  TRY(check_name("schema", object.schema));
  TRY(check_name(kind_name(object.kind()), object.name));
  ObjectPtr namesake = current_->find(object.schema, object.name);
  if (namesake != nullptr && namesake->id != object.id) {
    return Error(Code::already_exists, "{} exists", describe(*namesake));
  }
  if (object.kind() == Kind::topic) {
    const std::string name = topic_name(object);
    TRY(check_topic_name(name));
    ObjectPtr other = topic_called(*current_, name);
    if (other != nullptr && other->id != object.id) {
      return Error(Code::already_exists, "Kafka clients already call {} \"{}\"", describe(*other),
                   name);
    }
  }
  for (ObjectId dependency : object.depends_on) {
    if (current_->find(dependency) == nullptr) {
      return Error(Code::not_found, "{} depends on object {}, which does not exist",
                   describe(object), dependency);
    }
  }
  return check_no_cycle(object);
}

Status TransactionImage::check_no_cycle(const Object& object) const {
  std::set<ObjectId> seen;
  std::vector<ObjectId> pending = object.depends_on;
  while (!pending.empty()) {
    ObjectId id = pending.back();
    pending.pop_back();
    if (id == object.id) {
      return Error(Code::invalid_argument, "{} would depend on itself", describe(object));
    }
    if (!seen.insert(id).second) continue;
    ObjectPtr next = current_->find(id);
    pending.insert(pending.end(), next->depends_on.begin(), next->depends_on.end());
  }
  return {};
}

ObjectPtr TransactionImage::put(Object object) {
  object.version = version_;
  number_columns(object);
  auto shared = std::make_shared<const Object>(std::move(object));
  auto image = std::make_shared<SnapshotImage>(*current_);
  image->put(shared);
  current_ = std::move(image);
  return shared;
}

Result<ObjectPtr> TransactionImage::create(Object object) {
  if (current_->size() >= kObjectsMax) {
    return Error(Code::exhausted, "the catalog is full: {} objects", kObjectsMax);
  }
  object.id = ObjectId(next_id_);
  TRY(check(object));
  ++next_id_;
  if (object.created == TimestampMs()) object.created = now_;
  return put(std::move(object));
}

Result<ObjectPtr> TransactionImage::replace(Object object) {
  ObjectPtr old = current_->find(object.id);
  if (old == nullptr) {
    return Error(Code::not_found, "{} does not exist any more", describe(object));
  }
  if (old->kind() != object.kind()) {
    return Error(Code::invalid_argument, "{} cannot become a {}", describe(*old),
                 kind_name(object.kind()));
  }
  TRY(check(object));
  object.created = old->created;
  return put(std::move(object));
}

void TransactionImage::drop_with_dependants(SnapshotImage& image, ObjectId id) const {
  for (const auto& dependant : image.dependants(id)) drop_with_dependants(image, dependant->id);
  image.remove(id);
}

Status TransactionImage::drop(ObjectId id, bool cascade) {
  ObjectPtr object = current_->find(id);
  if (object == nullptr) return Error(Code::not_found, "object {} does not exist", id);
  auto dependants = current_->dependants(id);
  if (!dependants.empty() && !cascade) {
    std::vector<std::string> names;
    for (const auto& dependant : dependants) names.push_back(describe(*dependant));
    return Error(Code::conflict, "{} is used by {}", describe(*object), fmt::join(names, ", "))
        .with_hint("drop these first, or use CASCADE");
  }
  auto image = std::make_shared<SnapshotImage>(*current_);
  drop_with_dependants(*image, id);
  current_ = std::move(image);
  return {};
}

}  // namespace ziwa::catalog
