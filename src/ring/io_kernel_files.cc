// SPDX-License-Identifier: GPL-3.0-or-later
// Files over io_uring. Durability is asked of each write by RWF_DSYNC, not by a later sync: one
// operation, and with O_DIRECT over written extents no kernel worker is needed.
//
// A write may end short (disk full, a signal); it is told as it is, and the owner decides.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>

#include "io_kernel.h"

namespace ringmta::ring {

namespace {

int flags_of(OpenMode mode) {
  switch (mode) {
    case OpenMode::read:
      return O_RDONLY | O_CLOEXEC;
    case OpenMode::write:
      return O_RDWR | O_CREAT | O_CLOEXEC;
    case OpenMode::append:
      return O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC;
    case OpenMode::write_direct:
      return O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC;
  }
  return O_RDONLY | O_CLOEXEC;
}

}  // namespace

Result<FileId> Io::open_file(const std::string& path, OpenMode mode) {
  const mode_t permissions = mode == OpenMode::append ? 0640 : 0600;
  const int fd = ::open(path.c_str(), flags_of(mode), permissions);
  if (fd < 0) return fail_errno("cannot open " + path, errno);
  for (uint32_t index = 0; index < impl_->files.size(); ++index) {
    if (impl_->files[index].fd >= 0) continue;
    impl_->files[index] = {fd, 0};
    return FileId{index};
  }
  impl_->files.push_back({fd, 0});
  return FileId{static_cast<uint32_t>(impl_->files.size() - 1)};
}

void Io::close_file(FileId file) {
  OpenFile& open = impl_->files.at(file.index);
  RINGMTA_ASSERT(open.fd >= 0 && open.in_flight == 0);
  ::close(open.fd);
  open.fd = -1;
}

Result<uint64_t> Io::file_size(FileId file) const {
  struct stat status{};
  if (fstat(impl_->files.at(file.index).fd, &status) < 0) {
    return fail_errno("cannot tell the size of a file", errno);
  }
  return static_cast<uint64_t>(status.st_size);
}

FileOperation& Io::Impl::new_file_operation(FileId file, Token token, SlotHandle& slot) {
  OpenFile& open = files.at(file.index);
  RINGMTA_ASSERT(open.fd >= 0);
  ++open.in_flight;
  ++owner->counters_.file_operations;
  FileOperation* operation = file_operations.take(slot);
  RINGMTA_ASSERT(operation != nullptr);
  operation->token = token;
  operation->file = file.index;
  return *operation;
}

void Io::write_file(FileId file, std::span<const iovec> parts, uint64_t offset,
                    Durability durability, Token token) {
  RINGMTA_ASSERT(!parts.empty() && parts.size() <= kWritePartsMax);
  SlotHandle slot;
  FileOperation& operation = impl_->new_file_operation(file, token, slot);
  const int fd = impl_->files[file.index].fd;
  io_uring_sqe* sqe = impl_->entry();
  if (parts.size() == 1) {
    io_uring_prep_write(sqe, fd, parts[0].iov_base, static_cast<unsigned>(parts[0].iov_len),
                        offset);
  } else {
    operation.parts.assign(parts.begin(), parts.end());
    io_uring_prep_writev(sqe, fd, operation.parts.data(),
                         static_cast<unsigned>(operation.parts.size()), offset);
  }
  if (durability == Durability::durable) sqe->rw_flags = RWF_DSYNC;
  sqe->user_data = user_data(Operation::file, slot);
}

void Io::read_file(FileId file, MutableBytes into, uint64_t offset, Token token) {
  SlotHandle slot;
  impl_->new_file_operation(file, token, slot);
  io_uring_sqe* sqe = impl_->entry();
  io_uring_prep_read(sqe, impl_->files[file.index].fd, into.data(),
                     static_cast<unsigned>(into.size()), offset);
  sqe->user_data = user_data(Operation::file, slot);
}

void Io::allocate_file(FileId file, uint64_t size, Token token) {
  SlotHandle slot;
  impl_->new_file_operation(file, token, slot);
  io_uring_sqe* sqe = impl_->entry();
  io_uring_prep_fallocate(sqe, impl_->files[file.index].fd, 0, 0, static_cast<off_t>(size));
  sqe->user_data = user_data(Operation::file, slot);
}

void Io::sync_file(FileId file, Token token) {
  SlotHandle slot;
  impl_->new_file_operation(file, token, slot);
  io_uring_sqe* sqe = impl_->entry();
  io_uring_prep_fsync(sqe, impl_->files[file.index].fd, IORING_FSYNC_DATASYNC);
  sqe->user_data = user_data(Operation::file, slot);
}

void Io::Impl::on_file(SlotHandle slot, int32_t result) {
  FileOperation& operation = file_operations.get(slot);
  OpenFile& open = files[operation.file];
  RINGMTA_ASSERT(open.in_flight > 0);
  --open.in_flight;
  events.push_back({operation.token, {}, {}, result, EventKind::file_done});
  file_operations.release(slot);
}

}  // namespace ringmta::ring
