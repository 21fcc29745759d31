#pragma once

#include "stream/engine.h"

#include <map>
#include <memory>
#include <thread>

namespace ziwa::sql::testing {

/// A stream engine without streams: everything durable is published at once, views hold the rows
/// that a test puts in.
class FakeEngine final : public stream::Engine {
 public:
  explicit FakeEngine(Dependencies dependencies) : deps_(std::move(dependencies)) {}

  Status start() override { return {}; }
  stream::PublishedPtr published() const override {
    auto published = std::make_shared<stream::Published>();
    published->catalog = deps_.catalog.snapshot();
    published->epoch = frozen_ ? *frozen_ : deps_.journal.durable();
    for (const auto& object : published->catalog->all()) {
      if (object->kind() == catalog::Kind::table) {
        auto table = deps_.table(*object);
        if (table) published->tables[object->id] = (*table)->snapshot();
      }
      auto view = views.find(object->id);
      if (view != views.end()) published->views[object->id] = view->second;
    }
    return published;
  }
  Status wait(Epoch epoch, int64_t timeout_ms) override {
    if (published()->epoch >= epoch) return {};
    std::this_thread::sleep_for(std::chrono::milliseconds(timeout_ms));
    if (published()->epoch >= epoch) return {};
    return Error(Code::unavailable, "epoch {} is not there yet", epoch);
  }
  Status validate(const stream::Plan&, const catalog::Snapshot&) const override { return {}; }
  Status validate_sink(const catalog::Object&, const catalog::Snapshot&) const override {
    return {};
  }
  Status on_catalog_change(const std::vector<catalog::Change>&, EntryNumber) override { return {}; }
  Status room_to_change() const override { return room; }
  Status room_to_write() const override { return room; }
  Result<std::vector<stream::OperatorReport>> explain(const stream::Plan&,
                                                      const catalog::Snapshot&) const override {
    return std::vector<stream::OperatorReport>();
  }
  std::vector<stream::OperatorReport> operators(ObjectId) const override { return {}; }
  std::vector<stream::Wait> waits() const override { return {}; }
  std::vector<stream::ViewStatus> view_status() const override { return {}; }
  std::vector<stream::SinkStatus> sink_status() const override { return {}; }
  std::shared_ptr<data::Scan> late_rows(ObjectId) const override { return nullptr; }
  std::shared_ptr<data::Scan> dead_letters() const override { return nullptr; }
  Status checkpoint() override {
    ++checkpoints;
    return {};
  }
  Status flush_sinks(Epoch, int64_t) override { return {}; }
  Result<std::map<ObjectId, lake::Needs>> table_needs() const override {
    return std::map<ObjectId, lake::Needs>();
  }
  Status stop() override { return {}; }

  /// Readers stay at `epoch` from now on; nullopt: they follow again.
  void freeze(std::optional<Epoch> epoch) { frozen_ = epoch; }

  Status room;
  std::map<ObjectId, std::shared_ptr<const stream::ViewVersion>> views;
  int checkpoints = 0;

 private:
  Dependencies deps_;
  std::optional<Epoch> frozen_;
};

}  // namespace ziwa::sql::testing
