#include "sql/project_order.h"

#include "base/text.h"
#include "duck/catalog_api.h"
#include "sql/core.h"
#include "sql/references.h"

#include <algorithm>
#include <map>

namespace ziwa::sql {
namespace {

Result<CreateStatement> as_create(Statement statement) {
  if (auto* topic = std::get_if<CreateTopic>(&statement)) return CreateStatement(std::move(*topic));
  if (auto* table = std::get_if<CreateTable>(&statement)) return CreateStatement(std::move(*table));
  if (auto* view = std::get_if<CreateView>(&statement)) return CreateStatement(std::move(*view));
  if (auto* sink = std::get_if<CreateSink>(&statement)) return CreateStatement(std::move(*sink));
  return Error(Code::invalid_argument, "a project declares objects; this statement does something")
      .with_hint("CREATE TOPIC, TABLE, MATERIALIZED VIEW and SINK may stand in a project");
}

Result<std::vector<ObjectKey>> read_keys(const CreateStatement& create) {
  std::vector<QualifiedName> names;
  if (const auto* view = std::get_if<CreateView>(&create)) {
    names = TRY(referenced_names(view->query.text));
  } else if (const auto* sink = std::get_if<CreateSink>(&create)) {
    names = {sink->from, sink->into};
  } else if (const auto* table = std::get_if<CreateTable>(&create); table && table->query) {
    names = TRY(referenced_names(table->query->text));
  }
  std::vector<ObjectKey> keys;
  for (const QualifiedName& name : names) {
    ObjectKey key = object_key(name.schema.empty() ? kDefaultSchema : name.schema, name.name);
    if (std::ranges::find(keys, key) == keys.end()) keys.push_back(std::move(key));
  }
  return keys;
}

Result<Declared> parse_one(const ProjectStatement& source) {
  Declared declared;
  declared.source = &source;
  declared.create = TRY(as_create(TRY(parse_statement(source.text))));
  declared.name = TRY(resolve_name(name_of(declared.create), std::string(kDefaultSchema)));
  declared.reads = TRY(read_keys(declared.create));
  return declared;
}

/// Depth-first: what a statement reads comes before it.
class Sorter {
 public:
  explicit Sorter(std::vector<Declared>& all) : all_(all), marks_(all.size(), Mark::unseen) {
    for (size_t i = 0; i < all_.size(); ++i) by_key_[all_[i].key()] = i;
  }

  Result<std::vector<Declared>> sorted() {
    for (size_t i = 0; i < all_.size(); ++i) TRY(visit(i));
    std::vector<Declared> out;
    for (size_t i : order_) out.push_back(std::move(all_[i]));
    return out;
  }

 private:
  enum class Mark : unsigned char { unseen, open, done };

  /// Iterative: a project may be a chain of thousands of views.
  Status visit(size_t root) {
    if (marks_[root] != Mark::unseen) return {};
    path_ = {{root, 0}};
    marks_[root] = Mark::open;
    while (!path_.empty()) {
      auto& [at, next] = path_.back();
      if (next == all_[at].reads.size()) {
        marks_[at] = Mark::done;
        order_.push_back(at);
        path_.pop_back();
        continue;
      }
      auto found = by_key_.find(all_[at].reads[next++]);
      if (found == by_key_.end() || marks_[found->second] == Mark::done) continue;
      if (marks_[found->second] == Mark::open) return circle(found->second);
      marks_[found->second] = Mark::open;
      path_.emplace_back(found->second, 0);
    }
    return {};
  }

  Error circle(size_t back_to) const {
    std::string names;
    bool inside = false;
    for (const auto& [at, next] : path_) {
      inside |= at == back_to;
      if (inside) names += fmt::format("\"{}\" reads ", all_[at].name.name);
    }
    names += fmt::format("\"{}\"", all_[back_to].name.name);
    return all_[back_to].located(
        Error(Code::invalid_argument, "the declarations form a circle: {}", names));
  }

  std::vector<Declared>& all_;
  std::map<ObjectKey, size_t> by_key_;
  std::vector<Mark> marks_;
  std::vector<std::pair<size_t, size_t>> path_;  ///< Statement, and which of its reads is next.
  std::vector<size_t> order_;
};

}  // namespace

ObjectKey object_key(std::string_view schema, std::string_view name) {
  return {lower(schema), lower(name)};
}

Result<std::vector<Declared>> parse_project(const ProjectFiles& files) {
  std::vector<Declared> all;
  std::map<ObjectKey, std::string> places;
  for (const ProjectStatement& source : files.statements) {
    auto parsed = parse_one(source);
    if (!parsed) {
      return std::move(parsed.error()).context(fmt::format("{}:{}", source.file, source.line));
    }
    auto [place, is_new] = places.emplace(parsed->key(), parsed->where());
    if (!is_new) {
      return parsed->located(Error(Code::invalid_argument, "\"{}\" is declared twice, first at {}",
                                   parsed->name.name, place->second));
    }
    all.push_back(std::move(*parsed));
  }
  return Sorter(all).sorted();
}

}  // namespace ziwa::sql
