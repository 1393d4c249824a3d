/*
 * seccomp: the calls that the server and its children make, one by one and some by their arguments; everything else fails with ENOSYS and
 * is counted (see sandbox.h for why), and what only an intruder wants kills.  Children inherit the filter, so what a program needs to be
 * loaded and muster-face needs to close itself in further is allowed where there are programs to run.
 *
 * The counting happens inside of a signal handler: it may do no more than add to a number and wake the thread that logs.
 */
#include <errno.h>
#include <linux/audit.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <ucontext.h>
#include <unistd.h>

#include "cli/sandbox.h"
#include "core/log.h"

enum { CALLS_MAX = 1024, SHOWN_MAX = 64, TCGETS2_ASK = 0x802c542a };
enum { NEW_NAMESPACES = 0x7e020000, IS_THREAD = 0x00010000 }; /* flags of clone() */

static const int files[] = {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv), SCMP_SYS(writev), SCMP_SYS(pread64), SCMP_SYS(pwrite64),
	SCMP_SYS(preadv), SCMP_SYS(pwritev), SCMP_SYS(preadv2), SCMP_SYS(pwritev2), SCMP_SYS(open), SCMP_SYS(openat), SCMP_SYS(openat2),
	SCMP_SYS(creat), SCMP_SYS(close), SCMP_SYS(close_range), SCMP_SYS(dup), SCMP_SYS(dup2), SCMP_SYS(dup3), SCMP_SYS(lseek),
	SCMP_SYS(fcntl), SCMP_SYS(flock), SCMP_SYS(fsync), SCMP_SYS(fdatasync), SCMP_SYS(sync_file_range), SCMP_SYS(ftruncate),
	SCMP_SYS(truncate), SCMP_SYS(fallocate), SCMP_SYS(stat), SCMP_SYS(fstat), SCMP_SYS(lstat), SCMP_SYS(newfstatat), SCMP_SYS(statx),
	SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(access), SCMP_SYS(faccessat), SCMP_SYS(faccessat2), SCMP_SYS(readlink),
	SCMP_SYS(readlinkat), SCMP_SYS(getdents64), SCMP_SYS(getcwd), SCMP_SYS(mkdir), SCMP_SYS(mkdirat), SCMP_SYS(unlink),
	SCMP_SYS(unlinkat), SCMP_SYS(rmdir), SCMP_SYS(rename), SCMP_SYS(renameat), SCMP_SYS(renameat2), SCMP_SYS(link), SCMP_SYS(linkat),
	SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(fchmodat), SCMP_SYS(fchown), SCMP_SYS(utimensat), SCMP_SYS(umask),
	SCMP_SYS(memfd_create), SCMP_SYS(copy_file_range), SCMP_SYS(sendfile), SCMP_SYS(splice), SCMP_SYS(fadvise64), SCMP_SYS(readahead),
	SCMP_SYS(getrandom), SCMP_SYS(pipe), SCMP_SYS(pipe2), SCMP_SYS(eventfd2), SCMP_SYS(timerfd_create), SCMP_SYS(timerfd_settime),
	SCMP_SYS(timerfd_gettime), SCMP_SYS(signalfd4)};
static const int sockets[] = {SCMP_SYS(socketpair), SCMP_SYS(connect), SCMP_SYS(accept), SCMP_SYS(accept4), SCMP_SYS(getsockname),
	SCMP_SYS(getpeername), SCMP_SYS(getsockopt), SCMP_SYS(setsockopt), SCMP_SYS(sendto), SCMP_SYS(recvfrom), SCMP_SYS(sendmsg),
	SCMP_SYS(recvmsg), SCMP_SYS(sendmmsg), SCMP_SYS(recvmmsg), SCMP_SYS(shutdown), SCMP_SYS(poll), SCMP_SYS(ppoll), SCMP_SYS(select),
	SCMP_SYS(pselect6), SCMP_SYS(epoll_create), SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
	SCMP_SYS(epoll_pwait), SCMP_SYS(epoll_pwait2)};
static const int memory_and_time[] = {SCMP_SYS(brk), SCMP_SYS(munmap), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(msync),
	SCMP_SYS(mincore), SCMP_SYS(mlock), SCMP_SYS(mlock2), SCMP_SYS(munlock), SCMP_SYS(membarrier), SCMP_SYS(clock_gettime),
	SCMP_SYS(clock_getres), SCMP_SYS(clock_nanosleep), SCMP_SYS(nanosleep), SCMP_SYS(gettimeofday), SCMP_SYS(time), SCMP_SYS(times),
	SCMP_SYS(getitimer), SCMP_SYS(setitimer), SCMP_SYS(alarm), SCMP_SYS(pause), SCMP_SYS(sysinfo), SCMP_SYS(uname)};
