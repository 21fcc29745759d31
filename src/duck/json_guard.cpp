#include "duck/json_guard.h"

#include "base/json_depth.h"
#include "duck/system_functions.h"

#include <duckdb/execution/expression_executor.hpp>
#include <duckdb/function/cast/cast_function_set.hpp>
#include <duckdb/function/cast/default_casts.hpp>

#include <array>
#include <string>

namespace ziwa::duck {
namespace {

using duckdb::LogicalType;
using duckdb::LogicalTypeId;

/// Scalar functions whose VARCHAR arguments are JSON texts (or short paths). Not those that only
/// look at the top, or that quote text without reading it.
constexpr auto kFunctions = std::to_array<const char*>(
    {"json_contains", "json_structure", "json_merge_patch", "json_transform",
     "json_transform_strict", "from_json", "from_json_strict", "json_pretty", "json_extract",
     "json_extract_string", "json_extract_path", "json_extract_path_text", "->", "->>",
     "json_exists", "json_value", "json_deserialize_sql"});

void check_text(std::string_view text) {
  if (!json_nests_deeper(text, kJsonTextDepthMax)) return;
  throw duckdb::InvalidInputException("JSON text nests deeper than %llu levels",
                                      static_cast<unsigned long long>(kJsonTextDepthMax));
}

void check_vector(duckdb::Vector& vector, duckdb::idx_t count) {
  if (vector.GetType().id() != LogicalTypeId::VARCHAR) return;
  duckdb::UnifiedVectorFormat rows;
  vector.ToUnifiedFormat(count, rows);
  const auto* texts = duckdb::UnifiedVectorFormat::GetData<duckdb::string_t>(rows);
  for (duckdb::idx_t row = 0; row < count; ++row) {
    const auto at = rows.sel->get_index(row);
    if (rows.validity.RowIsValid(at)) check_text({texts[at].GetData(), texts[at].GetSize()});
  }
}

void check_chunk(duckdb::DataChunk& chunk) {
  for (auto& column : chunk.data) check_vector(column, chunk.size());
}

auto& binds() {
  static OriginalCallbacks<duckdb::bind_scalar_function_t> originals;
  return originals;
}

/// json_transform and its like read their second argument, a constant, when they are bound.
duckdb::unique_ptr<duckdb::FunctionData> guarded_bind(
    duckdb::ClientContext& context, duckdb::ScalarFunction& function,
    duckdb::vector<duckdb::unique_ptr<duckdb::Expression>>& arguments) {
  for (auto& argument : arguments) {
    if (argument->return_type.id() != LogicalTypeId::VARCHAR || !argument->IsFoldable()) continue;
    auto value = duckdb::ExpressionExecutor::EvaluateScalar(context, *argument);
    if (!value.IsNull()) check_text(duckdb::StringValue::Get(value));
  }
  return binds().of(function.name)(context, function, arguments);
}

void guard(duckdb::ScalarFunction& function) {
  function.SetFunctionCallback(
      [original = function.GetFunctionCallback()](
          duckdb::DataChunk& arguments, duckdb::ExpressionState& state, duckdb::Vector& result) {
        check_chunk(arguments);
        original(arguments, state, result);
      });
  if (!function.HasBindCallback()) return;
  binds().keep(function.name, function.GetBindCallback());
  function.SetBindCallback(guarded_bind);
}

constexpr const char* kTree = "json_tree";

/// json_tree's paths grow with the depth. All its overloads share one callback.
auto& tree_rows() {
  static OriginalCallbacks<duckdb::table_in_out_function_t> original;
  return original;
}

duckdb::OperatorResultType guarded_tree(duckdb::ExecutionContext& context,
                                        duckdb::TableFunctionInput& data, duckdb::DataChunk& input,
                                        duckdb::DataChunk& output) {
  check_chunk(input);
  return tree_rows().of(kTree)(context, data, input, output);
}

void guard_tree(duckdb::TableFunction& function) {
  if (function.in_out_function == guarded_tree) return;
  tree_rows().keep(kTree, function.in_out_function);
  function.in_out_function = guarded_tree;
}

bool holds_json(const LogicalType& type) {
  if (type.IsJSONType()) return true;
  switch (type.id()) {
    case LogicalTypeId::LIST:
      return holds_json(duckdb::ListType::GetChildType(type));
    case LogicalTypeId::ARRAY:
      return holds_json(duckdb::ArrayType::GetChildType(type));
    case LogicalTypeId::MAP:
      return holds_json(duckdb::MapType::KeyType(type)) ||
             holds_json(duckdb::MapType::ValueType(type));
    case LogicalTypeId::STRUCT:
    case LogicalTypeId::UNION:
      for (const auto& child : duckdb::StructType::GetChildTypes(type)) {
        if (holds_json(child.second)) return true;
      }
      return false;
    default:
      return false;
  }
}

struct VariantCast final : duckdb::BoundCastData {
  explicit VariantCast(duckdb::BoundCastInfo cast) : inner(std::move(cast)) {}
  duckdb::unique_ptr<duckdb::BoundCastData> Copy() const override {
    return duckdb::make_uniq<VariantCast>(inner.Copy());
  }
  duckdb::BoundCastInfo inner;
};

bool cast_json_to_variant(duckdb::Vector& source, duckdb::Vector& result, duckdb::idx_t count,
                          duckdb::CastParameters& parameters) {
  check_vector(source, count);
  auto& cast = parameters.cast_data->Cast<VariantCast>().inner;
  duckdb::CastParameters inner(parameters, cast.cast_data, parameters.local_state);
  return cast.function(source, result, count, inner);
}

duckdb::BoundCastInfo bind_variant(duckdb::BindCastInput& input, const LogicalType& source,
                                   const LogicalType& target) {
  auto cast = duckdb::DefaultCasts::GetDefaultCastFunction(input, source, target);
  if (source.IsJSONType()) {
    auto* local_state = cast.init_local_state;
    if (local_state != nullptr)
      throw duckdb::InternalException("the cast of JSON to VARIANT has a state");
    return {cast_json_to_variant, duckdb::make_uniq<VariantCast>(std::move(cast))};
  }
  if (holds_json(source)) {
    throw duckdb::NotImplementedException(
        "a cast of %s to VARIANT is not possible: cast the JSON inside it to VARIANT first",
        source.ToString());
  }
  return cast;
}

}  // namespace

void guard_json_functions(duckdb::DatabaseInstance& database) {
  change_scalar_functions(database, kFunctions, guard);
  change_table_functions(database, std::array{kTree}, guard_tree);
  auto& casts = duckdb::CastFunctionSet::Get(database);
  const auto any = LogicalType(LogicalTypeId::ANY);
  for (const auto& source :
       {LogicalType::JSON(), LogicalType::LIST(LogicalType::JSON()), LogicalType::LIST(any),
        LogicalType::ARRAY(any, duckdb::optional_idx()), LogicalType::STRUCT({{"any", any}}),
        LogicalType::MAP(any, any), LogicalType::UNION({{"any", any}})}) {
    casts.RegisterCastFunction(source, LogicalType::VARIANT(), bind_variant);
  }
}

}  // namespace ziwa::duck
