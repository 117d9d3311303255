/* Wait groups: rules WG-01 to WG-08. */
#include "zktest.h"

typedef struct group {
  zk_wg wg;
  int n, released;
} group;

static void member(void *arg) { INC(&((group *)arg)->n); }
static void leaves_early(void *arg) {
  INC(&((group *)arg)->n);
  zk_goexit();
}
static void waits(void *arg) {
  group *g = (group *)arg;
  OK(zk_wg_wait(&g->wg, zk_in(ZT_LIMIT)));
  INC(&g->released);
}

static void no_wait_group_is_an_error(void) {
  int n = 0;
  EQ(zk_wg_wait(NULL, ZK_NOWAIT), ZK_EINVAL);
  EQ(zk_wg_go(NULL, member, &n), ZK_EINVAL);
  zk_wg wg = ZK_ZERO;
  EQ(zk_wg_go(&wg, NULL, NULL), ZK_EINVAL);
  OK(zk_wg_wait(&wg, ZK_NOWAIT)); /* nothing was added */
  EQ(zk_wg_wait((zk_wg *)((char *)&wg + 1), ZK_NOWAIT), ZK_EINVAL);
}

static void wg01_wait_of_nothing_returns_at_once(void) {
  zk_wg wg = ZK_ZERO;
  OK(zk_wg_wait(&wg, ZK_FOREVER));
  zk_wg_add(&wg, 2);
  EQ(zk_wg_wait(&wg, ZK_NOWAIT), ZK_EAGAIN);
  zk_wg_add(&wg, -1);
  zk_wg_done(&wg);
  OK(zk_wg_wait(&wg, ZK_FOREVER));
}

static void wg01_all_waiters_are_released(void) {
  group g = { ZK_ZERO, 0, 0 };
  zk_wg_add(&g.wg, 1);
  for (int i = 0; i < 5; i++) GO("waiter", waits, &g);
  PARKED(5, "waiter", "wait group");
  EQ(GET(&g.released), 0);
  zk_wg_done(&g.wg);
  UNTIL(GET(&g.released) == 5);
}

static void wg04_a_group_is_used_again(void) {
  group g = { ZK_ZERO, 0, 0 };
  for (int round = 1; round <= 200; round++) {
    for (int i = 0; i < 3; i++) OK(zk_wg_go(&g.wg, member, &g));
    OK(zk_wg_wait(&g.wg, zk_in(ZT_LIMIT)));
    EQ(GET(&g.n), 3 * round);
  }
}

static void wg07_go_counts_however_the_member_ends(void) {
  group g = { ZK_ZERO, 0, 0 };
  OK(zk_wg_go(&g.wg, member, &g));
  OK(zk_wg_go(&g.wg, leaves_early, &g));
  OK(zk_wg_wait(&g.wg, zk_in(ZT_LIMIT)));
  EQ(GET(&g.n), 2);
}

static void wg08_wait_ends_at_its_deadline(void) {
  group g = { ZK_ZERO, 0, 0 };
  zk_wg_add(&g.wg, 1);
  zk_time deadline = zk_in(3 * ZK_MS);
  EQ(zk_wg_wait(&g.wg, deadline), ZK_ETIMEDOUT);
  CHECK(zk_now() >= deadline);
  EQ(zk_wg_wait(&g.wg, zk_in(-1)), ZK_ETIMEDOUT);
  zk_wg_done(&g.wg);
  OK(zk_wg_wait(&g.wg, zk_in(-1)));
}

static void panics_below_zero(void) {
  zk_wg wg = ZK_ZERO;
  zk_wg_add(&wg, -1);
}
static void add_to_nothing(void) { zk_wg_add(NULL, 1); }
static void done_with_nothing(void) { zk_wg_done(NULL); }
static void wg02_misuse_ends_the_process(void) {
  CHILD_ABORTS(panics_below_zero, "panic: sync: negative WaitGroup counter");
  CHILD_ABORTS(add_to_nothing, "zk_wg_add: no wait group");
  CHILD_ABORTS(done_with_nothing, "zk_wg_done: no wait group");
}

static void adds_and_is_done(void *arg) {
  group *g = (group *)arg;
  zk_wg_add(&g->wg, 1);
  zk_yield();
  zk_wg_done(&g->wg);
}
/* An add that came before is waited for. One at the same time is waited for or not, but nothing is lost or upset. */
static void wg03_adding_from_zero_comes_before_waiting(void) {
  for (int i = 0; i < 200; i++) {
    group g = { ZK_ZERO, 0, 0 };
    zk_wg_add(&g.wg, 1);
    GO("waiter", waits, &g);
    INC(&g.n);
    EQ(GET(&g.released), 0);
    zk_wg_done(&g.wg);
    UNTIL(zt_alive("waiter") == 0);
    EQ(g.released, 1);
    GO("adder", adds_and_is_done, &g);
    OK(zk_wg_wait(&g.wg, zk_in(ZT_LIMIT)));
    UNTIL(zt_alive("adder") == 0);
    OK(zk_wg_wait(&g.wg, ZK_NOWAIT));
  }
}

