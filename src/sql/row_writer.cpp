#include "sql/row_writer.h"

#include "duck/catalog_api.h"

namespace ziwa::sql {

Result<std::unique_ptr<RowWriter>> make_row_writer(Core& core, const catalog::ObjectPtr& object,
                                                   AppendWhen when) {
  switch (object->kind()) {
    case catalog::Kind::topic:
      return make_topic_writer(core, object, when);
    case catalog::Kind::table:
      return make_table_writer(core, object, TRY(core.deps.table(*object)), TableWrite::append);
    case catalog::Kind::view:
      return Error(Code::unsupported,
                   "\"{}\" is a materialized view; its rows follow from its query", object->name)
          .with_hint("write into the topics and tables it reads");
    case catalog::Kind::sink:
      break;
  }
  return Error(Code::unsupported, "\"{}\" is a sink; it fills itself", object->name);
}

Status check_not_null(const data::Schema& schema, duckdb::DataChunk& rows) {
  for (size_t i = 0; i < schema.columns.size(); ++i) {
    if (!schema.columns[i].not_null) continue;
    duckdb::UnifiedVectorFormat format;
    rows.data[i].ToUnifiedFormat(rows.size(), format);
    if (format.validity.AllValid()) continue;
    for (duckdb::idx_t row = 0; row < rows.size(); ++row) {
      if (!format.validity.RowIsValid(format.sel->get_index(row))) {
        return Error(Code::invalid_argument, "NULL in column \"{}\", which is NOT NULL",
                     schema.columns[i].name)
            .because(Cause::not_null_violation);
      }
    }
  }
  return {};
}

}  // namespace ziwa::sql
