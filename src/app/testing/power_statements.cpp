#include "app/testing/power_clients.h"
#include "log/groups/coordinator.h"

#include <fmt/format.h>

#include <deque>

// The clients that speak SQL, and the consumer group.
namespace ziwa::app::testing {
namespace {

class SchemaClient final : public PowerClient {
 public:
  void act(PowerWorld& world) override {
    if (made_ >= kStatements.size()) return;
    auto made = world.query(kStatements[made_]);
    if (made || made.error().code() == Code::already_exists) {
      world.acknowledged(Promise::objects);
      ++made_;
    } else {
      world.refused(kStatements[made_], made.error());
    }
  }

  Wrong check(PowerWorld& world) override {
    auto snapshot = world.engines().catalog().snapshot();
    for (size_t i = 0; i < made_; ++i) {
      // The name is the third word, or the fourth of a materialized view.
      std::vector<std::string> words = words_of(kStatements[i]);
      const auto& name = words[1] == "MATERIALIZED" ? words[3] : words[2];
      if (!snapshot->find("public", name)) return name + " was made and is gone";
    }
    // Folders of tables that are gone have other names until the housekeeping removes them.
    if (Status done = world.engines().maintain(); !done)
      return "housekeeping: " + done.error().to_string();
    if (auto wrong = check_folder(world, "/data/log", catalog::Kind::topic)) return wrong;
    return check_folder(world, "/data/lake", catalog::Kind::table);
  }

 private:
  static const std::vector<std::string> kStatements;

  static std::vector<std::string> words_of(const std::string& text) {
    std::vector<std::string> words(1);
    for (char c : text) {
      if (c == ' ') {
        words.emplace_back();
      } else {
        words.back() += c;
      }
    }
    return words;
  }

  /// Each folder with a number belongs to an object.
  static Wrong check_folder(PowerWorld& world, const std::string& path, catalog::Kind kind) {
    auto entries = world.fs().list(path);
    if (!entries) return path + ": " + entries.error().to_string();
    auto snapshot = world.engines().catalog().snapshot();
    for (const auto& entry : *entries) {
      if (!entry.is_directory) continue;
      auto object = snapshot->find(ObjectId(std::stoull(entry.name)));
      if (!object || object->kind() != kind) {
        return fmt::format("{}/{} belongs to nobody", path, entry.name);
      }
    }
    return std::nullopt;
  }

