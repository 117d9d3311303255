/* Channels that do not let their senders wait (QP), and handles of those who send (PR); the rules stand in docs/conformance.md. */
#include "zktest.h"

/* Counts how often each element was given up. */
static void count_drop(void *elem, void *user) {
  int v;
  memcpy(&v, elem, sizeof v);
  INC(&((int *)user)[v]);
}

static zk_chan *with_policy(uint32_t policy, size_t capacity, int *drops) {
  zk_chan_opts o = ZK_CHAN_OPTS_INIT;
  o.elem_size = sizeof(int);
  o.capacity = capacity;
  o.policy = policy;
  if (drops) {
    o.drop = count_drop;
    o.user = drops;
  }
  zk_chan *c = zk_chan_new_with(&o);
  CHECK(c != NULL);
  return c;
}

static void a_policy_that_makes_no_sense_gives_no_channel(void) {
  zk_chan_opts o = ZK_CHAN_OPTS_INIT;
  o.elem_size = 4;
  EQ(o.policy, ZK_CHAN_BLOCK);
  o.policy = 5;
  CHECK(zk_chan_new_with(&o) == NULL);
  o.policy = ZK_CHAN_LATEST;
  o.capacity = 2;
  CHECK(zk_chan_new_with(&o) == NULL);
  o.capacity = 1;
  o.reserved = 1;
  CHECK(zk_chan_new_with(&o) == NULL);
  o.reserved = 0;
  zk_chan *c = zk_chan_new_with(&o);
  EQ(zk_chan_cap(c), 1);
  zk_chan_unref(c);
  o.policy = ZK_CHAN_UNBOUNDED;
  o.elem_size = SIZE_MAX;
  CHECK(zk_chan_new_with(&o) == NULL);
  o.elem_size = SIZE_MAX / 4; /* no memory is taken before it is needed */
  c = zk_chan_new_with(&o);
  CHECK(c != NULL);
  EQ(zk_chan_send(c, &o, SIZE_MAX / 4, ZK_NOWAIT), ZK_ENOMEM);
  EQ(zk_chan_len(c), 0);
  zk_chan_unref(c);
  o.size = offsetof(zk_chan_opts, policy); /* an older program */
  o.elem_size = 4;
  c = zk_chan_new_with(&o);
  OK(zt_try_send(c, 1));
  EQ(zt_try_send(c, 2), ZK_EAGAIN);
  zk_chan_unref(c);
  EQ(zk_chan_dropped(NULL), 0);
  EQ(zk_chan_refused(NULL), 0);
}

static void qp01_the_oldest_element_gives_way(void) {
  int drops[20] = { 0 };
  zk_chan *c = with_policy(ZK_CHAN_DROP_OLDEST, 3, drops);
  for (int i = 0; i < 20; i++) {
    OK(zk_chan_send(c, &i, sizeof i, i % 2 ? ZK_FOREVER : ZK_NOWAIT));
    EQ(zk_chan_len(c), i < 3 ? i + 1 : 3);
    if (i >= 3) EQ(drops[i - 3], 1);
  }
  EQ(zk_chan_dropped(c), 17);
  for (int i = 17; i < 20; i++) EQ(zt_try_recv(c), i);
  zk_chan_unref(c);
  for (int i = 0; i < 20; i++) EQ(drops[i], i < 17);
}

static void qp02_the_newest_element_is_dropped(void) {
  int drops[20] = { 0 };
  zk_chan *c = with_policy(ZK_CHAN_DROP_NEWEST, 3, drops);
  for (int i = 0; i < 20; i++) OK(zt_try_send(c, i));
  EQ(zk_chan_dropped(c), 17);
  for (int i = 0; i < 3; i++) EQ(zt_try_recv(c), i);
  EQ(zt_try_recv(c), ZK_EAGAIN);
  zk_chan_unref(c);
  for (int i = 0; i < 20; i++) EQ(drops[i], i >= 3);
}