static const int processes[] = {SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(wait4), SCMP_SYS(waitid), SCMP_SYS(kill),
	SCMP_SYS(tgkill), SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(getppid), SCMP_SYS(getuid), SCMP_SYS(geteuid), SCMP_SYS(getgid),
	SCMP_SYS(getegid), SCMP_SYS(getgroups), SCMP_SYS(getpgrp), SCMP_SYS(getpgid), SCMP_SYS(getsid), SCMP_SYS(set_tid_address),
	SCMP_SYS(set_robust_list), SCMP_SYS(get_robust_list), SCMP_SYS(rseq), SCMP_SYS(futex), SCMP_SYS(futex_waitv),
	SCMP_SYS(sched_yield), SCMP_SYS(sched_getaffinity), SCMP_SYS(sched_getparam), SCMP_SYS(sched_getscheduler), SCMP_SYS(getcpu),
	SCMP_SYS(getpriority), SCMP_SYS(setpriority), SCMP_SYS(prctl), SCMP_SYS(arch_prctl), SCMP_SYS(prlimit64), SCMP_SYS(getrlimit),
	SCMP_SYS(setrlimit), SCMP_SYS(getrusage), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigreturn),
	SCMP_SYS(rt_sigsuspend), SCMP_SYS(rt_sigpending), SCMP_SYS(rt_sigtimedwait), SCMP_SYS(sigaltstack), SCMP_SYS(restart_syscall)};
/* Where there are programs to run. */
static const int starting[] = {SCMP_SYS(execve), SCMP_SYS(fork), SCMP_SYS(vfork), SCMP_SYS(seccomp)};
/* No library makes these. */
static const int hostile[] = {SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv), SCMP_SYS(process_vm_writev), SCMP_SYS(process_madvise),
	SCMP_SYS(pidfd_getfd), SCMP_SYS(kcmp), SCMP_SYS(mount), SCMP_SYS(umount2), SCMP_SYS(pivot_root), SCMP_SYS(chroot),
	SCMP_SYS(move_mount), SCMP_SYS(open_tree), SCMP_SYS(fsopen), SCMP_SYS(fsconfig), SCMP_SYS(fsmount), SCMP_SYS(fspick),
	SCMP_SYS(mount_setattr), SCMP_SYS(setns), SCMP_SYS(unshare), SCMP_SYS(bpf), SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd),
	SCMP_SYS(add_key), SCMP_SYS(request_key), SCMP_SYS(keyctl), SCMP_SYS(init_module), SCMP_SYS(finit_module),
	SCMP_SYS(delete_module), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load), SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff),
	SCMP_SYS(acct), SCMP_SYS(quotactl), SCMP_SYS(iopl), SCMP_SYS(ioperm), SCMP_SYS(modify_ldt), SCMP_SYS(open_by_handle_at),
	SCMP_SYS(mknod), SCMP_SYS(mknodat), SCMP_SYS(setuid), SCMP_SYS(setgid), SCMP_SYS(setreuid), SCMP_SYS(setregid),
	SCMP_SYS(setresuid), SCMP_SYS(setresgid), SCMP_SYS(setfsuid), SCMP_SYS(setfsgid), SCMP_SYS(setgroups), SCMP_SYS(capset),
	SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(sethostname), SCMP_SYS(setdomainname), SCMP_SYS(vhangup),
	SCMP_SYS(syslog), SCMP_SYS(io_uring_setup), SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(execveat),
	SCMP_SYS(personality)};

/* --- what is refused -------------------------------------------------------------------------------------------------------- */

static _Atomic uint32_t refused[CALLS_MAX];
static bool shown[CALLS_MAX]; /* the logging thread's */

#if defined(__x86_64__)
enum { CAN_ANSWER = 1 };
static void
answer(ucontext_t *at, long value)
{
	at->uc_mcontext.gregs[REG_RAX] = value;
}
#elif defined(__aarch64__)
enum { CAN_ANSWER = 1 };
static void
answer(ucontext_t *at, long value)
{
	at->uc_mcontext.regs[0] = (unsigned long long)value;
}
#else
enum { CAN_ANSWER = 0 };
static void
answer(ucontext_t *at, long value)
{
	(void)at;
	(void)value;
}
#endif

static void
on_refusal(int number, siginfo_t *info, void *context)
{
	int call = info->si_syscall, kept = errno;

	(void)number;
	if (call >= 0 && call < CALLS_MAX)
		atomic_fetch_add_explicit(&refused[call], 1, memory_order_relaxed);
	answer(context, -ENOSYS);
	(void)kill(getpid(), SANDBOX_SIGNAL);
	errno = kept;
}

