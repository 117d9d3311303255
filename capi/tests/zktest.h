/* What the tests of the C interface share. A file lists its tests in an array and calls zt_main.
 *
 * Every test runs twice: on a plain thread, and as a main goroutine. Nothing sleeps to let another party get somewhere: zt_parked
 * asks the library whether a named goroutine waits, and on what (rule H-1). After each test no goroutine may be left.
 *
 * Environment: ZT_WORKERS, how many goroutines may run at once.
 * Arguments: names of tests; or "child NAME", by which a test runs a part of itself in a process of its own (rule H-3). */
#ifndef ZKTEST_H
#define ZKTEST_H

#ifndef _GNU_SOURCE
#  define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <zokor.h>

#define ZT_UNUSED __attribute__((unused))
#define ZT_LIMIT (20 * ZK_SEC) /* nothing here takes that long unless it hangs */
#define ZT_SOON (60 * ZK_MS)   /* "does not happen": as long as rule H-6 says */

typedef struct zt_test {
  const char *name;
  void (*run)(void);
  int kind;
} zt_test;
enum { ZT_BOTH, ZT_ONCE, ZT_CHILD };
#define BOTH(f) { #f, f, ZT_BOTH }   /* on a plain thread and in a goroutine */
#define ONCE(f) { #f, f, ZT_ONCE }   /* on a plain thread */
#define CHILD(f) { #f, f, ZT_CHILD } /* only by zt_child */

static const char *zt_now = "", *zt_self = "";
static const zt_test *zt_tests;
static int zt_passed;

static void zt_fail(const char *file, int line, const char *what, int64_t got, int64_t want, int values) {
  char text[400], rest[80] = "";
  if (values) snprintf(rest, sizeof rest, " (%" PRId64 ", not %" PRId64 ")", got, want);
  int n = snprintf(text, sizeof text, "%s:%d: %s: %s%s\n%d passed, 1 failed\n", file, line, zt_now, what, rest, zt_passed);
  if (write(2, text, (size_t)n) < 0) abort();
  if (!getenv("ZT_NO_DUMP")) zk_dump(2);
  _exit(1);
}
#define CHECK(cond) ((cond) ? (void)0 : zt_fail(__FILE__, __LINE__, #cond, 0, 0, 0))
#define EQ(a, b) zt_eq(__FILE__, __LINE__, #a " == " #b, (int64_t)(a), (int64_t)(b))
#define OK(call) EQ(call, ZK_OK)
ZT_UNUSED static void zt_eq(const char *file, int line, const char *what, int64_t got, int64_t want) {
  if (got != want) zt_fail(file, line, what, got, want, 1);
}

/* ---- goroutines that can be watched */

typedef struct zt_look {
  const char *name, *wait_on;
  int found, waiting;
} zt_look;

ZT_UNUSED static int zt_visit(const zk_goinfo *g, void *user) {
  zt_look *l = (zt_look *)user;
  if (l->name && strcmp(g->name, l->name) != 0) return 0;
  l->found++;
  if (!strcmp(g->state, "waiting") && (!l->wait_on || !strcmp(g->wait_on, l->wait_on))) l->waiting++;
  return 0;
}

/* Waits until `n` goroutines of this name wait on `what` ("chan receive", …). */
#define PARKED(n, name, what) zt_parked(__FILE__, __LINE__, (n), (name), (what))
ZT_UNUSED static void zt_parked(const char *file, int line, int n, const char *name, const char *what) {
  zk_time limit = zk_in(ZT_LIMIT);
  for (;;) {
    zt_look l = { name, what, 0, 0 };
    zk_each(zt_visit, &l);
    if (l.waiting == n) return;
    if (zk_now() > limit) zt_fail(file, line, what, l.waiting, n, 1);
    zk_yield();
  }
}

/* How many goroutines of this name there are. */
ZT_UNUSED static int zt_alive(const char *name) {
  zt_look l = { name, NULL, 0, 0 };
  zk_each(zt_visit, &l);
  return l.found;
}

/* Starts a goroutine with a name. */
#define GO(name, f, arg) OK(zt_go((name), (f), (arg)))
ZT_UNUSED static int zt_go(const char *name, zk_fn f, void *arg) {
  zk_go_opts o = ZK_GO_OPTS_INIT;
  o.name = name;
  return zk_go_with(&o, f, arg);
}