  size_t made_ = 0;
};

const std::vector<std::string> SchemaClient::kStatements = {
    "CREATE TOPIC events (id BIGINT NOT NULL, kind VARCHAR, origin VARCHAR, delay INTEGER, ts "
    "TIMESTAMP, WATERMARK FOR ts AS ts - INTERVAL 1 MINUTE) WITH (partitions = 2, idle_timeout = "
    "'1 hour')",
    "CREATE TABLE places (id BIGINT, origin VARCHAR, state VARCHAR)",
    "CREATE TABLE direct (id BIGINT, statement BIGINT) PARTITIONED BY (statement)",
    "CREATE TABLE history (id BIGINT, kind VARCHAR, origin VARCHAR, delay INTEGER, ts TIMESTAMP) "
    "PARTITIONED BY (day(ts))",
    "CREATE SINK keep INTO history FROM events WITH (commit_interval = '20 ms')",
    "CREATE MATERIALIZED VIEW per_kind AS SELECT kind, count(*) AS n, sum(id) AS total FROM events "
    "GROUP BY kind",
    "CREATE MATERIALIZED VIEW windows AS SELECT kind, window_start, count(*) AS n, sum(delay) AS "
    "total FROM tumble(events, ts, INTERVAL 1 MINUTE) GROUP BY kind, window_start",
    "CREATE MATERIALIZED VIEW closed AS SELECT window_end, count(*) AS n, sum(delay) AS total FROM "
    "tumble(events, ts, INTERVAL 1 MINUTE) GROUP BY window_end EMIT ON WINDOW CLOSE",
    "CREATE MATERIALIZED VIEW sittings AS SELECT kind, window_start, window_end, count(*) AS n "
    "FROM "
    "session(events PARTITION BY kind, ts, INTERVAL 20 SECOND) GROUP BY ALL",
    "CREATE MATERIALIZED VIEW per_state AS SELECT p.state, count(*) AS n, sum(e.delay) AS total "
    "FROM events e JOIN places p ON e.origin = p.origin GROUP BY p.state",
    "CREATE MATERIALIZED VIEW top_ids AS SELECT id, kind FROM events ORDER BY id DESC LIMIT 5",
    "CREATE MATERIALIZED VIEW worst AS SELECT kind, place, id FROM (SELECT kind, id, row_number() "
    "OVER (PARTITION BY kind ORDER BY delay DESC, id) AS place FROM events) WHERE place <= 3",
    "CREATE TOPIC ledger (id BIGINT, padding VARCHAR) WITH (partitions = 2, segment_bytes = "
    "'1 MiB')",
    "CREATE MATERIALIZED VIEW ledger_sum AS SELECT count(*) AS n, sum(id) AS total FROM ledger",
    "CREATE MATERIALIZED VIEW slow AS SELECT id, kind FROM events WHERE delay >= 50",
    "CREATE TABLE slow_history (id BIGINT, kind VARCHAR)",
    "CREATE SINK keep_slow INTO slow_history FROM slow WITH (commit_interval = '20 ms')",
    "CREATE TOPIC notes (id BIGINT, statement BIGINT)",
    "CREATE TOPIC short (id BIGINT, padding VARCHAR) WITH (segment_bytes = '1 MiB', "
    "retention_bytes = 3000000)",
    "CREATE MATERIALIZED VIEW short_ids AS SELECT id FROM short",
};

/// Rows with the number of the statement, or transaction, that wrote them.
class InsertClient final : public PowerClient {
 public:
  void act(PowerWorld& world) override {
    static const std::vector<std::string> kInto = {"direct", "places", "notes", "notes"};
    size_t which = world.random(kInto.size());
    if (!world.find(kInto[which])) return;
    if (kInto[which] == "places") return insert_places(world);
    auto& target = kInto[which] == "direct" ? direct_ : notes_;
    Statement statement{.rows = 1 + world.random(6)};
    int64_t number = next_++;
    std::vector<std::string> texts;
    bool transaction = world.random(2) == 0;
    if (transaction) texts.emplace_back("BEGIN");
    for (uint64_t row = 0; row < statement.rows; ++row) {
      auto values = fmt::format("({}, {})", next_++, number);
      bool first = texts.empty() || texts.back() == "BEGIN";
      if (first || transaction) {
        texts.push_back(fmt::format("INSERT INTO {} VALUES {}", kInto[which], values));
      } else {
        texts.back() += ", " + values;
      }
    }
    if (transaction) texts.emplace_back("COMMIT");
    auto& known = target[number] = statement;
    Status done = world.run_in_session(texts);
    known.acknowledged = done.has_value();
    if (!done) return world.refused(texts.back(), done.error());
    world.acknowledged(Promise::statements);
  }

  Wrong check(PowerWorld& world) override {
    if (world.find("places")) {
      if (auto wrong = places_.check("places", world.read("SELECT id FROM places"), false))
        return wrong;
    }
    if (auto wrong = check_statements(world, "direct", direct_, false)) return wrong;
    return check_statements(world, "notes", notes_, !world.keeps_records());
  }

 private:
  struct Statement {
    uint64_t rows = 0;
    bool acknowledged = false;
  };
  using Statements = std::map<int64_t, Statement>;

  void insert_places(PowerWorld& world) {
    if (next_place_ >= kPlacesMax) return;
    int64_t id = next_place_++;
    places_.attempt({id});
    auto done =
        world.query(fmt::format("INSERT INTO places VALUES ({}, 'o{}', 's{}')", id, id, id % 3));
    if (!done) return world.refused("INSERT INTO places", done.error());
    world.acknowledged(Promise::statements);
    places_.acknowledge({id});
  }

  static Wrong check_statements(PowerWorld& world, const std::string& into,
                                const Statements& statements, bool may_be_lost) {
    if (!world.find(into)) return std::nullopt;
    auto rows = world.read(
        fmt::format("SELECT statement, count(*), count(DISTINCT id) FROM {} GROUP BY 1", into));
    if (!rows) return into + ": " + rows.error().to_string();
    std::map<int64_t, uint64_t> found;
    for (const auto& row : *rows) {
      if (row[1] != row[2]) return into + ": rows twice of statement " + row[0];
      found[std::stoll(row[0])] = std::stoull(row[1]);
    }
    for (auto [number, statement] : statements) {
      auto at = found.find(number);
      uint64_t count = at == found.end() ? 0 : at->second;
      if (count == statement.rows || (count == 0 && (may_be_lost || !statement.acknowledged)))
        continue;
      return fmt::format("{}: {} of the {} rows of statement {}, {}", into, count, statement.rows,
                         number, statement.acknowledged ? "acknowledged" : "not acknowledged");
    }
    return std::nullopt;
  }

