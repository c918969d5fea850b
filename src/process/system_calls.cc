// SPDX-License-Identifier: GPL-3.0-or-later
// The lists. They were written from what the rooms call and checked by the tests with real peers
// under strace; what only the C library and its name services use is marked as theirs.
#include "ringmta/process/system_calls.h"

#include <linux/sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define RINGMTA_SYSTEM_CALL_FILTER
#include <seccomp.h>
#endif

#include <cerrno>
#include <memory>
#include <string>

namespace ringmta::process {

#ifndef RINGMTA_SYSTEM_CALL_FILTER

std::string_view why_no_system_call_filter() {
  return "this build has a sanitizer, whose run-time makes system calls of its own";
}
Status filter_system_calls() { return fail(std::string(why_no_system_call_filter())); }
Status filter_serving() { return filter_system_calls(); }

#else

namespace {

constexpr int kMade[] = {
    // memory
    SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(mlock),
    SCMP_SYS(mlock2), SCMP_SYS(munlock), SCMP_SYS(membarrier),
    // threads and the process itself
    SCMP_SYS(set_robust_list), SCMP_SYS(rseq), SCMP_SYS(set_tid_address), SCMP_SYS(futex),
    SCMP_SYS(futex_waitv), SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity),
    SCMP_SYS(sched_setaffinity), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler),
    SCMP_SYS(getcpu), SCMP_SYS(gettid), SCMP_SYS(getpid), SCMP_SYS(getppid), SCMP_SYS(getuid),
    SCMP_SYS(geteuid), SCMP_SYS(getgid), SCMP_SYS(getegid), SCMP_SYS(getresuid),
    SCMP_SYS(getresgid), SCMP_SYS(getgroups), SCMP_SYS(capget), SCMP_SYS(exit),
    SCMP_SYS(exit_group), SCMP_SYS(wait4), SCMP_SYS(getrusage), SCMP_SYS(times), SCMP_SYS(sysinfo),
    SCMP_SYS(uname), SCMP_SYS(getrlimit), SCMP_SYS(getrandom),
    SCMP_SYS(seccomp),  // the second step; a filter can only take away
    // signals
    SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
    SCMP_SYS(rt_sigtimedwait), SCMP_SYS(rt_sigpending), SCMP_SYS(sigaltstack),
    SCMP_SYS(restart_syscall),
    // time and waiting
    SCMP_SYS(clock_gettime), SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep),
    SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select),
    SCMP_SYS(pselect6), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait), SCMP_SYS(eventfd2), SCMP_SYS(pipe2),
    // files; which ones is Landlock's and the permissions' business
    SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(read),
    SCMP_SYS(readv), SCMP_SYS(pread64), SCMP_SYS(preadv), SCMP_SYS(write), SCMP_SYS(writev),
    SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(pwritev2), SCMP_SYS(lseek), SCMP_SYS(stat),
    SCMP_SYS(lstat), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(statx), SCMP_SYS(statfs),
    SCMP_SYS(fstatfs), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2),
    SCMP_SYS(readlink), SCMP_SYS(readlinkat), SCMP_SYS(getcwd), SCMP_SYS(getdents64),
    SCMP_SYS(fcntl), SCMP_SYS(flock), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3),
    SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(sync_file_range), SCMP_SYS(ftruncate),
    SCMP_SYS(fallocate), SCMP_SYS(fadvise64), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(unlink),
    SCMP_SYS(unlinkat), SCMP_SYS(rmdir), SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2),
    SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(umask),
    // sockets
    SCMP_SYS(bind), SCMP_SYS(listen), SCMP_SYS(connect), SCMP_SYS(accept), SCMP_SYS(accept4),
    SCMP_SYS(getsockname), SCMP_SYS(getpeername), SCMP_SYS(setsockopt), SCMP_SYS(getsockopt),
    SCMP_SYS(shutdown), SCMP_SYS(sendto), SCMP_SYS(sendmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvfrom),
    SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg),
    // rings
    SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register)};

constexpr int kIntruders[] = {
    // programs and processes (fork by way of clone: see add_conditions())
    SCMP_SYS(execve), SCMP_SYS(execveat), SCMP_SYS(fork), SCMP_SYS(vfork),
    // other processes
    SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev),
    SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp),
    // who we are
    SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid), SCMP_SYS(setresuid),
    SCMP_SYS(setresgid), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(setgroups),
    SCMP_SYS(capset), SCMP_SYS(unshare), SCMP_SYS(setns), SCMP_SYS(chroot), SCMP_SYS(keyctl),
    SCMP_SYS(add_key), SCMP_SYS(request_key),
    // the kernel and the machine
    SCMP_SYS(bpf), SCMP_SYS(userfaultfd), SCMP_SYS(perf_event_open), SCMP_SYS(init_module),
    SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(kexec_load),
    SCMP_SYS(kexec_file_load), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root),
    SCMP_SYS(open_tree), SCMP_SYS(move_mount), SCMP_SYS(fsopen), SCMP_SYS(fsmount), SCMP_SYS(mknod),
    SCMP_SYS(mknodat), SCMP_SYS(open_by_handle_at), SCMP_SYS(quotactl), SCMP_SYS(acct),
    SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(reboot), SCMP_SYS(iopl), SCMP_SYS(ioperm),
    SCMP_SYS(modify_ldt), SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(sethostname),
    SCMP_SYS(setdomainname), SCMP_SYS(syslog)};

