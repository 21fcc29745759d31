#include "duck/aggregate.h"

#include <duckdb/catalog/catalog.hpp>
#include <duckdb/catalog/catalog_entry/aggregate_function_catalog_entry.hpp>
#include <duckdb/common/serializer/binary_deserializer.hpp>
#include <duckdb/common/serializer/binary_serializer.hpp>
#include <duckdb/common/serializer/memory_stream.hpp>
#include <duckdb/execution/expression_executor.hpp>
#include <duckdb/function/function_binder.hpp>
#include <duckdb/parser/parser.hpp>
#include <duckdb/planner/binder.hpp>
#include <duckdb/planner/expression/bound_aggregate_expression.hpp>
#include <duckdb/planner/expression/bound_constant_expression.hpp>
#include <duckdb/planner/expression/bound_reference_expression.hpp>
#include <duckdb/planner/expression/bound_window_expression.hpp>
#include <duckdb/planner/expression_binder/constant_binder.hpp>
#include <duckdb/storage/arena_allocator.hpp>

#include <optional>
#include <set>

namespace ziwa::duck {
namespace {

using duckdb::BoundAggregateExpression;
using duckdb::Expression;
using duckdb::Value;

using Arguments = duckdb::vector<duckdb::unique_ptr<Expression>>;

/// Binds a function by name as DuckDB's binder does; null if there is none for such arguments.
duckdb::unique_ptr<BoundAggregateExpression> bind_call(duckdb::ClientContext& context,
                                                       const std::string& function,
                                                       Arguments arguments,
                                                       duckdb::ErrorData& error) {
  auto& entry = duckdb::Catalog::GetSystemCatalog(context).GetEntry(
      context, duckdb::CatalogType::AGGREGATE_FUNCTION_ENTRY, DEFAULT_SCHEMA, function);
  auto& functions = entry.Cast<duckdb::AggregateFunctionCatalogEntry>().functions;
  duckdb::FunctionBinder binder(context);
  auto best = binder.BindFunction(function, functions, arguments, error);
  if (!best.IsValid()) return nullptr;
  return binder.BindAggregateFunction(functions.GetFunctionByOffset(best.GetIndex()),
                                      std::move(arguments));
}

Value constant_value(duckdb::Binder& binder, duckdb::ClientContext& context,
                     const std::string& text) {
  auto parsed = duckdb::Parser::ParseExpressionList(text, context.GetParserOptions());
  if (parsed.size() != 1) throw duckdb::BinderException("\"%s\" is not one expression", text);
  duckdb::ConstantBinder constants(binder, context, "a constant argument");
  auto bound = constants.Bind(parsed[0]);
  return duckdb::ExpressionExecutor::EvaluateScalar(context, *bound);
}

}  // namespace

struct AggregateProgram::State {
  std::unique_ptr<duckdb::Connection> connection;  ///< First: the others refer to its context.
  duckdb::unique_ptr<BoundAggregateExpression> call;
  std::vector<Value> constants;
  std::unique_ptr<duckdb::ExpressionExecutor> casts;  ///< Null: the arguments are the columns.
  duckdb::DataChunk arguments;
  duckdb::DataChunk result;
  duckdb::ArenaAllocator arena{duckdb::Allocator::DefaultAllocator()};
  std::vector<std::max_align_t> memory;  ///< Of the function's state.
  duckdb::Vector pointers{duckdb::LogicalType::POINTER};
  bool begun = false;

