#include "stream/row_batch.h"

#include "base/bytes.h"

#include <algorithm>

namespace ziwa::stream {
namespace {

/// The first bytes of a key as a number that compares like them.
uint64_t key_prefix(std::string_view key) {
  char head[8] = {};
  std::memcpy(head, key.data(), std::min<size_t>(key.size(), sizeof head));
  return load_be<uint64_t>(head);
}

}  // namespace

void RowBatch::append(std::string_view key, std::string_view value, Weight weight, bool present,
                      bool final) {
  entries_.push_back({.at = bytes_.size(),
                      .key_bytes = static_cast<uint32_t>(key.size()),
                      .value_bytes = static_cast<uint32_t>(value.size()),
                      .weight = weight,
                      .present = present,
                      .final = final});
  bytes_.append(key);
  bytes_.append(value);
}

size_t RowBatch::lower_bound(std::string_view wanted) const {
  size_t low = 0;
  size_t high = size();
  while (low < high) {
    size_t middle = (low + high) / 2;
    if (key(middle) < wanted) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

RowBatchPtr RowBatch::merge(std::span<const RowBatchPtr> batches, RowIdentity identity) {
  if (batches.size() == 1) return batches[0];
  auto merged = std::make_shared<RowBatch>();
  std::vector<size_t> at(batches.size(), 0);
  size_t bytes = 0;
  size_t entries = 0;
  for (const auto& batch : batches) {
    bytes += batch->bytes_.size();
    entries += batch->size();
  }
  merged->bytes_.reserve(bytes);
  merged->entries_.reserve(entries);
  while (true) {
    std::string_view least;
    bool any = false;
    for (size_t i = 0; i < batches.size(); ++i) {
      if (at[i] == batches[i]->size()) continue;
      auto key = batches[i]->key(at[i]);
      if (!any || key < least) least = key;
      any = true;
    }
    if (!any) break;
    Weight weight = 0;
    std::string_view value;
    bool present = false;
    for (size_t i = 0; i < batches.size(); ++i) {  // oldest first: the last one's value stays
      if (at[i] == batches[i]->size() || batches[i]->key(at[i]) != least) continue;
      weight += batches[i]->entry(at[i]).weight;
      value = batches[i]->value(at[i]);
      present = batches[i]->entry(at[i]).present;
      ++at[i];
    }
    if (identity == RowIdentity::bag && weight == 0) continue;
    merged->append(least, value, weight, present);
  }
  return merged;
}

void RowBatchBuilder::add(std::string_view key, std::string_view value, Weight weight) {
  changes_.append(key, value, weight, false);
}

void RowBatchBuilder::put(std::string_view key, std::string_view value, Weight change) {
  changes_.append(key, value, change, change >= 0, true);
}

Result<RowBatchPtr> RowBatchBuilder::take(Weight& weight_sum) {
  weight_sum = 0;
  if (changes_.size() == 0) return RowBatchPtr();
  size_t count = changes_.size();
  order_.resize(count);
  bool sorted = true;
  for (size_t i = 0; i < count; ++i) {
    order_[i] = {key_prefix(changes_.key(i)), static_cast<uint32_t>(i)};
    sorted = sorted && (i == 0 || changes_.key(i - 1) <= changes_.key(i));
  }
  if (!sorted) {
    std::sort(order_.begin(), order_.end(), [&](const Sorted& a, const Sorted& b) {
      if (a.prefix != b.prefix) return a.prefix < b.prefix;
      int order = changes_.key(a.index).compare(changes_.key(b.index));
      return order != 0 ? order < 0 : a.index < b.index;
    });
  }
  auto out = std::make_shared<RowBatch>();
  out->bytes_.reserve(changes_.bytes_.size() / 2);
  out->entries_.reserve(count / 2 + 1);
  for (size_t first = 0; first < count;) {
    auto key = changes_.key(order_[first].index);
    size_t last = first + 1;
    while (last < count && changes_.key(order_[last].index) == key) ++last;
    if (identity_ == RowIdentity::bag) {
      Weight weight = 0;
      for (size_t i = first; i < last; ++i) weight += changes_.entry(order_[i].index).weight;
      if (weight != 0) out->append(key, changes_.value(order_[first].index), weight, true);
      weight_sum += weight;
    } else {
      TRY(net_key(first, last, *out, weight_sum));
    }
    first = last;
  }
  changes_.bytes_.clear();
  changes_.entries_.clear();
  constexpr size_t kKeptBytes = 16u << 20;
  if (changes_.bytes_.capacity() > kKeptBytes) changes_ = RowBatch();
  if (out->size() == 0) return RowBatchPtr();
  return RowBatchPtr(std::move(out));
}

/// Changes of one key: each distinct value has a net weight; at most one may end above zero.
Status RowBatchBuilder::net_key(size_t first, size_t last, RowBatch& out, Weight& weight_sum) {
  uint32_t final_index = order_[last - 1].index;
  if (const auto& entry = changes_.entry(final_index); entry.final) {
    if (last - first > 1) return Error(Code::internal, "a step says two things of one key");
    out.append(changes_.key(final_index), changes_.value(final_index), entry.weight, entry.present);
    weight_sum += entry.weight;
    return {};
  }
  Weight total = 0;
  std::string_view now;
  bool present = false;
  bool changed = false;
  for (size_t i = first; i < last; ++i) {
    auto value = changes_.value(order_[i].index);
    Weight weight = 0;
    bool seen = false;
    for (size_t j = first; j < last; ++j) {
      if (changes_.value(order_[j].index) != value) continue;
      seen = seen || j < i;
      weight += changes_.entry(order_[j].index).weight;
    }
    if (seen) continue;
    total += weight;
    changed = changed || weight != 0;
    if (weight <= 0) continue;
    if (present || weight > 1) {
      return Error(Code::internal, "the key of a view names more than one row");
    }
    present = true;
    now = value;
  }
  if (!changed) return {};
  out.append(changes_.key(order_[first].index), now, total, present);
  weight_sum += total;
  return {};
}

}  // namespace ziwa::stream
