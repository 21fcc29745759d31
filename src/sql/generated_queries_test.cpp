#include "base/file.h"
#include "base/slowness.h"
#include "sql/event_windows.h"
#include "sql/rewrite.h"
#include "sql/testing/query_generator.h"
#include "sql/testing/view_run.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <iterator>
#include <limits>
#include <set>
#include <sstream>
#include <thread>

// Generated queries over tables that change: after every epoch the rows that a view keeps are those
// that DuckDB answers to the same text on the rows that there are; in steps of another cut, with
// restarts between them, and all at once.
//
// No expression of the grammar fails (casts, divisions, sums out of range): which rows a failing
// expression leaves out depends on where the planner puts it. row_errors_test is about those.
// There are no shards of a view yet, so their number does not vary here.
namespace ziwa::sql {
namespace {

using stream::testing::Bag;
using testing::Changes;
using testing::ChangingTable;
using testing::GeneratedQuery;
using testing::History;
using testing::LiveQuery;
using testing::PlannedQuery;
using testing::Random;

using Pair = std::pair<std::string, std::string>;

constexpr size_t kEpochs = 20;
constexpr size_t kEpochsOfAll = 5;
constexpr size_t kThreads = kSlowness > 1 ? 1 : 2;
/// In how many epochs each pair of operators must take rows back in a long run; a short one has
/// time for less.
constexpr size_t kRetractions = 200;
constexpr size_t kRetractionsOfPair = 50;
constexpr size_t kRetractionsOfForm = 40;
constexpr size_t kRetractionsOfThread = kRetractions / kThreads;
constexpr size_t kQueriesPerRound = 8;

constexpr size_t kPairs = 10'000;
constexpr size_t kPairsOfLongRun = 50'000;
constexpr uint64_t kSeedsPerThread = 1'000'000'000;

/// Forms of operators that must take rows back as often as pairs of operators.
constexpr const char* kForms[] = {
    "inner join",
    "left join",
    "full join",
    "semi join",
    "anti join",
    "join, null-safe",
    "join, with a residual",
    "asof join",
    "asof left join",
    "except",
    "except all",
    "intersect",
    "intersect all",
    "tumble",
    "hop",
    "cumulate",
    "session of all",
    "session by a key",
    "top_n of all",
    "top_n by a key",
    "top_n with ranks",
    "over all",
    "over partitions",
    "aggregate of all",
    "aggregate by groups",
    "aggregate with FILTER",
    "aggregate of DISTINCT",
};

duckdb::Value maybe_null(Random& random, duckdb::Value value) {
  return random() % 6 == 0 ? duckdb::Value(value.type()) : value;
}

duckdb::Value letter(Random& random, char first) {
  return maybe_null(random, duckdb::Value(std::string(1, static_cast<char>(first + random() % 4))));
}

duckdb::Value integer(Random& random, int64_t least, int64_t values) {
  const auto number = least + static_cast<int64_t>(random() % static_cast<uint64_t>(values));
  return maybe_null(random, duckdb::Value::BIGINT(number));
}

/// Quarters, so that sums are exact in whatever order they are added up; and what is special.
duckdb::Value real(Random& random) {
  switch (random() % 12) {
    case 0:
      return duckdb::Value::DOUBLE(std::numeric_limits<double>::quiet_NaN());
    case 1:
      return duckdb::Value::DOUBLE(random() % 2 == 0 ? -HUGE_VAL : HUGE_VAL);
    case 2:
      return duckdb::Value::DOUBLE(-0.0);
    case 3:
      return duckdb::Value::DOUBLE(0.0);
    default:
      return maybe_null(random, duckdb::Value::DOUBLE(static_cast<double>(random() % 24) / 4 - 3));
  }
}

duckdb::Value decimal(Random& random) {
  return maybe_null(random,
                    duckdb::Value::DECIMAL(static_cast<int64_t>(random() % 7) * 125 - 250, 9, 2));
}

duckdb::Value minute(Random& random) {
  if (random() % 40 == 0) return duckdb::Value::TIMESTAMP(duckdb::timestamp_t::infinity());
  constexpr int64_t kFirst = 1'767'225'600'000'000;  // 2026-01-01
  return maybe_null(random, duckdb::Value::TIMESTAMP(duckdb::timestamp_t(
                                kFirst + static_cast<int64_t>(random() % 16) * 60'000'000)));
}

duckdb::Value boolean(Random& random) {
  return maybe_null(random, duckdb::Value::BOOLEAN(random() % 2 == 0));
}

duckdb::Value list(Random& random) {
  duckdb::vector<duckdb::Value> elements;
  for (uint64_t i = random() % 3; i > 0; --i) elements.push_back(integer(random, 0, 3));
  return maybe_null(random, duckdb::Value::LIST(duckdb::LogicalType::BIGINT, std::move(elements)));
}

std::vector<ChangingTable> make_tables(bool append_only) {
  using enum testing::ColumnKind;
  std::vector<ChangingTable> tables(3);
  tables[0] = {.id = ObjectId(1),
               .of = {.name = "t",
                      .columns = {{.name = "k", .kind = text},
                                  {.name = "g", .kind = integer},
                                  {.name = "v", .kind = integer},
                                  {.name = "d", .kind = real},
                                  {.name = "m", .kind = decimal},
                                  {.name = "ts", .kind = time},
                                  {.name = "b", .kind = boolean},
                                  {.name = "l", .kind = list}}},
               .types = {"VARCHAR", "BIGINT", "BIGINT", "DOUBLE", "DECIMAL(9,2)", "TIMESTAMP",
                         "BOOLEAN", "BIGINT[]"},
               .make = [](Random& random) -> testing::Row {
                 return {letter(random, 'a'),          sql::integer(random, 0, 3),
                         sql::integer(random, -8, 17), sql::real(random),
                         sql::decimal(random),         minute(random),
                         sql::boolean(random),         sql::list(random)};
               }};
  tables[1] = {.id = ObjectId(2),
               .of = {.name = "u",
                      .columns = {{.name = "k", .kind = text},
                                  {.name = "n", .kind = integer},
                                  {.name = "ts", .kind = time}}},
               .types = {"VARCHAR", "BIGINT", "TIMESTAMP"},
               .make = [](Random& random) -> testing::Row {
                 return {letter(random, 'b'), sql::integer(random, 0, 5), minute(random)};
               }};
  tables[2] = {.id = ObjectId(3),
               .of = {.name = "w",
                      .columns = {{.name = "n", .kind = integer},
                                  {.name = "d", .kind = real},
                                  {.name = "m", .kind = decimal},
                                  {.name = "s", .kind = text}}},
               .types = {"BIGINT", "DOUBLE", "DECIMAL(9,2)", "VARCHAR"},
               .make = [](Random& random) -> testing::Row {
                 return {sql::integer(random, -1, 4), sql::real(random), sql::decimal(random),
                         letter(random, 'a')};
               },
               .append_only = append_only};
  return tables;
}

std::vector<std::string> all_operators() {
  std::vector<std::string> names = {"source"};
  for (auto name : testing::QueryGenerator::operators()) names.emplace_back(name);
  return names;
}

/// How many epochs of how many queries, and in how many of them an operator took rows back that
/// another one got.
struct Coverage {
  size_t queries = 0;
  size_t pairs = 0;
  size_t restarts = 0;
  size_t empty = 0;
  std::map<std::string, size_t> refused;
  std::map<Pair, size_t> retracted;     ///< Epochs with a retraction: parent and child.
  std::map<std::string, size_t> forms;  ///< Epochs in which such an operator took rows back.

