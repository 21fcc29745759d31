#include "protocol/http/rest_query.h"

#include <gtest/gtest.h>

namespace ziwa::protocol::http {
namespace {

const Relation& flights() {
  static const Relation kFlights = {.schema = "public",
                                    .name = "per_hour",
                                    .columns = {"origin", "hour", "departures"},
                                    .key = {"origin", "hour"}};
  return kFlights;
}

Result<RestSql> build(const std::string& target, const Relation& relation = flights()) {
  auto parsed = parse_target(target);
  EXPECT_TRUE(parsed.has_value()) << target;
  return build_rest_sql(relation, TRY(parse_rest_query(*parsed, 100'000)));
}

std::string sql(const std::string& target) {
  auto built = build(target);
  return built ? built->text : "error: " + built.error().message();
}

TEST(RestQuery, everything_by_key) {
  EXPECT_EQ(sql("/v1/per_hour"),
            R"(SELECT *, "origin", "hour" FROM "public"."per_hour")"
            R"( ORDER BY "origin" ASC NULLS LAST, "hour" ASC NULLS LAST LIMIT 1000)");
  EXPECT_EQ(build("/v1/per_hour")->hidden_columns, 2u);
}

TEST(RestQuery, filters_bind_their_values) {
  Relation keyless = {.schema = "s", .name = "t", .columns = {"a", "b"}};
  auto built = build(
      "/x?a=1&b=gte.2&a=not.in.(x,\"y,z\")&b=is.null&a=ilike.%25q&b=neq.null&limit=5&offset=7",
      keyless);
  ASSERT_TRUE(built.has_value()) << built.error().to_string();
  EXPECT_EQ(built->text,
            R"(SELECT * FROM "s"."t" WHERE "a" = $1 AND "b" >= $2 AND NOT ("a" IN ($3, $4)))"
            R"( AND "b" IS NULL AND "a" ILIKE $5 AND "b" <> $6 LIMIT 6 OFFSET 7)");
  EXPECT_EQ(built->parameters,
            (std::vector<std::optional<std::string>>{"1", "2", "x", "y,z", "%q", "null"}));
  EXPECT_EQ(build("/x?a=gt.x", keyless)->parameters[0], "x");
  EXPECT_EQ(build("/x?a=eq.gt.x", keyless)->parameters[0], "gt.x");
  EXPECT_EQ(build("/x?a=3.5", keyless)->parameters[0], "3.5");  // "3" is no operator.
}

TEST(RestQuery, names_cannot_break_out) {
  Relation open = {.schema = "ziwa", .name = "a\"; DROP TABLE x; --"};
  auto built = build("/x?select=b%22%20FROM%20secret%20--&c%22=1%27%20OR%201=1", open);
  ASSERT_TRUE(built.has_value());
  EXPECT_EQ(built->text,
            "SELECT \"b\"\" FROM secret --\" FROM \"ziwa\".\"a\"\"; DROP TABLE x; --\""
            " WHERE \"c\"\"\" = $1 LIMIT 1001");
  EXPECT_EQ(built->parameters[0], "1' OR 1=1");
}

TEST(RestQuery, unknown_columns_are_refused_with_a_suggestion) {
  auto built = build("/x?orign=SFO");
  ASSERT_FALSE(built.has_value());
  EXPECT_EQ(built.error().code(), Code::invalid_argument);
  EXPECT_EQ(built.error().hint(), "did you mean \"origin\"?");
  EXPECT_FALSE(build("/x?select=nope").has_value());
  EXPECT_FALSE(build("/x?order=nope.desc").has_value());
}

TEST(RestQuery, cursors_follow_the_order) {
  std::string cursor = encode_cursor({"10", "SFO", std::nullopt});
  auto built = build("/x?order=departures.desc&after=" + cursor);
  ASSERT_TRUE(built.has_value()) << built.error().to_string();
  EXPECT_EQ(built->text,
            R"(SELECT *, "departures", "origin", "hour" FROM "public"."per_hour" WHERE )"
            R"((("departures" < $3 OR "departures" IS NULL) OR ("departures" = $4 AND )"
            R"((("origin" > $1 OR "origin" IS NULL) OR ("origin" = $2 AND FALSE)))))"
            R"( ORDER BY "departures" DESC NULLS LAST, "origin" ASC NULLS LAST,)"
            R"( "hour" ASC NULLS LAST LIMIT 1000)");
  EXPECT_EQ(built->parameters, (std::vector<std::optional<std::string>>{"SFO", "SFO", "10", "10"}));
  EXPECT_FALSE(build("/x?after=" + encode_cursor({"1"})).has_value());
  EXPECT_FALSE(build("/x?after=nonsense!").has_value());
  EXPECT_FALSE(build("/x?offset=1&after=" + cursor).has_value());
}

TEST(RestQuery, bad_parameters_are_refused) {
  for (auto* target :
       {"/x?limit=-1", "/x?limit=1000000", "/x?limit=a", "/x?limit=1&limit=2", "/x?wait=2h",
        "/x?min_epoch=x", "/x?origin=in.x", "/x?origin=is.maybe", "/x?order=origin.up"}) {
    EXPECT_FALSE(build(target).has_value()) << target;
  }
  auto query = parse_rest_query(*parse_target("/x?min_epoch=7&wait=250ms"), 10);
  EXPECT_EQ(query->min_epoch, 7u);
  EXPECT_EQ(query->wait_ms, 250);
  EXPECT_EQ(query->limit, 10u);
}

}  // namespace
}  // namespace ziwa::protocol::http
