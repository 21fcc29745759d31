#pragma once

#include "stream/source.h"
#include "stream/stage.h"

#include <functional>
#include <map>
#include <memory>
#include <vector>

namespace ziwa::stream {

/// What a plan's source is.
struct SourceObject {
  data::Schema schema;
  bool topic = false;
  bool timed = false;        ///< A topic with a WATERMARK.
  bool append_only = false;  ///< Rows are never taken back.
  bool endless = false;      ///< Rows come for ever: a topic, or a view that follows one.
};

/// The operators of one plan, wired together. One thread.
class Dataflow {
 public:
  using Resolve = std::function<Result<SourceObject>(ObjectId)>;
  /// Errors: what an operator refuses, with the node's kind before it; not_found for a source.
  static Result<std::unique_ptr<Dataflow>> compile(const Plan& plan, StageContext& context,
                                                   const Resolve& resolve);

  const std::vector<Source*>& sources() const { return sources_; }
  /// Whether the result only grows.
  bool append_only() const { return append_only_; }
  const duckdb::vector<duckdb::LogicalType>& types() const { return types_; }
  /// Sends the result's changes on.
  void add_target(Stage* target, size_t input) { root_->add_target(target, input); }
  /// Shows what one operator gives to a test, too.
  void watch(uint32_t node, Stage* target) { by_id_.at(node)->add_target(target, 0); }

  /// Ends a step: every operator gives what it still owes, sources first.
  Status finish();
  /// Writes what changed since the last save under `prefix` + node id (4 bytes, big-endian).
  Status save(state::WriteBatch& batch, state::TableId table, const std::string& prefix);
  /// Takes back one entry; `key` is what follows the prefix. Errors: corrupt.
  Status load(std::string_view key, std::string_view value);
  size_t state_bytes() const;
  /// One per operator, in the order of the plan.
  std::vector<OperatorReport> report() const;

 private:
  class Builder;
  Dataflow() = default;
  std::vector<std::pair<uint32_t, std::unique_ptr<Stage>>> operators_;  ///< By node id, in order.
  std::map<uint32_t, Stage*> by_id_;
  std::map<uint32_t, std::string> grows_;  ///< By node id: why its state can grow for ever.
  std::vector<Source*> sources_;
  std::unique_ptr<Stage> normalize_;  ///< Behind the last operator, if its types need it.
  Stage* root_ = nullptr;
  bool append_only_ = false;
  duckdb::vector<duckdb::LogicalType> types_;
};

}  // namespace ziwa::stream
