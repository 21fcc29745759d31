#include "protocol/postgres/pg_catalog.h"

#include "duck/catalog_api.h"
#include "duck/expression.h"
#include "duck/system_catalog.h"
#include "protocol/postgres/types.h"

#include <array>

namespace ziwa::protocol::postgres {
namespace {

constexpr const char* kPg = "pg_catalog";

/// Types as pg_type lists them.
struct PgType {
  uint32_t oid;
  std::string_view name;
  std::string_view sql_name;  ///< What format_type() says.
  int size;
  char category;
  uint32_t array;
};
constexpr auto kTypes = std::to_array<PgType>({
    {oid::kBool, "bool", "boolean", 1, 'B', 1000},
    {oid::kBytea, "bytea", "bytea", -1, 'U', 1001},
    {18, "char", "\"char\"", 1, 'S', 1002},
    {19, "name", "name", 64, 'S', 1003},
    {oid::kInt8, "int8", "bigint", 8, 'N', 1016},
    {oid::kInt2, "int2", "smallint", 2, 'N', 1005},
    {oid::kInt4, "int4", "integer", 4, 'N', 1007},
    {oid::kText, "text", "text", -1, 'S', oid::kTextArray},
    {26, "oid", "oid", 4, 'N', 1028},
    {oid::kJson, "json", "json", -1, 'U', 199},
    {oid::kFloat4, "float4", "real", 4, 'N', 1021},
    {oid::kFloat8, "float8", "double precision", 8, 'N', 1022},
    {oid::kUnknown, "unknown", "unknown", -2, 'X', 0},
    {oid::kBpchar, "bpchar", "character", -1, 'S', 1014},
    {oid::kVarchar, "varchar", "character varying", -1, 'S', 1015},
    {oid::kDate, "date", "date", 4, 'D', 1182},
    {oid::kTime, "time", "time without time zone", 8, 'D', 1183},
    {oid::kTimestamp, "timestamp", "timestamp without time zone", 8, 'D', 1115},
    {oid::kTimestampTz, "timestamptz", "timestamp with time zone", 8, 'D', 1185},
    {oid::kInterval, "interval", "interval", 16, 'T', 1187},
    {oid::kNumeric, "numeric", "numeric", -1, 'N', 1231},
    {oid::kUuid, "uuid", "uuid", 16, 'U', 2951},
    {oid::kJsonb, "jsonb", "jsonb", -1, 'U', 3807},
});

WireType wire_type_of(std::string_view type_name) {
  auto type = duck::parse_type(type_name);
  return type ? wire_type(*type) : WireType();
}

void type_oid(duckdb::DataChunk& arguments, duckdb::ExpressionState&, duckdb::Vector& result) {
  duckdb::UnaryExecutor::Execute<duckdb::string_t, int64_t>(
      arguments.data[0], result, arguments.size(),
      [](duckdb::string_t name) { return int64_t{wire_type_of(name.GetString()).oid}; });
}

void type_modifier(duckdb::DataChunk& arguments, duckdb::ExpressionState&, duckdb::Vector& result) {
  duckdb::UnaryExecutor::Execute<duckdb::string_t, int32_t>(
      arguments.data[0], result, arguments.size(),
      [](duckdb::string_t name) { return wire_type_of(name.GetString()).modifier; });
}

/// One row each for a type and its array.
std::string types_sql() {
  std::string rows;
  for (const PgType& type : kTypes) {
    rows += fmt::format("{}({}, '{}', '{}', {}, '{}', 0, {})", rows.empty() ? "" : ", ", type.oid,
                        type.name, type.sql_name, type.size, type.category, type.array);
    if (type.array == 0) continue;
    rows += fmt::format(", ({}, '_{}', '{}[]', -1, 'A', {}, 0)", type.array, type.name,
                        type.sql_name, type.oid);
  }
  return fmt::format(
      "SELECT oid::BIGINT AS oid, typname, 11::BIGINT AS typnamespace, 10::BIGINT AS typowner, "
      "typlen, false AS typbyval, 'b' AS typtype, typcategory, true AS typispreferred, true AS "
      "typisdefined, ',' AS typdelim, 0::BIGINT AS typrelid, typelem::BIGINT AS typelem, "
      "typarray::BIGINT AS typarray, CASE WHEN typcategory = 'A' THEN 'array_in' ELSE typname || "
      "'in' END AS typinput, typname || 'out' AS typoutput, '-' AS typreceive, '-' AS typsend, "
      "false AS typnotnull, 0::BIGINT AS typbasetype, -1 AS typtypmod, 0 AS typndims, 0::BIGINT AS "
      "typcollation, NULL::VARCHAR AS typdefault, 'i' AS typalign, 'x' AS typstorage, sql_name "
      "FROM (VALUES {}) AS types(oid, typname, sql_name, typlen, typcategory, typelem, typarray)",
      rows);
}

/// What there is not: tables with the columns that clients ask for, and no rows.
struct EmptyTable {
  const char* name;
  const char* columns;  ///< "name TYPE, ...", of BIGINT where the type is left out.
};
constexpr auto kEmpty = std::to_array<EmptyTable>({
    {"pg_attrdef", "oid, adrelid, adnum, adbin VARCHAR"},
    {"pg_auth_members", "roleid, member, grantor, admin_option BOOLEAN"},
    {"pg_cast", "oid, castsource, casttarget, castfunc, castcontext VARCHAR, castmethod VARCHAR"},
    {"pg_collation",
     "oid, collname VARCHAR, collnamespace, collowner, collprovider VARCHAR, "
     "collisdeterministic BOOLEAN, collencoding, collcollate VARCHAR, collctype "
     "VARCHAR, colliculocale VARCHAR"},
    {"pg_constraint",
     "oid, conname VARCHAR, connamespace, contype VARCHAR, condeferrable BOOLEAN, condeferred "
     "BOOLEAN, convalidated BOOLEAN, conrelid, contypid, conindid, conparentid, confrelid, "
     "confupdtype VARCHAR, confdeltype VARCHAR, confmatchtype VARCHAR, conislocal BOOLEAN, "
     "coninhcount, connoinherit BOOLEAN, conkey INTEGER[], confkey INTEGER[], conbin VARCHAR"},
    {"pg_conversion",
     "oid, conname VARCHAR, connamespace, conowner, conforencoding INTEGER, "
     "contoencoding INTEGER, conproc VARCHAR, condefault BOOLEAN"},
    {"pg_default_acl",
     "oid, defaclrole, defaclnamespace, defaclobjtype VARCHAR, defaclacl VARCHAR[]"},
    {"pg_event_trigger",
     "oid, evtname VARCHAR, evtevent VARCHAR, evtowner, evtfoid, evtenabled "
     "VARCHAR, evttags VARCHAR[]"},
    {"pg_extension",
     "oid, extname VARCHAR, extowner, extnamespace, extrelocatable BOOLEAN, "
     "extversion VARCHAR"},
    {"pg_foreign_data_wrapper",
     "oid, fdwname VARCHAR, fdwowner, fdwhandler, fdwvalidator, fdwacl "
     "VARCHAR[], fdwoptions VARCHAR[]"},
    {"pg_foreign_server",
     "oid, srvname VARCHAR, srvowner, srvfdw, srvtype VARCHAR, srvversion "
     "VARCHAR, srvacl VARCHAR[], srvoptions VARCHAR[]"},
    {"pg_foreign_table", "ftrelid, ftserver, ftoptions VARCHAR[]"},
    {"pg_index",
     "indexrelid, indrelid, indnatts, indnkeyatts, indisunique BOOLEAN, indnullsnotdistinct "
     "BOOLEAN, indisprimary BOOLEAN, indisexclusion BOOLEAN, indimmediate BOOLEAN, indisclustered "
     "BOOLEAN, indisvalid BOOLEAN, indcheckxmin BOOLEAN, indisready BOOLEAN, indislive BOOLEAN, "
     "indisreplident BOOLEAN, indkey INTEGER[], indcollation BIGINT[], indclass BIGINT[], "
     "indoption INTEGER[], indexprs VARCHAR, indpred VARCHAR"},
    {"pg_indexes",
     "schemaname VARCHAR, tablename VARCHAR, indexname VARCHAR, \"tablespace\" "
     "VARCHAR, indexdef VARCHAR"},
    {"pg_inherits", "inhrelid, inhparent, inhseqno, inhdetachpending BOOLEAN"},
    {"pg_language",
     "oid, tableoid, lanplcallfoid, lanname VARCHAR, lanowner, lanispl BOOLEAN, lanpltrusted "
     "BOOLEAN"},
    {"pg_partitioned_table", "partrelid, partstrat VARCHAR, partnatts, partdefid"},
    {"pg_policy",
     "oid, polname VARCHAR, polrelid, polcmd VARCHAR, polpermissive BOOLEAN, polroles "
     "BIGINT[], polqual VARCHAR, polwithcheck VARCHAR"},
    {"pg_publication",
     "oid, pubname VARCHAR, pubowner, puballtables BOOLEAN, pubinsert BOOLEAN, "
     "pubupdate BOOLEAN, pubdelete BOOLEAN, pubtruncate BOOLEAN, pubviaroot "
     "BOOLEAN"},
    {"pg_publication_namespace", "oid, pnpubid, pnnspid"},
    {"pg_publication_rel", "oid, prpubid, prrelid, prqual VARCHAR, prattrs INTEGER[]"},
    {"pg_range", "rngtypid, rngsubtype, rngmultitypid, rngcollation, rngsubopc"},
    {"pg_rewrite",
     "oid, rulename VARCHAR, ev_class, ev_type VARCHAR, ev_enabled VARCHAR, "
     "is_instead BOOLEAN"},
    {"pg_shdescription", "objoid, classoid, description VARCHAR"},
    {"pg_statistic_ext",
     "oid, stxrelid, stxname VARCHAR, stxnamespace, stxowner, stxstattarget, "
     "stxkeys INTEGER[], stxkind VARCHAR[]"},
    {"pg_subscription", "oid, subdbid, subname VARCHAR, subowner, subenabled BOOLEAN"},
    {"pg_trigger",
     "oid, tgrelid, tgparentid, tgname VARCHAR, tgfoid, tgtype, tgenabled VARCHAR, "
     "tgisinternal BOOLEAN, tgconstrrelid, tgconstrindid, tgconstraint, tgdeferrable "
     "BOOLEAN, tginitdeferred BOOLEAN"},
});

std::string empty_sql(const EmptyTable& table) {
  std::string sql;
  std::string_view rest = table.columns;
  while (!rest.empty()) {
    size_t end = std::min(rest.find(", "), rest.size());
    std::string_view column = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 2, rest.size()));
    size_t space = std::min(column.find(' '), column.size());
    std::string_view type = space == column.size() ? "BIGINT" : column.substr(space + 1);
    sql += fmt::format("{}NULL::{} AS {}", sql.empty() ? "SELECT " : ", ", type,
                       column.substr(0, space));
  }
  return sql + " WHERE false";
}

