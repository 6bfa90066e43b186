/* Ends the process with SIGKILL at its n-th system call that others can see: a write, a flush, a rename, a send.
 *
 * Preloaded into a Coordinator by test_crash_processes.py, and used nowhere else. The file named by CRASH_PLAN is
 * mapped and shared with the test: the test sets `left` to n to arm the n-th call from then on, and reads which
 * kinds of calls there were. With `torn` set, a write to a file writes half of its bytes before the end.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { KINDS = 4096 };

struct plan {
    _Atomic int64_t left;
    int64_t torn;
    _Atomic int64_t seen;
    char kinds[KINDS];
};

static struct plan *plan;

__attribute__((constructor)) static void open_plan(void)
{
    const char *name = getenv("CRASH_PLAN");
    int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *mapped = mmap(NULL, sizeof(struct plan), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    plan = mapped == MAP_FAILED ? NULL : mapped;
    close(file);
}

/* Count one call; return whether it is the one to end at. */
static int is_the_end(char kind)
{
    if (!plan || atomic_load(&plan->left) <= 0)
        return 0;
    int64_t index = atomic_fetch_add(&plan->seen, 1);
    if (index < KINDS)
        plan->kinds[index] = kind;
    return atomic_fetch_sub(&plan->left, 1) == 1;
}

static void end(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define AT(kind) do { if (is_the_end(kind)) end(); } while (0)
#define TORN(kind, half) do { if (is_the_end(kind)) { if (plan->torn) { half; } end(); } } while (0)

ssize_t write(int fd, const void *bytes, size_t count)
{
    TORN('w', REAL(write)(fd, bytes, count / 2));
    return REAL(write)(fd, bytes, count);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t at)
{
    TORN('W', REAL(pwrite)(fd, bytes, count / 2, at));
    return REAL(pwrite)(fd, bytes, count, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t at)
{
    TORN('W', REAL(pwrite64)(fd, bytes, count / 2, at));
    return REAL(pwrite64)(fd, bytes, count, at);
}

int ftruncate64(int fd, off64_t length) { AT('t'); return REAL(ftruncate64)(fd, length); }
int ftruncate(int fd, off_t length) { AT('t'); return REAL(ftruncate)(fd, length); }
int fsync(int fd) { AT('F'); return REAL(fsync)(fd); }
int fdatasync(int fd) { AT('F'); return REAL(fdatasync)(fd); }
int rename(const char *from, const char *to) { AT('R'); return REAL(rename)(from, to); }
int unlink(const char *name) { AT('U'); return REAL(unlink)(name); }

ssize_t send(int fd, const void *bytes, size_t count, int flags)
{
    AT('S');
    return REAL(send)(fd, bytes, count, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
    AT('S');
    return REAL(sendmsg)(fd, message, flags);
}
