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

/* The caller, main of a zk_run too, goes on whatever those do that it started: they may have begun on its thread. */
static void answers(void *arg) {
  zk_chan *c = (zk_chan *)arg;
  int v;
  while (zk_chan_recv(c, &v, sizeof v, ZK_FOREVER) == ZK_OK) INC(&v);
}
static void goes_on(zk_chan *c) {
  for (int i = 0; i < 5; i++) {
    OK(zk_sleep(2 * ZK_MS));
    OK(zt_send(c, i));
  }
}
static void g07_one_that_blocks_its_thread_does_not_hold_its_starter_up(void) {
  job j = { { -1, -1 }, 0, 0, 0 };
  zk_chan *c = zt_ints(0);
  EQ(pipe(j.fds), 0);
  GO("answers", answers, c);
  GO("unannounced", unannounced, &j);
  goes_on(c);
  EQ(GET(&j.done), 0);
  write_a_byte(&j);
  UNTIL(GET(&j.done));
  OK(zk_chan_close(c));
  UNTIL(zt_alive("answers") + zt_alive("unannounced") == 0);
  zk_chan_unref(c);
  close(j.fds[0]);
  close(j.fds[1]);
}
static void spins(void *arg) {
  int *flags = (int *)arg; /* stop, stopped */
  while (!GET(&flags[0])) {}
  INC(&flags[1]);
}
static void g11_one_that_makes_no_call_does_not_hold_its_starter_up(void) {
  int flags[2] = { 0, 0 };
  zk_chan *c = zt_ints(0);
  GO("answers", answers, c);
  GO("spins", spins, flags);
  GO("spins", spins, flags);
  goes_on(c);
  EQ(GET(&flags[1]), 0);
  INC(&flags[0]);
  UNTIL(GET(&flags[1]) == 2);
  OK(zk_chan_close(c));
  UNTIL(zt_alive("answers") + zt_alive("spins") == 0);
  zk_chan_unref(c);
}

static void begin_outside(void) { zk_block_begin(); }
static void end_outside(void) { zk_block_end(); }
static void brackets_outside_a_goroutine(void) {
  CHILD_ABORTS(begin_outside, "zk_block_begin outside a goroutine");
  CHILD_ABORTS(end_outside, "zk_block_end outside a goroutine");
}

/* Everything that may wait, on a helper thread: refused, unless it need not wait at all. */
typedef struct waits {
  zk_chan *c, *gate;
  zk_mutex free, held;
  zk_rwmutex written;
  zk_cond cond;
  zk_sem none;
  zk_wg busy;
  zk_group *group;
  int visited;
} waits;
static int main_of_nothing(void *arg) {
  (void)arg;
  return 0;
}
static int gated(void *arg) { return zk_chan_recv(((waits *)arg)->gate, NULL, 0, zk_in(ZT_LIMIT)); }
static void count(void *arg) { INC((int *)arg); }
static void would_wait(void *arg) {
  waits *w = (waits *)arg;
  const zk_time deadlines[] = { ZK_FOREVER, zk_in(ZT_LIMIT) };
  int v = 1;
  zk_case k = { w->gate, &v, sizeof v, NULL, ZK_OP_RECV, 0 };
  for (size_t i = 0; i < 2; i++) {
    zk_time d = deadlines[i];
    EQ(zk_chan_send(w->c, &v, sizeof v, d), ZK_EPERM);
    EQ(zk_chan_recv(w->c, &v, sizeof v, d), ZK_EPERM);
    EQ(zk_select(&k, 1, d), ZK_EPERM);
    EQ(zk_select(NULL, 0, d), ZK_EPERM);
    EQ(zk_mutex_lock_until(&w->free, d), ZK_EPERM);
    EQ(zk_mutex_lock_until(&w->held, d), ZK_EPERM);
    EQ(zk_rwmutex_lock_until(&w->written, d), ZK_EPERM);
    EQ(zk_rwmutex_rlock_until(&w->written, d), ZK_EPERM);
    EQ(zk_cond_wait(&w->cond, &w->held, d), ZK_EPERM);
    EQ(zk_sem_acquire(&w->none, 1, d), ZK_EPERM);
    EQ(zk_wg_wait(&w->busy, d), ZK_EPERM);
    EQ(zk_group_wait_until(w->group, d), ZK_EPERM);
    EQ(zk_group_go_until(w->group, main_of_nothing, NULL, d), ZK_EPERM);
  }
  EQ(zk_sleep(ZK_MS), ZK_EPERM);
  EQ(zk_blocking(nothing, NULL), ZK_EPERM);
  EQ(zk_run(main_of_nothing, NULL, NULL), ZK_EPERM);
  EQ(zk_shutdown(ZK_NOWAIT), ZK_EPERM);
  EQ(zk_goid(), 0);

  OK(zk_chan_send(w->c, &v, sizeof v, ZK_NOWAIT));
  OK(zk_chan_recv(w->c, &v, sizeof v, ZK_NOWAIT));
  EQ(zk_select(&k, 1, ZK_NOWAIT), ZK_EAGAIN);
  OK(zk_mutex_lock_until(&w->free, ZK_NOWAIT));
  zk_mutex_unlock(&w->free);
  EQ(zk_mutex_lock_until(&w->held, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_rwmutex_rlock_until(&w->written, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_sem_acquire(&w->none, 1, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_wg_wait(&w->busy, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_group_wait_until(w->group, ZK_NOWAIT), ZK_EAGAIN);
  OK(zk_sleep(0));
  OK(zk_go(count, &w->visited));
}
static void a_helper_must_not_wait(void) {
  waits w;
  memset(&w, 0, sizeof w);
  w.c = zt_ints(1);
  w.gate = zt_ints(0);
  w.group = zk_group_new(NULL, 1);
  OK(zk_group_go(w.group, gated, &w));
  zk_wg_add(&w.busy, 1);
  zk_mutex_lock(&w.held);
  zk_rwmutex_lock(&w.written);
  OK(zk_blocking(would_wait, &w));
  UNTIL(GET(&w.visited) == 1);
  OK(zt_send(w.gate, 1));
  OK(zk_group_wait(w.group));
  zk_group_unref(w.group);
  zk_chan_unref(w.c);
  zk_chan_unref(w.gate);
}

static void a_plain_thread_may_call_it_too(void) { OK(zk_blocking(nothing, NULL)); }

static const zt_test tests[] = {
  BOTH(no_function_is_an_error),
  BOTH(a_plain_thread_may_call_it_too),
  BOTH(a_helper_must_not_wait),
  BOTH(a_helper_thread_blocks_and_others_run),
  BOTH(many_may_block_at_once),
  BOTH(g07_a_bracket_gives_the_place_to_others),
  BOTH(g07_a_blocked_worker_is_noticed),
  BOTH(g07_one_that_blocks_its_thread_does_not_hold_its_starter_up),
  BOTH(g11_one_that_makes_no_call_does_not_hold_its_starter_up),
  ONCE(brackets_outside_a_goroutine),
  CHILD(begin_outside),
  CHILD(end_outside),
};
MAIN(tests)
