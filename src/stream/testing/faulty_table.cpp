#include "stream/testing/faulty_table.h"

namespace ziwa::stream::testing {
namespace {

Status ask(const Fault& fault, std::string_view call) {
  return fault == nullptr ? Status() : fault(call);
}

class FaultyWriter final : public lake::TableWriter {
 public:
  FaultyWriter(std::unique_ptr<lake::TableWriter> inner, const Fault& fault)
      : inner_(std::move(inner)), fault_(fault) {}
  Status write(duckdb::DataChunk& rows) override {
    TRY(ask(fault_, "write"));
    return inner_->write(rows);
  }
  uint64_t rows() const override { return inner_->rows(); }
  uint64_t bytes() const override { return inner_->bytes(); }
  Result<std::vector<lake::DataFile>> finish() override {
    TRY(ask(fault_, "finish"));
    return inner_->finish();
  }

 private:
  std::unique_ptr<lake::TableWriter> inner_;
  const Fault& fault_;
};

class FaultyTable final : public lake::Table {
 public:
  FaultyTable(std::shared_ptr<lake::Table> inner, const Fault& fault)
      : inner_(std::move(inner)), fault_(fault) {}
  lake::TableSnapshotPtr snapshot() const override { return inner_->snapshot(); }
  Result<lake::TableSnapshotPtr> refresh() override { return inner_->refresh(); }
  Result<lake::TableSnapshotPtr> at_version(int64_t version) override {
    TRY(ask(fault_, "at_version"));
    return inner_->at_version(version);
  }
  Result<std::unique_ptr<lake::TableWriter>> writer(uint64_t file_bytes) override {
    return std::make_unique<FaultyWriter>(TRY(inner_->writer(file_bytes)), fault_);
  }
  Result<lake::TableSnapshotPtr> preview(const std::vector<lake::DataFile>& files) override {
    return inner_->preview(files);
  }
  Result<lake::TableSnapshotPtr> commit(const lake::Commit& commit) override {
    TRY(ask(fault_, "commit"));
    return inner_->commit(commit);
  }
  Result<std::map<std::string, std::string>> info(int64_t version) override {
    return inner_->info(version);
  }
  Result<std::vector<Change>> changes(int64_t from, int64_t to) override {
    TRY(ask(fault_, "changes"));
    return inner_->changes(from, to);
  }
  Result<lake::Cleaned> clean(const lake::CleanUp& how) override { return inner_->clean(how); }

 private:
  std::shared_ptr<lake::Table> inner_;
  const Fault& fault_;
};

}  // namespace

std::shared_ptr<lake::Table> make_faulty_table(std::shared_ptr<lake::Table> table,
                                               const Fault& fault) {
  return std::make_shared<FaultyTable>(std::move(table), fault);
}

}  // namespace ziwa::stream::testing
