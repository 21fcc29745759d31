#pragma once

#include "stream/closing.h"
#include "stream/key_table.h"
#include "stream/stage.h"

#include <array>

namespace ziwa::stream {

/// DISTINCT, EXCEPT and INTERSECT: how often a row comes out follows from how often it is in each
/// input. Emits only what changes of that.
class SetOperation final : public Stage {
 public:
  enum class Rule : uint8_t { distinct, except, except_all, intersect, intersect_all };
  static Rule rule_of(const SetOperationNode& node);
  /// `closing`: says when a row is final.
  static Result<std::unique_ptr<SetOperation>> create(const StageContext& context, Rule rule,
                                                      const std::vector<PlanColumn>& columns,
                                                      const std::optional<BoundColumn>& closing);
  Status consume(size_t input, Delta& delta) override;
  Status finish() override;
  Status save(StateWriter& writer) override;
  Status load(char tag, std::string_view key, std::string_view value) override;
  size_t state_bytes() const override { return table_.bytes() + closing_.bytes(); }

 private:
  struct Row;  ///< Payload of a row; its weight in each input follows.
  SetOperation(Rule rule, data::RowKeyEncoder encoder, ClosingKeys closing);
  size_t inputs() const { return rule_ == Rule::distinct ? 1 : 2; }
  Row& row(KeyTable::Slot slot) { return *reinterpret_cast<Row*>(table_.payload(slot)); }
  Weight* weights(KeyTable::Slot slot);
  Weight result(const Weight* weights) const;
  Status let_go(StateWriter& writer);

  Rule rule_;
  data::RowKeyEncoder encoder_;
  std::vector<size_t> columns_;
  std::vector<data::ColumnTarget> targets_;
  KeyTable table_;
  data::ByteBlock keys_;
  std::vector<KeyTable::Slot> slots_;
  std::vector<uint8_t> inserted_;
  std::vector<KeyTable::Slot> touched_;
  std::vector<KeyTable::Slot> unsaved_;
  ClosingSlots closing_;
  duckdb::DataChunk output_;
  std::vector<Weight> output_weights_;
};

}  // namespace ziwa::stream
