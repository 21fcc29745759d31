#include "stream/view.h"

#include "base/checksum.h"
#include "base/log.h"

namespace ziwa::stream {

StoreTables::StoreTables(state::Store& store)
    : views(store.table("views")),
      state(store.table("state")),
      positions(store.table("positions")),
      late(store.table("late")),
      errors(store.table("errors")),
      dead_letters(store.table("dead_letters")) {}

std::string id_prefix(ObjectId id) {
  std::string prefix(sizeof(uint64_t), '\0');
  store_be<uint64_t>(prefix.data(), id.value);
  return prefix;
}

namespace {

/// What the catalog says of the view's columns must be what the plan makes.
Status check_schema(const catalog::Object& object, const Plan& plan) {
  const auto& columns = object.view().schema.columns;
  const auto& output = plan.root().output;
  bool same = columns.size() == output.size();
  for (size_t i = 0; same && i < columns.size(); ++i) {
    same = TRY(duck::parse_type(columns[i].type)) == TRY(duck::parse_type(output[i].type));
  }
  if (same) return {};
  return Error(Code::internal, "the columns of view \"{}\" are not those of its plan", object.name);
}

}  // namespace

Result<std::unique_ptr<View>> View::create(catalog::ObjectPtr object,
                                           const Dependencies& dependencies) {
  auto plan = TRY(decode_plan(object->view().plan));
  TRY(check_schema(*object, plan));
  std::unique_ptr<View> view(new View());
  view->object_ = std::move(object);
  view->store_ = &dependencies.store;
  view->owned_tables_ = std::make_unique<StoreTables>(dependencies.tables);
  view->tables_ = view->owned_tables_.get();
  view->context_ =
      std::make_unique<StageContext>(StageContext{.instance = dependencies.instance,
                                                  .errors = nullptr,
                                                  .late = nullptr,
                                                  .watermark = dependencies.watermark});
  view->flow_ = TRY(Dataflow::compile(plan, *view->context_, dependencies.resolve));
  for (const auto& node : plan.nodes) view->labels_[node.id] = node_label(node);
  auto prefix = id_prefix(view->id());
  auto layout = TRY(RowLayout::create(view->object_->view().schema, plan.key));
  view->contents_ = std::make_unique<RowTable>(std::move(layout), dependencies.store,
                                               dependencies.tables.views, prefix);
  auto late_layout = TRY(RowLayout::create(LateRows::schema(), {}));
  view->late_table_ = std::make_unique<RowTable>(std::move(late_layout), dependencies.store,
                                                 dependencies.tables.late, prefix);
  view->late_ = std::make_unique<LateRows>(*view->late_table_, dependencies.topic_schema);
  view->context_->late = view->late_.get();
  auto error_layout = TRY(RowLayout::create(RowErrors::schema(), {}));
  view->error_table_ = std::make_unique<RowTable>(std::move(error_layout), dependencies.store,
                                                  dependencies.tables.errors, prefix);
  view->errors_ = std::make_unique<RowErrors>(*view->error_table_, view->labels_);
  view->context_->errors = view->errors_.get();
  view->stop_on_error_ = plan.stop_on_error;
  view->flow_->add_target(view->contents_.get(), 0);
  view->append_only_ = view->flow_->append_only();
  return view;
}

const std::vector<Source*>& View::sources() const {
  static const std::vector<Source*> kNone;
  return flow_ == nullptr ? kNone : flow_->sources();
}

void View::release() {
  flow_.reset();
  for (RowTable* table : tables()) table->clear();
}

uint32_t View::plan_sum() const { return crc32c(as_bytes(object_->view().plan)); }

bool View::reads(ObjectId object) const {
  for (const auto* source : sources()) {
    if (source->object() == object) return true;
  }
  return false;
}

Result<bool> View::finish(Epoch now, Epoch changed) {
  TRY(flow_->finish());
  if (stop_on_error_ && !errors_->last().empty()) {
    return Error(Code::invalid_argument, "a row fails: {}", errors_->last())
        .with_hint("it was created with on_error = 'stop'");
  }
  TRY(late_->flush());
  TRY(errors_->flush());
  bool any = false;
  for (RowTable* table : tables()) any = TRY(table->apply(changed)) || any;
  epoch = now;
  const uint64_t failing = error_table_->rows();
  if (failing >= errors_to_log_) {
    log_warn("stream", "rows are left out of a view: an expression fails on them",
             "view={} rows={} last={}", object_->name, failing, errors_->last());
    errors_to_log_ = failing * 10;
  }
  return any;
}

Status View::save_state(state::WriteBatch& batch) {
  return flow_->save(batch, tables_->state, id_prefix(id()));
}

// Positions, key "view/" + 8 bytes id: varint rows, varint changed_at, varint late rows, varint
// late changed_at, varint row errors, sized text that is not used any more; not in format 1: varint
// epoch of the rows, 4 bytes sum of the plan, sized error of a view that has failed, varint row
// errors changed_at.
std::string View::meta() const {
  ByteWriter out;
  out.varint(contents_->rows());
  out.varint(contents_->changed_at().value);
  out.varint(late_table_->rows());
  out.varint(late_table_->changed_at().value);
  out.varint(error_table_->rows());
  out.sized("");
  out.varint(epoch.value);
  out.le<uint32_t>(plan_sum());
  out.sized(state == State::failed ? error : "");
  out.varint(error_table_->changed_at().value);
  return std::string(as_text(out.view()));
}

Result<View::Stored> View::read_meta(std::string_view meta) {
  ByteReader in(as_bytes(meta));
  Stored stored;
  stored.rows = in.varint();
  stored.changed_at = Epoch(in.varint());
  stored.late_rows = in.varint();
  stored.late_changed_at = Epoch(in.varint());
  stored.row_errors = in.varint();
  in.sized();
  // A view that was not followed since keeps the record that it had.
  if (in.ok() && in.remaining() > 0) {
    stored.epoch = Epoch(in.varint());
    stored.plan = in.le<uint32_t>();
    stored.error = in.sized();
  }
  if (in.ok() && in.remaining() > 0) stored.errors_changed_at = Epoch(in.varint());
  TRY(in.status("the stored facts of a view"));
  return stored;
}

Status View::load(std::shared_ptr<const state::Snapshot> snapshot, const Stored& stored) {
  auto prefix = id_prefix(id());
  auto cursor = store_->cursor(tables_->state, snapshot.get());
  for (cursor->seek(prefix); cursor->valid() && cursor->key().starts_with(prefix); cursor->next()) {
    TRY(flow_->load(cursor->key().substr(prefix.size()), cursor->value()));
  }
  TRY(cursor->status());
  contents_->restore(snapshot, stored.rows, stored.changed_at);
  late_table_->restore(snapshot, stored.late_rows, stored.late_changed_at);
  error_table_->restore(std::move(snapshot), stored.row_errors,
                        stored.errors_changed_at.value_or(Epoch()));
  return {};
}

void View::erase(ObjectId id, const StoreTables& tables, state::WriteBatch& batch) {
  auto begin = id_prefix(id);
  auto end = data::RowKeyEncoder::after_prefix(begin);
  for (auto table : {tables.views, tables.state, tables.late, tables.errors})
    batch.remove_range(table, begin, end);
  batch.remove(tables.positions, "view/" + begin);
}

std::vector<OperatorReport> View::operators() const {
  return flow_ == nullptr ? std::vector<OperatorReport>() : flow_->report();
}

std::string View::label_of(uint32_t node) const {
  auto at = labels_.find(node);
  return at == labels_.end() ? std::string() : at->second;
}

size_t View::state_bytes() const {
  return (flow_ == nullptr ? 0 : flow_->state_bytes()) + contents_->memory_bytes() +
         late_table_->memory_bytes() + error_table_->memory_bytes();
}

}  // namespace ziwa::stream
