// SPDX-License-Identifier: GPL-3.0-or-later
// Put before the C library (LD_PRELOAD): the process's wall clock is off by as many milliseconds as
// the file $RINGMTA_WALL_CLOCK_FILE says, in its first eight octets, at every moment. The monotonic
// clock is not touched. Setting the real clock would disturb the whole machine.
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <ctime>

namespace {

const std::atomic<int64_t>* offset_ms() {
  static const std::atomic<int64_t>* const mapped = [] {
    const char* const path = std::getenv("RINGMTA_WALL_CLOCK_FILE");
    const int fd = path == nullptr ? -1 : ::open(path, O_RDONLY | O_CLOEXEC);
    void* const memory = fd < 0 ? MAP_FAILED : ::mmap(nullptr, 8, PROT_READ, MAP_SHARED, fd, 0);
    if (fd >= 0) ::close(fd);
    if (memory == MAP_FAILED) std::abort();
    return static_cast<const std::atomic<int64_t>*>(memory);
  }();
  return mapped;
}

using ClockGettime = int (*)(clockid_t, timespec*);

}  // namespace

extern "C" int clock_gettime(clockid_t clock, timespec* now) noexcept {
  static const auto real = reinterpret_cast<ClockGettime>(::dlsym(RTLD_NEXT, "clock_gettime"));
  const int result = real(clock, now);
  if (result != 0 || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE)) return result;
  const int64_t ns = now->tv_nsec + offset_ms()->load() % 1000 * 1'000'000;
  now->tv_sec += offset_ms()->load() / 1000 + (ns < 0 ? -1 : ns / 1'000'000'000);
  now->tv_nsec = ns < 0 ? ns + 1'000'000'000 : ns % 1'000'000'000;
  return 0;
}

extern "C" int gettimeofday(timeval* now, void*) noexcept {
  timespec precise{};
  clock_gettime(CLOCK_REALTIME, &precise);
  *now = {precise.tv_sec, precise.tv_nsec / 1000};
  return 0;
}

extern "C" time_t time(time_t* into) noexcept {
  timespec precise{};
  clock_gettime(CLOCK_REALTIME, &precise);
  if (into != nullptr) *into = precise.tv_sec;
  return precise.tv_sec;
}
