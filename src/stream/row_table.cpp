#include "stream/row_table.h"

#include "duck/expression.h"

namespace ziwa::stream {
namespace {

using data::ScanRequest;

// Stored rows: docs/formats/stream-state.md. With a key: row key -> row bytes of the other columns.
// A bag: row key of the columns that have an order, then row bytes of the others -> svarint count.

/// Keys from `begin` up to `end` (empty: no end).
struct KeyRange {
  std::string begin;
  std::string end;
};

/// Equality on the first key columns, then bounds on the next one.
KeyRange range_of(const RowLayout& layout, const std::string& prefix,
                  const std::vector<ScanRequest::Bound>& bounds) {
  using Op = ScanRequest::Bound::Op;
  std::string fixed = prefix;
  auto encoded = [&](size_t i, const ScanRequest::Bound& bound) -> std::optional<std::string> {
    if (bound.value == nullptr || bound.value->IsNull()) return std::nullopt;
    if (bound.value->type() != layout.types[layout.key_columns[i]]) return std::nullopt;
    std::string key;
    layout.key_encoder.encode_value(i, *bound.value, key);
    return key;
  };
  KeyRange range;
  for (size_t i = 0; i < layout.key_columns.size(); ++i) {
    std::optional<std::string> equal;
    std::string begin = fixed;
    std::string end = data::RowKeyEncoder::after_prefix(fixed);
    for (const auto& bound : bounds) {
      if (bound.column != layout.key_columns[i]) continue;
      auto key = encoded(i, bound);
      if (!key) continue;
      std::string whole = fixed + *key;
      std::string after = data::RowKeyEncoder::after_prefix(whole);
      if (bound.op == Op::equal) equal = whole;
      if (bound.op == Op::greater_equal) begin = std::max(begin, whole);
      if (bound.op == Op::greater) begin = std::max(begin, after);
      if (bound.op == Op::less && (end.empty() || whole < end)) end = whole;
      if (bound.op == Op::less_equal && (end.empty() || after < end)) end = after;
    }
    range = {begin, end};
    if (!equal) return range;
    fixed = *equal;
  }
  return {fixed, data::RowKeyEncoder::after_prefix(fixed)};
}

/// Reads one range of a version: a merge of the store's rows and the batches in memory.
class RowTableStream final : public data::ScanStream {
 public:
  RowTableStream(std::shared_ptr<const RowTableVersion> version, const ScanRequest& request)
      : version_(std::move(version)), parts_(version_->parts()) {
    const auto& layout = *parts_.layout;
    auto targets = [&](const std::vector<size_t>& columns) {
      std::vector<data::ColumnTarget> out;
      for (size_t column : columns) {
        auto at = std::find(request.columns.begin(), request.columns.end(), column);
        out.push_back(at == request.columns.end()
                          ? data::kSkip
                          : static_cast<data::ColumnTarget>(at - request.columns.begin()));
      }
      return out;
    };
    key_targets_ = targets(layout.key_columns);
    value_targets_ = targets(layout.value_columns);
    duplicates_ = find_duplicates(request.columns);
    range_ = range_of(layout, parts_.prefix, request.bounds);
    if (parts_.snapshot != nullptr) {
      cursor_ = parts_.store->cursor(parts_.table, parts_.snapshot.get());
      cursor_->seek(range_.begin);
    }
    std::string_view begin = std::string_view(range_.begin).substr(parts_.prefix.size());
    for (const auto& batch : parts_.batches) at_.push_back(batch->lower_bound(begin));
  }

  Status next(duckdb::DataChunk& out) override {
    reset_chunk(out);
    size_t rows = 0;
    while (rows < STANDARD_VECTOR_SIZE) {
      if (repeat_ == 0 && !TRY(advance())) break;
      --repeat_;
      TRY(decode(out, rows++));
    }
    for (auto [from, to] : duplicates_) {
      for (size_t row = 0; row < rows; ++row) copy_value(out.data[from], row, out.data[to], row);
    }
    out.SetCardinality(rows);
    return {};
  }

