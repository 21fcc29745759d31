#include "base/text.h"
#include "catalog/snapshot_internal.h"

#include <ranges>

namespace ziwa::catalog {
namespace {

/// Appends `id` of `image` after everything in `image` that it depends on.
void visit(const SnapshotImage& image, ObjectId id, std::set<ObjectId>& seen,
           std::vector<ObjectPtr>& order) {
  ObjectPtr object = image.find(id);
  if (object == nullptr || !seen.insert(id).second) return;
  for (ObjectId dependency : object->depends_on) visit(image, dependency, seen, order);
  order.push_back(std::move(object));
}

std::vector<ObjectPtr> dependencies_first(const SnapshotImage& image) {
  std::set<ObjectId> seen;
  std::vector<ObjectPtr> order;
  for (const auto& [id, object] : image.by_id()) visit(image, id, seen, order);
  return order;
}

}  // namespace

SnapshotImage::Name SnapshotImage::key(std::string_view schema, std::string_view name) {
  return {lower(schema), lower(name)};
}

ObjectPtr SnapshotImage::find(std::string_view schema, std::string_view name) const {
  auto at = by_name_.find(key(schema, name));
  return at == by_name_.end() ? nullptr : at->second;
}

ObjectPtr SnapshotImage::find(ObjectId id) const {
  auto at = by_id_.find(id);
  return at == by_id_.end() ? nullptr : at->second;
}

std::vector<ObjectPtr> SnapshotImage::all() const {
  std::vector<ObjectPtr> objects;
  for (const auto& [name, object] : by_name_) objects.push_back(object);
  return objects;
}

std::vector<ObjectPtr> SnapshotImage::dependants(ObjectId id) const {
  std::vector<ObjectPtr> objects;
  auto at = dependants_.find(id);
  if (at == dependants_.end()) return objects;
  for (ObjectId dependant : at->second) objects.push_back(find(dependant));
  return objects;
}

std::vector<std::string> SnapshotImage::schemas() const {
  std::set<std::string> names = {"public"};
  for (const auto& [id, object] : by_id_) names.insert(object->schema);
  return {names.begin(), names.end()};
}

void SnapshotImage::put(ObjectPtr object) {
  remove(object->id);
  for (ObjectId dependency : object->depends_on) dependants_[dependency].insert(object->id);
  by_name_[key(object->schema, object->name)] = object;
  by_id_[object->id] = std::move(object);
}

void SnapshotImage::remove(ObjectId id) {
  ObjectPtr object = find(id);
  if (object == nullptr) return;
  for (ObjectId dependency : object->depends_on) dependants_[dependency].erase(id);
  by_name_.erase(key(object->schema, object->name));
  by_id_.erase(id);
}

std::vector<Change> difference(const SnapshotImage& before, const SnapshotImage& after) {
  std::vector<Change> changes;
  for (const auto& object : dependencies_first(before) | std::views::reverse) {
    if (after.find(object->id) == nullptr) changes.push_back({object, nullptr});
  }
  for (const auto& object : dependencies_first(after)) {
    ObjectPtr old = before.find(object->id);
    if (old != object) changes.push_back({std::move(old), object});
  }
  return changes;
}

}  // namespace ziwa::catalog
