#include "base/advice.h"
#include "base/checksum.h"
#include "base/text.h"
#include "state/manifest_check_internal.h"

#include <array>
#include <optional>

namespace ziwa::state {
namespace {

/// Notes take turns in two places, each a sector of its own: a torn one leaves the one before.
constexpr size_t kNotes = 2;
constexpr uint64_t kNoteDistance = 4'096;
constexpr size_t kNoteBytes = 24;
constexpr size_t kNoteChecked = 20;
constexpr uint64_t kCurrentBytesMax = 4'096;
constexpr size_t kReadBytes = 1u << 20;

struct Note {
  uint64_t number = 0;
  uint64_t bytes = 0;
  uint32_t crc = 0;
};

std::array<std::byte, kNoteBytes> encode(const Note& note) {
  std::array<std::byte, kNoteBytes> out{};
  store_le(out.data(), note.number);
  store_le(out.data() + 8, note.bytes);
  store_le(out.data() + 16, note.crc);
  store_le(out.data() + kNoteChecked, crc32c({out.data(), kNoteChecked}));
  return out;
}

/// Nothing where there is none that is whole.
Result<std::optional<Note>> read_note(const File& file, size_t place) {
  std::array<std::byte, kNoteBytes> bytes{};
  if (TRY(file.read_at(place * kNoteDistance, bytes)) < kNoteBytes) return std::optional<Note>();
  if (crc32c({bytes.data(), kNoteChecked}) != load_le<uint32_t>(bytes.data() + kNoteChecked))
    return std::optional<Note>();
  return std::optional(Note{.number = load_le<uint64_t>(bytes.data()),
                            .bytes = load_le<uint64_t>(bytes.data() + 8),
                            .crc = load_le<uint32_t>(bytes.data() + 16)});
}

Result<uint32_t> checksum(const File& file, uint64_t size) {
  uint32_t crc = 0;
  Bytes buffer(std::min<uint64_t>(size, kReadBytes));
  for (uint64_t at = 0; at < size;) {
    std::span<std::byte> part(buffer.data(), std::min<uint64_t>(size - at, buffer.size()));
    const size_t got = TRY(file.read_at(at, part));
    if (got == 0) break;
    crc = crc32c({buffer.data(), got}, crc);
    at += got;
  }
  return crc;
}

/// The manifest in use; nothing in a new directory. What CURRENT cannot mean RocksDB refuses.
Result<std::optional<std::string>> manifest_in_use(FileSystem& fs, const std::string& directory) {
  auto current = read_file(fs, join_path(directory, "CURRENT"), kCurrentBytesMax);
  if (!current && current.error().code() == Code::not_found) return std::optional<std::string>();
  if (!current) return std::move(current).error();
  std::string name(as_text(*current));
  while (name.ends_with('\n')) name.pop_back();
  if (name.empty() || name.find('/') != std::string::npos) return std::optional<std::string>();
  return std::optional(join_path(directory, name));
}

}  // namespace

std::string manifest_check_path(const std::string& manifest) { return manifest + ".check"; }

Result<ManifestCheck> ManifestCheck::create(FileSystem& fs, const std::string& manifest) {
  return ManifestCheck(TRY(fs.open(manifest_check_path(manifest), OpenMode::truncate)));
}

void ManifestCheck::add(ByteView written) {
  crc_ = crc32c(written, crc_);
  bytes_ += written.size();
}

void ManifestCheck::note() {
  const auto note = encode({.number = number_, .bytes = bytes_, .crc = crc_});
  file_->write_at((number_ % kNotes) * kNoteDistance, note)
      .ignore("the note before it speaks of less, and of nothing that is not there");
  ++number_;
}

Status check_manifest(FileSystem& fs, const std::string& directory) {
  const auto manifest = TRY(manifest_in_use(fs, directory));
  if (!manifest || !fs.exists(*manifest)) return {};
  auto notes = fs.open(manifest_check_path(*manifest), OpenMode::read);
  if (!notes && notes.error().code() == Code::not_found) return {};  // An older program made it.
  if (!notes) return std::move(notes).error();
  std::optional<Note> newest;
  for (size_t place = 0; place < kNotes; ++place) {
    auto note = TRY(read_note(**notes, place));
    if (note && (!newest || note->number > newest->number)) newest = note;
  }
  if (!newest) return {};
  auto file = TRY(fs.open(*manifest, OpenMode::read));
  const uint64_t size = file->size();
  if (size >= newest->bytes && TRY(checksum(*file, newest->bytes)) == newest->crc) return {};
  return Error(Code::corrupt, "{} is damaged: its first {} bytes are not those that were written{}",
               *manifest, newest->bytes,
               size < newest->bytes ? fmt::format(", and it has {}", size) : "")
      .with_hint(kRestoreBackup);
}

}  // namespace ziwa::state