class Filter final {
 public:
  explicit Filter(uint32_t otherwise) : context_(seccomp_init(otherwise), seccomp_release) {}

  void add(uint32_t action, int call) {
    keep(context_ ? seccomp_rule_add(context_.get(), action, call, 0) : -ENOMEM);
  }
  void add(uint32_t action, int call, const scmp_arg_cmp& condition) {
    keep(context_ ? seccomp_rule_add(context_.get(), action, call, 1, condition) : -ENOMEM);
  }
  Status put_in_force(bool on_all_threads) {
    if (!context_) return fail("no memory for a seccomp filter");
    // no_new_privs is there already. Speculation is left as it is: nobody else's code runs here.
    keep(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_NNP, 0));
    keep(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_SSB, 1));
    keep(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_TSYNC, on_all_threads ? 1 : 0));
    keep(seccomp_attr_set(context_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2));  // a tree, not a list
    if (failed_ == 0) keep(seccomp_load(context_.get()));
    if (failed_ != 0) return fail_errno("the seccomp filter cannot be put in force", -failed_);
    return {};
  }

 private:
  void keep(int result) {
    if (result < 0 && failed_ == 0) failed_ = result;
  }

  std::unique_ptr<void, void (*)(scmp_filter_ctx)> context_;
  int failed_ = 0;
};

scmp_arg_cmp masked(unsigned argument, uint64_t mask, uint64_t value) {
  return SCMP_CMP(argument, SCMP_CMP_MASKED_EQ, mask, value);
}
scmp_arg_cmp equal(unsigned argument, uint64_t value) {
  return SCMP_CMP(argument, SCMP_CMP_EQ, value);
}

// Calls that are one thing or another by their arguments.
void add_conditions(Filter& filter) {
  // A thread is made, a process is not. clone3's flags are in memory, where a filter cannot look:
  // it fails with ENOSYS, and the C library takes clone instead.
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(clone),
             masked(0, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM));
  filter.add(SCMP_ACT_KILL_PROCESS, SCMP_SYS(clone), masked(0, CLONE_THREAD, 0));
  // Memory is written or run, never both.
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(mmap), masked(2, PROT_WRITE, 0));
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(mmap), masked(2, PROT_EXEC, 0));
  filter.add(SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mmap),
             masked(2, PROT_WRITE | PROT_EXEC, PROT_WRITE | PROT_EXEC));
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(mprotect), masked(2, PROT_EXEC, 0));
  filter.add(SCMP_ACT_ERRNO(EPERM), SCMP_SYS(mprotect), masked(2, PROT_EXEC, PROT_EXEC));
  for (const int family : {AF_UNIX, AF_INET, AF_INET6, AF_NETLINK}) {  // the last: getaddrinfo(3)
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(socket), equal(0, static_cast<uint64_t>(family)));
  }
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(socketpair), equal(0, AF_UNIX));
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(tgkill), equal(0, static_cast<uint64_t>(getpid())));
  for (const uint64_t what : {PR_SET_NAME, PR_GET_NAME, PR_SET_VMA, PR_GET_SECCOMP, PR_GET_DUMPABLE,
                              PR_GET_NO_NEW_PRIVS}) {
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(prctl), equal(0, what));
  }
  filter.add(SCMP_ACT_ALLOW, SCMP_SYS(prlimit64), equal(2, 0));  // limits are read
  for (const uint64_t what : {0x541BUL /* FIONREAD */, 0x5401UL /* TCGETS */}) {
    filter.add(SCMP_ACT_ALLOW, SCMP_SYS(ioctl), equal(1, what));
  }
}

}  // namespace

std::string_view why_no_system_call_filter() { return {}; }

Status filter_system_calls() {
  Filter filter(SCMP_ACT_ERRNO(ENOSYS));
  for (const int call : kMade) filter.add(SCMP_ACT_ALLOW, call);
  for (const int call : kIntruders) filter.add(SCMP_ACT_KILL_PROCESS, call);
  add_conditions(filter);
  return filter.put_in_force(false);
}

Status filter_serving() {
  Filter filter(SCMP_ACT_ALLOW);
  for (const int call : {SCMP_SYS(io_uring_setup), SCMP_SYS(listen), SCMP_SYS(sched_setaffinity)}) {
    filter.add(SCMP_ACT_ERRNO(EPERM), call);
  }
  return filter.put_in_force(true);
}

#endif

}  // namespace ringmta::process
