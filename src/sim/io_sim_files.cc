// SPDX-License-Identifier: GPL-3.0-or-later
// Files of a simulated Io. An operation takes effect when its time has come, reading or writing the
// owner's memory only then: until `file_done` it belongs to the Io.
#include <algorithm>
#include <cerrno>
#include <cstring>

#include "io_sim.h"

namespace ringmta::ring {
namespace {

constexpr uint64_t kDirectUnit = 4096;

bool is_direct(const void* memory, uint64_t offset, uint64_t length) {
  return (reinterpret_cast<uintptr_t>(memory) | offset | length) % kDirectUnit == 0;
}

std::vector<std::byte> gathered(const std::vector<iovec>& parts) {
  std::vector<std::byte> data;
  for (const iovec& part : parts) {
    const auto* from = static_cast<const std::byte*>(part.iov_base);
    data.insert(data.end(), from, from + part.iov_len);
  }
  return data;
}

}  // namespace

Result<FileId> Io::open_file(const std::string& path, OpenMode mode) {
  if (impl_->dead) return fail_errno("cannot open " + path, EIO);
  sim::FileSystem& system = impl_->world.files;
  int code = system.is_directory(path) && mode != OpenMode::read ? EISDIR : ENOENT;
  sim::FilePointer file = mode == OpenMode::read ? system.find(path) : system.create(path, code);
  if (file == nullptr) return fail_errno("cannot open " + path, code);
  for (uint32_t index = 0; index < impl_->files.size(); ++index) {
    if (impl_->files[index].file != nullptr) continue;
    impl_->files[index] = {std::move(file), mode, 0};
    return FileId{index};
  }
  impl_->files.push_back({std::move(file), mode, 0});
  return FileId{static_cast<uint32_t>(impl_->files.size() - 1)};
}

void Io::close_file(FileId file) {
  if (impl_->dead) return;
  OpenFile& open = impl_->files.at(file.index);
  RINGMTA_ASSERT(open.file != nullptr && open.in_flight == 0);
  open = {};
}

Result<uint64_t> Io::file_size(FileId file) const {
  if (impl_->dead) return fail_errno("cannot tell the size of a file", EIO);
  return impl_->files.at(file.index).file->content.size();
}

void Io::write_file(FileId file, std::span<const iovec> parts, uint64_t offset,
                    Durability durability, Token token) {
  RINGMTA_ASSERT(!parts.empty() && parts.size() <= kWritePartsMax);
  FileOperation operation;
  operation.kind = sim::DiskOperation::write;
  operation.token = token;
  operation.parts.assign(parts.begin(), parts.end());
  operation.offset = offset;
  operation.durability = durability;
  impl_->submit(std::move(operation), file);
}

void Io::read_file(FileId file, MutableBytes into, uint64_t offset, Token token) {
  FileOperation operation;
  operation.kind = sim::DiskOperation::read;
  operation.token = token;
  operation.into = into;
  operation.offset = offset;
  impl_->submit(std::move(operation), file);
}

void Io::allocate_file(FileId file, uint64_t size, Token token) {
  FileOperation operation;
  operation.kind = sim::DiskOperation::allocate;
  operation.token = token;
  operation.offset = size;
  impl_->submit(std::move(operation), file);
}

void Io::sync_file(FileId file, Token token) {
  FileOperation operation;
  operation.kind = sim::DiskOperation::sync;
  operation.token = token;
  impl_->submit(std::move(operation), file);
}

void Io::Impl::submit(FileOperation operation, FileId file) {
  if (dead) return;
  OpenFile& open = files.at(file.index);
  RINGMTA_ASSERT(open.file != nullptr);
  ++open.in_flight;
  ++owner->counters_.file_operations;
  operation.file = file.index;
  operation.fault = world.strike(operation.kind, open.file->path);
  SlotHandle slot;
  FileOperation* kept = file_operations.take(slot, std::move(operation));
  RINGMTA_ASSERT(kept != nullptr);
  const sim::DiskOptions& disk = world.options.disk;
  const bool stalls = disk.stall_one_in > 0 && world.random.below(disk.stall_one_in) == 0;
  if (stalls) ++world.faults_struck["a file operation stalls"];
  world.schedule(world.after_latency(disk.latency_us_min,
                                     stalls ? disk.stall_max.count * 1000 : disk.latency_us_max),
                 [&in = world, io_id = id, slot] {
                   Impl* io = in.find_io(io_id);
                   if (io != nullptr && !io->dead) io->complete(slot);
                 });
}

void Io::Impl::complete(SlotHandle slot) {
  FileOperation& operation = file_operations.get(slot);
  const int32_t result = perform(operation);
  --files[operation.file].in_flight;
  queued.push_back({operation.token, {}, {}, result, EventKind::file_done});
  file_operations.release(slot);
}

int32_t Io::Impl::perform(FileOperation& operation) {
  OpenFile& open = files[operation.file];
  sim::File& file = *open.file;
  const int32_t error = operation.fault ? -operation.fault->error : 0;
  if (operation.fault) {
    ++world.faults_struck[error != 0 ? "a file operation fails" : "a file operation ends short"];
  }
  switch (operation.kind) {
    case sim::DiskOperation::read:
      return error != 0 ? error : perform_read(operation, open);
    case sim::DiskOperation::write:
      return perform_write(operation, open);
    case sim::DiskOperation::allocate: {
      if (error != 0) return error;
      if (open.mode == OpenMode::read) return -EBADF;
      const uint64_t capacity = world.options.disk.capacity_octets;
      if (world.files.allocate(file, operation.offset, capacity)) return 0;
      ++world.faults_struck["the disk is full"];
      return -ENOSPC;
    }
    case sim::DiskOperation::sync:
      if (error != 0) {
        world.files.fail_sync(file);
        return error;
      }
      world.files.sync(file);
      return 0;
  }
  return -EINVAL;
}

int32_t Io::Impl::perform_read(const FileOperation& operation, const OpenFile& open) {
  if (open.mode == OpenMode::append) return -EBADF;
  if (open.mode == OpenMode::write_direct &&
      !is_direct(operation.into.data(), operation.offset, operation.into.size())) {
    return -EINVAL;
  }
  const std::vector<std::byte>& content = open.file->content;
  if (operation.offset >= content.size()) return 0;
  uint64_t length = std::min<uint64_t>(operation.into.size(), content.size() - operation.offset);
  if (operation.fault) length = std::min(length, operation.fault->short_octets);
  if (length > 0) std::memcpy(operation.into.data(), content.data() + operation.offset, length);
  const uint64_t flip_one_in = world.options.disk.flip_one_in;
  if (flip_one_in > 0 && length > 0 && world.random.below(flip_one_in) == 0) {
    operation.into[world.random.below(length)] ^= std::byte{1} << world.random.below(8);
    ++world.faults_struck["a wrong bit is read"];
  }
  return static_cast<int32_t>(length);
}

int32_t Io::Impl::perform_write(FileOperation& operation, OpenFile& open) {
  if (open.mode == OpenMode::read) return -EBADF;
  if (open.mode == OpenMode::write_direct) {
    for (const iovec& part : operation.parts) {
      if (!is_direct(part.iov_base, operation.offset, part.iov_len)) return -EINVAL;
    }
  }
  sim::File& file = *open.file;
  const uint64_t capacity = world.options.disk.capacity_octets;
  const std::vector<std::byte> data = gathered(operation.parts);
  const uint64_t offset = open.mode == OpenMode::append ? file.content.size() : operation.offset;
  uint64_t length = data.size();
  if (operation.fault && operation.fault->error != 0) {
    // A write that failed may have changed any part of what it was to change.
    world.files.write(file, offset, Bytes(data).first(world.random.below(length + 1)), capacity);
    return -operation.fault->error;
  }
  if (operation.fault) length = std::min(length, operation.fault->short_octets);
  const uint64_t written = world.files.write(file, offset, Bytes(data).first(length), capacity);
  if (written < length) ++world.faults_struck["the disk is full"];
  if (written == 0 && length > 0) return -ENOSPC;
  if (operation.durability == Durability::durable) world.files.sync_range(file, offset, written);
  return static_cast<int32_t>(written);
}

}  // namespace ringmta::ring
