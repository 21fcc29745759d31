#include "sql/testing/view_run.h"

#include "base/overloaded.h"
#include "base/sim_file.h"
#include "duck/catalog_api.h"
#include "duck/planner.h"
#include "sql/rewrite.h"
#include "sql/testing/plan_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace ziwa::sql::testing {

using stream::Dataflow;
using stream::Weight;
using stream::testing::Bag;
using stream::testing::row_text;

std::string ChangingTable::create_sql() const {
  std::string columns;
  for (size_t i = 0; i < types.size(); ++i) {
    columns += fmt::format("{}{} {}", i == 0 ? "" : ", ", of.columns[i].name, types[i]);
  }
  return fmt::format("CREATE TABLE {} ({})", of.name, columns);
}

namespace {

constexpr size_t kFullTable = 12;

/// Builds one epoch of one table.
class EpochMaker {
 public:
  EpochMaker(const ChangingTable& table, size_t index, std::vector<Row>& rows,
             std::vector<size_t>& there, Changes& out, Random& random)
      : table_(table), index_(index), rows_(rows), there_(there), out_(out), random_(random) {}

  void change() {
    if (table_.append_only) return come(table_.make(random_));
    const uint64_t dice = random_() % 100;
    if (there_.empty() || (dice < 30 && there_.size() < kFullTable)) {
      come(table_.make(random_));
    } else if (dice < 55) {
      go(random_() % there_.size());
    } else if (dice < 78) {
      update();
    } else if (dice < 86) {
      come(rows_[there_[random_() % there_.size()]]);  // twice the same
    } else if (dice < 94) {
      come(rows_[random_() % rows_.size()]);  // one that was there once
    } else {
      come(table_.make(random_));
      go(there_.size() - 1);
    }
  }
  void empty() {
    while (!there_.empty()) go(there_.size() - 1);
  }

 private:
  void come(Row row) {
    rows_.push_back(std::move(row));
    there_.push_back(rows_.size() - 1);
    out_.push_back({index_, rows_.size() - 1, 1});
  }
  void go(size_t position) {
    out_.push_back({index_, there_[position], -1});
    there_.erase(there_.begin() + static_cast<std::ptrdiff_t>(position));
  }
  /// The same row once or several times; it keeps some of its columns.
  void update() {
    const uint64_t times = 1 + random_() % 3;
    size_t position = random_() % there_.size();
    for (uint64_t i = 0; i < times; ++i) {
      Row row = rows_[there_[position]];
      Row other = table_.make(random_);
      for (size_t column = 0; column < row.size(); ++column) {
        if (random_() % 2 == 0) row[column] = other[column];
      }
      go(position);
      come(std::move(row));
      position = there_.size() - 1;
    }
  }

  const ChangingTable& table_;
  size_t index_;
  std::vector<Row>& rows_;
  std::vector<size_t>& there_;
  Changes& out_;
  Random& random_;
};

}  // namespace

History make_history(const std::vector<ChangingTable>& tables, size_t epochs, Random& random) {
  History history;
  history.rows.resize(tables.size());
  std::vector<std::vector<size_t>> there(tables.size());
  for (size_t epoch = 0; epoch < epochs; ++epoch) {
    Changes changes;
    for (size_t i = 0; i < tables.size(); ++i) {
      if (epoch > 0 && random() % 9 == 0) continue;
      EpochMaker maker(tables[i], i, history.rows[i], there[i], changes, random);
      const uint64_t count = epoch == 0 ? 8 + random() % 4 : 2 + random() % 5;
      if (epoch > 2 && !tables[i].append_only && random() % 14 == 0) maker.empty();
      if (epoch > 0 && tables[i].append_only && random() % 3 != 0) continue;
      for (uint64_t n = 0; n < count; ++n) maker.change();
    }
    history.epochs.push_back(std::move(changes));
  }
  return history;
}

Result<PlannedQuery> plan_query(duckdb::Connection& connection,
                                const std::vector<ChangingTable>& tables,
                                const GeneratedQuery& query) {
  PlannedQuery out;
  auto id_of = [&](const std::string& name) {
    for (const auto& table : tables) {
      if (table.of.name == name) return table.id;
    }
    for (size_t i = 0; i < query.views.size(); ++i) {
      if (query.views[i].first == name) return ObjectId(100 + i);
    }
    return ObjectId();
  };
  auto plan = [&](const std::string& name, const std::string& sql) -> Status {
    auto text = TRY(rewrite_statement(sql, RewriteFor::view));
    auto made = TRY(plan_text(connection, text.text, id_of));
    // As it comes back from the catalog.
    out.plans.emplace_back(name, TRY(stream::decode_plan(stream::encode_plan(made))));
    return {};
  };
  auto run = [&] -> Status {
    for (const auto& [name, sql] : query.views) {
      TRY(plan(name, sql));
      std::string columns;
      for (const auto& column : out.plans.back().second.root().output) {
        columns += fmt::format("{}{} {}", columns.empty() ? "" : ", ", column.name, column.type);
      }
      stream::testing::run(connection, fmt::format("CREATE TABLE {} ({})", name, columns));
    }
    return plan("", query.sql);
  };
  Status done = run();
  for (const auto& [name, sql] : query.views) {
    stream::testing::run(connection, "DROP TABLE IF EXISTS " + name);
  }
  TRY(std::move(done));
  return out;
}

