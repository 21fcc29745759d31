#include "stream/testing/faulty_store.h"

namespace ziwa::stream::testing {
namespace {

Status ask(const Fault& fault, std::string_view call) {
  return fault == nullptr ? Status() : fault(call);
}

/// What a cursor is that cannot read: at its end, and its status says why.
class FailedCursor final : public state::Cursor {
 public:
  explicit FailedCursor(Error error) : error_(std::move(error)) {}
  void seek(std::string_view) override {}
  bool valid() const override { return false; }
  void next() override {}
  std::string_view key() const override { return {}; }
  std::string_view value() const override { return {}; }
  Status status() const override { return error_; }

 private:
  Error error_;
};

class FaultyStore final : public state::Store {
 public:
  FaultyStore(state::Store& inner, const Fault& fault) : inner_(inner), fault_(fault) {}
  state::TableId table(std::string_view name) const override { return inner_.table(name); }
  Result<std::optional<std::string>> get(state::TableId table, std::string_view key,
                                         const state::Snapshot* at) override {
    TRY(ask(fault_, "get"));
    return inner_.get(table, key, at);
  }
  Result<std::vector<std::optional<std::string>>> multi_get(state::TableId table,
                                                            const std::vector<std::string>& keys,
                                                            const state::Snapshot* at) override {
    TRY(ask(fault_, "get"));
    return inner_.multi_get(table, keys, at);
  }
  std::unique_ptr<state::Cursor> cursor(state::TableId table, const state::Snapshot* at) override {
    Status whole = ask(fault_, "cursor");
    if (!whole) return std::make_unique<FailedCursor>(std::move(whole).error());
    return inner_.cursor(table, at);
  }
  std::shared_ptr<const state::Snapshot> snapshot() override { return inner_.snapshot(); }
  Status write(const state::WriteBatch& batch, bool sync) override {
    TRY(ask(fault_, "write"));
    return inner_.write(batch, sync);
  }
  Status room() const override { return inner_.room(); }
  Status recover() override { return inner_.recover(); }
  uint64_t disk_bytes() const override { return inner_.disk_bytes(); }

 private:
  state::Store& inner_;
  const Fault& fault_;
};

}  // namespace

std::unique_ptr<state::Store> make_faulty_store(state::Store& store, const Fault& fault) {
  return std::make_unique<FaultyStore>(store, fault);
}

}  // namespace ziwa::stream::testing
