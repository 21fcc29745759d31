#include "stream/top_n_rows.h"

namespace ziwa::stream {
namespace {

constexpr char kRowTag = 'r';

// A stored row: sized partition key, order key and row key -> svarint weight, varint length of the
// order key.
std::string stored_key(std::string_view partition, std::string_view key) {
  ByteWriter head;
  head.sized(partition);
  std::string stored(as_text(head.view()));
  return stored.append(key);
}

}  // namespace

Result<std::unique_ptr<TopNRows>> TopNRows::create(StageContext& context, uint32_t node_id,
                                                   const TopNNode& node,
                                                   const std::vector<PlanColumn>& input,
                                                   const std::vector<PlanColumn>& output,
                                                   const std::optional<BoundColumn>& closing) {
  const size_t partitions = node.partition_by.size();
  std::vector<Expression> expressions = node.partition_by;
  for (const auto& order : node.order) expressions.push_back(order.expression);
  auto evaluator = TRY(Evaluator::compile(context, node_id, input, expressions));
  const auto& types = evaluator->types();
  const duckdb::vector<duckdb::LogicalType> partition_types(
      types.begin(), types.begin() + static_cast<ptrdiff_t>(partitions));
  auto input_types = TRY(parse_types(input));
  auto output_types = TRY(parse_types(output));
  if (output_types.size() != input_types.size() + (node.with_rank ? 1 : 0) ||
      (node.with_rank && output_types.back() != duckdb::LogicalType::BIGINT)) {
    return Error(Code::invalid_argument, "a top-n has the wrong output columns");
  }
  std::unique_ptr<TopNRows> rows(
      new TopNRows(node, TRY(data::RowKeyEncoder::create(partition_types)),
                   TRY(data::RowKeyEncoder::create(input_types)),
                   TRY(OrderKey::create(node.order, partitions, types)),
                   TRY(ClosingKeys::create(context, closing, partition_types))));
  rows->evaluator_ = std::move(evaluator);
  rows->input_types_ = std::move(input_types);
  for (size_t i = 0; i < partitions; ++i) rows->partition_columns_.push_back(i);
  for (size_t i = 0; i < input.size(); ++i) {
    rows->row_columns_.push_back(i);
    rows->targets_.push_back(static_cast<data::ColumnTarget>(i));
  }
  rows->output_.Initialize(duckdb::Allocator::DefaultAllocator(), output_types);
  return rows;
}

Result<Delta> TopNRows::evaluate(const Delta& delta) {
  Delta rows = TRY(evaluator_->run(delta));
  if (rows.size() > 0) order_.encode(evaluator_->output());
  return rows;
}

void TopNRows::encode_partitions(data::ByteBlock& out) {
  partition_encoder_.encode(evaluator_->output(), partition_columns_, out);
}

Status TopNRows::add_output(std::string_view row, size_t rank, Weight weight) {
  const size_t to = output_.size();
  TRY(row_encoder_.decode_columns(row, targets_, output_, to));
  if (node_.with_rank) {
    duckdb::FlatVector::GetData<int64_t>(output_.data.back())[to] =
        static_cast<int64_t>(node_.offset + rank + 1);
  }
  weights_.push_back(weight);
  output_.SetCardinality(to + 1);
  return {};
}

void TopNRows::put(StateWriter& writer, const Stored& row) {
  ByteWriter value;
  value.svarint(row.weight);
  value.varint(row.order_bytes);
  writer.put(kRowTag, stored_key(row.partition, row.key), as_text(value.view()));
}

void TopNRows::remove(StateWriter& writer, std::string_view partition, std::string_view key) {
  writer.remove(kRowTag, stored_key(partition, key));
}

Result<TopNRows::Stored> TopNRows::read(char tag, std::string_view key, std::string_view value) {
  if (tag != kRowTag) return Error(Code::corrupt, "a top-n row has the unknown tag {}", int{tag});
  ByteReader head(as_bytes(key));
  Stored row{.partition = head.sized()};
  row.key = key.substr(head.position());
  ByteReader in(as_bytes(value));
  row.weight = in.svarint();
  row.order_bytes = static_cast<uint32_t>(in.varint());
  if (!head.ok() || !in.ok() || row.order_bytes > row.key.size())
    return Error(Code::corrupt, "a stored top-n row is damaged");
  return row;
}

}  // namespace ziwa::stream
