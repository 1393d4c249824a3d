// Resource limits and a seccomp filter that kills.  Memory is not executable, no file, socket or process can be opened: what a hostile
// picture makes of a decoder stays between the socket pair and the next deadline.
#include "sandbox.h"

#include <cerrno>

#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

namespace {

constexpr rlim_t MEMORY_MAX = 768u << 20; // address space, with the libraries' own

bool limit(__rlimit_resource_t what, rlim_t value)
{
	const rlimit l = {value, value};
	return setrlimit(what, &l) == 0;
}

} // namespace

bool close_sandbox()
{
	static const int allowed[] = {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(brk), SCMP_SYS(munmap),
		SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex), SCMP_SYS(clock_gettime), SCMP_SYS(gettimeofday), SCMP_SYS(sched_yield),
		SCMP_SYS(getpid), SCMP_SYS(gettid), SCMP_SYS(rt_sigreturn), SCMP_SYS(sched_getaffinity), SCMP_SYS(restart_syscall)};

	if (!limit(RLIMIT_AS, MEMORY_MAX) || !limit(RLIMIT_NOFILE, 0) || !limit(RLIMIT_FSIZE, 0) || !limit(RLIMIT_CORE, 0) ||
		!limit(RLIMIT_NPROC, 0) || prctl(PR_SET_DUMPABLE, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
		return false;
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
	bool good = f != nullptr;
	for (int call : allowed)
		good = good && seccomp_rule_add(f, SCMP_ACT_ALLOW, call, 0) == 0;
	// Anonymous memory that nobody executes.
	good = good && seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0),
			       SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, MAP_ANONYMOUS)) == 0;
	good = good && seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) == 0;
	good = good && seccomp_load(f) == 0;
	if (f)
		seccomp_release(f);
	return good;
}