  static constexpr int64_t kPlacesMax = 12;

  Statements direct_;
  Statements notes_;
  SentIds places_;
  int64_t next_ = 0;
  int64_t next_place_ = 0;
};

/// Runs what the storage of groups wants to be run, on the caller's thread.
class GroupClient final : public PowerClient {
 public:
  void act(PowerWorld& world) override {
    auto topic = world.find("events");
    if (!topic) return;
    Group group(world);
    if (!group.loaded) return world.refused("groups", group.loaded.error());
    attempted_ = next_++;
    std::optional<groups::GroupError> outcome;
    group.coordinator.commit({.group_id = "readers"},
                             {{.partition = {topic->id, 0}, .offset = Offset(attempted_)},
                              {.partition = {topic->id, 1}, .offset = Offset(attempted_)}},
                             [&](groups::GroupError error) { outcome = error; });
    group.run();
    if (outcome == groups::GroupError::none) {
      world.acknowledged(Promise::commits);
      acknowledged_ = attempted_;
    } else {
      world.refused("OffsetCommit", Error(Code::io, "not stored"));
    }
  }

  Wrong check(PowerWorld& world) override {
    Group group(world);
    if (!group.loaded) return "groups: " + group.loaded.error().to_string();
    int64_t found = 0;
    for (const auto& offset : group.coordinator.offsets("readers")) {
      if (found != 0 && offset.offset.value != found) return "half of an OffsetCommit";
      found = offset.offset.value;
    }
    if (found == acknowledged_ || (found > acknowledged_ && found <= attempted_)) {
      acknowledged_ = found;
      return std::nullopt;
    }
    return fmt::format("OffsetCommit {} acknowledged, {} found", acknowledged_, found);
  }

 private:
  struct Group {
    explicit Group(PowerWorld& world)
        : storage(world.engines().meta(),
                  {.background = [this](auto job) -> Status {
                     jobs.push_back(std::move(job));
                     return {};
                   },
                   .owner = [this](auto job) { jobs.push_back(std::move(job)); }}),
          coordinator(world.clock(), storage, {.unique_text = [] { return std::string("u"); }}),
          loaded(coordinator.load(world.engines().meta())) {}
    void run() {
      while (!jobs.empty()) {
        auto job = std::move(jobs.front());
        jobs.pop_front();
        job();
      }
    }
    std::deque<groups::StoreStorage::Job> jobs;
    groups::StoreStorage storage;
    groups::Coordinator coordinator;
    Status loaded;
  };

  int64_t next_ = 1;
  int64_t attempted_ = 0;
  int64_t acknowledged_ = 0;
};

class DdlClient final : public PowerClient {
 public:
  void act(PowerWorld& world) override {
    if (!world.find("per_kind")) return;
    if (!objects_.empty() && world.random(2) == 0) return drop(world);
    static const std::vector<std::pair<std::string, std::string>> kKinds = {
        {"TOPIC", "(id BIGINT)"},
        {"TABLE", "(id BIGINT)"},
        {"TABLE", "AS SELECT range AS id FROM range(100)"},
        {"MATERIALIZED VIEW", "AS SELECT count(*) AS n FROM events"}};
    const auto& [kind, rest] = kKinds[world.random(kKinds.size())];
    auto name = fmt::format("made_{}", next_++);
    auto& object = objects_[name] = {.kind = kind, .filled = rest.contains("range")};
    auto made = world.query(fmt::format("CREATE {} {} {}", kind, name, rest));
    object.state = made ? State::present : State::unknown;
    if (!made) return world.refused("CREATE " + kind, made.error());
    world.acknowledged(Promise::objects);
  }

  Wrong check(PowerWorld& world) override {
    for (auto at = objects_.begin(); at != objects_.end();) {
      auto& [name, object] = *at;
      bool there = world.find(name) != nullptr;
      if (object.state == State::present && !there) return name + " was made and is gone";
      if (object.state == State::absent && there) return name + " was dropped and is there";
      if (there && object.filled) {
        auto rows = world.read("SELECT count(*) FROM " + name);
        if (auto wrong = same_rows(name, rows, TextRows{{"100"}})) return wrong;
      }
      object.state = State::present;
      at = there ? std::next(at) : objects_.erase(at);
    }
    return std::nullopt;
  }