void
sandbox_refusals(void)
{
	for (int i = 0; i < CALLS_MAX; i++) {
		if (shown[i] || !atomic_load_explicit(&refused[i], memory_order_relaxed))
			continue;
		char *name = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
		log_error(NULL, "sandbox.refused", "a system call that this server does not make; SANDBOX=off allows it", LOG_TEXT("call", name ? name : "?"),
			LOG_INT("number", i));
		free(name);
		shown[i] = true;
	}
}

/* --- the filter ------------------------------------------------------------------------------------------------------------- */

struct filter {
	scmp_filter_ctx f;
	int error; /* of the first rule that failed, negative; 0: none */
};

static void
note(struct filter *f, int result)
{
	/* Calls that this architecture never had. */
	if (result < 0 && result != -EDOM && result != -EFAULT && f->error == 0)
		f->error = result;
}

static void
add(struct filter *f, uint32_t action, const int *calls, size_t n)
{
	for (size_t i = 0; i < n; i++)
		note(f, seccomp_rule_add(f->f, action, calls[i], 0));
}
#define ADD(f, action, list) add(f, action, list, sizeof(list) / sizeof((list)[0]))

static void
add_if(struct filter *f, uint32_t action, int call, struct scmp_arg_cmp arg)
{
	note(f, seccomp_rule_add_array(f->f, action, call, 1, &arg));
}

static void
add_by_argument(struct filter *f, bool runs)
{
	static const int families[] = {AF_UNIX, AF_INET, AF_INET6};
	static const uint64_t asked[] = {FIONREAD, FIONBIO, FIOCLEX, TCGETS, TCGETS2_ASK, TIOCGWINSZ};
	static const uint64_t memory[] = {PROT_NONE, PROT_WRITE, PROT_EXEC};
	const uint64_t not_both = PROT_WRITE | PROT_EXEC, flags = NEW_NAMESPACES | (runs ? 0 : IS_THREAD);

	for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++)
		add_if(f, SCMP_ACT_ALLOW, SCMP_SYS(socket), SCMP_A0_32(SCMP_CMP_EQ, (uint32_t)families[i]));
	/* The resolver asks the kernel for addresses, and copes without. */
	add_if(f, SCMP_ACT_ERRNO(EAFNOSUPPORT), SCMP_SYS(socket), SCMP_A0_32(SCMP_CMP_EQ, AF_NETLINK));
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++)
		add_if(f, SCMP_ACT_ALLOW, SCMP_SYS(ioctl), SCMP_A1_32(SCMP_CMP_EQ, (uint32_t)asked[i]));
	for (size_t i = 0; i < sizeof(memory) / sizeof(memory[0]); i++)
		add_if(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), SCMP_A2(SCMP_CMP_MASKED_EQ, not_both, memory[i]));
	add_if(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	add_if(f, SCMP_ACT_ALLOW, SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, flags, runs ? 0 : IS_THREAD));
	if (!runs) /* not by a signal: who makes a process has all of them blocked, and would die of it */
		add_if(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone), SCMP_A0(SCMP_CMP_MASKED_EQ, IS_THREAD, 0));
	/* Its flags lie in memory, where no filter sees them; the library then takes clone(). */
	note(f, seccomp_rule_add(f->f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0));
}

static void
release(struct filter *f)
{
	if (f->f)
		seccomp_release(f->f);
}

bool
calls_close(bool runs)
{
	struct sigaction sa = {.sa_sigaction = on_refusal, .sa_flags = SA_SIGINFO | SA_RESTART};
	CLEANUP(release) struct filter f = {.f = seccomp_init(CAN_ANSWER ? SCMP_ACT_TRAP : SCMP_ACT_ERRNO(ENOSYS))};

	errno = ENOMEM;
	if (!f.f || sigaction(SIGSYS, &sa, NULL) != 0)
		return false;
	note(&f, seccomp_attr_set(f.f, SCMP_FLTATR_CTL_TSYNC, 1)); /* threads are there by now */
	note(&f, seccomp_attr_set(f.f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS));
	ADD(&f, SCMP_ACT_ALLOW, files);
	ADD(&f, SCMP_ACT_ALLOW, sockets);
	ADD(&f, SCMP_ACT_ALLOW, memory_and_time);
	ADD(&f, SCMP_ACT_ALLOW, processes);
	if (runs)
		ADD(&f, SCMP_ACT_ALLOW, starting);
	else
		ADD(&f, SCMP_ACT_KILL_PROCESS, starting);
	ADD(&f, SCMP_ACT_KILL_PROCESS, hostile);
	add_by_argument(&f, runs);
	if (!f.error)
		f.error = seccomp_load(f.f);
	errno = f.error ? -f.error : 0;
	return !f.error;
}