std::string operator_name(const stream::Node& node) {
  return std::visit(Overloaded{
                        [](const stream::SourceNode&) { return "source"; },
                        [](const stream::FilterNode&) { return "filter"; },
                        [](const stream::OnTimeNode&) { return "on_time"; },
                        [](const stream::ProjectNode&) { return "project"; },
                        [](const stream::WindowNode&) { return "window"; },
                        [](const stream::SessionNode&) { return "session"; },
                        [](const stream::AggregateNode&) { return "aggregate"; },
                        [](const stream::JoinNode&) { return "join"; },
                        [](const stream::AsofNode&) { return "asof_join"; },
                        [](const stream::TopNNode&) { return "top_n"; },
                        [](const stream::OverNode&) { return "over"; },
                        [](const stream::UnionAllNode&) { return "union_all"; },
                        [](const stream::SetOperationNode&) { return "set_operation"; },
                        [](const stream::UnnestNode&) { return "unnest"; },
                        [](const stream::DistinctNode&) { return "distinct"; },
                    },
                    node.op);
}

std::vector<std::string> form_names(const stream::Node& node) {
  std::vector<std::string> names;
  auto add = [&](bool is, std::string name) {
    if (is) names.push_back(std::move(name));
  };
  if (const auto* join = std::get_if<stream::JoinNode>(&node.op)) {
    add(true, fmt::format("{} join", stream::name_of(join->kind)));
    add(std::ranges::find(join->null_safe, true) != join->null_safe.end(), "join, null-safe");
    add(join->residual.has_value(), "join, with a residual");
  }
  if (const auto* asof = std::get_if<stream::AsofNode>(&node.op)) {
    add(true, asof->keep_left ? "asof left join" : "asof join");
  }
  if (const auto* set = std::get_if<stream::SetOperationNode>(&node.op)) {
    add(true, fmt::format("{}{}", set->intersect ? "intersect" : "except", set->all ? " all" : ""));
  }
  if (const auto* window = std::get_if<stream::WindowNode>(&node.op)) {
    add(true, std::string(stream::name_of(window->shape.kind)));
  }
  if (const auto* session = std::get_if<stream::SessionNode>(&node.op)) {
    add(session->partition_by.empty(), "session of all");
    add(!session->partition_by.empty(), "session by a key");
  }
  if (const auto* top = std::get_if<stream::TopNNode>(&node.op)) {
    add(top->partition_by.empty(), "top_n of all");
    add(!top->partition_by.empty(), "top_n by a key");
    add(top->with_rank, "top_n with ranks");
  }
  if (const auto* over = std::get_if<stream::OverNode>(&node.op)) {
    add(over->partition_by.empty(), "over all");
    add(!over->partition_by.empty(), "over partitions");
  }
  if (const auto* aggregate = std::get_if<stream::AggregateNode>(&node.op)) {
    add(aggregate->groups.empty(), "aggregate of all");
    add(!aggregate->groups.empty(), "aggregate by groups");
    for (const auto& call : aggregate->calls) {
      add(call.filter.has_value(), "aggregate with FILTER");
      add(call.distinct, "aggregate of DISTINCT");
    }
  }
  return names;
}

namespace {

/// The rows of a view. With `key` it takes upserts, as the stored rows of a view with a key do.
class Answer final : public stream::Stage {
 public:
  explicit Answer(std::optional<std::vector<uint32_t>> key) : key_(std::move(key)) {}

  Status consume(size_t, stream::Delta& delta) override {
    delta.rows.Flatten();
    for (size_t row = 0; row < delta.size(); ++row) {
      auto text = row_text(delta.rows, row);
      if (delta.upserts) {
        upsert(delta, row, text);
      } else {
        add(text, delta.weight(row));
      }
    }
    return {};
  }
  bool takes_upserts() const override { return key_ && !has_targets(); }

  Bag bag;