  /// Gives how many pairs were met that are not met often enough yet.
  size_t add(const PlannedQuery& planned, size_t view, const std::vector<bool>& took_back) {
    const auto& nodes = planned.plans[view].second.nodes;
    std::set<Pair> pairs_now;
    std::set<std::string> forms_now;
    auto at = [&](uint32_t id) {
      return static_cast<size_t>(std::ranges::find(nodes, id, &stream::Node::id) - nodes.begin());
    };
    for (size_t i = 0; i < nodes.size(); ++i) {
      if (took_back[i]) {
        for (auto& form : testing::form_names(nodes[i])) forms_now.insert(std::move(form));
      }
      for (uint32_t input : nodes[i].inputs) {
        size_t child = at(input);
        bool reached = took_back[child];
        auto add_pair = [&] {
          if (!reached) return;
          pairs_now.emplace(testing::operator_name(nodes[i]), testing::operator_name(nodes[child]));
        };
        add_pair();
        while (std::holds_alternative<stream::ProjectNode>(nodes[child].op)) {
          child = at(nodes[child].inputs[0]);
          reached = reached && took_back[child];
          if (!std::holds_alternative<stream::ProjectNode>(nodes[i].op)) add_pair();
        }
      }
    }
    size_t useful = 0;
    for (const auto& pair : pairs_now) useful += ++retracted[pair] <= kRetractionsOfThread ? 1 : 0;
    for (const auto& form : forms_now) ++forms[form];
    return useful;
  }
  /// Whether an operator reads another in plans often enough to be asked for: DuckDB puts
  /// conditions below these, they are met by chance.
  static bool is_asked(const Pair& pair) {
    static const std::set<std::string_view> kConditionsPass = {"filter", "union_all",
                                                               "set_operation", "distinct"};
    return pair.first != "filter" || !kConditionsPass.contains(pair.second);
  }
  /// Pairs that are met less than `wanted` times.
  std::vector<Pair> missing(size_t wanted) const {
    std::vector<Pair> pairs;
    auto names = all_operators();
    for (size_t i = 1; i < names.size(); ++i) {
      for (const auto& child : names) {
        const Pair pair(names[i], child);
        auto at = retracted.find(pair);
        const size_t count = at == retracted.end() ? 0 : at->second;
        if (is_asked(pair) && count < wanted) pairs.push_back(pair);
      }
    }
    return pairs;
  }
  /// Those of another run, too.
  void add(const Coverage& other) {
    queries += other.queries;
    pairs += other.pairs;
    restarts += other.restarts;
    empty += other.empty;
    for (const auto& [reason, count] : other.refused) refused[reason] += count;
    for (const auto& [pair, count] : other.retracted) retracted[pair] += count;
    for (const auto& [form, count] : other.forms) forms[form] += count;
  }
};

std::string table_text(const Coverage& coverage) {
  auto names = all_operators();
  std::string text = fmt::format("{:<14}", "reader \\ of");
  for (const auto& name : names) text += fmt::format("{:>10}", name.substr(0, 9));
  for (size_t i = 1; i < names.size(); ++i) {
    text += fmt::format("\n{:<14}", names[i]);
    for (const auto& child : names) {
      auto at = coverage.retracted.find({names[i], child});
      text += fmt::format("{:>10}", at == coverage.retracted.end() ? 0 : at->second);
    }
  }
  text += "\n";
  for (const auto& [form, count] : coverage.forms) text += fmt::format("{:>8} {}\n", count, form);
  return text;
}

/// The rows that are there, by their number in the history, per table.
using Contents = std::vector<std::map<size_t, int64_t>>;

/// DuckDB with the tables.
class Oracle {
 public:
  Oracle() : instance_(std::move(*duck::Instance::open(posix_file_system(), {}))) {
    EXPECT_TRUE(register_window_functions(*instance_).has_value());
    connection_ = instance_->connect();
    // A statement is prepared once and asked again after each epoch, so it must not be planned by
    // what the tables hold. The last one is off in every Instance; SET replaces that.
    stream::testing::run(*connection_,
                         "SET disabled_optimizers = 'statistics_propagation,"
                         "compressed_materialization,empty_result_pullup,"
                         "top_n_window_elimination'");
    clear();
  }