 private:
  /// A column that is asked for twice is decoded once and copied.
  static std::vector<std::pair<size_t, size_t>> find_duplicates(
      const std::vector<size_t>& columns) {
    std::vector<std::pair<size_t, size_t>> pairs;
    for (size_t i = 0; i < columns.size(); ++i) {
      auto first = std::find(columns.begin(), columns.end(), columns[i]) - columns.begin();
      if (static_cast<size_t>(first) != i) pairs.emplace_back(first, i);
    }
    return pairs;
  }

  std::optional<std::string_view> batch_key(size_t i) const {
    const auto& batch = *parts_.batches[i];
    if (at_[i] == batch.size()) return std::nullopt;
    auto key = batch.key(at_[i]);
    // Without an end, and with one that does not begin with the prefix, all of its keys are in
    // range.
    const std::string_view end = range_.end;
    const bool ends_inside = !end.empty() && end.starts_with(parts_.prefix);
    if (ends_inside && key >= end.substr(parts_.prefix.size())) return std::nullopt;
    return key;
  }

  Result<std::optional<std::string_view>> stored_key() const {
    if (cursor_ == nullptr) return std::optional<std::string_view>();
    if (!cursor_->valid()) {
      TRY(cursor_->status());
      return std::optional<std::string_view>();
    }
    auto key = cursor_->key();
    if (!key.starts_with(parts_.prefix) || (!range_.end.empty() && key >= range_.end)) {
      return std::optional<std::string_view>();
    }
    return std::optional(key.substr(parts_.prefix.size()));
  }

  /// Moves to the next row that is there: key_, value_ and how often. False at the end.
  Result<bool> advance() {
    bool bag = parts_.layout->identity == RowIdentity::bag;
    while (true) {
      auto stored = TRY(stored_key());
      std::optional<std::string_view> least = stored;
      for (size_t i = 0; i < at_.size(); ++i) {
        auto key = batch_key(i);
        if (key && (!least || *key < *least)) least = key;
      }
      if (!least) return false;
      key_.assign(*least);
      Weight count = 0;
      if (stored && *stored == key_) {
        value_.assign(cursor_->value());
        count = 1;
        if (bag) {
          ByteReader in(as_bytes(value_));
          count = in.svarint();
        }
        cursor_->next();
      }
      for (size_t i = 0; i < at_.size(); ++i) {
        auto key = batch_key(i);
        if (!key || *key != key_) continue;
        const auto& entry = parts_.batches[i]->entry(at_[i]);
        if (bag) {
          count += entry.weight;
        } else {
          count = entry.present ? 1 : 0;
          value_.assign(parts_.batches[i]->value(at_[i]));
        }
        ++at_[i];
      }
      if (count <= 0) continue;
      repeat_ = count;
      return true;
    }
  }

  Status decode(duckdb::DataChunk& out, size_t row) {
    const auto& layout = *parts_.layout;
    size_t used = TRY(layout.key_encoder.decode_columns(key_, key_targets_, out, row));
    if (layout.value_columns.empty()) return {};
    bool bag = layout.identity == RowIdentity::bag;
    auto value = bag ? std::string_view(key_).substr(used) : std::string_view(value_);
    return layout.value_encoder.decode_columns(value, value_targets_, out, row);
  }

  std::shared_ptr<const RowTableVersion> version_;
  const RowTableVersion::Parts& parts_;
  KeyRange range_;
  std::unique_ptr<state::Cursor> cursor_;
  std::vector<size_t> at_;
  std::vector<data::ColumnTarget> key_targets_;
  std::vector<data::ColumnTarget> value_targets_;
  std::vector<std::pair<size_t, size_t>> duplicates_;
  std::string key_;
  std::string value_;
  Weight repeat_ = 0;
};

class RowTableScan final : public data::Scan {
 public:
  explicit RowTableScan(std::shared_ptr<const RowTableVersion> version)
      : version_(std::move(version)) {}
  const data::Schema& schema() const override { return version_->parts().layout->schema; }
  Result<std::vector<std::unique_ptr<data::ScanStream>>> open(const ScanRequest& request,
                                                              size_t) override {
    std::vector<std::unique_ptr<data::ScanStream>> streams;
    streams.push_back(std::make_unique<RowTableStream>(version_, request));
    return streams;
  }
  std::optional<uint64_t> row_count() const override { return version_->row_count(); }

