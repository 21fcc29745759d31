#include "stream/plan.h"

namespace ziwa::stream {
namespace {

Plan sample_plan() {
  Plan plan;
  plan.nodes.push_back({.id = 1,
                        .inputs = {},
                        .output = {{1, "id", "BIGINT"}, {2, "ts", "TIMESTAMP"}},
                        .op = SourceNode{.object = ObjectId(7), .columns = {"id", "ts"}}});
  plan.nodes.push_back({.id = 2,
                        .inputs = {1},
                        .output = {{1, "id", "BIGINT"}, {2, "ts", "TIMESTAMP"}},
                        .op = FilterNode{.predicate = "(c1 > 'ü\n'::BIGINT)"}});
  plan.nodes.push_back(
      {.id = 3,
       .inputs = {2},
       .output = {{1, "id", "BIGINT"},
                  {2, "ts", "TIMESTAMP"},
                  {3, "ws", "TIMESTAMP"},
                  {4, "we", "TIMESTAMP"}},
       .op = WindowNode{.time = "c2", .shape = {.size_us = 60'000'000, .offset_us = 5}}});
  plan.nodes.push_back(
      {.id = 4,
       .inputs = {3},
       .output =
           {{5, "id", "BIGINT"}, {6, "n", "BIGINT"}, {7, "s", "HUGEINT"}, {20, "t", "VARCHAR"}},
       .op = AggregateNode{.groups = {"c1"},
                           .calls = {{.function = "count_star"},
                                     {.function = "sum", .arguments = {"c1"}, .filter = "c1 > 2"},
                                     {.function = "string_agg",
                                      .arguments = {"c1", "c2"},
                                      .constants = {"CAST('-' AS VARCHAR)"},
                                      .order_by = {{.expression = "c2", .descending = true}},
                                      .distinct = true}}}});
  plan.nodes.push_back(
      {.id = 5,
       .inputs = {4, 4},
       .output = {{8, "id", "BIGINT"}},
       .op = JoinNode{
           .left_keys = {"c5"}, .right_keys = {"c5"}, .null_safe = {true}, .residual = "c6 > 1"}});
  plan.nodes.push_back(
      {.id = 6,
       .inputs = {5},
       .output = {{8, "id", "BIGINT"}, {9, "rank", "BIGINT"}},
       .op = TopNNode{.partition_by = {"c8"},
                      .order = {{.expression = "c8", .descending = true, .nulls_first = true}},
                      .limit = 10,
                      .offset = 2,
                      .with_rank = true}});
  plan.nodes.push_back(
      {.id = 7, .inputs = {6}, .output = {{10, "id", "BIGINT"}}, .op = ProjectNode{{"c8"}}});
  plan.nodes.push_back(
      {.id = 8, .inputs = {7, 7}, .output = {{11, "id", "BIGINT"}}, .op = UnionAllNode{}});
  plan.nodes.push_back(
      {.id = 9, .inputs = {8}, .output = {{11, "id", "BIGINT"}}, .op = DistinctNode{}});
  plan.key = {0};
  plan.time_zone = "UTC";
  return plan;
}

TEST(Plan, RoundTrip) {
  auto text = encode_plan(sample_plan());
  auto decoded = decode_plan(text);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string();
  EXPECT_EQ(encode_plan(*decoded), text);
  EXPECT_EQ(decoded->nodes.size(), 9u);
  EXPECT_EQ(std::get<TopNNode>(decoded->nodes[5].op).limit, 10u);
  const auto& calls = std::get<AggregateNode>(decoded->nodes[3].op).calls;
  EXPECT_EQ(calls[1].filter, "c1 > 2");
  EXPECT_EQ(calls[2].arguments, (std::vector<Expression>{"c1", "c2"}));
  EXPECT_TRUE(calls[2].order_by.at(0).descending);
}

TEST(Plan, JoinsThatLetGo) {
  const std::string ts = R"("output":[{"id":1,"name":"ts","type":"TIMESTAMP"}])";
  const std::string at = R"("output":[{"id":2,"name":"at","type":"TIMESTAMP"}])";
  const std::string text = R"({"version":1,"time_zone":"UTC","key":[],"nodes":[)"
                           R"({"id":1,"inputs":[],)" +
                           ts +
                           R"(,"op":"source","object":3,"columns":["ts"]},)"
                           R"({"id":2,"inputs":[1],)" +
                           ts +
                           R"(,"op":"on_time","time":"c1","lateness_us":5},)"
                           R"({"id":3,"inputs":[],)" +
                           at +
                           R"(,"op":"source","object":4,"columns":["at"]},)"
                           R"({"id":4,"inputs":[2,3],)" +
                           ts +
                           R"(,"op":"join","kind":"semi","left_keys":["1"],)"
                           R"("right_keys":["1"],"null_safe":[false],"residual":"c1 <= c2",)"
                           R"("right_limits":[{"until":"c2","column":1,"plus_us":-7}]}]})";
  auto decoded = decode_plan(text);
  ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string();
  EXPECT_EQ(encode_plan(*decoded), text);
  EXPECT_EQ(std::get<OnTimeNode>(decoded->nodes[1].op).lateness_us, 5);
  const auto& join = std::get<JoinNode>(decoded->nodes[3].op);
  EXPECT_TRUE(join.left_limits.empty());
  EXPECT_EQ(join.right_limits.at(0).plus_us, -7);
  std::string negative = text;
  negative.replace(negative.find(":5}"), 3, ":-5}");
  EXPECT_EQ(decode_plan(negative).error().code(), Code::corrupt);
}

TEST(Plan, GoldenText) {  // Plans lie in catalogs: this text must decode for ever.
  auto decoded = decode_plan(R"({"version":1,"time_zone":"UTC","key":[0],"nodes":[
    {"id":1,"inputs":[],"output":[{"id":1,"name":"a","type":"BIGINT"}],"op":"source","object":3,"columns":["a"]},
    {"id":2,"inputs":[1],"output":[{"id":2,"name":"a","type":"BIGINT"},{"id":3,"name":"n","type":"BIGINT"}],
     "op":"aggregate","groups":["c1"],"calls":[{"function":"sum","argument":"c1","distinct":true}]}]})");
  ASSERT_TRUE(decoded.has_value()) << decoded.error().to_string();
  const auto& call = std::get<AggregateNode>(decoded->nodes[1].op).calls.at(0);
  EXPECT_EQ(call.arguments, std::vector<Expression>{"c1"});
  EXPECT_TRUE(call.distinct);
  EXPECT_EQ(std::get<SourceNode>(decoded->nodes[0].op).object, ObjectId(3));
}

