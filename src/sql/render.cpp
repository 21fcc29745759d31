#include "sql/render.h"

#include "base/text.h"
#include "duck/planner.h"

#include <algorithm>

namespace ziwa::sql {
namespace {

using duckdb::Expression;
using duckdb::ExpressionClass;
using duckdb::ExpressionType;

Result<std::string> render_list(const duckdb::vector<duckdb::unique_ptr<Expression>>& expressions,
                                size_t from, std::string_view separator, const NameColumn& name) {
  std::string out;
  for (size_t i = from; i < expressions.size(); ++i) {
    if (i > from) out += separator;
    out += TRY(render_expression(*expressions[i], name));
  }
  return out;
}

bool is_symbol(std::string_view function) {
  return !function.empty() && std::none_of(function.begin(), function.end(), [](unsigned char c) {
    return std::isalnum(c) || c == '_';
  });
}

Result<std::string> render_struct(const duckdb::BoundFunctionExpression& call,
                                  const NameColumn& name) {
  std::string out;
  for (size_t i = 0; i < call.children.size(); ++i) {
    auto value = TRY(render_expression(*call.children[i], name));
    out += fmt::format("{}{}: {}", i > 0 ? ", " : "",
                       quote(duckdb::StructType::GetChildName(call.return_type, i), '\''), value);
  }
  return "{" + out + "}";
}

Result<std::string> render_call(const duckdb::BoundFunctionExpression& call,
                                const NameColumn& name) {
  const std::string& function = call.function.name;
  // error() is volatile only so that DuckDB does not fold it.
  if (call.function.GetStability() != duckdb::FunctionStability::CONSISTENT &&
      function != "error") {
    return Error(Code::unsupported,
                 "{}() gives another value each time, so a view that uses it has no exact answer",
                 function)
        .with_hint("compute the value where the record is made and store it in a column");
  }
  if (is_symbol(function) && call.children.size() == 2) {
    auto left = TRY(render_expression(*call.children[0], name));
    auto right = TRY(render_expression(*call.children[1], name));
    return fmt::format("({} {} {})", left, function, right);
  }
  if (is_symbol(function) && call.children.size() == 1) {
    return fmt::format("({}{})", function, TRY(render_expression(*call.children[0], name)));
  }
  if (function == duck::kStructPack) return render_struct(call, name);
  return fmt::format("{}({})", quote(function, '"'),
                     TRY(render_list(call.children, 0, ", ", name)));
}

/// DuckDB widens decimal operands to the width of the result when it binds; bound again from text
/// they would widen once more, so the result's own type is said.
Result<std::string> render_function(const duckdb::BoundFunctionExpression& call,
                                    const NameColumn& name) {
  std::string text = TRY(render_call(call, name));
  if (call.return_type.id() != duckdb::LogicalTypeId::DECIMAL) return text;
  return fmt::format("CAST({} AS {})", text, call.return_type.ToString());
}

Result<std::string> comparison_symbol(ExpressionType type) {
  switch (type) {
    case ExpressionType::COMPARE_EQUAL:
      return std::string("=");
    case ExpressionType::COMPARE_NOTEQUAL:
      return std::string("<>");
    case ExpressionType::COMPARE_LESSTHAN:
      return std::string("<");
    case ExpressionType::COMPARE_GREATERTHAN:
      return std::string(">");
    case ExpressionType::COMPARE_LESSTHANOREQUALTO:
      return std::string("<=");
    case ExpressionType::COMPARE_GREATERTHANOREQUALTO:
      return std::string(">=");
    case ExpressionType::COMPARE_DISTINCT_FROM:
      return std::string("IS DISTINCT FROM");
    case ExpressionType::COMPARE_NOT_DISTINCT_FROM:
      return std::string("IS NOT DISTINCT FROM");
    default:
      return Error(Code::unsupported, "the comparison {} in a view",
                   duckdb::ExpressionTypeToString(type));
  }
}

Result<std::string> render_operator(const duckdb::BoundOperatorExpression& op,
                                    const NameColumn& name) {
  auto first = TRY(render_expression(*op.children.at(0), name));
  switch (op.GetExpressionType()) {
    case ExpressionType::OPERATOR_NOT:
      return fmt::format("(NOT {})", first);
    case ExpressionType::OPERATOR_IS_NULL:
      return fmt::format("({} IS NULL)", first);
    case ExpressionType::OPERATOR_IS_NOT_NULL:
      return fmt::format("({} IS NOT NULL)", first);
    case ExpressionType::COMPARE_IN:
      return fmt::format("({} IN ({}))", first, TRY(render_list(op.children, 1, ", ", name)));
    case ExpressionType::COMPARE_NOT_IN:
      return fmt::format("({} NOT IN ({}))", first, TRY(render_list(op.children, 1, ", ", name)));
    case ExpressionType::OPERATOR_COALESCE:
      return fmt::format("COALESCE({})", TRY(render_list(op.children, 0, ", ", name)));
    case ExpressionType::OPERATOR_TRY:
      return fmt::format("TRY({})", first);
    default:
      return Error(Code::unsupported, "the operator {} in a view",
                   duckdb::ExpressionTypeToString(op.GetExpressionType()));
  }
}

Result<std::string> render_case(const duckdb::BoundCaseExpression& choice, const NameColumn& name) {
  std::string out = "CASE";
  for (const auto& check : choice.case_checks) {
    auto when = TRY(render_expression(*check.when_expr, name));
    auto then = TRY(render_expression(*check.then_expr, name));
    out += fmt::format(" WHEN {} THEN {}", when, then);
  }
  return fmt::format("{} ELSE {} END", out, TRY(render_expression(*choice.else_expr, name)));
}

Result<std::string> render_between(const duckdb::BoundBetweenExpression& between,
                                   const NameColumn& name) {
  auto input = TRY(render_expression(*between.input, name));
  auto lower = TRY(render_expression(*between.lower, name));
  auto upper = TRY(render_expression(*between.upper, name));
  return fmt::format("({} {} {} AND {} {} {})", input, between.lower_inclusive ? ">=" : ">", lower,
                     input, between.upper_inclusive ? "<=" : "<", upper);
}

}  // namespace

std::string render_constant(const duckdb::Value& value) {
  std::string type = value.type().ToString();
  if (value.IsNull()) return fmt::format("CAST(NULL AS {})", type);
  std::string text = value.type().IsNested() ? value.ToSQLString() : quote(value.ToString(), '\'');
  // A statement ends at a NUL. Each of them is inside a quoted text.
  text = duckdb::StringUtil::Replace(text, std::string(1, '\0'), "' || chr(0) || '");
  return fmt::format("CAST({} AS {})", text, type);
}

Result<std::string> render_expression(const Expression& expression, const NameColumn& name) {
  switch (expression.GetExpressionClass()) {
    case ExpressionClass::BOUND_COLUMN_REF: {
      const auto& column = expression.Cast<duckdb::BoundColumnRefExpression>();
      if (column.depth > 0) {
        return Error(Code::unsupported, "a subquery that refers to the outer query, in a view")
            .with_hint("write it as a join with an aggregate");
      }
      return name(column.binding);
    }
    case ExpressionClass::BOUND_CONSTANT:
      return render_constant(expression.Cast<duckdb::BoundConstantExpression>().value);
    case ExpressionClass::BOUND_FUNCTION:
      return render_function(expression.Cast<duckdb::BoundFunctionExpression>(), name);
    case ExpressionClass::BOUND_CAST: {
      const auto& cast = expression.Cast<duckdb::BoundCastExpression>();
      auto child = TRY(render_expression(*cast.child, name));
      return fmt::format("{}({} AS {})", cast.try_cast ? "TRY_CAST" : "CAST", child,
                         cast.return_type.ToString());
    }
    case ExpressionClass::BOUND_COMPARISON: {
      const auto& comparison = expression.Cast<duckdb::BoundComparisonExpression>();
      auto symbol = TRY(comparison_symbol(comparison.GetExpressionType()));
      auto left = TRY(render_expression(*comparison.left, name));
      auto right = TRY(render_expression(*comparison.right, name));
      return fmt::format("({} {} {})", left, symbol, right);
    }
    case ExpressionClass::BOUND_CONJUNCTION: {
      const auto& conjunction = expression.Cast<duckdb::BoundConjunctionExpression>();
      bool is_and = conjunction.GetExpressionType() == ExpressionType::CONJUNCTION_AND;
      return fmt::format(
          "({})", TRY(render_list(conjunction.children, 0, is_and ? " AND " : " OR ", name)));
    }
    case ExpressionClass::BOUND_OPERATOR:
      return render_operator(expression.Cast<duckdb::BoundOperatorExpression>(), name);
    case ExpressionClass::BOUND_CASE:
      return render_case(expression.Cast<duckdb::BoundCaseExpression>(), name);
    case ExpressionClass::BOUND_BETWEEN:
      return render_between(expression.Cast<duckdb::BoundBetweenExpression>(), name);
    case ExpressionClass::BOUND_PARAMETER:
      return Error(Code::unsupported, "a parameter in a view")
          .with_hint("write the value into the query");
    default:
      return Error(Code::unsupported, "\"{}\" in a view", expression.ToString());
  }
}

}  // namespace ziwa::sql