  /// Empty tables: deleted rows stay in those that there are, and make them slow.
  void clear() {
    for (const auto& table : make_tables(false)) {
      stream::testing::run(*connection_, "DROP TABLE IF EXISTS " + table.of.name);
      stream::testing::run(*connection_, table.create_sql());
    }
  }

  Result<PlannedQuery> plan(const GeneratedQuery& query, const std::vector<ChangingTable>& tables) {
    return testing::plan_query(*connection_, tables, query);
  }

  void fill(const std::vector<ChangingTable>& tables, const History& history,
            const Contents& there) {
    connection_->BeginTransaction();
    for (size_t i = 0; i < tables.size(); ++i) {
      stream::testing::run(*connection_, "DELETE FROM " + tables[i].of.name);
      duckdb::Appender appender(*connection_, tables[i].of.name);
      for (const auto& [row, count] : there[i]) {
        if (count == 0) continue;
        appender.BeginRow();
        for (const auto& value : history.rows[i][row]) appender.Append(value);
        appender.EndRow();
      }
      appender.Close();
    }
    connection_->Commit();
  }

  duck::Instance& instance() { return *instance_; }
  duckdb::Connection& connection() { return *connection_; }

 private:
  std::unique_ptr<duck::Instance> instance_;
  std::unique_ptr<duckdb::Connection> connection_;
};

/// One query over one history, in all ways. Each call says what differs, or nothing.
class QueryRun {
 public:
  QueryRun(Oracle& oracle, GeneratedQuery query, PlannedQuery planned,
           const std::vector<ChangingTable>& tables, const History& history, uint64_t seed)
      : oracle_(oracle),
        query_(std::move(query)),
        planned_(std::move(planned)),
        tables_(tables),
        history_(history),
        random_(seed),
        cuts_(random_() % 2 == 0) {}

