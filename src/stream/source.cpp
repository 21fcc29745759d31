#include "stream/source.h"

namespace ziwa::stream {

using duckdb::FlatVector;

const std::vector<data::Column>& Source::virtual_columns() {
  static const std::vector<data::Column> kColumns = {
      {.id = 0, .name = "_partition", .type = "INTEGER"},
      {.id = 0, .name = "_offset", .type = "BIGINT"},
      {.id = 0, .name = "_timestamp", .type = "TIMESTAMP"},
      {.id = 0, .name = "_entry", .type = "BIGINT"},
      {.id = 0, .name = "_key", .type = "BLOB"},
      {.id = 0, .name = "_value", .type = "BLOB"},
  };
  return kColumns;
}

namespace {

/// Index among virtual_columns(), or none.
std::optional<size_t> find_virtual(std::string_view name) {
  const auto& columns = Source::virtual_columns();
  for (size_t i = 0; i < columns.size(); ++i) {
    if (columns[i].name == name) return i;
  }
  return std::nullopt;
}

}  // namespace

Result<std::unique_ptr<Source>> Source::create(const SourceNode& node,
                                               const std::vector<PlanColumn>& output,
                                               const data::Schema& schema, bool topic) {
  constexpr Virtual kKinds[] = {Virtual::partition, Virtual::offset, Virtual::timestamp,
                                Virtual::entry,     Virtual::key,    Virtual::value};
  std::unique_ptr<Source> source(new Source());
  source->object_ = node.object;
  source->types_ = TRY(parse_types(output));
  for (size_t i = 0; i < node.columns.size(); ++i) {
    Column column;
    std::string type;
    auto made = topic ? find_virtual(node.columns[i]) : std::nullopt;
    if (auto position = schema.find(node.columns[i])) {
      column.position = *position;
      type = schema.columns[*position].type;
    } else if (made) {
      column.kind = kKinds[*made];
      type = virtual_columns()[*made].type;
    } else {
      return Error(Code::not_found, "the source of a view has no column \"{}\"", node.columns[i]);
    }
    if (TRY(duck::parse_type(type)) != source->types_[i]) {
      return Error(Code::invalid_argument, "column \"{}\" is a {}, but the plan says {}",
                   node.columns[i], type, source->types_[i].ToString());
    }
    bool blob = column.kind == Virtual::key || column.kind == Virtual::value;
    source->wants_blobs_ |= blob;
    source->computed_.push_back(
        column.kind == Virtual::none || blob
            ? nullptr
            : std::make_unique<duckdb::Vector>(source->types_[i], STANDARD_VECTOR_SIZE));
    source->schema_columns_.push_back(column.position);
    source->columns_.push_back(column);
  }
  source->output_.InitializeEmpty(source->types_);
  return source;
}

void Source::fill(const TopicChunk& chunk, Virtual kind, duckdb::Vector& out) const {
  size_t count = chunk.size();
  switch (kind) {
    case Virtual::partition:
      std::copy_n(chunk.partitions.begin(), count, FlatVector::GetData<int32_t>(out));
      return;
    case Virtual::offset:
      std::copy_n(chunk.offsets.begin(), count, FlatVector::GetData<int64_t>(out));
      return;
    case Virtual::timestamp:
      for (size_t row = 0; row < count; ++row) {
        FlatVector::GetData<int64_t>(out)[row] = chunk.timestamps_ms[row] * 1000;
      }
      return;
    case Virtual::entry:
      for (size_t row = 0; row < count; ++row) {
        FlatVector::GetData<int64_t>(out)[row] = static_cast<int64_t>(chunk.entries[row]);
      }
      return;
    case Virtual::none:
    case Virtual::key:
    case Virtual::value:
      return;
  }
}

Status Source::push(const TopicChunk& chunk) {
  for (size_t i = 0; i < columns_.size(); ++i) {
    const auto& column = columns_[i];
    if (column.kind == Virtual::none) {
      output_.data[i].Reference(chunk.rows.rows.data[column.position]);
    } else if (column.kind == Virtual::key || column.kind == Virtual::value) {
      output_.data[i].Reference(chunk.blobs.data[column.kind == Virtual::key ? 0 : 1]);
    } else {
      fill(chunk, column.kind, *computed_[i]);
      output_.data[i].Reference(*computed_[i]);
    }
  }
  output_.SetCardinality(chunk.size());
  Delta delta{.rows = output_, .origin = &chunk};
  return emit(delta);
}

Status Source::consume(size_t, Delta& delta) {
  if (closed_ || !failure_) return {};
  for (size_t i = 0; i < columns_.size(); ++i) {
    output_.data[i].Reference(delta.rows.data[columns_[i].position]);
  }
  output_.SetCardinality(delta.size());
  Delta own{.rows = output_, .weights = delta.weights};
  failure_ = emit(own);
  return {};
}

}  // namespace ziwa::stream
