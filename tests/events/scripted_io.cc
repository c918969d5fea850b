// SPDX-License-Identifier: GPL-3.0-or-later
// Only what the event writer and the loop ask of an Io.
#include "scripted_io.h"

#include <algorithm>
#include <cerrno>

#include "ringmta/base/assert.h"
#include "ringmta/ring/disk.h"

namespace ringmta::ring {

Io::Io(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Io::~Io() = default;

Result<std::unique_ptr<Io>> Io::create(const IoOptions&) {
  return std::unique_ptr<Io>(new Io(std::make_unique<Impl>()));
}

std::span<const Event> Io::turn(Monotonic) {
  impl_->events.clear();
  for (const Impl::Operation& operation : std::exchange(impl_->asked, {})) {
    impl_->events.push_back(impl_->run(operation));
  }
  return impl_->events;
}

Event Io::Impl::run(const Operation& operation) {
  --open[operation.file].in_flight;
  std::string& content = *operation.content;
  Event event{operation.token, {}, {}, 0, EventKind::file_done};
  std::string octets;
  for (const iovec& part : operation.parts) {
    octets.append(static_cast<const char*>(part.iov_base), part.iov_len);
  }
  if (!disk->writes.empty()) {
    const int32_t scripted = disk->writes.front();
    disk->writes.pop_front();
    if (scripted < 0) {
      event.result = scripted;
      return event;
    }
    octets.resize(std::min(octets.size(), static_cast<size_t>(scripted)));
  }
  content += octets;
  event.result = static_cast<int32_t>(octets.size());
  return event;
}

Result<FileId> Io::open_file(const std::string& path, OpenMode mode) {
  if (impl_->disk->refuse_to_open) return fail_errno("cannot open " + path, EACCES);
  if (mode == OpenMode::read && !impl_->disk->files.contains(path)) {
    return fail_errno("cannot open " + path, ENOENT);
  }
  static_cast<void>((*impl_->disk)[path]);
  impl_->open.push_back({impl_->disk->files[path], 0});
  return FileId{static_cast<uint32_t>(impl_->open.size() - 1)};
}

void Io::close_file(FileId file) {
  Impl::OpenFile& open = impl_->open.at(file.index);
  RINGMTA_ASSERT(open.content != nullptr && open.in_flight == 0);
  open.content.reset();
}

Result<uint64_t> Io::file_size(FileId file) const {
  return impl_->open.at(file.index).content->size();
}

void Io::write_file(FileId file, std::span<const iovec> parts, uint64_t, Durability, Token token) {
  Impl::OpenFile& open = impl_->open.at(file.index);
  ++open.in_flight;
  ++impl_->writes_begun;
  impl_->asked.push_back({open.content, {parts.begin(), parts.end()}, token, file.index});
}

void Io::ring_doorbell() {}

namespace disk {

Result<uint64_t> size(const std::string& path) { return (*ScriptedDisk::current())[path].size(); }

Result<std::vector<std::byte>> read(const std::string& path, uint64_t offset, uint64_t length) {
  const Bytes all = as_bytes((*ScriptedDisk::current())[path]);
  const Bytes wanted = all.subspan(offset, length);
  return std::vector<std::byte>(wanted.begin(), wanted.end());
}

Status overwrite(const std::string& path, uint64_t offset, Bytes data) {
  (*ScriptedDisk::current())[path].replace(offset, data.size(), as_text(data));
  return {};
}

}  // namespace disk

}  // namespace ringmta::ring