 private:
  std::shared_ptr<const RowTableVersion> version_;
};

bool has_order(const duckdb::LogicalType& type) {
  return data::RowKeyEncoder::create({type}).has_value();
}

}  // namespace

Result<RowLayoutPtr> RowLayout::create(const data::Schema& schema,
                                       const std::vector<uint32_t>& key) {
  duckdb::vector<duckdb::LogicalType> types;
  for (const auto& column : schema.columns) types.push_back(TRY(duck::parse_type(column.type)));
  std::vector<size_t> key_columns;
  std::vector<size_t> value_columns;
  for (uint32_t position : key) key_columns.push_back(position);
  for (size_t i = 0; i < types.size(); ++i) {
    bool in_key =
        key.empty() ? has_order(types[i]) : std::find(key.begin(), key.end(), i) != key.end();
    if (key.empty() && in_key) key_columns.push_back(i);
    if (!in_key) value_columns.push_back(i);
  }
  duckdb::vector<duckdb::LogicalType> key_types;
  duckdb::vector<duckdb::LogicalType> value_types;
  for (size_t i : key_columns) key_types.push_back(types[i]);
  for (size_t i : value_columns) value_types.push_back(types[i]);
  auto key_encoder = TRY(data::RowKeyEncoder::create(key_types));
  auto value_encoder = TRY(data::RowEncoder::create(value_types));
  return std::make_shared<const RowLayout>(
      RowLayout{.schema = schema,
                .types = types,
                .identity = key.empty() ? RowIdentity::bag : RowIdentity::key,
                .key_columns = std::move(key_columns),
                .value_columns = std::move(value_columns),
                .key_encoder = std::move(key_encoder),
                .value_encoder = std::move(value_encoder)});
}

std::shared_ptr<data::Scan> RowTableVersion::scan() const {
  return std::make_shared<RowTableScan>(shared_from_this());
}

RowTable::RowTable(RowLayoutPtr layout, state::Store& store, state::TableId table,
                   std::string prefix)
    : layout_(std::move(layout)),
      store_(store),
      table_(table),
      prefix_(std::move(prefix)),
      builder_(layout_->identity) {}

void RowTable::restore(std::shared_ptr<const state::Snapshot> snapshot, uint64_t rows,
                       Epoch changed_at) {
  snapshot_ = std::move(snapshot);
  rows_ = rows;
  changed_at_ = changed_at;
  version_.reset();
}

void RowTable::clear() {
  builder_ = RowBatchBuilder(layout_->identity);
  live_.clear();
  snapshot_.reset();
  rows_ = 0;
  version_.reset();
}

Status RowTable::consume(size_t, Delta& delta) {
  layout_->key_encoder.encode(delta.rows, layout_->key_columns, keys_);
  bool bag = layout_->identity == RowIdentity::bag;
  bool values = !layout_->value_columns.empty();
  if (values) layout_->value_encoder.encode(delta.rows, layout_->value_columns, values_);
  std::string whole;
  for (size_t row = 0; row < delta.size(); ++row) {
    if (delta.upserts) {
      builder_.put(keys_[row], values ? values_[row] : std::string_view(), delta.weight(row));
    } else if (bag && values) {  // What has no order follows the key.
      whole.assign(keys_[row]);
      whole.append(values_[row]);
      builder_.add(whole, {}, delta.weight(row));
    } else {
      builder_.add(keys_[row], values ? values_[row] : std::string_view(), delta.weight(row));
    }
  }
  return emit(delta);
}

Result<bool> RowTable::apply(Epoch epoch) {
  if (builder_.empty()) return false;
  Weight sum = 0;
  auto batch = TRY(builder_.take(sum));
  if (batch == nullptr) return false;
  rows_ = static_cast<uint64_t>(static_cast<int64_t>(rows_) + sum);
  changed_at_ = epoch;
  live_.push_back(std::move(batch));
  // Like an LSM tree: a batch is merged into the one before while that is not twice as large.
  while (live_.size() > 1 && live_[live_.size() - 2]->size() < 2 * live_.back()->size()) {
    auto merged = RowBatch::merge(std::span(live_).last(2), layout_->identity);
    live_.pop_back();
    live_.back() = std::move(merged);
  }
  version_.reset();
  return true;
}

RowTableVersion::Parts RowTable::base() const {
  return {.layout = layout_,
          .store = &store_,
          .table = table_,
          .prefix = prefix_,
          .snapshot = snapshot_,
          .batches = {},
          .changed_at = changed_at_,
          .rows = rows_};
}

std::shared_ptr<const RowTableVersion> RowTable::version() {
  if (version_ == nullptr) {
    auto parts = base();
    if (frozen_ != nullptr) parts.batches.push_back(frozen_);
    parts.batches.insert(parts.batches.end(), live_.begin(), live_.end());
    version_ = std::make_shared<RowTableVersion>(std::move(parts));
  }
  return version_;
}

size_t RowTable::memory_bytes() const {
  size_t bytes = frozen_ == nullptr ? 0 : frozen_->bytes();
  for (const auto& batch : live_) bytes += batch->bytes();
  return bytes;
}

RowBatchPtr RowTable::freeze() {
  CHECK(frozen_ == nullptr, "a checkpoint begins while another is written");
  if (live_.empty()) return nullptr;
  frozen_ = RowBatch::merge(live_, layout_->identity);
  live_.clear();
  version_.reset();
  return frozen_;
}

void RowTable::thaw(std::shared_ptr<const state::Snapshot> snapshot) {
  snapshot_ = std::move(snapshot);
  frozen_.reset();
  version_.reset();
}

void RowTable::unfreeze() {
  if (frozen_ == nullptr) return;
  live_.insert(live_.begin(), frozen_);
  frozen_.reset();
  version_.reset();
}

Status RowTable::write(const RowTableVersion::Parts& base, const RowBatch& frozen,
                       state::WriteBatch& out) {
  std::string key = base.prefix;
  auto full_key = [&](std::string_view row_key) -> const std::string& {
    key.resize(base.prefix.size());
    key.append(row_key);
    return key;
  };
  if (base.layout->identity == RowIdentity::key) {
    for (size_t i = 0; i < frozen.size(); ++i) {
      if (frozen.entry(i).present) {
        out.put(base.table, full_key(frozen.key(i)), frozen.value(i));
      } else {
        out.remove(base.table, full_key(frozen.key(i)));
      }
    }
    return {};
  }
  constexpr size_t kReadKeys = 1024;
  for (size_t first = 0; first < frozen.size(); first += kReadKeys) {
    size_t last = std::min(frozen.size(), first + kReadKeys);
    std::vector<std::string> keys;
    for (size_t i = first; i < last; ++i) keys.push_back(full_key(frozen.key(i)));
    std::vector<std::optional<std::string>> stored(keys.size());
    if (base.snapshot != nullptr) {
      stored = TRY(base.store->multi_get(base.table, keys, base.snapshot.get()));
    }
    for (size_t i = first; i < last; ++i) {
      Weight count = frozen.entry(i).weight;
      if (stored[i - first]) {
        ByteReader in(as_bytes(*stored[i - first]));
        count += in.svarint();
      }
      if (count == 0) {
        out.remove(base.table, keys[i - first]);
        continue;
      }
      ByteWriter value;
      value.svarint(count);
      out.put(base.table, keys[i - first], as_text(value.view()));
    }
  }
  return {};
}

}  // namespace ziwa::stream