 private:
  enum class State : unsigned char { unknown, present, absent };
  struct Object {
    std::string kind;
    bool filled = false;
    State state = State::unknown;
  };

  void drop(PowerWorld& world) {
    auto at =
        std::next(objects_.begin(), static_cast<std::ptrdiff_t>(world.random(objects_.size())));
    if (at->second.state != State::present) return;
    at->second.state = State::unknown;
    auto dropped = world.query(fmt::format("DROP {} {}", at->second.kind, at->first));
    if (dropped) {
      world.acknowledged(Promise::objects);
      at->second.state = State::absent;
    } else {
      world.refused("DROP " + at->second.kind, dropped.error());
    }
  }

  std::map<std::string, Object> objects_;
  int next_ = 0;
};

/// Version k of the project has topic p_k and views p_count_k and p_sum_k, and nothing of k - 1.
/// Its table p_rows stays, and has the rows of the file that stood there when k was applied.
class ProjectClient final : public PowerClient {
 public:
  void act(PowerWorld& world) override {
    if (!world.find("per_kind")) return;
    attempted_ = next_++;
    if (Status written = write(world); !written) return world.refused("project", written.error());
    Status applied = world.engines().apply_project("/project", true);
    if (!applied) return world.refused("apply", applied.error());
    world.acknowledged(Promise::applies);
    acknowledged_ = attempted_;
  }

  Wrong check(PowerWorld& world) override {
    std::set<std::string> found;
    auto snapshot = world.engines().catalog().snapshot();
    for (const auto& object : snapshot->all()) {
      if (object->name.starts_with("p_")) found.insert(object->name);
    }
    int last = std::max(acknowledged_, attempted_);
    for (int version = acknowledged_; version <= last; ++version) {
      if (found != names(version)) continue;
      acknowledged_ = version;
      return version == 0 ? std::nullopt : check_rows(world, version);
    }
    return fmt::format("project: version {} acknowledged, {} tried, found {}", acknowledged_,
                       attempted_, fmt::join(found, " "));
  }

 private:
  static std::set<std::string> names(int version) {
    if (version == 0) return {};
    return {fmt::format("p_{}", version), fmt::format("p_count_{}", version),
            fmt::format("p_sum_{}", version), "p_rows"};
  }
  static int rows_of(int version) { return 1 + version % 5; }

  static Wrong check_rows(PowerWorld& world, int version) {
    auto rows = world.read("SELECT version, count(*), count(DISTINCT id) FROM p_rows GROUP BY 1");
    auto count = fmt::format("{}", rows_of(version));
    return same_rows("p_rows", rows, TextRows{{fmt::format("{}", version), count, count}});
  }

  Status write(PowerWorld& world) const {
    TRY(world.fs().make_dirs("/project"));
    auto put = [&](const std::string& name, const std::string& text) -> Status {
      auto file = TRY(world.fs().open("/project/" + name, OpenMode::truncate));
      return file->append(as_bytes(text));
    };
    TRY(put("ziwa.yaml", "name: power\n"));
    std::string rows = "id,version\n";
    for (int i = 0; i < rows_of(attempted_); ++i) rows += fmt::format("{},{}\n", i, attempted_);
    TRY(put("rows.csv", rows));
    TRY(put("tables.sql",
            "CREATE TABLE p_rows (id BIGINT, version BIGINT) WITH (file = 'rows.csv');\n"));
    TRY(put("topics.sql", fmt::format("CREATE TOPIC p_{} (id BIGINT);\n", attempted_)));
    return put(
        "views.sql",
        fmt::format("CREATE MATERIALIZED VIEW p_count_{0} AS SELECT count(*) AS n FROM p_{0};\n"
                    "CREATE MATERIALIZED VIEW p_sum_{0} AS SELECT kind, sum(id) AS n FROM "
                    "events GROUP BY kind;\n",
                    attempted_));
  }

  int next_ = 1;
  int attempted_ = 0;
  int acknowledged_ = 0;
};

}  // namespace

std::unique_ptr<PowerClient> make_schema_client() { return std::make_unique<SchemaClient>(); }
std::unique_ptr<PowerClient> make_insert_client() { return std::make_unique<InsertClient>(); }
std::unique_ptr<PowerClient> make_group_client() { return std::make_unique<GroupClient>(); }
std::unique_ptr<PowerClient> make_ddl_client() { return std::make_unique<DdlClient>(); }
std::unique_ptr<PowerClient> make_project_client() { return std::make_unique<ProjectClient>(); }

}  // namespace ziwa::app::testing