typedef struct spread {
  group *g;
  int depth;
} spread;
static void spreads(void *arg) {
  spread *s = (spread *)arg;
  for (int i = 0; i < 2 && s->depth > 0; i++) {
    spread *child = (spread *)malloc(sizeof *child);
    child->g = s->g;
    child->depth = s->depth - 1;
    OK(zk_wg_go(&s->g->wg, spreads, child));
  }
  INC(&s->g->n);
  free(s);
}
static void wg05_members_may_add_while_the_count_is_above_zero(void) {
  group g = { ZK_ZERO, 0, 0 };
  spread *root = (spread *)malloc(sizeof *root);
  root->g = &g;
  root->depth = 8;
  OK(zk_wg_go(&g.wg, spreads, root));
  OK(zk_wg_wait(&g.wg, zk_in(ZT_LIMIT)));
  EQ(g.n, (1 << 9) - 1);
}

static void counts_and_is_done(void *arg) {
  group *g = (group *)arg;
  INC(&g->n);
  zk_wg_done(&g->wg);
}
/* Go's TestWaitGroupRace: neither too early nor never. */
static void wg06_no_early_and_no_missed_wake_up(void) {
  for (int i = 0; i < 1000; i++) {
    group g = { ZK_ZERO, 0, 0 };
    zk_wg_add(&g.wg, 2);
    OK(zk_go(counts_and_is_done, &g));
    OK(zk_go(counts_and_is_done, &g));
    OK(zk_wg_wait(&g.wg, zk_in(ZT_LIMIT)));
    EQ(GET(&g.n), 2);
  }
}

static void panics(void *arg) { zk_panic((const char *)arg); }
static void wait_group_panics(void) {
  zk_wg wg = ZK_ZERO;
  CHECK(zk_workers(8) > 0);
  OK(zk_wg_go(&wg, panics, (void *)"in a member"));
  (void)zk_wg_wait(&wg, ZK_FOREVER);
  fputs("wait returned", stderr);
}
/* Go's TestIssue76126. Several times: it is a race for whoever gets it wrong. */
static void p18_wg07_a_wait_group_does_not_contain_panics(void) {
  static char err[1 << 16];
  for (int i = 0; i < 10; i++) {
    int st = zt_child("wait_group_panics", err, sizeof err);
    CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGABRT);
    CHECK(strstr(err, "panic: in a member") && !strstr(err, "wait returned"));
  }
}

/* What waits in a frame is gone with the frame, although the last done or release has not returned. */
typedef struct on_stack {
  zk_wg wg;
  zk_sem sem;
} on_stack;
static void ends(void *arg) {
  on_stack *s = (on_stack *)arg;
  zk_sem_release(&s->sem, 1);
  zk_wg_done(&s->wg);
}
static void wait_in_a_frame(int i) {
  on_stack s;
  memset((void *)&s, 0, sizeof s);
  zk_wg_add(&s.wg, 3);
  for (int k = 0; k < 3; k++) GO("ends", ends, &s);
  OK(zk_sem_acquire(&s.sem, 3, ZK_FOREVER));
  if (i % 2) OK(zk_wg_wait(&s.wg, ZK_FOREVER));
  else while (zk_wg_wait(&s.wg, zk_in(ZK_US)) != ZK_OK) {}
  memset((void *)&s, 0xa5, sizeof s);
  __asm__ volatile("" : : "r"(&s) : "memory");
}
static void wg01_sem02_whoever_waited_frees_it(void) {
  for (int i = 0; i < 200; i++) wait_in_a_frame(i);
  UNTIL(zt_alive("ends") == 0);
}

static const zt_test tests[] = {
  BOTH(wg01_sem02_whoever_waited_frees_it),
  BOTH(no_wait_group_is_an_error),
  BOTH(wg01_wait_of_nothing_returns_at_once),
  BOTH(wg01_all_waiters_are_released),
  BOTH(wg04_a_group_is_used_again),
  BOTH(wg07_go_counts_however_the_member_ends),
  BOTH(wg08_wait_ends_at_its_deadline),
  ONCE(wg02_misuse_ends_the_process),
  CHILD(panics_below_zero),
  CHILD(add_to_nothing),
  CHILD(done_with_nothing),
  BOTH(wg03_adding_from_zero_comes_before_waiting),
  BOTH(wg05_members_may_add_while_the_count_is_above_zero),
  BOTH(wg06_no_early_and_no_missed_wake_up),
  ONCE(p18_wg07_a_wait_group_does_not_contain_panics),
  CHILD(wait_group_panics),
};
MAIN(tests)
