#include "sql/scan_function.h"

#include "duck/file_system.h"
#include "sql/attached_catalog.h"
#include "sql/core.h"
#include "sql/topic_scan.h"

#include <algorithm>

namespace ziwa::sql {
namespace {

using Bound = data::ScanRequest::Bound;

constexpr const char* kScanFunction = "ziwa_scan";

/// What the transaction sees under an identity.
Result<std::shared_ptr<data::Scan>> open_object(PinnedTransaction& transaction,
                                                const stream::Published& published,
                                                const catalog::ObjectPtr& object) {
  auto missing = [&]() -> Error {
    auto known = published.unreadable.find(object->id);
    if (known != published.unreadable.end()) return known->second;
    return Error(Code::unavailable, "{} \"{}\" is not readable yet at epoch {}",
                 catalog::kind_name(object->kind()), object->name, published.epoch)
        .with_hint("read again in a moment");
  };
  switch (object->kind()) {
    case catalog::Kind::topic:
      return make_topic_scan(transaction.core().deps.log, object, published.epoch,
                             transaction.one_statement() ? Deleted::left_out : Deleted::refused);
    case catalog::Kind::table: {
      auto found = published.tables.find(object->id);
      if (found == published.tables.end() || !found->second) return missing();
      return found->second->scan();
    }
    case catalog::Kind::view: {
      auto found = published.views.find(object->id);
      if (found == published.views.end() || !found->second) return missing();
      return found->second->scan();
    }
    case catalog::Kind::sink:
      break;
  }
  return Error(Code::internal, "a sink cannot be read");
}

/// The scan behind `entry` as the transaction of `context` sees it.
Result<std::shared_ptr<data::Scan>> open_scan(PinnedTransaction& transaction,
                                              const TableEntry& entry) {
  stream::PublishedPtr published = TRY(transaction.pin().published());
  if (const auto* system = std::get_if<const SystemTable*>(&entry.target())) {
    return (*system)->open({transaction.core(), *published});
  }
  if (auto scan = transaction.uncommitted(entry.object()->id)) return scan;
  return open_object(transaction, *published, entry.object());
}

struct ScanGlobal final : duckdb::GlobalTableFunctionState {
  std::shared_ptr<data::Scan> scan;
  PinPtr pin;
  std::vector<std::unique_ptr<data::ScanStream>> parts;
  std::atomic<size_t> next_part = 0;
  std::vector<size_t> columns;                ///< Of the scan; what each part fills.
  duckdb::vector<duckdb::LogicalType> types;  ///< As `columns`.
  std::vector<std::optional<size_t>> output;  ///< Per output column, its place in `columns`.
  bool direct = true;                         ///< Output columns are exactly `columns`.
  uint64_t rows_expected = 0;
  std::atomic<uint64_t> rows = 0;

