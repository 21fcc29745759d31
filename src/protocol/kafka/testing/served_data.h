#pragma once

#include "base/clock.h"
#include "base/file.h"
#include "base/metrics.h"
#include "catalog/catalog.h"
#include "journal/journal.h"
#include "log/log.h"
#include "state/store.h"

#include <memory>
#include <string>

namespace ziwa::kafka::testing {

/// What the door serves from, real and wired as the server wires it: store, log, journal, catalog.
class ServedData {
 public:
  ServedData(FileSystem& fs, const Clock& clock) : fs_(fs), clock_(clock) {}
  ~ServedData() { close(); }

  Status open(const std::string& path) {
    TRY(fs_.make_dirs(path));
    store_ = TRY(state::Store::open(fs_, path + "/meta", {.tables = {"catalog", "groups"}}));
    catalog_ = TRY(catalog::Catalog::open(*store_, clock_));
    log_ = TRY(log::Log::open(fs_, path + "/log", clock_, metrics_, {}));
    journal_ = TRY(journal::Journal::open(fs_, path + "/journal", clock_, metrics_, {},
                                          [this](const auto& end) { return log_->has_data(end); }));
    TRY(log_->start(*journal_));
    auto snapshot = catalog_->snapshot();
    TRY(log_->drop_unknown([&](ObjectId id) { return snapshot->find(id) != nullptr; }));
    catalog_->set_journal([this](uint64_t version) {
      return journal_->submit_and_wait(journal::CatalogChange{.catalog_version = version}, {});
    });
    catalog_->watch({.apply = [this](const std::vector<catalog::Change>& changes, EntryNumber) {
      return apply(changes);
    }});
    for (const auto& object : snapshot->all())
      TRY(log_->create_topic(object->id, config(object->topic())));
    return {};
  }
  void close() {
    if (log_) log_->close().ignore("a test that cut the power cannot close well");
    if (journal_) journal_->close().ignore("as above");
    catalog_.reset();
    log_.reset();
    journal_.reset();
    store_.reset();
  }

  log::Log& log() { return *log_; }
  catalog::Catalog& catalog() { return *catalog_; }
  state::Store& store() { return *store_; }
  Metrics& metrics() { return metrics_; }
  const Clock& clock() const { return clock_; }

 private:
  static log::TopicConfig config(const catalog::TopicDefinition& topic) {
    return {.partitions = topic.partitions,
            .retention_ms = topic.retention_ms,
            .retention_bytes = topic.retention_bytes,
            .segment_bytes = topic.segment_bytes};
  }
  Status apply(const std::vector<catalog::Change>& changes) {
    for (const auto& change : changes) {
      const auto& object = change.after ? change.after : change.before;
      if (object->kind() != catalog::Kind::topic) continue;
      if (!change.after) {
        TRY(log_->drop_topic(change.before->id));
      } else {
        TRY(log_->create_topic(change.after->id, config(change.after->topic())));
      }
    }
    return {};
  }

  FileSystem& fs_;
  const Clock& clock_;
  Metrics metrics_;
  std::unique_ptr<state::Store> store_;
  std::unique_ptr<log::Log> log_;
  std::unique_ptr<journal::Journal> journal_;
  std::unique_ptr<catalog::Catalog> catalog_;
};

}  // namespace ziwa::kafka::testing