/// Everything that has columns: ours, and what is temporary in the session.
constexpr const char* kRelations = R"(
  SELECT table_oid AS oid, schema_oid, schema_name, table_name AS name, temporary,
         coalesce(tags['kind'], 'temporary table') AS kind,
         CASE tags['kind'] WHEN 'view' THEN 'm' WHEN 'system' THEN 'v' ELSE 'r' END AS relkind,
         estimated_size AS rows, column_count
  FROM duckdb_tables() WHERE database_name = 'db' OR temporary
  UNION ALL
  SELECT view_oid, schema_oid, schema_name, view_name, true, 'temporary view', 'v', 0, column_count
  FROM duckdb_views() WHERE temporary AND NOT internal)";

constexpr const char* kClass = R"(
  SELECT oid, name AS relname, schema_oid AS relnamespace, 0::BIGINT AS reltype,
         0::BIGINT AS reloftype, 10::BIGINT AS relowner, 0::BIGINT AS relam,
         0::BIGINT AS relfilenode, 0::BIGINT AS reltablespace, 0 AS relpages,
         rows::FLOAT AS reltuples, 0 AS relallvisible, 0::BIGINT AS reltoastrelid,
         false AS relhasindex, false AS relisshared,
         CASE WHEN temporary THEN 't' ELSE 'p' END AS relpersistence, relkind,
         column_count::SMALLINT AS relnatts, 0::SMALLINT AS relchecks, false AS relhasrules,
         false AS relhastriggers, false AS relhassubclass, false AS relrowsecurity,
         false AS relforcerowsecurity, true AS relispopulated, 'n' AS relreplident,
         false AS relispartition, 0::BIGINT AS relrewrite, 0 AS relfrozenxid, 0 AS relminmxid,
         NULL::VARCHAR[] AS relacl, NULL::VARCHAR[] AS reloptions, NULL::VARCHAR AS relpartbound
  FROM pg_catalog.ziwa_relations)";