  std::string start() {
    return told([&]() -> Result<std::string> {
      auto text = TRY(rewrite_statement(query_.batch())).text;
      batch_ = oracle_.connection().Prepare(text);
      if (batch_->HasError()) return batch_->GetError();
      live_ = TRY(LiveQuery::create(oracle_.instance(), planned_, tables_, {}));
      if (cuts_) {
        cut_ = TRY(LiveQuery::create(oracle_.instance(), planned_, tables_, {.upserts = true}));
      }
      return std::string();
    });
  }

  /// The tables hold what they do after the epoch. `coverage`: counted if given.
  std::string epoch(size_t number, Coverage* coverage) {
    return told([&]() -> Result<std::string> {
      wanted_ = answer();
      Changes changes = history_.epochs[number];
      if (cut_) TRY(feed_cut(changes));
      std::shuffle(changes.begin(), changes.end(), random_);
      TRY(live_->feed(history_, changes, random_));
      TRY(live_->finish());
      auto differs = testing::bags_differ(live_->bag(), wanted_);
      if (!differs.empty()) return fmt::format("epoch {}, in one step\n{}", number, differs);
      if (cut_) differs = testing::bags_differ(cut_->bag(), wanted_);
      if (!differs.empty()) return fmt::format("epoch {}, in several steps\n{}", number, differs);
      if (!live_->errors().empty())
        return fmt::format("epoch {}, a row error: {}", number, live_->errors().begin()->first);
      const bool restarts = cut_ && random_() % 8 == 0;
      if (restarts) TRY(cut_->restart());
      if (coverage == nullptr) return std::string();
      ++coverage->pairs;
      coverage->restarts += restarts ? 1 : 0;
      for (size_t view = 0; view < planned_.plans.size(); ++view) {
        useful_ += coverage->add(planned_, view, live_->take_retractions(view));
      }
      return std::string();
    });
  }

  /// The tables hold what they do after the last epoch: all changes as one step.
  std::string whole() {
    return told([&]() -> Result<std::string> {
      wanted_ = answer();
      auto live = TRY(LiveQuery::create(oracle_.instance(), planned_, tables_, {}));
      Changes all;
      for (const auto& epoch : history_.epochs) all.insert(all.end(), epoch.begin(), epoch.end());
      std::shuffle(all.begin(), all.end(), random_);
      TRY(live->feed(history_, all, random_));
      TRY(live->finish());
      auto differs = testing::bags_differ(live->bag(), wanted_);
      return differs.empty() ? differs : "all at once\n" + differs;
    });
  }

