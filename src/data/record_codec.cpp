#include "data/record_codec.h"

#include "data/cell_internal.h"

namespace ziwa::data {

Result<std::unique_ptr<RecordCodec>> make_record_codec(const Schema& schema,
                                                       const std::string& format) {
  if (schema.columns.empty())
    return Error(Code::invalid_argument, "a codec needs at least one column");
  if (format == "json") return make_json_codec(TRY(make_codec_columns(schema)));
  if (format == "avro") return make_avro_codec(TRY(make_codec_columns(schema)));
  return Error(Code::unsupported, "unknown record format \"{}\"", format)
      .with_hint("formats are json and avro");
}

}  // namespace ziwa::data