constexpr const char* kNamespace = R"(
  SELECT oid, nspname, 10::BIGINT AS nspowner, NULL::VARCHAR[] AS nspacl FROM (
    SELECT oid, schema_name AS nspname FROM duckdb_schemas() WHERE database_name = 'db'
    UNION ALL
    SELECT oid, 'pg_temp_1' FROM duckdb_schemas()
    WHERE database_name = 'temp' AND schema_name = 'main'
    UNION ALL VALUES (11, 'pg_catalog'), (13000, 'information_schema')))";

constexpr const char* kAttribute = R"(
  SELECT table_oid AS attrelid, column_name AS attname, ziwa_type_oid(data_type) AS atttypid,
         -1 AS attstattarget, -1::SMALLINT AS attlen, column_index::SMALLINT AS attnum,
         0 AS attndims, -1 AS attcacheoff, ziwa_type_modifier(data_type) AS atttypmod,
         false AS attbyval, 'x' AS attstorage, '' AS attcompression, 'i' AS attalign,
         NOT is_nullable AS attnotnull, false AS atthasdef, false AS atthasmissing,
         '' AS attidentity, '' AS attgenerated, false AS attisdropped, true AS attislocal,
         0 AS attinhcount, 0::BIGINT AS attcollation, NULL::VARCHAR[] AS attacl,
         NULL::VARCHAR[] AS attoptions, NULL::VARCHAR[] AS attfdwoptions
  FROM duckdb_columns() WHERE database_name = 'db' OR (database_name = 'temp' AND NOT internal))";