/* Waits until a condition holds. */
#define UNTIL(cond)                                                                 \
  do {                                                                              \
    zk_time zt_limit = zk_in(ZT_LIMIT);                                             \
    while (!(cond)) {                                                               \
      if (zk_now() > zt_limit) zt_fail(__FILE__, __LINE__, "until " #cond, 0, 0, 0); \
      zk_yield();                                                                   \
    }                                                                               \
  } while (0)

/* ---- shorthands: int channels, deadlines that only a hang reaches */

ZT_UNUSED static int zt_send(zk_chan *c, int v) { return zk_chan_send(c, &v, sizeof v, zk_in(ZT_LIMIT)); }
ZT_UNUSED static int zt_try_send(zk_chan *c, int v) { return zk_chan_send(c, &v, sizeof v, ZK_NOWAIT); }
/* The value, or the error. */
ZT_UNUSED static int zt_recv(zk_chan *c) {
  int v = -7, rc = zk_chan_recv(c, &v, sizeof v, zk_in(ZT_LIMIT));
  return rc < 0 ? rc : v;
}
ZT_UNUSED static int zt_try_recv(zk_chan *c) {
  int v = -7, rc = zk_chan_recv(c, &v, sizeof v, ZK_NOWAIT);
  return rc < 0 ? rc : v;
}
ZT_UNUSED static zk_chan *zt_ints(size_t capacity) {
  zk_chan *c = zk_chan_new(sizeof(int), capacity);
  CHECK(c != NULL);
  return c;
}
ZT_UNUSED static zk_case zt_case(uint32_t op, zk_chan *c, int *p) {
  zk_case k;
  memset(&k, 0, sizeof k);
  k.chan = c;
  k.elem = p;
  k.size = sizeof *p;
  k.op = op;
  return k;
}
#define SEND(c, p) zt_case(ZK_OP_SEND, (c), (p))
#define RECV(c, p) zt_case(ZK_OP_RECV, (c), (p))

/* A counter that goroutines share. */
#define INC(p) __atomic_add_fetch((p), 1, __ATOMIC_SEQ_CST)
#define GET(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define SET(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)

/* ---- processes of their own */

/* Runs the test `name` (a CHILD) in a new process; gives back the wait status, and what it wrote to stderr in `err`. */
ZT_UNUSED static int zt_child(const char *name, char *err, size_t size) {
  int fds[2], status = -1;
  CHECK(pipe(fds) == 0);
  pid_t pid = fork();
  CHECK(pid >= 0);
  if (pid == 0) {
    dup2(fds[1], 2);
    close(fds[0]);
    close(fds[1]);
    execl(zt_self, zt_self, "child", name, (char *)NULL);
    _exit(127);
  }
  close(fds[1]);
  size_t at = 0;
  char spill[512];
  for (;;) {
    size_t room = err && at + 1 < size ? size - 1 - at : 0;
    ssize_t n = room ? read(fds[0], err + at, room) : read(fds[0], spill, sizeof spill);
    if (n <= 0) break;
    if (room) at += (size_t)n;
  }
  if (err && size) err[at] = 0;
  close(fds[0]);
  CHECK(waitpid(pid, &status, 0) == pid);
  return status;
}
#define CHILD_EXITS(name, code)                                                   \
  do {                                                                            \
    static char zt_err[1 << 16];                                                  \
    int zt_st = zt_child(#name, zt_err, sizeof zt_err);                           \
    if (!WIFEXITED(zt_st) || WEXITSTATUS(zt_st) != (code)) {                      \
      fputs(zt_err, stderr);                                                      \
      zt_fail(__FILE__, __LINE__, #name " exits with " #code, zt_st, code, 1);    \
    }                                                                             \
  } while (0)
/* The child dies of abort() and says so with these words. */
#define CHILD_ABORTS(name, words)                                                 \
  do {                                                                            \
    static char zt_err[1 << 16];                                                  \
    int zt_st = zt_child(#name, zt_err, sizeof zt_err);                           \
    if (!WIFSIGNALED(zt_st) || WTERMSIG(zt_st) != SIGABRT || !strstr(zt_err, words)) { \
      fputs(zt_err, stderr);                                                      \
      zt_fail(__FILE__, __LINE__, #name " aborts with " #words, zt_st, SIGABRT, 1); \
    }                                                                             \
  } while (0)

/* ---- the runner */

static int zt_run_one(void *arg) {
  ((const zt_test *)arg)->run();
  return 17;
}

static void zt_nothing_left(void) {
  UNTIL(zt_alive(NULL) == 0);
  zk_stats s = ZK_STATS_INIT;
  OK(zk_stats_get(&s));
  EQ(s.goroutines, 0);
}

ZT_UNUSED static void zt_run(const zt_test *t) {
  zt_now = t->name;
  t->run();
  zt_nothing_left();
  if (t->kind == ZT_BOTH) {
    char name[200];
    snprintf(name, sizeof name, "%s (goroutine)", t->name);
    zt_now = name;
    int code = 0;
    OK(zk_run(zt_run_one, (void *)t, &code));
    EQ(code, 17);
    zt_nothing_left();
  }
  zt_now = "";
  zt_passed++;
}

#define MAIN(tests) \
  int main(int argc, char **argv) { return zt_main(argc, argv, (tests), sizeof(tests) / sizeof *(tests)); }
ZT_UNUSED static int zt_main(int argc, char **argv, const zt_test *tests, size_t n) {
  zt_self = argv[0];
  zt_tests = tests;
  int child = argc == 3 && !strcmp(argv[1], "child");
  if (child) {
    for (size_t i = 0; i < n; i++)
      if (!strcmp(tests[i].name, argv[2])) {
        zt_now = argv[2];
        tests[i].run();
        fflush(NULL);
        _exit(0); /* what a child leaves behind is not looked at */
      }
    return 126;
  }
  const char *workers = getenv("ZT_WORKERS");
  if (workers) CHECK(zk_workers((uint32_t)atoi(workers)) > 0);
  for (size_t i = 0; i < n; i++) {
    int wanted = argc < 2 && tests[i].kind != ZT_CHILD;
    for (int a = 1; a < argc; a++) wanted |= !strcmp(argv[a], tests[i].name);
    if (wanted) zt_run(&tests[i]);
  }
  printf("%d passed, 0 failed\n", zt_passed);
  return 0;
}

#endif