  duckdb::idx_t MaxThreads() const override { return std::max<size_t>(parts.size(), 1); }
};

struct ScanLocal final : duckdb::LocalTableFunctionState {
  std::unique_ptr<data::ScanStream> part;
  duckdb::DataChunk scratch;  ///< Used when the output is not what the part gives.
};

/// Which columns to ask for, and where they go.
void plan_columns(const TableEntry& entry, const duckdb::vector<duckdb::column_t>& ids,
                  ScanGlobal& state) {
  for (duckdb::column_t id : ids) {
    std::optional<size_t> column = entry.scan_column(id);
    if (!column) {
      state.output.push_back(std::nullopt);
      state.direct = false;
      continue;
    }
    auto known = std::find(state.columns.begin(), state.columns.end(), *column);
    if (known != state.columns.end()) state.direct = false;
    state.output.push_back(static_cast<size_t>(known - state.columns.begin()));
    if (known == state.columns.end()) state.columns.push_back(*column);
  }
  // COUNT(*) reads no column; a scan always gives one, so that it can say how many rows there are.
  if (state.columns.empty())
    state.columns.push_back(entry.object() && entry.object()->kind() == catalog::Kind::topic
                                ? *entry.scan_schema().find("_offset")
                                : 0);
  for (size_t column : state.columns) state.types.push_back(entry.scan_type(column));
}

duckdb::unique_ptr<duckdb::GlobalTableFunctionState> init_global(
    duckdb::ClientContext& context, duckdb::TableFunctionInitInput& input) {
  const auto& bind = input.bind_data->Cast<ScanBind>();
  auto& transaction = PinnedTransaction::of(context, bind.entry.catalog);
  auto state = duckdb::make_uniq<ScanGlobal>();
  plan_columns(bind.entry, input.column_ids, *state);
  auto opened = [&]() -> Status {
    state->scan = TRY(open_scan(transaction, bind.entry));
    state->pin = transaction.shared_pin();
    data::ScanRequest request{.columns = state->columns, .bounds = bind.bounds};
    auto threads =
        static_cast<size_t>(duckdb::TaskScheduler::GetScheduler(context).NumberOfThreads());
    state->parts = TRY(state->scan->open(request, std::max<size_t>(threads, 1)));
    state->rows_expected = state->scan->row_count().value_or(0);
    return {};
  }();
  if (!opened) duck::throw_error(opened.error());
  transaction.note_read(context);
  return state;
}

duckdb::unique_ptr<duckdb::LocalTableFunctionState> init_local(
    duckdb::ExecutionContext& context, duckdb::TableFunctionInitInput&,
    duckdb::GlobalTableFunctionState* global) {
  auto& shared = global->Cast<ScanGlobal>();
  auto state = duckdb::make_uniq<ScanLocal>();
  if (!shared.direct) state->scratch.Initialize(context.client, shared.types);
  return state;
}

void place(ScanGlobal& shared, duckdb::DataChunk& from, duckdb::DataChunk& out) {
  for (size_t i = 0; i < shared.output.size(); ++i) {
    if (shared.output[i]) {
      out.data[i].Reference(from.data[*shared.output[i]]);
    } else {
      out.data[i].SetVectorType(duckdb::VectorType::CONSTANT_VECTOR);
      duckdb::ConstantVector::SetNull(out.data[i], true);
    }
  }
  out.SetCardinality(from.size());
}

void run(duckdb::ClientContext& context, duckdb::TableFunctionInput& input,
         duckdb::DataChunk& output) {
  auto& shared = input.global_state->Cast<ScanGlobal>();
  auto& local = input.local_state->Cast<ScanLocal>();
  duckdb::DataChunk& target = shared.direct ? output : local.scratch;
  while (true) {
    if (context.IsInterrupted()) throw duckdb::InterruptException();
    if (shared.pin->expired()) duck::throw_error(pin_expired_error());
    if (!local.part) {
      size_t next = shared.next_part++;
      if (next >= shared.parts.size()) return;
      local.part = std::move(shared.parts[next]);
    }
    target.Reset();
    if (Status status = local.part->next(target); !status) duck::throw_error(status.error());
    if (target.size() > 0) break;
    local.part.reset();
  }
  shared.rows += target.size();
  if (!shared.direct) place(shared, target, output);
}

std::optional<Bound::Op> bound_op(duckdb::ExpressionType type) {
  switch (type) {
    case duckdb::ExpressionType::COMPARE_EQUAL:
      return Bound::Op::equal;
    case duckdb::ExpressionType::COMPARE_LESSTHAN:
      return Bound::Op::less;
    case duckdb::ExpressionType::COMPARE_LESSTHANOREQUALTO:
      return Bound::Op::less_equal;
    case duckdb::ExpressionType::COMPARE_GREATERTHAN:
      return Bound::Op::greater;
    case duckdb::ExpressionType::COMPARE_GREATERTHANOREQUALTO:
      return Bound::Op::greater_equal;
    default:
      return std::nullopt;
  }
}

/// The scan column that an expression is, if it is a plain column of `get` whose bytes compare as
/// its type does.
std::optional<size_t> plain_column(const duckdb::LogicalGet& get, const ScanBind& bind,
                                   const duckdb::Expression& side) {
  if (side.GetExpressionClass() != duckdb::ExpressionClass::BOUND_COLUMN_REF) return std::nullopt;
  const auto& reference = side.Cast<duckdb::BoundColumnRefExpression>();
  const auto& ids = get.GetColumnIds();
  if (reference.binding.table_index != get.table_index ||
      reference.binding.column_index >= ids.size())
    return std::nullopt;
  const auto& id = ids[reference.binding.column_index];
  if (id.HasChildren()) return std::nullopt;
  auto column = bind.entry.scan_column(id.GetPrimaryIndex());
  if (!column || !duckdb::StringType::GetCollation(bind.entry.scan_type(*column)).empty())
    return std::nullopt;
  return column;
}

const duckdb::Value* constant(const duckdb::Expression& side) {
  if (side.GetExpressionClass() != duckdb::ExpressionClass::BOUND_CONSTANT) return nullptr;
  const auto& value = side.Cast<duckdb::BoundConstantExpression>().value;
  return value.IsNull() ? nullptr : &value;
}

void add_bound(const duckdb::LogicalGet& get, ScanBind& bind, const duckdb::Expression& column_side,
               duckdb::ExpressionType type, const duckdb::Expression& value_side) {
  auto column = plain_column(get, bind, column_side);
  auto op = bound_op(type);
  const duckdb::Value* value = constant(value_side);
  if (!column || !op || !value || value->type() != bind.entry.scan_type(*column)) return;
  bind.bounds.push_back({*column, *op, std::make_shared<const duckdb::Value>(*value)});
}

/// Turns one conjunct of a WHERE into bounds where it can.
void collect_bounds(const duckdb::LogicalGet& get, ScanBind& bind,
                    const duckdb::Expression& filter) {
  if (filter.GetExpressionClass() == duckdb::ExpressionClass::BOUND_COMPARISON) {
    const auto& comparison = filter.Cast<duckdb::BoundComparisonExpression>();
    add_bound(get, bind, *comparison.left, filter.GetExpressionType(), *comparison.right);
    add_bound(get, bind, *comparison.right,
              duckdb::FlipComparisonExpression(filter.GetExpressionType()), *comparison.left);
  } else if (filter.GetExpressionClass() == duckdb::ExpressionClass::BOUND_BETWEEN) {
    const auto& between = filter.Cast<duckdb::BoundBetweenExpression>();
    add_bound(get, bind, *between.input, between.LowerComparisonType(), *between.lower);
    add_bound(get, bind, *between.input, between.UpperComparisonType(), *between.upper);
  } else if (filter.GetExpressionType() == duckdb::ExpressionType::CONJUNCTION_AND) {
    for (const auto& child : filter.Cast<duckdb::BoundConjunctionExpression>().children)
      collect_bounds(get, bind, *child);
  }
}

/// The filters stay above the scan: bounds only save work.
void pushdown(duckdb::ClientContext&, duckdb::LogicalGet& get, duckdb::FunctionData* bind_data,
              duckdb::vector<duckdb::unique_ptr<duckdb::Expression>>& filters) {
  auto& bind = bind_data->Cast<ScanBind>();
  for (const auto& filter : filters) collect_bounds(get, bind, *filter);
}

duckdb::unique_ptr<duckdb::NodeStatistics> cardinality(duckdb::ClientContext& context,
                                                       const duckdb::FunctionData* bind_data) {
  auto rows = estimated_rows(context, bind_data->Cast<ScanBind>().entry);
  return rows ? duckdb::make_uniq<duckdb::NodeStatistics>(*rows) : nullptr;
}

double progress(duckdb::ClientContext&, const duckdb::FunctionData*,
                const duckdb::GlobalTableFunctionState* global) {
  const auto& shared = global->Cast<ScanGlobal>();
  if (shared.rows_expected == 0) return -1;
  return std::min(
      100.0, 100.0 * static_cast<double>(shared.rows) / static_cast<double>(shared.rows_expected));
}

/// What tells two scans of one statement apart: without it the optimizer takes scans of like
/// columns for one and the same.
void serialize(duckdb::Serializer& serializer,
               const duckdb::optional_ptr<duckdb::FunctionData> bind_data,
               const duckdb::TableFunction&) {
  const auto& bind = bind_data->Cast<ScanBind>();
  serializer.WriteProperty(1, "catalog", bind.entry.catalog.GetName());
  serializer.WriteProperty(2, "schema", bind.entry.ParentSchema().name);
  serializer.WriteProperty(3, "name", bind.entry.name);
  serializer.WriteList(4, "bounds", bind.bounds.size(),
                       [&](duckdb::Serializer::List& list, duckdb::idx_t i) {
                         const Bound& bound = bind.bounds[i];
                         list.WriteObject([&](duckdb::Serializer& one) {
                           one.WriteProperty(1, "column", static_cast<uint64_t>(bound.column));
                           one.WriteProperty(2, "op", static_cast<uint8_t>(bound.op));
                           one.WriteProperty(3, "value", *bound.value);
                         });
                       });
}

/// For copies of a plan within the transaction that made it.
duckdb::unique_ptr<duckdb::FunctionData> deserialize(duckdb::Deserializer& deserializer,
                                                     duckdb::TableFunction&) {
  auto catalog = deserializer.ReadProperty<std::string>(1, "catalog");
  auto schema = deserializer.ReadProperty<std::string>(2, "schema");
  auto name = deserializer.ReadProperty<std::string>(3, "name");
  auto& context = deserializer.Get<duckdb::ClientContext&>();
  auto& table =
      duckdb::Catalog::GetEntry<duckdb::TableCatalogEntry>(context, catalog, schema, name);
  auto bind = duckdb::make_uniq<ScanBind>(dynamic_cast<TableEntry&>(table));
  deserializer.ReadList(4, "bounds", [&](duckdb::Deserializer::List& list, duckdb::idx_t) {
    list.ReadObject([&](duckdb::Deserializer& one) {
      auto column = one.ReadProperty<uint64_t>(1, "column");
      auto op = static_cast<Bound::Op>(one.ReadProperty<uint8_t>(2, "op"));
      auto value = one.ReadProperty<duckdb::Value>(3, "value");
      bind->bounds.push_back({column, op, std::make_shared<const duckdb::Value>(std::move(value))});
    });
  });
  return bind;
}

duckdb::InsertionOrderPreservingMap<std::string> describe(
    duckdb::TableFunctionToStringInput& input) {
  const auto& bind = input.bind_data->Cast<ScanBind>();
  duckdb::InsertionOrderPreservingMap<std::string> text;
  catalog::ObjectPtr object = bind.entry.object();
  text["Table"] = bind.entry.ParentSchema().name + "." + bind.entry.name;
  text["Kind"] = object ? std::string(catalog::kind_name(object->kind())) : "system table";
  std::string columns;
  for (const Bound& bound : bind.bounds) {
    if (!columns.empty()) columns += ", ";
    columns += bind.entry.scan_schema().columns[bound.column].name;
  }
  if (!columns.empty()) text["Bounds on"] = columns;
  return text;
}

duckdb::unique_ptr<duckdb::FunctionData> refuse_call(duckdb::ClientContext&,
                                                     duckdb::TableFunctionBindInput&,
                                                     duckdb::vector<duckdb::LogicalType>&,
                                                     duckdb::vector<std::string>&) {
  throw duckdb::BinderException("%s is how a table is read, not a function to call", kScanFunction);
}

/// The scan without what it scans.
duckdb::TableFunction scan_function() {
  duckdb::TableFunction function(std::string(kScanFunction), {}, run, refuse_call, init_global,
                                 init_local);
  function.projection_pushdown = true;
  function.pushdown_complex_filter = pushdown;
  function.cardinality = cardinality;
  function.table_scan_progress = progress;
  function.to_string = describe;
  function.serialize = serialize;
  function.deserialize = deserialize;
  function.get_bind_info = [](const duckdb::optional_ptr<duckdb::FunctionData> data) {
    return duckdb::BindInfo(data->Cast<ScanBind>().entry);
  };
  function.get_virtual_columns = [](duckdb::ClientContext&,
                                    duckdb::optional_ptr<duckdb::FunctionData> data) {
    return data->Cast<ScanBind>().entry.GetVirtualColumns();
  };
  function.get_row_id_columns = [](duckdb::ClientContext&,
                                   duckdb::optional_ptr<duckdb::FunctionData>) {
    return duckdb::vector<duckdb::column_t>{};
  };
  return function;
}

}  // namespace

duckdb::unique_ptr<duckdb::FunctionData> ScanBind::Copy() const {
  auto copy = duckdb::make_uniq<ScanBind>(entry);
  copy->bounds = bounds;
  return copy;
}

bool ScanBind::Equals(const duckdb::FunctionData& other) const {
  const auto& bind = other.Cast<ScanBind>();
  return &entry == &bind.entry && bounds.empty() && bind.bounds.empty();
}

duckdb::TableFunction make_scan_function(TableEntry& entry,
                                         duckdb::unique_ptr<duckdb::FunctionData>& bind_data) {
  bind_data = duckdb::make_uniq<ScanBind>(entry);
  return scan_function();
}

Status register_scan_function(duck::Instance& instance) {
  return duck::guarded([&] {
    duckdb::ExtensionLoader loader(*instance.database().instance, "ziwa");
    if (!loader.TryGetTableFunction(kScanFunction)) loader.RegisterFunction(scan_function());
  });
}

catalog::ObjectPtr scanned_object(const duckdb::LogicalGet& get) {
  if (get.function.name != kScanFunction || !get.bind_data) return nullptr;
  return get.bind_data->Cast<ScanBind>().entry.object();
}

std::optional<uint64_t> estimated_rows(duckdb::ClientContext& context, TableEntry& entry) {
  auto scan = open_scan(PinnedTransaction::of(context, entry.catalog), entry);
  return scan ? (*scan)->row_count() : std::nullopt;
}

}  // namespace ziwa::sql
