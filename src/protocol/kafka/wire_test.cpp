#include "protocol/kafka/wire.h"

#include "protocol/kafka/api_table.h"
#include "protocol/kafka/messages/api_versions.h"
#include "protocol/kafka/messages/fetch.h"
#include "protocol/kafka/messages/metadata.h"
#include "protocol/kafka/messages/produce.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ziwa::kafka {
namespace {

using ::testing::HasSubstr;

std::string text(std::string_view bytes) { return std::string(bytes); }

template <typename Message>
std::string encode(const Message& message, int16_t version) {
  Encoder out(version >= Message::kFlexibleFrom);
  message.encode(out, version);
  return std::string(as_text(out.view()));
}

// What kafka-python 3.0 encodes for the same messages.
TEST(WireTest, GoldenApiVersionsRequest) {
  ApiVersionsRequest request{.client_software_name = "kcat", .client_software_version = "1.7"};
  EXPECT_EQ(encode(request, 3), text({"\x05kcat\x04"
                                      "1.7\x00",
                                      10}));
  EXPECT_EQ(encode(request, 0), "");
}

TEST(WireTest, GoldenMetadataRequest) {
  MetadataRequest request;
  request.topics.emplace().push_back({.name = "t"});
  EXPECT_EQ(encode(request, 1), text({"\0\0\0\x01\0\x01t", 7}));
  EXPECT_EQ(encode(request, 9), text({"\x02\x02t\0\x01\0\0\0", 8}));
  EXPECT_EQ(encode(MetadataRequest{}, 1), text({"\xff\xff\xff\xff", 4})) << "null: all topics";
  EXPECT_EQ(encode(MetadataRequest{}, 12), text({"\0\x01\0\0", 4}));
}

TEST(WireTest, GoldenProduceResponse) {
  ProduceResponse response;
  auto& topic = response.responses.emplace_back();
  topic.name = "t";
  topic.partition_responses.push_back({.index = 2, .base_offset = 5, .log_start_offset = 1});
  const std::string common{"\0\0\0\x02\0\0\0\0\0\0\0\0\0\x05\xff\xff\xff\xff\xff\xff\xff\xff", 22};
  const std::string log_start{"\0\0\0\0\0\0\0\x01", 8};
  EXPECT_EQ(encode(response, 3),
            text({"\0\0\0\x01\0\x01t\0\0\0\x01", 11}) + common + text({"\0\0\0\0", 4}));
  EXPECT_EQ(encode(response, 9),
            text({"\x02\x02t\x02", 4}) + common + log_start + text({"\x01\0\0\0\0\0\0\0\0", 9}));
}

TEST(WireTest, GoldenTaggedFields) {
  FetchRequest request;
  request.cluster_id = "c";
  request.replica_state.replica_id = 1;
  const std::string encoded = encode(request, 15);
  // Two tags: 0 is the cluster id, 1 the replica state (12 bytes, no tags of its own).
  const std::string tags{
      "\x02\0\x02\x02"
      "c\x01\x0d\0\0\0\x01\xff\xff\xff\xff\xff\xff\xff\xff\0",
      20};
  EXPECT_TRUE(encoded.ends_with(tags));
  Decoder in(as_bytes(encoded), true);
  FetchRequest decoded;
  decoded.decode(in, 15);
  ASSERT_TRUE(in.status("Fetch"));
  EXPECT_EQ(decoded, request);
}

TEST(WireTest, UnknownTagsAreSkipped) {
  ApiVersionsRequest request;
  const std::string input{
      "\x02"
      "a\x02"
      "b\x02\x05\x03xyz\x07\0",
      12};
  Decoder in(as_bytes(input), true);
  request.decode(in, 3);
  ASSERT_TRUE(in.status("ApiVersions"));
  EXPECT_EQ(request.client_software_name, "a");
  EXPECT_EQ(in.remaining(), 0u);
}

Status decode_metadata(std::string_view input, int16_t version) {
  Decoder in(as_bytes(input), version >= MetadataRequest::kFlexibleFrom);
  MetadataRequest request;
  request.decode(in, version);
  return in.status("Metadata request");
}

TEST(WireTest, HostileLengthsAreRefusedWithoutTakingMemory) {
  EXPECT_THAT(decode_metadata({"\x7f\xff\xff\xff\0", 5}, 1).error().message(),
              HasSubstr("longer than the frame"));
  EXPECT_THAT(decode_metadata({"\x80\0\0\0", 4}, 1).error().message(), HasSubstr("negative"));
  EXPECT_THAT(
      decode_metadata({"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10}, 9).error().message(),
      HasSubstr("too large"));
  EXPECT_THAT(decode_metadata({"\0\0\0\x01\xff\xff", 6}, 1).error().message(), HasSubstr("null"));
  EXPECT_THAT(decode_metadata({"\0\0\0\x01\0\x09t", 7}, 1).error().message(),
              HasSubstr("ends too early"));
  std::string many("\0\x01\x86\xa1", 4);  // 100,001 elements, and enough bytes for them.
  many.append(400'000, '\0');
  EXPECT_THAT(decode_metadata(many, 1).error().message(), HasSubstr("100000"));
}

TEST(ApiTableTest, CoversWhatClientsAskFor) {
  ASSERT_NE(find_api(kProduceKey), nullptr);
  EXPECT_EQ(find_api(kProduceKey)->advertised_min, 0)
      << "or old librdkafka switches compression off";
  EXPECT_EQ(find_api(11)->advertised_min, 0) << "or old librdkafka loses groups";
  EXPECT_EQ(find_api(99), nullptr);
  EXPECT_TRUE(is_flexible(3, 9));
  EXPECT_FALSE(is_flexible(3, 8));
  EXPECT_FALSE(is_flexible(47, 0));
}

}  // namespace
}  // namespace ziwa::kafka
