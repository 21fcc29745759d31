#include "sql/rows.h"

namespace ziwa::sql {

DuckRows::~DuckRows() {
  bool abandoned =
      !ended_ && parts_.result && parts_.result->type == duckdb::QueryResultType::STREAM_RESULT;
  chunk_.reset();
  parts_.result.reset();
  // Rows that another statement has overtaken ended with it: what runs now is not theirs.
  if (abandoned && !overtaken()) {
    // Ends the statement's transaction, so that its pin is let go now and not with the next
    // statement.
    duck::guarded([&] {
      parts_.connection.context->CancelTransaction();
    }).ignore("nobody waits for rows that were given up");
  }
  end(nullptr);
}

Result<duckdb::DataChunk*> DuckRows::next() {
  if (ended_) return nullptr;
  bool streams = parts_.result->type == duckdb::QueryResultType::STREAM_RESULT;
  if (streams && overtaken()) {
    Error error(Code::cancelled, "these rows ended when the session ran another statement");
    end(&error);
    return error;
  }
  auto fetched = duck::guarded([&] {
    chunk_ = parts_.result->Fetch();
    return parts_.result->HasError();
  });
  if (!fetched || *fetched) {
    Error error =
        parts_.on_error(fetched ? error_of(parts_.result->GetErrorObject()) : fetched.error());
    chunk_.reset();
    end(&error);
    return error;
  }
  if (chunk_ && chunk_->size() > 0) return chunk_.get();
  chunk_.reset();
  end(nullptr);
  return nullptr;
}

void DuckRows::end(const Error* error) {
  if (ended_) return;
  ended_ = true;
  if (parts_.on_end) parts_.on_end(error);
}

Result<duckdb::DataChunk*> ReadyRows::next() {
  if (at_ == rows_.size()) return nullptr;
  if (chunk_.ColumnCount() == 0) {
    duckdb::vector<duckdb::LogicalType> types;
    for (const auto& column : columns_) types.push_back(column.type);
    chunk_.Initialize(duckdb::Allocator::DefaultAllocator(), types);
  }
  chunk_.Reset();
  size_t count = 0;
  TRY(duck::guarded([&] {
    for (; count < STANDARD_VECTOR_SIZE && at_ < rows_.size(); ++count, ++at_) {
      for (size_t column = 0; column < columns_.size(); ++column)
        chunk_.SetValue(column, count, rows_[at_][column]);
    }
    chunk_.SetCardinality(count);
  }));
  return &chunk_;
}

}  // namespace ziwa::sql
