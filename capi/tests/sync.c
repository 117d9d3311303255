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
  CHILD_ABORTS(panics_below_zero, "negative WaitGroup counter");
  CHILD_ABORTS(add_to_nothing, "zk_wg_add: no wait group");
  CHILD_ABORTS(done_with_nothing, "zk_wg_done: no wait group");
}

static const zt_test tests[] = {
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
};
MAIN(tests)