/// Forms of one function of DuckDB share a number, and so a row.
constexpr const char* kProc = R"(
  SELECT function_oid AS oid, any_value(function_name) AS proname, 11::BIGINT AS pronamespace,
         10::BIGINT AS proowner, 12::BIGINT AS prolang, 0::BIGINT AS provariadic,
         CASE WHEN bool_or(function_type = 'aggregate') THEN 'a' ELSE 'f' END AS prokind,
         false AS prosecdef, false AS proleakproof, false AS proisstrict,
         bool_or(function_type IN ('table', 'table_macro')) AS proretset, 'v' AS provolatile,
         's' AS proparallel, 0::SMALLINT AS pronargs, 0::BIGINT AS prorettype,
         []::BIGINT[] AS proargtypes, NULL::VARCHAR[] AS proargnames,
         coalesce(any_value(macro_definition), any_value(function_name)) AS prosrc,
         NULL::VARCHAR[] AS proacl
  FROM duckdb_functions() WHERE NOT starts_with(function_name, 'ziwa_') GROUP BY function_oid)";

constexpr const char* kRoles = R"(
  SELECT 10::BIGINT AS oid, 'ziwa' AS rolname, true AS rolsuper, true AS rolinherit,
         true AS rolcreaterole, true AS rolcreatedb, true AS rolcanlogin,
         false AS rolreplication, -1 AS rolconnlimit, NULL::VARCHAR AS rolpassword,
         NULL::TIMESTAMPTZ AS rolvaliduntil, true AS rolbypassrls, NULL::VARCHAR[] AS rolconfig)";

