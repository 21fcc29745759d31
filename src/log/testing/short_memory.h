#pragma once

namespace ziwa::log::testing {

/// On this thread, the next `count` decompressors that are made find no memory.
void fail_decompressors(int count);

}  // namespace ziwa::log::testing