  /// Pairs of operators that it met in time to matter.
  size_t useful() const { return useful_; }
  bool is_empty() const { return wanted_.empty(); }
  const GeneratedQuery& query() const { return query_; }
  const PlannedQuery& planned() const { return planned_; }

 private:
  template <typename Body>
  static std::string told(Body&& body) {
    try {
      Result<std::string> done = body();
      return done ? std::move(*done) : done.error().to_string();
    } catch (const std::exception& error) {
      return error.what();
    }
  }

  Bag answer() {
    auto result = batch_->Execute();
    if (result->HasError()) throw std::runtime_error(result->GetError());
    Bag bag;
    while (auto chunk = result->Fetch()) {
      for (size_t row = 0; row < chunk->size(); ++row) {
        ++bag[stream::testing::row_text(*chunk, row)];
      }
    }
    return bag;
  }

  /// An epoch in one to four steps, each of changes that are possible in this order.
  Status feed_cut(const Changes& changes) {
    size_t at = 0;
    for (uint64_t steps = 1 + random_() % 4; steps > 0; --steps) {
      const size_t left = changes.size() - at;
      const size_t count = steps == 1 || left == 0 ? left : random_() % (left + 1);
      const auto from = changes.begin() + static_cast<std::ptrdiff_t>(at);
      TRY(cut_->feed(history_, Changes(from, from + static_cast<std::ptrdiff_t>(count)), random_));
      TRY(cut_->finish());
      at += count;
    }
    return {};
  }

  Oracle& oracle_;
  GeneratedQuery query_;
  PlannedQuery planned_;
  const std::vector<ChangingTable>& tables_;
  const History& history_;
  Random random_;
  bool cuts_;  ///< Into several steps, too: the dearest part of a run.
  duckdb::unique_ptr<duckdb::PreparedStatement> batch_;
  std::unique_ptr<LiveQuery> live_;
  std::unique_ptr<LiveQuery> cut_;
  Bag wanted_;
  size_t useful_ = 0;
};

/// Applies one epoch.
void apply_changes(const Changes& changes, Contents& there) {
  for (const auto& change : changes) there[change.table][change.row] += change.weight;
}

/// One query from the first epoch to the last: what differs first.
std::string check(Oracle& oracle, QueryRun& run, const std::vector<ChangingTable>& tables,
                  const History& history) {
  auto failure = run.start();
  Contents there(tables.size());
  for (const auto& epoch : history.epochs) apply_changes(epoch, there);
  oracle.fill(tables, history, there);
  if (failure.empty()) failure = run.whole();
  there = Contents(tables.size());
  for (size_t epoch = 0; failure.empty() && epoch < history.epochs.size(); ++epoch) {
    apply_changes(history.epochs[epoch], there);
    oracle.fill(tables, history, there);
    failure = run.epoch(epoch, nullptr);
  }
  return failure;
}

/// Makes a failing run smaller: fewer rows, fewer epochs, a part of the query.
class Minimiser {
 public:
  Minimiser(Oracle& oracle, const std::vector<ChangingTable>& tables, uint64_t seed)
      : oracle_(oracle), tables_(tables), seed_(seed) {}

  std::string run(GeneratedQuery query, History history, std::string failure) {
    failure_ = std::move(failure);
    query_ = std::move(query);
    shrink_query(history);
    shrink_rows(history);
    std::string text = fmt::format("minimised: {}\n", query_.batch());
    auto planned = oracle_.plan(query_, tables_);
    if (planned) {
      for (const auto& [name, plan] : planned->plans) text += stream::explain_plan(plan);
    }
    for (size_t epoch = 0; epoch < history.epochs.size(); ++epoch) {
      for (const auto& change : history.epochs[epoch]) {
        std::string row;
        for (const auto& value : history.rows[change.table][change.row]) {
          row += (row.empty() ? "" : ", ") + value.ToSQLString();
        }
        text += fmt::format("  epoch {}: {}{:+} ({})\n", epoch, tables_[change.table].of.name,
                            change.weight, row);
      }
    }
    return text + failure_;
  }

