#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ziwa::lake {

/// A path as the protocol writes it (RFC 2396 URI) to a plain one: %XX decoded, "file:" taken off
/// absolute paths.
std::string decode_path(std::string_view uri);
/// The inverse for relative paths.
std::string encode_path(std::string_view path);
/// Whether a decoded path names something inside the table: relative, without "..".
bool inside_table(std::string_view path);

/// "name=value" as Hive writes a partition folder, with unsafe bytes as %XX; null is
/// __HIVE_DEFAULT_PARTITION__.
std::string partition_folder(std::string_view name, const std::optional<std::string>& value);

}  // namespace ziwa::lake
