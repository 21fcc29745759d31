#pragma once

#include "stream/top_n_rows.h"

#include <map>
#include <set>

namespace ziwa::stream {

/// The first rows of each partition, by an order that all columns make total. All rows are kept:
/// one that is taken back lets another in. FirstRows is for inputs that take none back.
class TopN final : public Stage {
 public:
  explicit TopN(std::unique_ptr<TopNRows> rows)
      : rows_(std::move(rows)), closing_(rows_->take_closing()) {}
  Status consume(size_t input, Delta& delta) override;
  Status finish() override;
  Status save(StateWriter& writer) override;
  Status load(char tag, std::string_view key, std::string_view value) override;
  size_t state_bytes() const override { return bytes_ + closing_.bytes(); }

 private:
  struct Entry {
    Weight weight = 0;
    uint32_t order_bytes = 0;  ///< Where the row's own key begins.
    bool stored = false;
  };
  using Rows = std::map<std::string, Entry, std::less<>>;
  struct Partition {
    Rows rows;
    bool touched = false;
    bool shown_known = false;
    bool listed = false;  ///< In unsaved_.
    /// What the output holds: row keys (after the order key) in rank order.
    std::vector<std::string> shown;
    std::set<std::string> unsaved;  ///< Keys of rows changed since the last checkpoint.
  };
  using Partitions = std::map<std::string, Partition, std::less<>>;

  std::vector<std::string> first_rows(const Partition& partition) const;
  Result<Partitions::iterator> partition_of(std::string_view name);
  void let_go(StateWriter& writer);
  void add(Partition& partition, std::string_view key, uint32_t order_bytes, Weight weight);
  Status show(std::string_view row_key, size_t rank, Weight weight);

  std::unique_ptr<TopNRows> rows_;
  Partitions partitions_;
  std::vector<Partitions::iterator> touched_;
  std::vector<Partitions::iterator> unsaved_;
  size_t bytes_ = 0;
  ClosingPartitions closing_;

  data::ByteBlock partition_keys_;
  data::ByteBlock row_keys_;
  std::string key_;
};

}  // namespace ziwa::stream