constexpr const char* kTables = R"(
  SELECT table_catalog, table_schema, table_name, table_type,
         NULL::VARCHAR AS self_referencing_column_name, NULL::VARCHAR AS reference_generation,
         NULL::VARCHAR AS user_defined_type_catalog, NULL::VARCHAR AS user_defined_type_schema,
         NULL::VARCHAR AS user_defined_type_name,
         CASE table_type WHEN 'VIEW' THEN 'NO' ELSE 'YES' END AS is_insertable_into,
         'NO' AS is_typed,
         CASE WHEN starts_with(table_type, 'LOCAL') THEN 'PRESERVE' END AS commit_action,
         kind AS table_comment
  FROM (SELECT CASE WHEN temporary THEN 'temp' ELSE 'db' END AS table_catalog,
               schema_name AS table_schema, name AS table_name, kind,
               CASE WHEN relkind IN ('m', 'v') THEN 'VIEW' WHEN temporary THEN 'LOCAL TEMPORARY'
                    ELSE 'BASE TABLE' END AS table_type
        FROM pg_catalog.ziwa_relations))";

std::vector<duck::SystemView> views() {
  std::vector<duck::SystemView> all = {
      {kPg, "ziwa_relations", kRelations},
      {kPg, "pg_class", kClass},
      {kPg, "pg_namespace", kNamespace},
      {kPg, "pg_attribute", kAttribute},
      {kPg, "pg_type", types_sql()},
      {kPg, "pg_proc", kProc},
      {kPg, "pg_roles", kRoles},
      {kPg, "pg_authid", kRoles},
      {kPg, "pg_user",
       "SELECT rolname AS usename, oid AS usesysid, rolcreatedb AS usecreatedb, rolsuper AS "
       "usesuper, false AS userepl, rolbypassrls AS usebypassrls, rolpassword AS passwd, "
       "rolvaliduntil AS valuntil, rolconfig AS useconfig FROM pg_catalog.pg_roles"},
      {kPg, "pg_am",
       "SELECT oid::BIGINT AS oid, amname, 0::BIGINT AS amhandler, 't' AS amtype FROM (VALUES (2, "
       "'heap')) AS methods(oid, amname)"},
      {kPg, "pg_database",
       "SELECT 1::BIGINT AS oid, 'db' AS datname, 10::BIGINT AS datdba, 6 AS encoding, 'C' AS "
       "datcollate, 'C' AS datctype, NULL::VARCHAR AS daticulocale, 'c' AS datlocprovider, false "
       "AS datistemplate, true AS datallowconn, -1 AS datconnlimit, 1663::BIGINT AS dattablespace, "
       "NULL::VARCHAR[] AS datacl"},
      {kPg, "pg_tablespace",
       "SELECT 1663::BIGINT AS oid, 'pg_default' AS spcname, 10::BIGINT AS spcowner, "
       "NULL::VARCHAR[] AS spcacl, NULL::VARCHAR[] AS spcoptions"},
      {kPg, "pg_description",
       "SELECT oid AS objoid, 1259::BIGINT AS classoid, 0 AS objsubid, kind AS description FROM "
       "pg_catalog.ziwa_relations"},
      {kPg, "pg_tables",
       "SELECT schema_name AS schemaname, name AS tablename, 'ziwa' AS tableowner, NULL::VARCHAR "
       "AS \"tablespace\", false AS hasindexes, false AS hasrules, false AS hastriggers, false AS "
       "rowsecurity FROM pg_catalog.ziwa_relations WHERE relkind = 'r'"},
      {kPg, "pg_views",
       "SELECT schema_name AS schemaname, name AS viewname, 'ziwa' AS viewowner, "
       "pg_get_viewdef(oid) AS definition FROM pg_catalog.ziwa_relations WHERE relkind = 'v'"},
      {kPg, "pg_matviews",
       "SELECT schema_name AS schemaname, name AS matviewname, 'ziwa' AS matviewowner, "
       "NULL::VARCHAR AS \"tablespace\", false AS hasindexes, true AS ispopulated, "
       "pg_get_viewdef(oid) AS definition FROM pg_catalog.ziwa_relations WHERE relkind = 'm'"},
      {"information_schema", "tables", kTables},
  };
  for (const EmptyTable& table : kEmpty) all.push_back({kPg, table.name, empty_sql(table)});
  return all;
}