 private:
  void add(const std::string& text, Weight weight) {
    auto at = bag.try_emplace(text).first;
    at->second += weight;
    if (at->second == 0) bag.erase(at);
  }
  void upsert(stream::Delta& delta, size_t row, const std::string& text) {
    std::string key;
    for (uint32_t column : *key_) {
      key += stream::testing::value_text(delta.rows.GetValue(column, row)) + '|';
    }
    auto now = now_.find(key);
    if (now != now_.end()) {
      add(now->second, -1);
      now_.erase(now);
    }
    if (delta.weight(row) < 0) return;
    add(text, 1);
    now_.emplace(key, text);
  }

  std::optional<std::vector<uint32_t>> key_;
  std::map<std::string, std::string> now_;  ///< By key.
};

/// Knows whether an operator took a row back.
class Probe final : public stream::Stage {
 public:
  Status consume(size_t, stream::Delta& delta) override {
    for (size_t row = 0; row < delta.size(); ++row) retracted |= delta.weight(row) < 0;
    return {};
  }
  bool takes_upserts() const override { return true; }
  bool retracted = false;
};

class Errors final : public stream::ErrorSink {
 public:
  void add(const stream::RowError& error) override {
    auto at = bag.try_emplace(fmt::format("#{} {} {}", error.node, error.row, error.message)).first;
    at->second += error.weight;
    if (at->second == 0) bag.erase(at);
  }
  Bag bag;
};

}  // namespace

struct LiveQuery::Parts {
  explicit Parts(duck::Instance& instance)
      : context{
            .instance = instance, .errors = &errors, .late = nullptr, .watermark = [](ObjectId) {
              return stream::kNoWatermark;
            }} {}
  struct View {
    std::unique_ptr<Dataflow> dataflow;
    std::vector<std::unique_ptr<Probe>> probes;  ///< One per node, in the order of the plan.
  };
  std::vector<duckdb::vector<duckdb::LogicalType>> types;  ///< Of the tables.
  Errors errors;
  stream::StageContext context;
  std::vector<View> views;
  std::unique_ptr<Answer> answer;
  SimFileSystem files;
  std::unique_ptr<state::Store> store;
};

LiveQuery::LiveQuery(const PlannedQuery& query, const std::vector<ChangingTable>& tables,
                     Options options)
    : query_(query), tables_(tables), options_(options) {}
LiveQuery::~LiveQuery() = default;

Result<std::unique_ptr<LiveQuery>> LiveQuery::create(duck::Instance& instance,
                                                     const PlannedQuery& query,
                                                     const std::vector<ChangingTable>& tables,
                                                     Options options) {
  std::unique_ptr<LiveQuery> live(new LiveQuery(query, tables, options));
  live->parts_ = std::make_unique<Parts>(instance);
  for (const auto& table : tables) {
    auto& types = live->parts_->types.emplace_back();
    for (const auto& type : table.types) types.push_back(TRY(duck::parse_type(type)));
  }
  const auto& key = query.plans.back().second.key;
  live->parts_->answer =
      std::make_unique<Answer>(options.upserts && !key.empty() ? std::optional(key) : std::nullopt);
  TRY(live->compile());
  return live;
}

Status LiveQuery::compile() {
  auto resolve = [&](ObjectId id) -> Result<stream::SourceObject> {
    stream::SourceObject object;
    for (const auto& table : tables_) {
      if (table.id != id) continue;
      object.append_only = table.append_only;
      for (size_t i = 0; i < table.types.size(); ++i) {
        object.schema.columns.push_back({0, table.of.columns[i].name, table.types[i]});
      }
      return object;
    }
    const size_t view = id.value - 100;
    if (view >= parts_->views.size()) return Error(Code::not_found, "no source {}", id);
    object.append_only = parts_->views[view].dataflow->append_only();
    for (const auto& column : query_.plans[view].second.root().output) {
      object.schema.columns.push_back({0, column.name, column.type});
    }
    return object;
  };
  parts_->views.clear();
  for (size_t i = 0; i < query_.plans.size(); ++i) {
    const auto& plan = query_.plans[i].second;
    Parts::View view;
    view.dataflow = TRY(Dataflow::compile(plan, parts_->context, resolve));
    if (i + 1 == query_.plans.size()) view.dataflow->add_target(parts_->answer.get(), 0);
    for (const auto& node : plan.nodes) {
      view.probes.push_back(std::make_unique<Probe>());
      view.dataflow->watch(node.id, view.probes.back().get());
    }
    for (auto* source : view.dataflow->sources()) {
      const size_t above = source->object().value - 100;
      if (source->object().value >= 100) {
        parts_->views[above].dataflow->add_target(source, 0);
      }
    }
    parts_->views.push_back(std::move(view));
  }
  return {};
}

