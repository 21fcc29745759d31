#include "duck/cause.h"

#include <algorithm>

namespace ziwa::duck {
namespace {

using duckdb::ExceptionType;

/// A message by its fixed words: those it begins with and those it ends with. What a user has named
/// stands between them. The first line that fits counts.
template <typename Meaning>
struct Words {
  ExceptionType type;
  std::string_view begin;
  std::string_view end;
  Meaning meaning;
};

constexpr Words<Cause> kCauses[] = {
    {ExceptionType::PARSER, "", "", Cause::syntax_error},
    {ExceptionType::SYNTAX, "", "", Cause::invalid_value},

    {ExceptionType::CATALOG, "Scalar Function with name ", "", Cause::undefined_function},
    {ExceptionType::CATALOG, "Table Function with name ", "", Cause::undefined_function},
    {ExceptionType::CATALOG, "Aggregate Function with name ", "", Cause::undefined_function},
    {ExceptionType::CATALOG, "Pragma Function with name ", "", Cause::undefined_function},
    {ExceptionType::CATALOG, "Copy Function with name ", "", Cause::undefined_function},
    {ExceptionType::CATALOG, "Type with name ", "", Cause::undefined_object},
    {ExceptionType::CATALOG, "Collation with name ", "", Cause::undefined_object},
    {ExceptionType::CATALOG, "Setting with name ", "", Cause::undefined_object},

    {ExceptionType::BINDER, "Referenced column ", "", Cause::undefined_column},
    {ExceptionType::BINDER, "Referenced update column ", "", Cause::undefined_column},
    {ExceptionType::BINDER, "Table \"", "", Cause::undefined_column},
    {ExceptionType::BINDER, "Values list \"", "", Cause::undefined_column},
    {ExceptionType::BINDER, "View \"", "", Cause::undefined_column},
    {ExceptionType::BINDER, "Column \"", "", Cause::undefined_column},
    {ExceptionType::BINDER, "Column with name \"", "", Cause::undefined_column},
    {ExceptionType::BINDER, "Could not find key \"", "", Cause::undefined_column},
    {ExceptionType::BINDER, "No function matches ", "", Cause::undefined_function},
    {ExceptionType::BINDER, "Ambiguous reference to ", "", Cause::ambiguous_column},
    {ExceptionType::BINDER, "column \"", "\" is not important.", Cause::grouping_error},
    {ExceptionType::BINDER, "column \"", "GROUP BY this entry explicitly.", Cause::grouping_error},
    {ExceptionType::BINDER, "column ", " or be used in an aggregate function",
     Cause::grouping_error},
    {ExceptionType::BINDER, "Cannot mix aggregates with ", "", Cause::grouping_error},
    {ExceptionType::BINDER, "Cannot group on ", "", Cause::grouping_error},
    {ExceptionType::BINDER, "Cannot compare values of type ", "", Cause::datatype_mismatch},
    {ExceptionType::BINDER, "Cannot mix values of type ", "", Cause::datatype_mismatch},
    {ExceptionType::BINDER, "Cannot concatenate ", "", Cause::datatype_mismatch},
    {ExceptionType::BINDER, "table ", " values were supplied", Cause::syntax_error},
    {ExceptionType::BINDER, "Column name/value mismatch for insert on ", " values were supplied",
     Cause::syntax_error},
    {ExceptionType::BINDER, "Set operations can only apply ", "", Cause::syntax_error},

    {ExceptionType::INVALID_TYPE, "", "", Cause::datatype_mismatch},
    {ExceptionType::MISMATCH_TYPE, "", "", Cause::datatype_mismatch},

    {ExceptionType::CONVERSION, "Unimplemented type for cast ", "", Cause::cannot_coerce},
    {ExceptionType::CONVERSION, "invalid date field format", "", Cause::invalid_datetime},
    {ExceptionType::CONVERSION, "date field value ", "", Cause::invalid_datetime},
    {ExceptionType::CONVERSION, "time field value ", "", Cause::invalid_datetime},
    {ExceptionType::CONVERSION, "invalid timestamp field format", "", Cause::invalid_datetime},
    {ExceptionType::CONVERSION, "timestamp field value ", "", Cause::invalid_datetime},
    {ExceptionType::CONVERSION, "extract specifier ", "", Cause::invalid_value},
    {ExceptionType::CONVERSION, "Casting value ", "", Cause::out_of_range},
    {ExceptionType::CONVERSION, "Could not cast value ", "", Cause::out_of_range},
    {ExceptionType::CONVERSION, "Could not convert DATE ", "", Cause::out_of_range},
    {ExceptionType::CONVERSION, "Could not convert Time", "", Cause::out_of_range},
    {ExceptionType::CONVERSION, "Could not convert Interval ", "", Cause::out_of_range},
    {ExceptionType::CONVERSION, "Could not convert TIME", "", Cause::out_of_range},
    {ExceptionType::CONVERSION, "Date out of ", "", Cause::out_of_range},
    {ExceptionType::CONVERSION, "Date and time not in ", "", Cause::out_of_range},
    {ExceptionType::CONVERSION, "Overflow ", "", Cause::out_of_range},
    {ExceptionType::CONVERSION, "Timestamp difference ", "", Cause::out_of_range},
    {ExceptionType::CONVERSION, "interval value is out of range", "", Cause::out_of_range},
    {ExceptionType::CONVERSION, "interval fraction is out of range", "", Cause::out_of_range},
    {ExceptionType::CONVERSION, "", "", Cause::invalid_text},

    {ExceptionType::DIVIDE_BY_ZERO, "", "", Cause::division_by_zero},
    // Their spelling.
    {ExceptionType::OUT_OF_RANGE, "divison by zero ", "", Cause::division_by_zero},
    {ExceptionType::OUT_OF_RANGE, "Division of ", "", Cause::division_by_zero},
    {ExceptionType::OUT_OF_RANGE, "Modulo of ", "", Cause::division_by_zero},
    {ExceptionType::OUT_OF_RANGE, "cannot take ", "", Cause::invalid_value},
    {ExceptionType::OUT_OF_RANGE, "", "", Cause::out_of_range},

    {ExceptionType::INVALID_INPUT, "Malformed JSON ", "", Cause::invalid_text},
    {ExceptionType::INVALID_INPUT, "CSV Error on Line: ", "", Cause::invalid_text},
    {ExceptionType::INVALID_INPUT, "Could not parse string \"", "", Cause::invalid_datetime},
    {ExceptionType::INVALID_INPUT, "", "", Cause::invalid_value},
    {ExceptionType::INVALID_CONFIGURATION, "", "", Cause::invalid_value},

    {ExceptionType::CONSTRAINT, "NOT NULL constraint failed: ", "", Cause::not_null_violation},
    {ExceptionType::TRANSACTION, "Current transaction is aborted ", "",
     Cause::in_failed_transaction},
    {ExceptionType::TRANSACTION, "Cannot write to database \"",
     " - transaction is launched in read-only mode", Cause::read_only_transaction},
    {ExceptionType::OUT_OF_MEMORY, "", "", Cause::out_of_memory},
};

constexpr Words<Code> kCodes[] = {
    {ExceptionType::BINDER, "Referenced table \"", "", Code::not_found},
    {ExceptionType::BINDER, "Catalog \"", "\" does not exist!", Code::not_found},
    {ExceptionType::CATALOG, "Table ", " does not exist!", Code::not_found},
    {ExceptionType::CATALOG, "Table with name \"", "\" does not exist.", Code::not_found},
    {ExceptionType::CATALOG, "Schema with name ", " does not exist!", Code::not_found},
    {ExceptionType::CATALOG, "Catalog with name ", " does not exist!", Code::not_found},
    {ExceptionType::CATALOG, "Column with name ", " already exists!", Code::already_exists},
    {ExceptionType::CATALOG, "Index with name ", " already exists!", Code::already_exists},
    {ExceptionType::CATALOG, "Could not rename ", " already exists!", Code::already_exists},
};

template <typename Meaning, size_t Size>
std::optional<Meaning> find(const Words<Meaning> (&table)[Size], ExceptionType type,
                            std::string_view message) {
  auto found = std::ranges::find_if(table, [&](const Words<Meaning>& words) {
    return words.type == type && message.size() >= words.begin.size() + words.end.size() &&
           message.starts_with(words.begin) && message.ends_with(words.end);
  });
  return found == std::end(table) ? std::nullopt : std::optional(found->meaning);
}

std::string_view info(const duckdb::ErrorData& error, const char* key) {
  auto found = error.ExtraInfo().find(key);
  return found == error.ExtraInfo().end() ? std::string_view() : std::string_view(found->second);
}

/// What the statement's language lacks: without it the statement is wrong.
std::optional<Cause> cause_of_missing(std::string_view kind) {
  if (kind.ends_with("Function")) return Cause::undefined_function;
  if (kind == "Type" || kind == "Collation" || kind == "configuration parameter") {
    return Cause::undefined_object;
  }
  return std::nullopt;
}

/// Messages that DuckDB makes of its own words alone.
bool about_grouping(std::string_view message) {
  return message.starts_with("aggregate function") ||
         message.ends_with(" cannot contain aggregates!") ||
         message.ends_with(" cannot contain aggregate functions");
}

}  // namespace

std::optional<Cause> cause_of(const duckdb::ErrorData& error, std::string_view message) {
  std::string_view subtype = info(error, "error_subtype");
  if (subtype == "MISSING_ENTRY") return cause_of_missing(info(error, "type"));
  if (subtype == "ENTRY_ALREADY_EXISTS") return std::nullopt;
  if (subtype == "COLUMN_NOT_FOUND") return Cause::undefined_column;
  if (subtype == "NO_MATCHING_FUNCTION") return Cause::undefined_function;
  if (subtype == "UNSUPPORTED" && about_grouping(message)) return Cause::grouping_error;
  if (error.Type() == ExceptionType::CONVERSION) return cause_of_cast(message);
  // The one setting of the engine's own that refuses: see code_without_cause().
  if (error.Type() == ExceptionType::INVALID_INPUT) {
    if (message.starts_with("Cannot change configuration option \"")) return std::nullopt;
    constexpr std::string_view kFailedCast = "Failed to cast value: ";
    if (message.starts_with(kFailedCast)) return cause_of_cast(message.substr(kFailedCast.size()));
  }
  return find(kCauses, error.Type(), message);
}

Cause cause_of_cast(std::string_view message) {
  // "Type INT32 with value 300 can't be cast ...", or "Type INTEGER can't be cast as DATE".
  constexpr std::string_view kType = "Type ";
  if (message.starts_with(kType)) {
    std::string_view rest = message.substr(kType.size());
    size_t name = rest.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789");
    if (name == std::string_view::npos) return Cause::cannot_coerce;
    return rest.substr(name).starts_with(" with value ") ? Cause::out_of_range
                                                         : Cause::cannot_coerce;
  }
  return *find(kCauses, ExceptionType::CONVERSION, message);
}

Code code_without_cause(const duckdb::ErrorData& error, std::string_view message) {
  using enum ExceptionType;
  std::string_view subtype = info(error, "error_subtype");
  if (subtype == "MISSING_ENTRY") return Code::not_found;
  if (subtype == "ENTRY_ALREADY_EXISTS") return Code::already_exists;
  switch (error.Type()) {
    case DEPENDENCY:
    case TRANSACTION:
      return Code::conflict;
    case NOT_IMPLEMENTED:
    case MISSING_EXTENSION:
    case AUTOLOAD:
      return Code::unsupported;
    case PERMISSION:
      return Code::permission;
    case OBJECT_SIZE:
      return Code::exhausted;
    case SERIALIZATION:
      return Code::corrupt;
    case INTERRUPT:
      return Code::cancelled;
    case IO:
    case HTTP:
    case NETWORK:
      return Code::io;
    case FATAL:
    case INTERNAL:
    case NULL_POINTER:
      return Code::internal;
    case INVALID_INPUT:
      return Code::permission;  // The configuration is locked: all else has a cause.
    default:
      return find(kCodes, error.Type(), message).value_or(Code::invalid_argument);
  }
}

}  // namespace ziwa::duck