  ~State() { end(); }
  duckdb::data_ptr_t data() { return reinterpret_cast<duckdb::data_ptr_t>(memory.data()); }
  duckdb::AggregateInputData input() { return {call->bind_info.get(), arena}; }
  void end() {
    if (!begun) return;
    begun = false;
    const auto& function = call->function;
    if (!function.HasStateDestructorCallback()) return;
    auto data = input();
    function.GetStateDestructorCallback()(pointers, data, 1);
  }
  void begin() {
    end();
    arena.Reset();
    call->function.GetStateInitCallback()(call->function, data());
    begun = true;
  }
  void add(duckdb::DataChunk& rows);
  void finish(duckdb::Vector& out, size_t row);
};

void AggregateProgram::State::add(duckdb::DataChunk& rows) {
  size_t count = rows.size();
  if (count == 0) return;
  duckdb::DataChunk* in = &rows;
  if (casts) {
    arguments.Reset();
    casts->Execute(rows, arguments);
    in = &arguments;
  }
  const auto& function = call->function;
  auto data = input();
  duckdb::Vector* columns = in->ColumnCount() == 0 ? nullptr : in->data.data();
  size_t width = call->children.size();
  if (function.HasStateSimpleUpdateCallback()) {
    function.GetStateSimpleUpdateCallback()(columns, data, width, this->data(), count);
  } else {
    function.GetStateUpdateCallback()(columns, data, width, pointers, count);
  }
}

void AggregateProgram::State::finish(duckdb::Vector& out, size_t row) {
  result.Reset();
  duckdb::FlatVector::Validity(result.data[0]).Reset();
  auto data = input();
  call->function.GetStateFinalizeCallback()(pointers, data, result.data[0], 1, 0);
  // The result may lie in the arena: copied before that is used again.
  duckdb::VectorOperations::Copy(result.data[0], out, 1, 0, row);
}

AggregateProgram::AggregateProgram() : state_(std::make_unique<State>()) {}
AggregateProgram::~AggregateProgram() = default;

Result<std::unique_ptr<AggregateProgram>> AggregateProgram::create(Instance& instance,
                                                                   const Call& call) {
  return guarded_result([&]() -> Result<std::unique_ptr<AggregateProgram>> {
    std::unique_ptr<AggregateProgram> program(new AggregateProgram());
    State& state = *program->state_;
    state.connection = instance.connect();
    auto& context = *state.connection->context;
    duckdb::ErrorData error;
    context.RunFunctionInTransaction([&] {
      auto binder = duckdb::Binder::CreateBinder(context);
      Arguments arguments;
      for (const auto& type : call.columns) {
        arguments.push_back(
            duckdb::make_uniq<duckdb::BoundReferenceExpression>(type, arguments.size()));
      }
      for (const auto& text : call.constants) {
        state.constants.push_back(constant_value(*binder, context, text));
        arguments.push_back(
            duckdb::make_uniq<duckdb::BoundConstantExpression>(state.constants.back()));
      }
      state.call = bind_call(context, call.function, std::move(arguments), error);
    });
    if (!state.call) return to_error(error);
    const auto& function = state.call->function;
    if (!function.HasStateInitCallback() || !function.HasStateFinalizeCallback() ||
        !(function.HasStateUpdateCallback() || function.HasStateSimpleUpdateCallback())) {
      return Error(Code::unsupported, "{}() is no plain aggregate", call.function);
    }
    duckdb::vector<duckdb::LogicalType> types;
    bool plain = state.call->children.size() == call.columns.size();
    for (const auto& child : state.call->children) {
      types.push_back(child->return_type);
      plain = plain && child->GetExpressionClass() == duckdb::ExpressionClass::BOUND_REF;
    }
    if (!plain && !types.empty()) {
      state.casts = std::make_unique<duckdb::ExpressionExecutor>(context);
      for (const auto& child : state.call->children) state.casts->AddExpression(*child);
      state.arguments.Initialize(duckdb::Allocator::DefaultAllocator(), types);
    }
    state.result.Initialize(duckdb::Allocator::DefaultAllocator(), {state.call->return_type});
    size_t bytes = function.GetStateSizeCallback()(function);
    state.memory.resize(bytes / sizeof(std::max_align_t) + 1);
    auto* pointers = duckdb::FlatVector::GetData<duckdb::data_ptr_t>(state.pointers);
    std::fill_n(pointers, STANDARD_VECTOR_SIZE, state.data());
    return program;
  });
}

const duckdb::LogicalType& AggregateProgram::result_type() const {
  return state_->call->return_type;
}

const std::vector<Value>& AggregateProgram::constants() const { return state_->constants; }

Status AggregateProgram::begin() {
  return guarded([&] { state_->begin(); });
}

Status AggregateProgram::add(duckdb::DataChunk& rows) {
  return guarded([&] { state_->add(rows); });
}

Status AggregateProgram::finish(duckdb::Vector& out, size_t row) {
  return guarded([&] { state_->finish(out, row); });
}

namespace {

/// A call of an aggregate, alone or over a window.
struct BoundCall {
  const duckdb::AggregateFunction& function;
  duckdb::FunctionData* bind_info;
  const Arguments& arguments;
  const duckdb::LogicalType& result_type;
};

BoundCall bound_call(const BoundAggregateExpression& call) {
  return {call.function, call.bind_info.get(), call.children, call.return_type};
}

BoundCall bound_call(const duckdb::BoundWindowExpression& call) {
  return {*call.aggregate, call.bind_info.get(), call.children, call.return_type};
}

/// The fractions of a quantile as they were written.
Value quantile_constant(const BoundCall& call, duckdb::BinaryDeserializer& stored) {
  duckdb::vector<Value> fractions;
  if (call.function.name == "approx_quantile") {
    for (float fraction : stored.ReadProperty<duckdb::vector<float>>(100, "quantiles")) {
      fractions.push_back(Value::FLOAT(fraction));
    }
  } else {
    fractions = stored.ReadProperty<duckdb::vector<Value>>(100, "quantiles");
    stored.ReadProperty<duckdb::vector<duckdb::idx_t>>(101, "order");
    if (stored.ReadProperty<bool>(102, "desc")) {
      for (auto& fraction : fractions) {
        auto type = fraction.type();
        fraction = Value::DOUBLE(-fraction.GetValue<double>()).DefaultCastAs(type);
      }
    }
  }
  if (call.result_type.id() != duckdb::LogicalTypeId::LIST) return fractions.at(0);
  return Value::LIST(std::move(fractions));
}

std::vector<Value> read_constants(const BoundCall& call) {
  static const std::set<std::string_view> kTexts = {"string_agg", "group_concat", "listagg"};
  static const std::set<std::string_view> kQuantiles = {"quantile", "quantile_cont",
                                                        "quantile_disc", "approx_quantile"};
  const std::string& name = call.function.name;
  if (!kTexts.contains(name) && !kQuantiles.contains(name)) return {};
  auto serialize = call.function.GetSerializeCallback();
  if (serialize == nullptr || call.bind_info == nullptr) return {};
  duckdb::MemoryStream stream(duckdb::Allocator::DefaultAllocator());
  duckdb::BinarySerializer serializer(stream);
  serializer.Begin();
  serialize(serializer, call.bind_info, call.function);
  serializer.End();
  stream.Rewind();
  duckdb::BinaryDeserializer stored(stream);
  stored.Begin();
  if (kQuantiles.contains(name)) return {quantile_constant(call, stored)};
  return {Value(stored.ReadProperty<std::string>(100, "separator"))};
}

std::vector<Value> constants_of(const BoundCall& call) {
  auto constants = guarded([&] { return read_constants(call); });
  return constants.has_value() ? std::move(*constants) : std::vector<Value>();
}

bool call_says_all(duckdb::ClientContext& context, const BoundCall& call) {
  if (call.bind_info == nullptr) return true;
  bool same = false;
  Status bound = guarded([&] {
    Arguments arguments;
    for (const auto& argument : call.arguments) {
      arguments.push_back(argument->Copy());
      arguments.back()->SetAlias("");
    }
    for (const auto& constant : constants_of(call)) {
      arguments.push_back(duckdb::make_uniq<duckdb::BoundConstantExpression>(constant));
    }
    duckdb::ErrorData error;
    auto again = bind_call(context, call.function.name, std::move(arguments), error);
    same = again && again->return_type == call.result_type &&
           again->children.size() == call.arguments.size() && again->bind_info &&
           again->bind_info->Equals(*call.bind_info);
  });
  return bound.has_value() && same;
}

}  // namespace

std::vector<Value> constants_of(const BoundAggregateExpression& call) {
  return constants_of(bound_call(call));
}

std::vector<Value> constants_of(const duckdb::BoundWindowExpression& call) {
  return call.aggregate ? constants_of(bound_call(call)) : std::vector<Value>();
}

bool call_says_all(duckdb::ClientContext& context, const BoundAggregateExpression& call) {
  return call_says_all(context, bound_call(call));
}

bool call_says_all(duckdb::ClientContext& context, const duckdb::BoundWindowExpression& call) {
  return !call.aggregate || call_says_all(context, bound_call(call));
}

}  // namespace ziwa::duck
