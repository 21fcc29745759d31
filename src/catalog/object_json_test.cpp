#include "catalog/object_json_internal.h"

#include <gtest/gtest.h>

namespace ziwa::catalog {
namespace {

Object topic() {
  Object object;
  object.id = ObjectId(7);
  object.name = "Flights";
  object.version = 3;
  object.sql = "CREATE TOPIC \"Flights\" ...";
  object.project = "demo";
  object.created = TimestampMs(1'000'000'000'000);
  TopicDefinition topic;
  topic.schema = {{{1, "id", "BIGINT", true}, {2, "ts", "TIMESTAMP", false}}};
  topic.partitions = 4;
  topic.partition_by = "id";
  topic.watermark = Watermark{"ts", 600'000'000, 1000};
  object.definition = topic;
  return object;
}

void expect_round_trip(const Object& object) {
  auto text = encode_object(object);
  ASSERT_TRUE(text);
  auto back = decode_object(*text);
  ASSERT_TRUE(back) << back.error().to_string();
  EXPECT_EQ(back->definition, object.definition);
  EXPECT_EQ(back->id, object.id);
  EXPECT_EQ(back->name, object.name);
  EXPECT_EQ(back->version, object.version);
  EXPECT_EQ(back->sql, object.sql);
  EXPECT_EQ(back->project, object.project);
  EXPECT_EQ(back->created, object.created);
  EXPECT_EQ(back->depends_on, object.depends_on);
  EXPECT_EQ(*encode_object(*back), *text);
}

TEST(ObjectJson, AManagedTableOfAnOlderCatalogHasNoPlaceOfItsOwn) {
  auto read = [](uint64_t id, const std::string& location) {
    Object table = topic();
    table.id = ObjectId(id);
    table.definition = TableDefinition{.schema = {}, .location = location};
    return table_directory(*decode_object(*encode_object(table)), "/now/lake");
  };
  EXPECT_EQ(read(7, "/then/lake/7"), "/now/lake/7");
  EXPECT_EQ(read(7, ""), "/now/lake/7");
  EXPECT_EQ(read(7, "/then/lake/17"), "/then/lake/17") << "not made for this table";
  EXPECT_EQ(read(7, "/then/7"), "/then/7");
}

TEST(ObjectJson, EveryKindComesBack) {
  Object object = topic();
  expect_round_trip(object);
  object.topic();
  object.depends_on = {ObjectId(1), ObjectId(2)};
  object.definition = TableDefinition{
      {{{1, "a", "DECIMAL(10,2)"}}}, {{"a", "month", "a_month"}}, "lake/7", "abc", "a.csv"};
  expect_round_trip(object);
  auto& loaded = std::get<TableDefinition>(object.definition);
  loaded.loads = 3;
  loaded.loaded_files = {"a.parquet", "b.parquet"};
  loaded.pending_load = PendingLoad{.replaces = 7, .files = {R"({"path":"a.parquet"})"}};
  expect_round_trip(object);
  object.definition =
      ViewDefinition{{{{1, "n", "BIGINT"}}}, "SELECT count(*) AS n FROM t", "{\"plan\":1}"};
  expect_round_trip(object);
  object.definition = SinkDefinition{ObjectId(1), ObjectId(2), 100, 1 << 20};
  expect_round_trip(object);
}

// Golden bytes: what version 1 wrote must be read for ever.
TEST(ObjectJson, Golden) {
  std::string golden =
      R"({"created_ms":1000000000000,"definition":{"format":"json","partition_by":"id","partitions":4,)"
      R"("retention_bytes":-1,"retention_ms":604800000,"schema":[{"id":1,"name":"id","not_null":true,)"
      R"("type":"BIGINT"},{"id":2,"name":"ts","not_null":false,"type":"TIMESTAMP"}],"segment_bytes":134217728,)"
      R"("watermark":{"column":"ts","delay_us":600000000,"idle_timeout_ms":1000}},"depends_on":[],"format":1,)"
      R"("id":7,"kind":"topic","name":"Flights","project":"demo","schema":"public",)"
      R"("sql":"CREATE TOPIC \"Flights\" ...","version":3})";
  EXPECT_EQ(*encode_object(topic()), golden);
  EXPECT_EQ(decode_object(golden)->definition, topic().definition);
}

TEST(ObjectJson, RefusesWhatIsNotAnObject) {
  std::string good = *encode_object(topic());
  for (size_t size = 0; size < good.size(); size += 7) {
    EXPECT_EQ(decode_object(good.substr(0, size)).error().code(), Code::corrupt);
  }
  auto with = [&](std::string_view from, std::string_view to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return decode_object(text).error().code();
  };
  EXPECT_EQ(with("\"format\":1", "\"format\":2"), Code::unsupported);
  EXPECT_EQ(with("\"kind\":\"topic\"", "\"kind\":\"lamp\""), Code::corrupt);
  EXPECT_EQ(with("\"partitions\":4", "\"partitions\":\"4\""), Code::corrupt);
  // Taking these as integers would be undefined.
  EXPECT_EQ(with("\"partitions\":4", "\"partitions\":1e300"), Code::corrupt);
  EXPECT_EQ(with("\"version\":3", "\"version\":3.5"), Code::corrupt);
  Object wrong = topic();
  wrong.sql = "\xff";
  EXPECT_EQ(encode_object(wrong).error().code(), Code::invalid_argument);
}

}  // namespace
}  // namespace ziwa::catalog
