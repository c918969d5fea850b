// SPDX-License-Identifier: GPL-3.0-or-later
// The event file of one shard: when a write begins, and what follows from how it ended.
//
// States: `ready`, `writing`, `backing_off` after a failed write. Only in `ready` does flush()
// begin a write: at once when a chunk is full, else when the oldest line has waited for
// EventOptions::flush_after.
#include "ringmta/events/writer.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "chunks.h"
#include "line.h"
#include "ringmta/base/assert.h"
#include "ringmta/base/log.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#endif

namespace ringmta::events {
namespace {

constexpr Milliseconds kRetryAfter = seconds(1);
constexpr Milliseconds kWarnEvery = minutes(1);

enum Number : uint32_t { kWritten, kFlushDue, kRetryDue };

ring::Token token(Number number) {
  return ring::Token::make(shard::kind(shard::Owner::events), number);
}

std::string text_of(int code) { return std::generic_category().message(code); }

iovec part(const char* begin, size_t size) { return {const_cast<char*>(begin), size}; }

}  // namespace

struct Writer::Impl {
  enum class State : uint8_t { ready, writing, backing_off };

  Impl(shard::Loop& its_loop, const EventOptions& its_options, std::string_view hostname,
       ShardId shard)
      : loop(its_loop),
        options(its_options),
        composer(hostname, shard),
        chunks(its_options.buffer_max) {
    flush_timer.token = token(kFlushDue);
    retry_timer.token = token(kRetryDue);
  }

  Status open();
  void begin_write();
  void on_written(int32_t result);
  void on_octets_written(size_t octets);
  void on_write_failed(int code);
  void reopen_now();
  void lose_line();
  void end_line(char* end);

  shard::Loop& loop;
  EventOptions options;
  LineComposer composer;
  Chunks chunks;
  EventCounters counters;

  ring::FileId file{};
  State state = State::ready;
  bool reopen_wanted = false;
  bool failing = false;  // since the last write that succeeded
  bool torn = false;     // we left the file within a line: a line feed goes first
  size_t begin = 0;      // of the first chunk, where that begins which is not yet written
  uint64_t first_lines_written = 0;  // of the first chunk
  size_t prefix = 0;   // octets of the write in flight that are the line feed for `torn`
  Monotonic oldest{};  // when the first line of the chunk being filled was made
  Monotonic warned{};  // about lost lines
  uint64_t lost_when_warned = 0;
  ring::Timer flush_timer;
  ring::Timer retry_timer;
};

Status Writer::Impl::open() {
  Result<ring::FileId> opened = loop.io().open_file(options.file, ring::OpenMode::append);
  if (!opened) return std::unexpected(std::move(opened.error()));
  if (file) loop.io().close_file(file);
  file = *opened;
  state = State::ready;
  if (torn) {  // unless it is a new file
    const Result<uint64_t> size = loop.io().file_size(file);
    torn = !size || *size > 0;
  }
  return {};
}

void Writer::Impl::begin_write() {
  chunks.seal_first();
  const Chunk& chunk = chunks.first();
  std::array<iovec, 2> parts;
  size_t count = 0;
  prefix = torn ? 1 : 0;
  if (torn) parts[count++] = part("\n", 1);
  parts[count++] = part(chunk.memory.get() + begin, chunk.used - begin);
  state = State::writing;
  // The offset is of no account: the file is open for appending.
  loop.io().write_file(file, {parts.data(), count}, 0, ring::Durability::none, token(kWritten));
}

void Writer::Impl::on_written(int32_t result) {
  state = State::ready;
  if (result > 0) {
    on_octets_written(static_cast<size_t>(result));
  } else {
    on_write_failed(result < 0 ? -result : ENOSPC);
  }
  if (reopen_wanted) reopen_now();
}

void Writer::Impl::on_octets_written(size_t octets) {
  if (std::exchange(failing, false)) {
    log(LogLevel::info, "events: writing to {} works again; {} lines were lost since the start",
        options.file, counters.lost);
  }
  ++counters.writes;
  octets -= prefix;
  const Chunk& chunk = chunks.first();
  size_t end = begin + octets;
  RINGMTA_ASSERT(end <= chunk.used);
  torn = false;
  uint64_t lines = chunk.lines - first_lines_written;
  if (end < chunk.used) {
    const std::string_view written{chunk.memory.get() + begin, octets};
    lines = static_cast<uint64_t>(std::count(written.begin(), written.end(), '\n'));
    if (chunk.memory[end] == '\n') {  // of the last line only the line feed is missing
      torn = true;
      ++end;
      ++lines;
    } else {  // the last line is written again from its beginning
      const size_t whole = written.rfind('\n') + 1;  // 0 when there is none: npos + 1
      torn = whole < octets;
      end = begin + whole;
    }
  }
  counters.written += lines;
  counters.written_octets += end - begin;
  first_lines_written += lines;
  begin = end;
  if (end < chunk.used) return;
  chunks.drop_first();
  begin = first_lines_written = 0;
}

void Writer::Impl::on_write_failed(int code) {
  ++counters.write_errors;
  state = State::backing_off;
  loop.timers().arm(retry_timer, loop.now() + kRetryAfter);
  if (std::exchange(failing, true)) return;
  log(LogLevel::error,
      "events: cannot write to {}: {}; up to {} octets of events per shard are kept and tried "
      "again every second, what is beyond is lost; mail is not affected",
      options.file, text_of(code), options.buffer_max);
}

void Writer::Impl::reopen_now() {
  reopen_wanted = false;
  loop.timers().cancel(retry_timer);
  state = State::ready;
  if (Status opened = open(); !opened) {
    log(LogLevel::error, "events: {}; going on with the file that is open", opened.error().message);
  }
}

void Writer::Impl::lose_line() {
  ++counters.lost;
  if (lost_when_warned > 0 && loop.now() < warned + kWarnEvery) return;
  log(LogLevel::warning, "events: {} lines lost, {} in all: {} could not be written for too long",
      counters.lost - lost_when_warned, counters.lost, options.file);
  lost_when_warned = counters.lost;
  warned = loop.now();
}

Result<std::unique_ptr<Writer>> Writer::create(shard::Loop& loop, const EventOptions& options,
                                               std::string_view hostname, ShardId shard) {
  if (options.file.empty()) return std::unique_ptr<Writer>(new Writer(nullptr));
  auto impl = std::make_unique<Impl>(loop, options, hostname, shard);
  if (Status opened = impl->open(); !opened) {
    return fail("events: " + opened.error().message +
                    "; create its directory and let the relay's user write there, or set [events] "
                    "file to another path",
                opened.error().code);
  }
  return std::unique_ptr<Writer>(new Writer(std::move(impl)));
}

Writer::Writer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}