 private:
  bool fails(const GeneratedQuery& query, const History& history) {
    if (++tries_ > 1500) return false;
    auto planned = oracle_.plan(query, tables_);
    if (!planned) return false;
    QueryRun run(oracle_, query, std::move(*planned), tables_, history, seed_);
    auto failure = check(oracle_, run, tables_, history);
    // A correlated subquery by itself has no answer.
    if (failure.empty() || failure.find("Binder Error") != failure.npos) return false;
    failure_ = std::move(failure);
    return true;
  }

  /// The smallest part of the query in parentheses that still fails.
  void shrink_query(const History& history) {
    const std::string whole = query_.batch();
    std::vector<std::string> parts;
    std::vector<size_t> open;
    for (size_t i = 0; i < whole.size(); ++i) {
      if (whole[i] == '(') open.push_back(i);
      if (whole[i] != ')') continue;
      auto part = whole.substr(open.back() + 1, i - open.back() - 1);
      open.pop_back();
      if (part.starts_with("SELECT") || part.starts_with("WITH")) parts.push_back(part);
    }
    if (!query_.views.empty()) parts.push_back(whole);
    std::ranges::sort(parts, {}, &std::string::size);
    for (const auto& part : parts) {
      GeneratedQuery smaller{.views = {}, .sql = part};
      if (!fails(smaller, history)) continue;
      query_ = smaller;
      return;
    }
  }

  bool without(History& history, const std::function<bool(size_t, const testing::Change&)>& drop) {
    History smaller = history;
    for (size_t epoch = 0; epoch < smaller.epochs.size(); ++epoch) {
      std::erase_if(smaller.epochs[epoch], [&](const auto& change) { return drop(epoch, change); });
    }
    std::erase_if(smaller.epochs, [](const Changes& changes) { return changes.empty(); });
    if (!fails(query_, smaller)) return false;
    history = std::move(smaller);
    return true;
  }

  void shrink_rows(History& history) {
    while (history.epochs.size() > 1) {
      History shorter = history;
      shorter.epochs.pop_back();
      if (!fails(query_, shorter)) break;
      history = std::move(shorter);
    }
    for (bool again = true; again;) {
      again = false;
      for (size_t table = 0; table < tables_.size(); ++table) {
        for (size_t row = 0; row < history.rows[table].size(); ++row) {
          auto is_row = [&](size_t, const testing::Change& change) {
            return change.table == table && change.row == row;
          };
          auto goes = [&](size_t epoch, const testing::Change& change) {
            return is_row(epoch, change) && change.weight < 0;
          };
          auto has = [&](const auto& wanted) {
            for (size_t epoch = 0; epoch < history.epochs.size(); ++epoch) {
              for (const auto& change : history.epochs[epoch]) {
                if (wanted(epoch, change)) return true;
              }
            }
            return false;
          };
          if (has(is_row) && without(history, is_row)) again = true;
          if (has(goes) && without(history, goes)) again = true;
        }
      }
    }
  }

  Oracle& oracle_;
  const std::vector<ChangingTable>& tables_;
  uint64_t seed_;
  GeneratedQuery query_;
  std::string failure_;
  size_t tries_ = 0;
};

uint64_t setting(const char* name, uint64_t otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr ? otherwise : std::strtoull(value, nullptr, 10);
}

/// The operators of the one query of this run, if it is to be one.
std::optional<std::vector<std::string>> only_query() {
  const char* value = std::getenv("ZIWA_ORACLE_ASK");
  if (value == nullptr) return std::nullopt;
  std::istringstream words(value);
  return std::vector<std::string>(std::istream_iterator<std::string>(words), {});
}

/// Asks for what was met least: operators of which each reads the one before it.
class Wishes {
 public:
  explicit Wishes(const Coverage& coverage) : coverage_(coverage) {
    for (const auto& name : names_) {
      for (size_t i = 1; i < names_.size(); ++i) {
        if (Coverage::is_asked({names_[i], name})) pairs_.emplace_back(names_[i], name);
      }
    }
  }