/// A macro in pg_catalog; parameters as "a b".
duck::SystemMacro macro(std::string name, std::string_view parameters, std::string sql) {
  duck::SystemMacro made{kPg, std::move(name), {}, std::move(sql)};
  while (!parameters.empty()) {
    size_t end = std::min(parameters.find(' '), parameters.size());
    made.parameters.emplace_back(parameters.substr(0, end));
    parameters.remove_prefix(std::min(end + 1, parameters.size()));
  }
  return made;
}

/// Tables inside have names of their own (zt, zr ...): an argument is an expression of the caller's
/// tables, which must not be hidden.
std::vector<duck::SystemMacro> macros() {
  const std::string bytes_of =
      "coalesce((SELECT zt.bytes FROM db.ziwa.topics zt WHERE zt.id = relation - 1000000), (SELECT "
      "zt.bytes FROM db.ziwa.tables zt WHERE zt.id = relation - 1000000), (SELECT zv.state_bytes "
      "FROM db.ziwa.views zv WHERE zv.id = relation - 1000000), 0)";
  const std::string view_sql =
      "(SELECT zv.query FROM db.ziwa.views zv WHERE zv.id = relation - 1000000)";
  const std::string oid_of_name =
      "CASE WHEN regexp_full_match(named, '[0-9]+') THEN TRY_CAST(named AS BIGINT) WHEN named IN "
      "('pg_class', 'pg_catalog.pg_class') THEN 1259 WHEN named IN ('pg_namespace', "
      "'pg_catalog.pg_namespace') THEN 2615 WHEN named IN ('pg_type', 'pg_catalog.pg_type') THEN "
      "1247 WHEN named IN ('pg_proc', 'pg_catalog.pg_proc') THEN 1255 WHEN named IN "
      "('pg_database', 'pg_catalog.pg_database') THEN 1262 WHEN named IN ('pg_extension', "
      "'pg_catalog.pg_extension') THEN 3079 ELSE (SELECT zr.oid FROM pg_catalog.ziwa_relations zr "
      "WHERE lower(replace(named, '\"', '')) IN (lower(zr.schema_name || '.' || zr.name), CASE "
      "WHEN zr.schema_name = current_schema() OR zr.temporary THEN lower(zr.name) END)) END";
  const std::string type_named =
      "(SELECT zt.oid FROM pg_catalog.pg_type zt WHERE named IN (zt.typname, zt.sql_name))";
  return {
      macro("array_upper", "list dimension", "nullif(len(list), 0)"),
      macro("array_lower", "list dimension", "CASE WHEN len(list) > 0 THEN 1 END"),
      macro("col_description", "relation column_number", "NULL::VARCHAR"),
      macro("format_type", "type_oid modifier",
            "CASE WHEN type_oid = 1700 AND modifier > 3 THEN concat('numeric(', (modifier - 4) >> "
            "16, ',', (modifier - 4) & 65535, ')') WHEN type_oid IS NOT NULL THEN coalesce((SELECT "
            "zt.sql_name FROM pg_catalog.pg_type zt WHERE zt.oid = type_oid), '?\?\?') END"),
      macro("getdatabaseencoding", "", "'UTF8'"),
      macro("nspname", "schema",
            "(SELECT zn.nspname FROM pg_catalog.pg_namespace zn WHERE zn.oid = schema)"),
      macro("obj_description", "relation", "obj_description(relation, 'pg_class')"),
      macro("obj_description", "relation catalog",
            "(SELECT zr.kind FROM pg_catalog.ziwa_relations zr WHERE zr.oid = relation AND catalog "
            "= 'pg_class')"),
      macro("pg_char_to_encoding", "named", "CASE upper(named) WHEN 'UTF8' THEN 6 ELSE -1 END"),
      macro("pg_client_encoding", "", "'UTF8'"),
      macro("pg_database_size", "named", "NULL::BIGINT"),
      macro("pg_encoding_to_char", "encoding", "CASE encoding WHEN 6 THEN 'UTF8' ELSE '' END"),
      macro("pg_get_expr", "expression relation", "expression"),
      macro("pg_get_expr", "expression relation pretty", "expression"),
      macro("pg_get_function_arguments", "function",
            "(SELECT first(array_to_string(list_transform(range(1, len(zf.parameters) + 1), i -> "
            "concat_ws(' ', zf.parameters[i], lower(zf.parameter_types[i]))), ', ')) || CASE WHEN "
            "count(*) > 1 THEN concat(' (and ', count(*) - 1, ' more)') ELSE '' END FROM "
            "duckdb_functions() zf WHERE zf.function_oid = function)"),
      macro("pg_get_function_identity_arguments", "function",
            "pg_get_function_arguments(function)"),
      macro("pg_get_function_result", "function",
            "(SELECT string_agg(DISTINCT lower(zf.return_type), ' | ') FROM duckdb_functions() zf "
            "WHERE zf.function_oid = function)"),
      macro("pg_get_indexdef", "relation", "NULL::VARCHAR"),
      macro("pg_get_indexdef", "relation column_number pretty", "NULL::VARCHAR"),
      macro("pg_get_partkeydef", "relation", "NULL::VARCHAR"),
      macro("pg_get_ruledef", "rule", "NULL::VARCHAR"),
      macro("pg_get_ruledef", "rule pretty", "NULL::VARCHAR"),
      macro("pg_get_serial_sequence", "relation column_number", "NULL::VARCHAR"),
      macro("pg_get_statisticsobjdef_columns", "statistics", "NULL::VARCHAR"),
      macro("pg_get_triggerdef", "trigger", "NULL::VARCHAR"),
      macro("pg_get_triggerdef", "trigger pretty", "NULL::VARCHAR"),
      macro("pg_get_userbyid", "role", "CASE role WHEN 10 THEN 'ziwa' ELSE 'unknown' END"),
      macro("pg_get_viewdef", "relation", view_sql),
      macro("pg_get_viewdef", "relation pretty", view_sql),
      macro("pg_indexes_size", "relation", "0"),
      macro("pg_is_in_recovery", "", "false"),
      macro("pg_relation_is_publishable", "relation", "false"),
      macro("pg_relation_size", "relation", bytes_of),
      macro("pg_table_is_visible", "relation",
            "(relation IN (SELECT zr.oid FROM pg_catalog.ziwa_relations zr WHERE zr.temporary OR "
            "zr.schema_name = current_schema()))"),
      macro("pg_table_size", "relation", bytes_of),
      macro("pg_tablespace_location", "tablespace", "''"),
      macro("pg_total_relation_size", "relation", bytes_of),
      macro("quote_ident", "named", "concat('\"', replace(named, '\"', '\"\"'), '\"')"),
      macro("regclass", "named", oid_of_name),
      macro("regname", "relation",
            "(SELECT CASE WHEN zr.schema_name = current_schema() THEN zr.name ELSE zr.schema_name "
            "|| '.' || zr.name END FROM pg_catalog.ziwa_relations zr WHERE zr.oid = relation)"),
      macro("regnamespace", "named",
            "(SELECT zn.oid FROM pg_catalog.pg_namespace zn WHERE zn.nspname = named)"),
      macro("regproc", "named", "named"),
      macro("regrole", "named", "CASE named WHEN 'ziwa' THEN 10 END"),
      macro("regtype", "named", type_named),
      macro("to_regclass", "named", oid_of_name),
      macro("to_regtype", "named", type_named),
      macro("typname", "type_oid", "format_type(type_oid, NULL)"),
  };
}

}  // namespace

Status register_pg_catalog(duck::Instance& instance) {
  using duckdb::LogicalType;
  TRY(duck::define_system_function(
      instance, {"ziwa_type_oid", {LogicalType::VARCHAR}, LogicalType::BIGINT, type_oid}));
  TRY(duck::define_system_function(
      instance,
      {"ziwa_type_modifier", {LogicalType::VARCHAR}, LogicalType::INTEGER, type_modifier}));
  TRY(duck::define_system_macros(instance, macros()));
  return duck::define_system_views(instance, views());
}

}  // namespace ziwa::protocol::postgres