namespace {

// Meant: the leak checker is told.
void never_given_back([[maybe_unused]] const void* memory) {
#ifdef __SANITIZE_ADDRESS__
  __lsan_ignore_object(memory);
#endif
}

}  // namespace

Writer::~Writer() {
  if (impl_ == nullptr) return;
  Impl& impl = *impl_;
  impl.loop.timers().cancel(impl.flush_timer);
  impl.loop.timers().cancel(impl.retry_timer);
  if (impl.chunks.lines() > 0) {
    log(LogLevel::warning, "events: up to {} lines were not written to {}", impl.chunks.lines(),
        impl.options.file);
  }
  if (impl.state == Impl::State::writing) {
    // The kernel may still read it, however late: this memory is never given back.
    never_given_back(impl.chunks.take_first_memory().release());
  } else {
    impl.loop.io().close_file(impl.file);
  }
}

void Writer::Impl::end_line(char* end) {
  chunks.add_line(end);
  if (chunks.last().lines > 1) return;
  oldest = loop.io().now();
  loop.timers().arm(flush_timer, oldest + options.flush_after);
}

void Writer::record(const queue::Outcome& outcome) {
  if (impl_ == nullptr) return;
  Impl& impl = *impl_;
  char* const begin = impl.chunks.reserve(impl.composer.bound(outcome));
  if (begin == nullptr) return impl.lose_line();
  ring::Io& io = impl.loop.io();
  impl.end_line(impl.composer.compose(begin, outcome, io.now(), io.wall()));
}

void Writer::record(const queue::Held& held) {
  if (impl_ == nullptr) return;
  Impl& impl = *impl_;
  char* const begin = impl.chunks.reserve(impl.composer.bound(held));
  if (begin == nullptr) return impl.lose_line();
  impl.end_line(impl.composer.compose(begin, held, impl.loop.io().wall()));
}

void Writer::on_event(const ring::Event& event) {
  RINGMTA_ASSERT(impl_ != nullptr);
  switch (event.token.index()) {
    case kWritten:
      return impl_->on_written(event.result);
    case kRetryDue:
      if (impl_->state == Impl::State::backing_off) impl_->state = Impl::State::ready;
      return;
    default:
      return;  // kFlushDue: flush(), which follows, looks at the time itself
  }
}

bool Writer::flush() {
  if (impl_ == nullptr) return false;
  Impl& impl = *impl_;
  if (impl.state != Impl::State::ready || impl.chunks.empty()) return false;
  const bool only_filling = impl.chunks.filling() && !impl.chunks.more_than_one();
  if (only_filling && impl.loop.now() < impl.oldest + impl.options.flush_after) return false;
  impl.begin_write();
  return false;
}

void Writer::reopen() {
  if (impl_ == nullptr) return;
  impl_->reopen_wanted = true;
  if (impl_->state != Impl::State::writing) impl_->reopen_now();
}

bool Writer::idle() const { return impl_ == nullptr || impl_->chunks.empty(); }

const EventCounters& Writer::counters() const {
  static constexpr EventCounters kNone{};
  if (impl_ == nullptr) return kNone;
  impl_->counters.memory_octets = impl_->chunks.memory();
  return impl_->counters;
}

}  // namespace ringmta::events