  std::vector<std::string> next(Random& random) {
    if (random() % 6 == 0) return {};
    const Pair first = least(random, pairs_);
    std::vector<std::string> chain = {first.second};
    while (chain.size() < kLength) {
      std::vector<Pair> readers;
      for (const auto& pair : pairs_) {
        if (pair.second == chain.back()) readers.push_back(pair);
      }
      const Pair next = chain.size() == 1 ? first : least(random, readers);
      ++asked_[next];
      chain.push_back(next.first);
    }
    if (chain[0] == "source") chain.erase(chain.begin());
    return chain;
  }

 private:
  static constexpr size_t kLength = 4;

  Pair least(Random& random, const std::vector<Pair>& pairs) const {
    std::vector<Pair> found;
    size_t least_weight = std::numeric_limits<size_t>::max();
    for (const auto& pair : pairs) {
      const size_t weighs = weight(pair);
      if (weighs > least_weight) continue;
      if (weighs < least_weight) found.clear();
      least_weight = weighs;
      found.push_back(pair);
    }
    return found[random() % found.size()];
  }

  /// What is asked for in vain is asked for less.
  size_t weight(const Pair& pair) const {
    auto at = coverage_.retracted.find(pair);
    auto tries = asked_.find(pair);
    return (at == coverage_.retracted.end() ? 0 : at->second) +
           (tries == asked_.end() ? 0 : tries->second);
  }

