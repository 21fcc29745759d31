#pragma once

#include "catalog/catalog.h"

#include <map>
#include <set>

namespace ziwa::catalog {

/// Objects by id and by name. Copied, changed and then shared as immutable.
class SnapshotImage final : public Snapshot {
 public:
  uint64_t version() const override { return version_; }
  ObjectPtr find(std::string_view schema, std::string_view name) const override;
  ObjectPtr find(ObjectId id) const override;
  std::vector<ObjectPtr> all() const override;
  std::vector<ObjectPtr> dependants(ObjectId id) const override;
  std::vector<std::string> schemas() const override;

  size_t size() const { return by_id_.size(); }
  const std::map<ObjectId, ObjectPtr>& by_id() const { return by_id_; }
  void set_version(uint64_t version) { version_ = version; }
  /// Adds or replaces the object with this id.
  void put(ObjectPtr object);
  void remove(ObjectId id);

 private:
  using Name = std::pair<std::string, std::string>;  ///< In lower case.
  static Name key(std::string_view schema, std::string_view name);

  uint64_t version_ = 0;
  std::map<ObjectId, ObjectPtr> by_id_;
  std::map<Name, ObjectPtr> by_name_;
  std::map<ObjectId, std::set<ObjectId>> dependants_;
};

/// What turns `before` into `after`: drops first (dependants before what they depend on), then the
/// others (dependencies before their dependants).
std::vector<Change> difference(const SnapshotImage& before, const SnapshotImage& after);

}  // namespace ziwa::catalog
