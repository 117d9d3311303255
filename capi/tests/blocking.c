/* Code that blocks its OS thread. */
#include "zktest.h"
#include <sys/syscall.h>

static long thread_id(void) { return syscall(SYS_gettid); }

typedef struct job {
  int fds[2], done, rc;
  long thread;
} job;

static void read_a_byte(void *arg) {
  job *j = (job *)arg;
  char c;
  j->thread = thread_id();
  EQ(read(j->fds[0], &c, 1), 1);
}
static void write_a_byte(void *arg) { EQ(write(((job *)arg)->fds[1], "x", 1), 1); }
static void nothing(void *arg) { (void)arg; }

static void no_function_is_an_error(void) { EQ(zk_blocking(NULL, NULL), ZK_EINVAL); }

static void a_helper_thread_blocks_and_others_run(void) {
  job j = { { -1, -1 }, 0, 0, 0 };
  EQ(pipe(j.fds), 0);
  OK(zk_go(write_a_byte, &j));
  OK(zk_blocking(read_a_byte, &j));
  if (zk_goid() != 0) CHECK(j.thread != thread_id());
  close(j.fds[0]);
  close(j.fds[1]);
}

static void blocked_one(void *arg) {
  job *j = (job *)arg;
  OK(zk_blocking(read_a_byte, j));
  INC(&j->done);
}
static void many_may_block_at_once(void) {
  enum { N = 40 };
  static job jobs[N];
  memset(jobs, 0, sizeof jobs);
  for (int i = 0; i < N; i++) {
    EQ(pipe(jobs[i].fds), 0);
    GO("blocked", blocked_one, &jobs[i]);
  }
  PARKED(N, "blocked", "blocking");
  for (int i = N; i-- > 0;) write_a_byte(&jobs[i]);
  for (int i = 0; i < N; i++) {
    UNTIL(GET(&jobs[i].done));
    close(jobs[i].fds[0]);
    close(jobs[i].fds[1]);
  }
  UNTIL(zt_alive("blocked") == 0);
}

static void bracketed(void *arg) {
  job *j = (job *)arg;
  zk_block_begin();
  char c;
  EQ(read(j->fds[0], &c, 1), 1);
  zk_block_end();
  INC(&j->done);
}
/* More goroutines block their threads than there are workers, and the one that frees them still runs: rule G-07. */
static void g07_a_bracket_gives_the_place_to_others(void) {
  enum { N = 20 };
  static job jobs[N];
  memset(jobs, 0, sizeof jobs);
  for (int i = 0; i < N; i++) {
    EQ(pipe(jobs[i].fds), 0);
    GO("bracketed", bracketed, &jobs[i]);
  }
  for (int i = N; i-- > 0;) OK(zk_go(write_a_byte, &jobs[i]));
  for (int i = 0; i < N; i++) {
    UNTIL(GET(&jobs[i].done));
    close(jobs[i].fds[0]);
    close(jobs[i].fds[1]);
  }
  UNTIL(zt_alive("bracketed") == 0);
}

/* The same without saying so: the monitor finds the blocked workers. */
static void unannounced(void *arg) {
  job *j = (job *)arg;
  char c;
  EQ(read(j->fds[0], &c, 1), 1);
  INC(&j->done);
}
static void g07_a_blocked_worker_is_noticed(void) {
  enum { N = 10 };
  static job jobs[N];
  memset(jobs, 0, sizeof jobs);
  for (int i = 0; i < N; i++) {
    EQ(pipe(jobs[i].fds), 0);
    GO("unannounced", unannounced, &jobs[i]);
  }
  for (int i = N; i-- > 0;) OK(zk_go(write_a_byte, &jobs[i]));
  for (int i = 0; i < N; i++) {
    UNTIL(GET(&jobs[i].done));
    close(jobs[i].fds[0]);
    close(jobs[i].fds[1]);
  }
  UNTIL(zt_alive("unannounced") == 0);
}

static void begin_outside(void) { zk_block_begin(); }
static void end_outside(void) { zk_block_end(); }
static void brackets_outside_a_goroutine(void) {
  CHILD_ABORTS(begin_outside, "zk_block_begin outside a goroutine");
  CHILD_ABORTS(end_outside, "zk_block_end outside a goroutine");
}

static void a_plain_thread_may_call_it_too(void) { OK(zk_blocking(nothing, NULL)); }

static const zt_test tests[] = {
  BOTH(no_function_is_an_error),
  BOTH(a_plain_thread_may_call_it_too),
  BOTH(a_helper_thread_blocks_and_others_run),
  BOTH(many_may_block_at_once),
  BOTH(g07_a_bracket_gives_the_place_to_others),
  BOTH(g07_a_blocked_worker_is_noticed),
  ONCE(brackets_outside_a_goroutine),
  CHILD(begin_outside),
  CHILD(end_outside),
};
MAIN(tests)
