#include "protocol/postgres/described_rows.h"

#include "duck/instance.h"
#include "duck/values.h"

#include <algorithm>

namespace ziwa::protocol::postgres {
namespace {

class DescribedRows final : public sql::Rows {
 public:
  DescribedRows(std::unique_ptr<sql::Rows> rows, std::vector<duck::NamedType> told)
      : rows_(std::move(rows)), told_(std::move(told)) {
    duckdb::vector<duckdb::LogicalType> types;
    for (const auto& column : told_) types.push_back(column.type);
    cast_.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  }

  const std::vector<duck::NamedType>& columns() const override { return told_; }
  Result<duckdb::DataChunk*> next() override {
    duckdb::DataChunk* chunk = TRY(rows_->next());
    if (chunk == nullptr) return nullptr;
    TRY(duck::guarded([&] {
      cast_.Reset();
      for (size_t i = 0; i < told_.size(); ++i) {
        duckdb::VectorOperations::DefaultCast(chunk->data[i], cast_.data[i], chunk->size(), true);
      }
      cast_.SetCardinality(chunk->size());
    }));
    return &cast_;
  }
  const std::string& command() const override { return rows_->command(); }
  std::optional<uint64_t> affected() const override { return rows_->affected(); }
  Epoch epoch() const override { return rows_->epoch(); }

 private:
  std::unique_ptr<sql::Rows> rows_;
  std::vector<duck::NamedType> told_;
  duckdb::DataChunk cast_;
};

}  // namespace

Result<std::unique_ptr<sql::Rows>> as_described(std::unique_ptr<sql::Rows> rows,
                                                const std::vector<duck::NamedType>& told,
                                                bool exactly) {
  const auto& columns = rows->columns();
  bool same = std::ranges::equal(columns, told, [](const auto& a, const auto& b) {
    return a.type == b.type && a.name == b.name;
  });
  if (same) return rows;
  if (exactly || columns.size() != told.size()) {
    // Drivers know this text of Postgres's and prepare again by themselves.
    return Error(Code::unsupported, "cached plan must not change result type")
        .with_hint("prepare the statement again: what it reads was dropped and made anew");
  }
  return std::make_unique<DescribedRows>(std::move(rows), told);
}

}  // namespace ziwa::protocol::postgres