TEST(Plan, RefusesBadText) {
  for (const char* text :
       {"", "{}", "[]", "null", R"({"version":1,"time_zone":"UTC","key":[],"nodes":[]})",
        R"({"version":1e300})", R"({"version":1,"time_zone":"UTC","key":[],"nodes":[{"id":1}]})",
        R"({"version":1,"time_zone":"UTC","key":[],"nodes":[{"id":1,"inputs":[1],
                              "output":[{"id":1,"name":"a","type":"BIGINT"}],"op":"filter","predicate":"c1"}]})"}) {
    auto decoded = decode_plan(text);
    ASSERT_FALSE(decoded.has_value()) << text;
    EXPECT_EQ(decoded.error().code(), Code::corrupt);
  }
  auto text = encode_plan(sample_plan());
  for (size_t cut = 0; cut < text.size(); cut += 7)
    EXPECT_FALSE(decode_plan(text.substr(0, cut)).has_value());
  auto newer = decode_plan(R"({"version":2})");
  ASSERT_FALSE(newer.has_value());
  EXPECT_EQ(newer.error().code(), Code::unsupported);
}

TEST(Plan, ExplainsAsATree) {
  auto text = explain_plan(sample_plan());
  EXPECT_TRUE(text.starts_with("#") && text.find(" distinct ") < 5) << text;
  EXPECT_THAT(text, testing::HasSubstr("aggregate count_star, sum(c1) FILTER (c1 > 2), "
                                       "string_agg(DISTINCT c1, c2, CAST('-' AS VARCHAR) ORDER BY "
                                       "c2 DESC) by c1"));
}

TEST(Plan, ExplainsASharedNodeOnce) {  // Else sixty nodes would draw 2^60 lines.
  Plan plan;
  plan.nodes.push_back(
      {.id = 0, .output = {{1, "a", "BIGINT"}}, .op = SourceNode{ObjectId(1), {"a"}}});
  for (uint32_t id = 1; id < 60; ++id) {
    plan.nodes.push_back({.id = id,
                          .inputs = {id - 1, id - 1},
                          .output = {{id + 1, "a", "BIGINT"}},
                          .op = UnionAllNode{}});
  }
  auto text = explain_plan(plan);
  EXPECT_EQ(std::ranges::count(text, '\n'), 119);
}

}  // namespace
}  // namespace ziwa::stream
