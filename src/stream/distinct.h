#pragma once

#include "stream/key_table.h"
#include "stream/stage.h"

namespace ziwa::stream {

/// Each row once while its weight is positive: emits only when a weight crosses zero.
class Distinct final : public Stage {
 public:
  static Result<std::unique_ptr<Distinct>> create(const std::vector<PlanColumn>& columns);
  Status consume(size_t input, Delta& delta) override;
  Status finish() override;
  Status save(StateWriter& writer) override;
  Status load(char tag, std::string_view key, std::string_view value) override;
  size_t state_bytes() const override { return table_.bytes(); }

 private:
  struct Row;
  explicit Distinct(data::RowKeyEncoder encoder);
  Row& row(KeyTable::Slot slot) { return *reinterpret_cast<Row*>(table_.payload(slot)); }
  Status flush();

  data::RowKeyEncoder encoder_;
  std::vector<size_t> columns_;
  std::vector<data::ColumnTarget> targets_;
  KeyTable table_;
  data::ByteBlock keys_;
  std::vector<KeyTable::Slot> slots_;
  std::vector<uint8_t> inserted_;
  std::vector<KeyTable::Slot> touched_;
  std::vector<KeyTable::Slot> unsaved_;
  duckdb::DataChunk output_;
  std::vector<Weight> weights_;
};

}  // namespace ziwa::stream
