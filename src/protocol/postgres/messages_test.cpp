#include "protocol/postgres/messages.h"

#include "protocol/postgres/numeric.h"

#include <gtest/gtest.h>

namespace ziwa::protocol::postgres {
namespace {

using namespace std::string_literals;
using namespace std::string_view_literals;

/// Frames of everything in `bytes`, as "type:body" texts.
std::vector<std::string> frames(FrameReader& reader, std::string_view bytes) {
  std::vector<std::string> out;
  reader.feed(as_bytes(bytes));
  while (true) {
    auto frame = reader.next();
    if (!frame) {
      out.push_back("error " + frame.error().message());
      return out;
    }
    if (!*frame) return out;
    out.push_back(std::string(1, (*frame)->type) + ":" + std::string(as_text((*frame)->body)));
  }
}

Result<Message> parse(char type, std::string_view body) {
  return parse_message(Frame{.type = type, .body = as_bytes(body)});
}

TEST(FrameReader, cuts_messages_wherever_the_bytes_break) {
  std::string stream = "Q\0\0\0\x06x\0S\0\0\0\x04Q\0\0\0\x07yz\0"s;
  for (size_t cut = 0; cut <= stream.size(); ++cut) {
    FrameReader reader;
    reader.end_startup();
    auto got = frames(reader, std::string_view(stream).substr(0, cut));
    auto rest = frames(reader, std::string_view(stream).substr(cut));
    got.insert(got.end(), rest.begin(), rest.end());
    EXPECT_EQ(got, (std::vector<std::string>{"Q:x\0"s, "S:", "Q:yz\0"s})) << "cut at " << cut;
  }
}

TEST(FrameReader, refuses_lengths_that_cannot_be) {
  FrameReader startup;
  EXPECT_EQ(frames(startup, "GET / HTTP/1.1\r\n"),
            (std::vector<std::string>{
                "error a message of 1195725852 bytes is longer than the limit of 10000"}));
  FrameReader reader({.message_bytes = 10});
  reader.end_startup();
  EXPECT_EQ(frames(reader, "Q\0\0\0\x0f"sv).size(), 1u);  // 11 bytes of body: over the limit.
  FrameReader small;
  small.end_startup();
  EXPECT_EQ(frames(small, "Q\0\0\0\x03"sv),
            (std::vector<std::string>{"error a message of length 3 cannot be"}));
}

TEST(Startup, knows_its_four_kinds) {
  EXPECT_TRUE(std::holds_alternative<SslRequest>(*parse_startup(as_bytes("\x04\xd2\x16\x2f"sv))));
  EXPECT_TRUE(std::holds_alternative<GssRequest>(*parse_startup(as_bytes("\x04\xd2\x16\x30"sv))));
  auto cancel = parse_startup(as_bytes("\x04\xd2\x16\x2e\0\0\0\x07\0\0\0\x09"sv));
  EXPECT_EQ(std::get<CancelRequest>(*cancel).process, 7);
  EXPECT_EQ(std::get<CancelRequest>(*cancel).secret, 9);
  auto start = parse_startup(as_bytes("\0\x03\0\0user\0me\0database\0d\0\0"sv));
  EXPECT_EQ(std::get<Startup>(*start).parameters,
            (std::map<std::string, std::string>{{"user", "me"}, {"database", "d"}}));
}

TEST(Startup, refuses_what_is_cut_off_or_not_postgres) {
  EXPECT_EQ(parse_startup(as_bytes("\0\x03\0\0user"sv)).error().code(), Code::invalid_argument);
  EXPECT_EQ(parse_startup(as_bytes("\x04\xd2\x16\x2e\0\0"sv)).error().code(), Code::corrupt);
  EXPECT_EQ(parse_startup(as_bytes("\0\x02\0\0"sv)).error().code(), Code::unsupported);
  EXPECT_EQ(parse_startup(as_bytes(""sv)).error().code(), Code::unsupported);
}

TEST(Messages, bind_with_null_and_binary) {
  auto message = parse('B', "p\0s\0\0\x01\0\x01\0\x02\xff\xff\xff\xff\0\0\0\x02hi\0\0"sv);
  const auto& bind = std::get<Bind>(*message);
  EXPECT_EQ(bind.portal, "p");
  EXPECT_EQ(bind.statement, "s");
  EXPECT_EQ(format_of(bind.parameter_formats, 5), 1);
  ASSERT_EQ(bind.parameters.size(), 2u);
  EXPECT_FALSE(bind.parameters[0].has_value());
  EXPECT_EQ(as_text(*bind.parameters[1]), "hi");
}

TEST(Messages, refuses_counts_and_sizes_beyond_the_body) {
  EXPECT_FALSE(parse('B', "\0\0\x7f\xff"sv).has_value());
  EXPECT_FALSE(parse('B', "\0\0\0\0\0\x01\x7f\xff\xff\xff"sv).has_value());
  EXPECT_FALSE(parse('B', "\0\0\0\x01\0\x02\0\0\0\0"sv).has_value());  // Format 2.
  EXPECT_FALSE(parse('P', "name without end"sv).has_value());
  EXPECT_FALSE(parse('P', "\0\0\xff\xff"sv).has_value());
  EXPECT_FALSE(parse('D', "Xname\0"sv).has_value());
  EXPECT_FALSE(parse('E', "\0\0\0"sv).has_value());
  EXPECT_TRUE(std::holds_alternative<Unexpected>(*parse('p', "secret\0"sv)));
}

TEST(MessageWriter, golden_bytes) {
  MessageWriter writer;
  writer.ready_for_query('I');
  writer.command_complete("SELECT 1");
  size_t row = writer.begin_row(2);
  size_t field = writer.open_field();
  writer.buffer() += "7";
  writer.close_field(field);
  writer.null_field();
  writer.end_row(row);
  EXPECT_EQ(writer.take(),
            "Z\0\0\0\x05I"
            "C\0\0\0\x0dSELECT 1\0"
            "D\0\0\0\x0f\0\x02\0\0\0\x01"
            "7\xff\xff\xff\xff"s);
  writer.report({.sqlstate = "42000", .message = "bad\0hidden"s, .hint = "h", .position = 3});
  EXPECT_EQ(writer.take(), "E\0\0\0%SERROR\0VERROR\0C42000\0Mbad\0Hh\0P3\0\0"s);
}

TEST(Numeric, binary_and_back) {
  for (auto* text : {"0", "1", "-1", "9999", "10000", "-12345678.9", "0.0001", "0.00001", "100.00",
                     "99999999999999999999999999999999999999", "-0.50", "12.340"}) {
    std::string binary;
    append_numeric_binary(binary, text);
    auto back = numeric_text(as_bytes(binary));
    ASSERT_TRUE(back.has_value()) << text;
    EXPECT_EQ(*back, text);
  }
  std::string golden;
  append_numeric_binary(golden, "-12345.67");
  EXPECT_EQ(golden, "\0\x03\0\x01\x40\0\0\x02\0\x01\x09\x29\x1a\x2c"s);
}

TEST(Numeric, hostile_headers_are_refused) {
  EXPECT_FALSE(numeric_text(as_bytes("\x7f\xff\0\0\0\0\0\0"sv)).has_value());
  EXPECT_FALSE(numeric_text(as_bytes("\0\x01\x7f\xff\0\0\0\0\0\x01"sv)).has_value());
  EXPECT_FALSE(numeric_text(as_bytes("\0\x01\0\0\0\0\0\0\x7f\xff"sv)).has_value());
  EXPECT_FALSE(numeric_text(as_bytes("\0\x01"sv)).has_value());
}

}  // namespace
}  // namespace ziwa::protocol::postgres