  const Coverage& coverage_;
  std::vector<std::string> names_ = all_operators();
  std::vector<Pair> pairs_;
  std::map<Pair, size_t> asked_;
};

/// What one run of the test has done so far.
struct Progress {
  Oracle oracle;
  Coverage coverage;
  Wishes wishes{coverage};
  std::optional<std::vector<std::string>> only = only_query();
  size_t failures = 0;
  size_t failures_max = setting("ZIWA_ORACLE_FAILURES", 1);
  bool enough() const { return failures >= failures_max; }
};

/// The queries of one round, over the same history. Seeds are numbered through.
void check_round(Progress& progress, uint64_t first_seed, uint64_t last_seed) {
  Oracle& oracle = progress.oracle;
  Coverage& coverage = progress.coverage;
  Random random(first_seed / kQueriesPerRound);
  const auto tables = make_tables(random() % 4 == 0);
  const auto history = testing::make_history(tables, kEpochs, random);
  std::vector<testing::GeneratedTable> shapes;
  for (const auto& table : tables) shapes.push_back(table.of);

  Contents last(tables.size());
  for (const auto& epoch : history.epochs) apply_changes(epoch, last);
  oracle.clear();
  oracle.fill(tables, history, last);
  std::vector<std::pair<uint64_t, std::unique_ptr<QueryRun>>> runs;
  std::map<uint64_t, std::string> asked;
  auto fail = [&](uint64_t seed, const GeneratedQuery& query, const std::string& failure) {
    ++progress.failures;
    ADD_FAILURE() << fmt::format("again: ZIWA_ORACLE_SEED={} ZIWA_ORACLE_ASK='{}'\n{}\n{}\n", seed,
                                 asked[seed], query.batch(), failure)
                  << Minimiser(oracle, tables, seed).run(query, history, failure);
  };
  for (uint64_t seed = first_seed; seed <= last_seed; ++seed) {
    Random dice(seed);
    const auto wanted = progress.only ? *progress.only : progress.wishes.next(dice);
    asked[seed] = fmt::format("{}", fmt::join(wanted, " "));
    const auto query = testing::QueryGenerator(seed, shapes).next(wanted);
    ++coverage.queries;
    auto planned = oracle.plan(query, tables);
    if (!planned && planned.error().code() == Code::unsupported) {
      ++coverage.refused[std::string(planned.error().message())];
      continue;
    }
    if (!planned) {
      fail(seed, query, planned.error().to_string());
      continue;
    }
    auto run =
        std::make_unique<QueryRun>(oracle, query, std::move(*planned), tables, history, seed);
    auto failure = run->start();
    if (failure.empty()) failure = run->whole();
    if (!failure.empty()) {
      fail(seed, query, failure);
      oracle.fill(tables, history, last);
      continue;
    }
    // What has no rows in the end has mostly had none before, and says little.
    if (run->is_empty() && !progress.only && dice() % 4 != 0) {
      ++coverage.empty;
      continue;
    }
    runs.emplace_back(seed, std::move(run));
  }
  std::map<uint64_t, std::string> failed;
  Contents there(tables.size());
  for (size_t epoch = 0; epoch < history.epochs.size(); ++epoch) {
    apply_changes(history.epochs[epoch], there);
    oracle.fill(tables, history, there);
    for (auto& [seed, run] : runs) {
      if (failed.contains(seed)) continue;
      // Queries that teach little make room for others.
      if (epoch >= kEpochsOfAll && run->useful() < 2 * kEpochsOfAll && !progress.only &&
          !coverage.missing(kRetractionsOfThread).empty())
        continue;
      auto failure = run->epoch(epoch, &coverage);
      if (!failure.empty()) failed[seed] = failure;
    }
  }
  for (auto& [seed, run] : runs) {
    if (!failed.contains(seed)) continue;
    fail(seed, run->query(), failed[seed]);
    if (progress.enough()) return;
  }
}

/// The rounds of one thread, which has a range of seeds for itself.
void run_thread(Progress& progress, uint64_t first_seed, size_t wanted_pairs) {
  const Coverage& coverage = progress.coverage;
  uint64_t seed = first_seed;
  while (coverage.pairs < wanted_pairs && !progress.enough()) {
    const uint64_t last =
        progress.only ? seed : (seed / kQueriesPerRound + 1) * kQueriesPerRound - 1;
    check_round(progress, seed, last);
    if (progress.only) break;
    seed = last + 1;
  }
}

/// Settings for a longer run are told in README.md.
TEST(GeneratedQueries, AreAnsweredAsDuckDBDoes) {
  const size_t pairs = setting("ZIWA_ORACLE_PAIRS", kSlowness > 1 ? 300 : kPairs);
  const uint64_t seed = setting("ZIWA_ORACLE_SEED", 0);
  std::vector<std::unique_ptr<Progress>> all;
  for (size_t i = 0; i < kThreads; ++i) {
    all.push_back(std::make_unique<Progress>());
    if (all.back()->only) break;
  }
  {
    std::vector<std::jthread> threads;
    for (size_t i = 0; i < all.size(); ++i) {
      threads.emplace_back(run_thread, std::ref(*all[i]), seed + i * kSeedsPerThread,
                           (pairs + kThreads - 1) / kThreads);
    }
  }
  Coverage coverage;
  for (const auto& progress : all) coverage.add(progress->coverage);
  std::cout << fmt::format("{} queries ({} empty, left out), {} query/epoch pairs, {} restarts\n",
                           coverage.queries, coverage.empty, coverage.pairs, coverage.restarts)
            << table_text(coverage);
  size_t refused = 0;
  for (const auto& [reason, count] : coverage.refused) {
    std::cout << fmt::format("{:>8} refused: {}\n", count, reason);
    refused += count;
  }
  if (all.front()->only || HasFailure()) return;
  EXPECT_LE(refused * 20, coverage.queries) << "too many queries are refused";
  EXPECT_GE(coverage.pairs, pairs);
  if (pairs < kPairs) return;
  const bool is_long = pairs >= kPairsOfLongRun;
  for (const auto& [parent, child] :
       coverage.missing(is_long ? kRetractions : kRetractionsOfPair)) {
    ADD_FAILURE() << parent << " of " << child << ": too few epochs with a retraction";
  }
  for (const char* form : kForms) {
    EXPECT_GE(coverage.forms[form], is_long ? kRetractions : kRetractionsOfForm) << form;
  }
}

}  // namespace
}  // namespace ziwa::sql
