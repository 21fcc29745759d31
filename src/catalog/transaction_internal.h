#pragma once

#include "catalog/snapshot_internal.h"

namespace ziwa::catalog {

/// Checks and gathers changes in memory; the catalog commits what it ends with.
class TransactionImage final : public Transaction {
 public:
  /// `next_id` is the catalog's counter; it moves even when the transaction is dropped, so no id is
  /// ever used twice.
  TransactionImage(const SnapshotImage& start, uint64_t& next_id, TimestampMs now);

  SnapshotPtr snapshot() const override { return current_; }
  Result<ObjectPtr> create(Object object) override;
  Result<ObjectPtr> replace(Object object) override;
  Status drop(ObjectId id, bool cascade) override;

  const std::shared_ptr<const SnapshotImage>& image() const { return current_; }

 private:
  Status check(const Object& object) const;
  Status check_no_cycle(const Object& object) const;
  ObjectPtr put(Object object);
  void drop_with_dependants(SnapshotImage& image, ObjectId id) const;

  std::shared_ptr<const SnapshotImage> current_;
  uint64_t version_;
  uint64_t& next_id_;
  TimestampMs now_;
};

}  // namespace ziwa::catalog