Status LiveQuery::feed(const History& history, const Changes& changes, Random& random) {
  size_t at = 0;
  while (at < changes.size()) {
    const auto& table = tables_[changes[at].table];
    const size_t of = changes[at].table;
    const auto& types = parts_->types[of];
    constexpr size_t kRowsMax = 8;
    duckdb::DataChunk chunk;
    chunk.Initialize(duckdb::Allocator::DefaultAllocator(), types, kRowsMax);
    std::vector<Weight> weights;
    const size_t rows_max = 1 + random() % kRowsMax;
    for (; at < changes.size() && changes[at].table == of && weights.size() < rows_max; ++at) {
      const Row& row = history.rows[of][changes[at].row];
      for (size_t i = 0; i < types.size(); ++i) chunk.SetValue(i, weights.size(), row[i]);
      weights.push_back(changes[at].weight);
    }
    chunk.SetCardinality(weights.size());
    stream::Delta delta{.rows = chunk, .weights = table.append_only ? nullptr : weights.data()};
    for (auto& view : parts_->views) {
      for (auto* source : view.dataflow->sources()) {
        if (source->object() != table.id) continue;
        TRY(source->consume(0, delta));
        TRY(source->take_failure());
      }
    }
  }
  return {};
}

Status LiveQuery::finish() {
  for (auto& view : parts_->views) {
    TRY(view.dataflow->finish());
    for (auto* source : view.dataflow->sources()) TRY(source->take_failure());
  }
  return {};
}

Status LiveQuery::restart() {
  if (!parts_->store) {
    parts_->store = TRY(state::Store::open(parts_->files, "state", {.tables = {"state"}}));
  }
  auto& store = *parts_->store;
  auto table = store.table("state");
  state::WriteBatch batch;
  for (size_t i = 0; i < parts_->views.size(); ++i) {
    TRY(parts_->views[i].dataflow->save(batch, table, fmt::format("view{:04}", i)));
  }
  TRY(store.write(batch, false));
  TRY(compile());
  for (size_t i = 0; i < parts_->views.size(); ++i) {
    const auto prefix = fmt::format("view{:04}", i);
    auto cursor = store.cursor(table);
    for (cursor->seek(prefix); cursor->valid() && cursor->key().starts_with(prefix);
         cursor->next()) {
      TRY(parts_->views[i].dataflow->load(cursor->key().substr(prefix.size()), cursor->value()));
    }
  }
  return {};
}

const Bag& LiveQuery::bag() const { return parts_->answer->bag; }
const Bag& LiveQuery::errors() const { return parts_->errors.bag; }

std::vector<bool> LiveQuery::take_retractions(size_t view) {
  std::vector<bool> out;
  for (auto& probe : parts_->views[view].probes) {
    out.push_back(std::exchange(probe->retracted, false));
  }
  return out;
}

namespace {

std::vector<std::string_view> fields(std::string_view text) {
  std::vector<std::string_view> out;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find('|', at), text.size());
    out.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return out;
}

/// Whether two texts are floats that 12 digits may have rounded to either side.
bool near(std::string_view a, std::string_view b) {
  constexpr double kDigits12 = 1e-11;
  if (a == b) return true;
  if (a.find_first_of(".e") == a.npos && b.find_first_of(".e") == b.npos) return false;
  const std::string left(a);
  const std::string right(b);
  char* left_end = nullptr;
  char* right_end = nullptr;
  const double x = std::strtod(left.c_str(), &left_end);
  const double y = std::strtod(right.c_str(), &right_end);
  if (left.empty() || right.empty() || *left_end != 0 || *right_end != 0) return false;
  return std::abs(x - y) <= kDigits12 * std::max({1.0, std::abs(x), std::abs(y)});
}

bool near_rows(std::string_view a, std::string_view b) {
  return std::ranges::equal(fields(a), fields(b), near);
}

}  // namespace

std::string bags_differ(const Bag& got, const Bag& wanted) {
  for (const auto& [row, count] : got) {
    if (count < 0) return fmt::format("a negative weight, {}: {}\n", count, row);
  }
  if (got == wanted) return {};
  Bag more = got;
  Bag missing = wanted;
  for (auto& [row, count] : more) {
    auto at = missing.find(row);
    if (at == missing.end()) continue;
    const auto both = std::min(count, at->second);
    count -= both;
    at->second -= both;
  }
  for (auto& [row, count] : more) {
    for (auto& [other, wants] : missing) {
      if (count == 0 || wants == 0 || !near_rows(row, other)) continue;
      const auto both = std::min(count, wants);
      count -= both;
      wants -= both;
    }
  }
  return stream::testing::difference(more, missing);
}

}  // namespace ziwa::sql::testing
