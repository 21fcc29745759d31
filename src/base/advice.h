#pragma once

namespace ziwa {

/// The hint of every error that refuses a damaged data directory.
inline constexpr const char* kRestoreBackup =
    "restore the whole data directory from a backup; nothing acknowledged was removed";

/// The hint of every error about a format that this Ziwa does not know, where damage to the number
/// would look the same.
inline constexpr const char* kNewerOrDamaged =
    "start the Ziwa that wrote it, or a later one; if it was never newer than this one, the number "
    "is damaged: restore the whole data directory from a backup; nothing acknowledged was removed";

}  // namespace ziwa
