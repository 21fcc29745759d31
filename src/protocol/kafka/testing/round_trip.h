#pragma once

#include "protocol/kafka/wire.h"

#include <gtest/gtest.h>

namespace ziwa::kafka::testing {

inline Uuid uuid_of(int n) {
  Uuid id;
  id.bytes.fill(static_cast<std::byte>(n));
  return id;
}

/// A blob (Bytes or BlobView) whose bytes live as long as the process, so that views of it stay
/// good.
template <typename Blob>
Blob blob_of(int n) {
  static const std::string kText = "some bytes that are not text: \x01\xff";
  ByteView view = as_bytes(kText).subspan(0, 1 + static_cast<size_t>(n) % kText.size());
  if constexpr (std::is_same_v<Blob, Bytes>) {
    return Bytes(view.begin(), view.end());
  } else {
    return BlobView(view);
  }
}

template <typename Message>
Message decode_all(ByteView bytes, int16_t version, Status& status) {
  Decoder in(bytes, version >= Message::kFlexibleFrom);
  Message message;
  message.decode(in, version);
  status = in.status(Message::kName);
  if (status && in.remaining() != 0)
    status = Error(Code::invalid_argument, "{} bytes left over", in.remaining());
  return message;
}

/// For every version: a message with all of its fields set, and one with none, survive encode and
/// decode; and every truncation of the first is refused.
template <typename Message>
void expect_round_trips(void (*fill)(Message&, int16_t)) {
  for (int16_t version = Message::kVersionMin; version <= Message::kVersionMax; ++version) {
    SCOPED_TRACE(::testing::Message() << Message::kName << " version " << version);
    for (bool filled : {true, false}) {
      Message message;
      if (filled) fill(message, version);
      Encoder out(version >= Message::kFlexibleFrom);
      message.encode(out, version);
      Status status;
      auto decoded = decode_all<Message>(out.view(), version, status);
      ASSERT_TRUE(status) << status.error().to_string();
      // What a version cannot say comes back as its default, so compare what it does say.
      Encoder again(version >= Message::kFlexibleFrom);
      decoded.encode(again, version);
      ASSERT_EQ(as_text(out.view()), as_text(again.view()));
      if (!filled) continue;
      ASSERT_EQ(message, decoded);
      for (size_t size = 0; size < out.view().size(); ++size) {
        decode_all<Message>(out.view().first(size), version, status);
        ASSERT_FALSE(status) << "cut to " << size << " of " << out.view().size();
      }
    }
  }
}

}  // namespace ziwa::kafka::testing