static void qp03_the_latest_element_is_the_one_received(void) {
  zk_chan *c = with_policy(ZK_CHAN_LATEST, 0, NULL);
  EQ(zk_chan_cap(c), 1);
  for (int i = 0; i < 9; i++) OK(zt_try_send(c, i));
  EQ(zt_recv(c), 8);
  EQ(zk_chan_dropped(c), 8);
  zk_chan_unref(c);
}

static void qp04_an_unbounded_channel_ends_at_its_mark(void) {
  int drops[1] = { 0 }, v = 7;
  zk_chan *c = with_policy(ZK_CHAN_UNBOUNDED, 40, drops);
  EQ(zk_chan_cap(c), 40);
  for (int i = 0; i < 40; i++) OK(zt_send(c, i));
  EQ(zk_chan_send(c, &v, sizeof v, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_chan_send(c, &v, sizeof v, ZK_FOREVER), ZK_ELIMIT);
  EQ(zk_chan_send(c, &v, sizeof v, zk_in(ZT_LIMIT)), ZK_ELIMIT);
  EQ(zk_chan_refused(c), 3);
  EQ(zk_chan_dropped(c), 0);
  zk_case k = SEND(c, &v); /* a select waits; here it does not get what it waits for */
  EQ(zk_select(&k, 1, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_select(&k, 1, zk_in(ZK_MS)), ZK_ETIMEDOUT);
  for (int i = 0; i < 40; i++) EQ(zt_recv(c), i);
  EQ(zk_select(&k, 1, ZK_NOWAIT), 0);
  EQ(zt_recv(c), 7);
  zk_chan_unref(c);
  EQ(drops[0], 0);
  c = with_policy(ZK_CHAN_UNBOUNDED, 0, NULL);
  CHECK(zk_chan_cap(c) == SIZE_MAX);
  for (int i = 0; i < 5000; i++) OK(zt_try_send(c, i));
  EQ(zk_chan_len(c), 5000);
  zk_chan_close(c);
  for (int i = 0; i < 5000; i++) EQ(zt_recv(c), i);
  EQ(zt_recv(c), ZK_ECLOSED);
  zk_chan_unref(c);
}

typedef struct waiter {
  zk_chan *c;
  int rc, v, done;
} waiter;

static void select_send(void *arg) {
  waiter *w = (waiter *)arg;
  zk_case k = SEND(w->c, &w->v);
  w->rc = zk_select(&k, 1, zk_in(ZT_LIMIT));
  INC(&w->done);
}

static void receive(void *arg) {
  waiter *w = (waiter *)arg;
  w->rc = zk_chan_recv(w->c, &w->v, sizeof w->v, zk_in(ZT_LIMIT));
  INC(&w->done);
}

static void qp04_a_select_waits_at_the_mark(void) {
  zk_chan *c = with_policy(ZK_CHAN_UNBOUNDED, 1, NULL);
  waiter w = { c, -1, 2, 0 };
  OK(zt_send(c, 1));
  GO("select", select_send, &w);
  PARKED(1, "select", "select");
  EQ(zt_try_send(c, 3), ZK_EAGAIN);
  EQ(zt_recv(c), 1);
  UNTIL(GET(&w.done));
  OK(w.rc);
  EQ(zt_recv(c), 2);
  zk_chan_unref(c);
}

static void qp05_a_waiting_receiver_gets_the_element(void) {
  for (uint32_t policy = ZK_CHAN_BLOCK; policy <= ZK_CHAN_LATEST; policy++) {
    zk_chan *c = with_policy(policy, policy == ZK_CHAN_LATEST, NULL);
    waiter w = { c, -1, 0, 0 };
    GO("receiver", receive, &w);
    PARKED(1, "receiver", "chan receive");
    OK(zt_send(c, 5));
    UNTIL(GET(&w.done));
    OK(w.rc);
    EQ(w.v, 5);
    EQ(zk_chan_dropped(c) + zk_chan_refused(c) + zk_chan_len(c), 0);
    zk_chan_unref(c);
  }
}

static zk_chan *recursive;
static void send_again(void *elem, void *user) {
  int v;
  memcpy(&v, elem, sizeof v);
  INC((int *)user);
  if (v > 0) OK(zt_try_send(recursive, v - 1));
}
static void qp06_a_drop_function_may_use_the_channel(void) {
  int drops = 0;
  zk_chan_opts o = ZK_CHAN_OPTS_INIT;
  o.elem_size = sizeof(int);
  o.policy = ZK_CHAN_LATEST;
  o.drop = send_again;
  o.user = &drops;
  recursive = zk_chan_new_with(&o);
  OK(zt_try_send(recursive, 5));
  OK(zt_try_send(recursive, 0)); /* 5 is dropped, which sends 4, which drops the 0, … */
  EQ(drops, 2);
  EQ(zk_chan_dropped(recursive), 2);
  EQ(zt_recv(recursive), 4);
  zk_chan_unref(recursive);
}

static void qp06_the_callers_element_is_not_touched(void) {
  enum { SIZE = 300 };
  static const char ones[SIZE] = { 1 }, twos[SIZE] = { 2 }; /* read-only: a write would be seen */
  int drops[3] = { 0 };
  for (uint32_t policy = ZK_CHAN_DROP_OLDEST; policy <= ZK_CHAN_LATEST; policy++) {
    zk_chan_opts o = ZK_CHAN_OPTS_INIT;
    o.elem_size = SIZE;
    o.capacity = 1;
    o.policy = policy;
    o.drop = count_drop;
    o.user = drops;
    zk_chan *c = zk_chan_new_with(&o);
    zk_case k;
    memset(&k, 0, sizeof k);
    k.chan = c;
    k.size = SIZE;
    k.op = ZK_OP_SEND;
    for (int i = 0; i < 3; i++) {
      OK(zk_chan_send(c, ones, SIZE, ZK_NOWAIT));
      k.elem = (void *)(uintptr_t)twos;
      EQ(zk_select(&k, 1, ZK_NOWAIT), 0);
    }
    EQ(zk_chan_dropped(c), 5);
    zk_chan_unref(c);
  }
  EQ(drops[1], 9); /* all of them: some by the policy, one with each channel */
  EQ(drops[2], 9);
}

static void qp07_a_send_that_drops_is_ready_and_chosen_fairly(void) {
  enum { TRIALS = 10000, MARGIN = 500 };
  zk_chan *a = with_policy(ZK_CHAN_LATEST, 1, NULL), *b = with_policy(ZK_CHAN_DROP_NEWEST, 0, NULL), *c = zt_ints(TRIALS);
  int ran[3] = { 0 }, v = 3, w;
  for (int i = 0; i < TRIALS; i++) OK(zt_send(c, i));
  zk_case k[3] = { SEND(a, &v), SEND(b, &v), RECV(c, &w) };
  for (int i = 0; i < TRIALS; i++) {
    int rc = zk_select(k, 3, ZK_NOWAIT);
    CHECK(rc >= 0);
    ran[rc]++;
  }
  for (int i = 0; i < 3; i++) CHECK(abs(ran[i] - TRIALS / 3) <= MARGIN);
  EQ(zk_select_ordered(k, 3, ZK_NOWAIT), 0);
  EQ(zk_chan_dropped(a), ran[0]);
  EQ(zk_chan_dropped(b), ran[1]);
  zk_chan_unref(a);
  zk_chan_unref(b);
  zk_chan_unref(c);
}

/* ---- many at once */

enum { SENDERS = 4, RECEIVERS = 3, EACH = 500 };
typedef struct crowd {
  zk_chan *c;
  zk_wg all;
  int next, sent, failed, received, drops[SENDERS * EACH];
} crowd;

/* Has a handle of its own; the last one to be dropped ends the receivers. */
typedef struct member {
  crowd *of;
  zk_producer *p;
} member;

static void crowd_send(void *arg) {
  member *m = (member *)arg;
  for (int i = 0; i < EACH; i++) {
    int v = INC(&m->of->next) - 1, rc;
    zk_case k = SEND(zk_producer_chan(m->p), &v);
    switch (i % 3) {
    case 0: rc = zk_producer_send(m->p, &v, sizeof v, ZK_FOREVER); break;
    case 1: rc = zk_producer_send(m->p, &v, sizeof v, ZK_NOWAIT); break;
    default: rc = zk_select(&k, 1, ZK_FOREVER);
    }
    CHECK(rc == ZK_OK || rc == ZK_EAGAIN || rc == ZK_ELIMIT);
    INC(rc == ZK_OK ? &m->of->sent : &m->of->failed);
    if (i % 7 == 0) zk_yield();
  }
  OK(zk_producer_drop(m->p));
}

static void crowd_receive(void *arg) {
  crowd *w = (crowd *)arg;
  int v;
  for (;;) {
    int rc = zk_chan_recv(w->c, &v, sizeof v, ZK_FOREVER);
    if (rc == ZK_ECLOSED) return;
    OK(rc);
    INC(&w->received);
    INC(&w->drops[v]);
    if (v % 5 == 0) zk_yield();
  }
}

static void crowd_of(uint32_t policy, size_t capacity) {
  crowd *w = (crowd *)calloc(1, sizeof *w);
  member m[SENDERS];
  w->c = with_policy(policy, capacity, w->drops);
  zk_producer *first = zk_producer_new(w->c);
  for (int i = 0; i < RECEIVERS; i++) OK(zk_wg_go(&w->all, crowd_receive, w));
  for (int i = 0; i < SENDERS; i++) {
    m[i].of = w;
    m[i].p = zk_producer_dup(first);
    CHECK(m[i].p != NULL && m[i].p != first);
    OK(zk_wg_go(&w->all, crowd_send, &m[i]));
  }
  OK(zk_producer_drop(first));
  OK(zk_wg_wait(&w->all, zk_in(ZT_LIMIT)));
  EQ(zk_chan_len(w->c), 0);
  EQ(w->sent, w->received + zk_chan_dropped(w->c));
  EQ(w->sent + w->failed, SENDERS * EACH);
  if (policy == ZK_CHAN_UNBOUNDED) EQ(w->failed, zk_chan_refused(w->c));
  zk_chan_unref(w->c);
  int ends = 0;
  for (int i = 0; i < SENDERS * EACH; i++) {
    CHECK(w->drops[i] <= 1);
    ends += w->drops[i];
  }
  EQ(ends, w->sent);
  free(w);
}

static void qp08_pr01_what_was_sent_is_received_or_dropped(void) {
  crowd_of(ZK_CHAN_BLOCK, 3);
  crowd_of(ZK_CHAN_UNBOUNDED, 0);
  crowd_of(ZK_CHAN_UNBOUNDED, 5);
  crowd_of(ZK_CHAN_DROP_OLDEST, 5);
  crowd_of(ZK_CHAN_DROP_OLDEST, 0);
  crowd_of(ZK_CHAN_DROP_NEWEST, 5);
  crowd_of(ZK_CHAN_LATEST, 1);
}

static void qp09_a_closed_channel_drops_nothing_and_is_drained(void) {
  for (uint32_t policy = ZK_CHAN_UNBOUNDED; policy <= ZK_CHAN_LATEST; policy++) {
    int drops[5] = { 0 }, v = 4;
    zk_chan *c = with_policy(policy, 1, drops);
    OK(zt_try_send(c, 0));
    OK(zk_chan_close(c));
    EQ(zk_chan_send(c, &v, sizeof v, ZK_FOREVER), ZK_ECLOSED);
    zk_case k = SEND(c, &v);
    EQ(zk_select(&k, 1, ZK_FOREVER), ZK_ECLOSED);
    EQ(zk_chan_dropped(c) + zk_chan_refused(c), 0);
    EQ(zt_recv(c), 0);
    EQ(zt_recv(c), ZK_ECLOSED);
    zk_chan_unref(c);
    EQ(drops[0] + drops[4], 0);
  }
}

/* ---- producers */

static void pr01_the_last_producer_closes(void) {
  zk_chan *c = zt_ints(2);
  zk_producer *p = zk_producer_new(c), *q = zk_producer_new(c), *r = zk_producer_dup(p);
  int v = 6;
  CHECK(p && q && r && p != q && q != r && r != p);
  CHECK(zk_producer_chan(q) == c);
  OK(zk_producer_send(p, &v, sizeof v, ZK_NOWAIT));
  EQ(zk_producer_send(p, &v, 1, ZK_NOWAIT), ZK_EMSGSIZE);
  OK(zk_producer_drop(p));
  OK(zk_producer_drop(r));
  OK(zk_producer_send(q, &v, sizeof v, ZK_NOWAIT));
  EQ(zk_producer_send(q, &v, sizeof v, ZK_NOWAIT), ZK_EAGAIN);
  OK(zk_producer_drop(q));
  EQ(zk_chan_close(c), ZK_ECLOSED); /* it is closed already */
  EQ(zt_recv(c), 6);
  EQ(zt_recv(c), 6);
  EQ(zt_recv(c), ZK_ECLOSED);
  CHECK(zk_producer_new(c) == NULL);
  zk_chan_unref(c);
}

static void pr01_the_last_producer_ends_a_receiver_that_waits(void) {
  zk_chan *c = zt_ints(0);
  zk_producer *p = zk_producer_new(c);
  waiter w = { c, 0, 0, 0 };
  GO("receiver", receive, &w);
  PARKED(1, "receiver", "chan receive");
  OK(zk_producer_drop(p));
  UNTIL(GET(&w.done));
  EQ(w.rc, ZK_ECLOSED);
  zk_chan_unref(c);
}

static void pr02_a_producer_keeps_its_channel(void) {
  int drops[1] = { 0 }, v = 0;
  zk_chan *c = with_policy(ZK_CHAN_BLOCK, 1, drops);
  zk_producer *p = zk_producer_new(c);
  zk_chan_unref(c);
  OK(zk_producer_send(p, &v, sizeof v, ZK_NOWAIT));
  EQ(zk_chan_len(zk_producer_chan(p)), 1);
  EQ(drops[0], 0);
  OK(zk_producer_drop(p));
  EQ(drops[0], 1);
}

static void pr02_a_producer_of_a_closed_channel_is_still_one(void) {
  zk_chan *c = zt_ints(1);
  zk_producer *p = zk_producer_new(c), *q;
  int v = 1;
  OK(zk_chan_close(c));
  q = zk_producer_dup(p);
  CHECK(q != NULL);
  EQ(zk_producer_send(q, &v, sizeof v, ZK_FOREVER), ZK_ECLOSED);
  OK(zk_producer_drop(p));
  OK(zk_producer_drop(q));
  CHECK(zk_producer_new(c) == NULL);
  zk_chan_unref(c);
}

static void pr03_what_is_no_producer_is_refused(void) {
  uint64_t zeroes[8] = { 0 };
  zk_timer *t = zk_timer_new(ZK_SEC, 0);
  zk_chan *c = zt_ints(1);
  int v = 1;
  void *foreign[] = { zeroes, (void *)((uintptr_t)zeroes | 1), t, c };
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
    zk_producer *p = (zk_producer *)foreign[i];
    CHECK(zk_producer_dup(p) == NULL);
    CHECK(zk_producer_chan(p) == NULL);
    EQ(zk_producer_send(p, &v, sizeof v, ZK_FOREVER), ZK_EINVAL);
    EQ(zk_producer_drop(p), ZK_EINVAL);
  }
  CHECK(zk_producer_new((zk_chan *)(void *)zeroes) == NULL);
  CHECK(zk_producer_new(NULL) == NULL);
  CHECK(zk_producer_new(zk_timer_chan(t)) == NULL);
  CHECK(zk_producer_dup(NULL) == NULL);
  CHECK(zk_producer_chan(NULL) == NULL);
  OK(zk_producer_drop(NULL));
  zk_timer_unref(t);
  zk_chan_unref(c);
}

/* The memory of a dropped handle is not ours any more: a sanitizer is right to object, so it is not asked. */
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
static void pr03_a_second_drop_is_seen(void) {
  zk_chan *c = zt_ints(1);
  zk_producer *p = zk_producer_new(c), *q = zk_producer_dup(p);
  OK(zk_producer_drop(p));
  EQ(zk_producer_drop(p), ZK_EINVAL);
  CHECK(zk_producer_dup(p) == NULL);
  OK(zt_try_send(c, 1)); /* it is open: nothing was taken from q */
  OK(zk_producer_drop(q));
  EQ(zt_try_send(c, 2), ZK_ECLOSED);
  zk_chan_unref(c);
}
#endif

enum { THREADS = 4 };
typedef struct team {
  zk_chan *c;
  zk_producer *p[THREADS];
  pthread_t threads[THREADS];
  int sum, done;
} team;

static void *dup_send_drop(void *arg) {
  zk_producer *p = *(zk_producer **)arg;
  for (int i = 1; i <= 100; i++) {
    zk_producer *q = zk_producer_dup(p); /* for a moment there is one more */
    OK(zk_producer_drop(p));
    OK(zk_producer_send(q, &i, sizeof i, zk_in(ZT_LIMIT)));
    p = q;
  }
  OK(zk_producer_drop(p));
  return NULL;
}

static void sum_up(void *arg) {
  team *t = (team *)arg;
  int v;
  while (zk_chan_recv(t->c, &v, sizeof v, zk_in(ZT_LIMIT)) == ZK_OK) t->sum += v;
  INC(&t->done);
}

static void join_team(void *arg) {
  for (int i = 0; i < THREADS; i++) EQ(pthread_join(((team *)arg)->threads[i], NULL), 0);
}

static void pr01_the_last_of_several_threads_closes(void) {
  for (int round = 0; round < 20; round++) {
    team t;
    memset(&t, 0, sizeof t);
    t.c = zt_ints(round % 3);
    for (int i = 0; i < THREADS; i++) t.p[i] = zk_producer_new(t.c);
    GO("sum", sum_up, &t);
    for (int i = 0; i < THREADS; i++) EQ(pthread_create(&t.threads[i], NULL, dup_send_drop, &t.p[i]), 0);
    OK(zk_blocking(join_team, &t));
    UNTIL(GET(&t.done));
    EQ(t.sum, THREADS * 5050);
    EQ(zk_chan_close(t.c), ZK_ECLOSED);
    zk_chan_unref(t.c);
  }
}

static const zt_test tests[] = {
  BOTH(a_policy_that_makes_no_sense_gives_no_channel),
  BOTH(qp01_the_oldest_element_gives_way),
  BOTH(qp02_the_newest_element_is_dropped),
  BOTH(qp03_the_latest_element_is_the_one_received),
  BOTH(qp04_an_unbounded_channel_ends_at_its_mark),
  BOTH(qp04_a_select_waits_at_the_mark),
  BOTH(qp05_a_waiting_receiver_gets_the_element),
  BOTH(qp06_a_drop_function_may_use_the_channel),
  BOTH(qp06_the_callers_element_is_not_touched),
  BOTH(qp07_a_send_that_drops_is_ready_and_chosen_fairly),
  BOTH(qp08_pr01_what_was_sent_is_received_or_dropped),
  BOTH(qp09_a_closed_channel_drops_nothing_and_is_drained),
  BOTH(pr01_the_last_producer_closes),
  BOTH(pr01_the_last_producer_ends_a_receiver_that_waits),
  BOTH(pr02_a_producer_keeps_its_channel),
  BOTH(pr02_a_producer_of_a_closed_channel_is_still_one),
  BOTH(pr03_what_is_no_producer_is_refused),
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  BOTH(pr03_a_second_drop_is_seen),
#endif
  BOTH(pr01_the_last_of_several_threads_closes),
};
MAIN(tests)
