/* Contexts and groups: rules and E-01 to E-04 as far as C can see them, and goroutines bound to a context. */
#include "zktest.h"

static zk_ctx *context(zk_ctx *parent, zk_time deadline) {
  zk_ctx *x = zk_ctx_new(parent, deadline);
  CHECK(x != NULL);
  return x;
}

static void no_context_is_an_error(void) {
  uint64_t zeroes[8] = { 0 };
  zk_ctx *foreign[] = { NULL, (zk_ctx *)(void *)zeroes, (zk_ctx *)((char *)(void *)zeroes + 1) };
  for (int i = 0; i < 3; i++) {
    zk_ctx *x = foreign[i];
    EQ(zk_ctx_err(x), ZK_EINVAL);
    CHECK(zk_ctx_done(x) == NULL);
    EQ(zk_ctx_deadline(x), ZK_FOREVER);
    CHECK(zk_ctx_value(x, zeroes) == NULL);
    CHECK(zk_ctx_ref(x) == NULL);
    CHECK(zk_ctx_detach(x) == NULL);
    CHECK(zk_ctx_after(x, (zk_fn)free, NULL) == NULL);
    zk_ctx_cancel(x, 0);
    zk_ctx_unref(x);
  }
  CHECK(zk_ctx_new(foreign[1], ZK_FOREVER) == NULL);
  CHECK(zk_ctx_with_value(foreign[1], zeroes, NULL, NULL) == NULL);
  CHECK(zk_ctx_with_value(NULL, NULL, zeroes, NULL) == NULL);
  CHECK(zk_group_new(foreign[1], 0) == NULL);
  EQ(zk_group_wait(NULL), ZK_EINVAL);
  EQ(zk_group_wait_until((zk_group *)(void *)zeroes, ZK_NOWAIT), ZK_EINVAL);
  EQ(zk_group_go(NULL, NULL, NULL), ZK_EINVAL);
  CHECK(zk_group_ctx(NULL) == NULL);
  zk_group_unref(NULL);
  CHECK(zk_goctx() == NULL);
}

static void x02_x04_cancel_reaches_everything_below(void) {
  zk_ctx *root = context(NULL, ZK_FOREVER), *a = context(root, ZK_FOREVER), *b = context(a, ZK_FOREVER), *c = context(a, ZK_FOREVER);
  zk_chan *done = zk_ctx_done(b);
  EQ(zk_ctx_err(b), 0);
  EQ(zk_chan_recv(done, NULL, 0, ZK_NOWAIT), ZK_EAGAIN);
  zk_ctx_cancel(a, 0);
  EQ(zk_ctx_err(root), 0);
  zk_ctx *ended[] = { a, b, c };
  for (int i = 0; i < 3; i++) {
    EQ(zk_ctx_err(ended[i]), ZK_ECANCELED);
    EQ(zk_chan_recv(zk_ctx_done(ended[i]), NULL, 0, ZK_NOWAIT), ZK_ECLOSED);
    zk_ctx_unref(ended[i]);
  }
  zk_ctx_unref(root);
}

static void x05_x07_the_first_cause_stays(void) {
  zk_ctx *x = context(NULL, ZK_FOREVER), *child = context(x, ZK_FOREVER), *own = context(x, ZK_FOREVER);
  zk_ctx_cancel(own, 7);
  EQ(zk_ctx_err(x), 0);
  zk_ctx_cancel(x, -EPIPE);
  zk_ctx_cancel(x, 0);
  zk_ctx_cancel(x, 99);
  EQ(zk_ctx_err(x), -EPIPE);
  EQ(zk_ctx_err(child), -EPIPE);
  EQ(zk_ctx_err(own), 7);
  zk_ctx_unref(x);
  zk_ctx_unref(child);
  zk_ctx_unref(own);
}

static void x09_x10_x11_deadlines(void) {
  zk_time soon = zk_in(3 * ZK_MS), late = zk_in(ZK_MIN);
  zk_ctx *x = context(NULL, late), *y = context(x, zk_in(2 * ZK_MIN)), *z = context(x, soon), *past = context(x, zk_in(-1));
  EQ(zk_ctx_deadline(x), late);
  EQ(zk_ctx_deadline(y), late);
  EQ(zk_ctx_deadline(z), soon);
  EQ(zk_ctx_err(past), ZK_ETIMEDOUT);
  EQ(zk_chan_recv(zk_ctx_done(z), NULL, 0, zk_in(ZT_LIMIT)), ZK_ECLOSED);
  CHECK(zk_now() >= soon);
  EQ(zk_ctx_err(z), ZK_ETIMEDOUT);
  EQ(zk_ctx_err(x), 0);
  zk_ctx_unref(x);
  zk_ctx_unref(y);
  zk_ctx_unref(z);
  zk_ctx_unref(past);
}

static void x12_a_child_of_an_ended_parent_has_ended(void) {
  zk_ctx *x = context(NULL, ZK_FOREVER);
  zk_ctx_cancel(x, 5);
  zk_ctx *child = context(x, zk_in(ZK_SEC));
  EQ(zk_ctx_err(child), 5);
  zk_ctx_unref(child);
  zk_ctx_unref(x);
}

static int dropped;
static void count_drop(void *value) { dropped += *(int *)value; }

static void x13_x14_values_go_along(void) {
  static const char k1 = 0, k2 = 0;
  int one = 1, two = 2, three = 3;
  dropped = 0;
  zk_ctx *a = zk_ctx_with_value(NULL, &k1, &one, count_drop), *b = zk_ctx_with_value(a, &k2, &two, count_drop);
  zk_ctx *c = zk_ctx_with_value(b, &k1, &three, count_drop), *d = context(c, ZK_FOREVER), *free_one = zk_ctx_detach(d);
  CHECK(zk_ctx_value(d, &k1) == &three && zk_ctx_value(d, &k2) == &two && zk_ctx_value(b, &k1) == &one);
  CHECK(zk_ctx_value(a, &k2) == NULL);
  zk_ctx_cancel(a, 0);
  EQ(zk_ctx_err(d), ZK_ECANCELED);
  EQ(zk_ctx_err(free_one), 0);
  EQ(zk_ctx_deadline(free_one), ZK_FOREVER);
  CHECK(zk_ctx_value(free_one, &k1) == &three);
  zk_ctx_unref(a);
  zk_ctx_unref(b);
  zk_ctx_unref(c);
  zk_ctx_unref(d);
  EQ(dropped, 0); /* the detached one still sees them */
  zk_ctx_unref(free_one);
  EQ(dropped, 6);
}

static void count_up(void *arg) { INC((int *)arg); }
static void x15_after(void) {
  int runs = 0;
  zk_ctx *x = context(NULL, ZK_FOREVER);
  zk_timer *kept = zk_ctx_after(x, count_up, &runs), *stopped = zk_ctx_after(x, count_up, &runs);
  CHECK(kept && stopped);
  CHECK(zk_timer_chan(kept) == NULL);
  EQ(zk_timer_reset(kept, 1), ZK_EINVAL);
  EQ(zk_timer_stop(stopped), 1);
  EQ(zk_timer_stop(stopped), 0);
  zk_ctx_cancel(x, 0);
  UNTIL(GET(&runs) == 1);
  EQ(zk_timer_stop(kept), 0);
  zk_timer *late = zk_ctx_after(x, count_up, &runs); /* at once: it has ended */
  UNTIL(GET(&runs) == 2);
  EQ(zk_timer_stop(late), 0);
  zk_timer_unref(kept);
  zk_timer_unref(stopped);
  zk_timer_unref(late);
  zk_ctx_unref(x);
}

static void x17_ended_children_are_let_go(void) {
  static const char key = 0;
  int one = 1;
  zk_ctx *x = context(NULL, ZK_FOREVER);
  dropped = 0;
  for (int i = 0; i < 10000; i++) {
    zk_ctx *v = zk_ctx_with_value(x, &key, &one, count_drop), *child = context(v, zk_in(ZK_MIN));
    zk_ctx_cancel(v, 0);
    zk_ctx_unref(child);
    zk_ctx_unref(v);
    EQ(dropped, i + 1);
  }
  zk_ctx_unref(x);
}

static void x18_done_is_one_channel_and_references_count(void) {
  zk_ctx *x = context(NULL, ZK_FOREVER);
  zk_chan *done = zk_ctx_done(x);
  CHECK(done != NULL && zk_ctx_done(x) == done);
  EQ(zk_chan_close(done), ZK_EPERM); /* only the context's end closes it */
  EQ(zk_chan_send(done, NULL, 0, ZK_NOWAIT), ZK_EPERM);
  zk_case send = { done, NULL, 0, NULL, ZK_OP_SEND, 0 };
  EQ(zk_select(&send, 1, ZK_NOWAIT), ZK_EPERM);
  CHECK(zk_ctx_ref(x) == x);
  zk_ctx_unref(x);
  EQ(zk_ctx_err(x), 0);
  zk_chan_ref(done);
  zk_ctx_cancel(x, 0);
  zk_ctx_unref(x);
  EQ(zk_chan_recv(done, NULL, 0, ZK_NOWAIT), ZK_ECLOSED); /* a channel of one's own outlives the context */
  zk_chan_unref(done);
}

/* ---- goroutines bound to a context */

typedef struct bound {
  zk_ctx *ctx;
  zk_chan *empty, *full;
  zk_wg wg;
  int which, result, done;
  int v;
} bound;

static void wait_bound(void *arg) {
  bound *b = (bound *)arg;
  int v = 1;
  zk_case k = RECV(b->empty, &v);
  CHECK(zk_goctx() == b->ctx);
  switch (b->which) {
  case 0: b->result = zk_chan_recv(b->empty, &v, sizeof v, ZK_FOREVER); break;
  case 1: b->result = zk_chan_send(b->full, &v, sizeof v, ZK_FOREVER); break;
  case 2: b->result = zk_select(&k, 1, ZK_FOREVER); break;
  case 3: b->result = zk_sleep(ZK_MIN); break;
  case 4: b->result = zk_wg_wait(&b->wg, ZK_FOREVER); break;
  default: b->result = zk_select(NULL, 0, ZK_FOREVER); break;
  }
  b->v = v;
  INC(&b->done);
}
static const char *const reasons[] = { "chan receive", "chan send", "select", "sleep", "wait group", "select (no cases)" };

static void start_bound(bound *b, zk_ctx *x, int which) {
  zk_go_opts o = ZK_GO_OPTS_INIT;
  o.name = "bound";
  o.ctx = x;
  b->ctx = x;
  b->which = which;
  b->done = 0;
  OK(zk_go_with(&o, wait_bound, b));
}

static void x06_x19_every_wait_of_a_bound_goroutine_is_cancelled(void) {
  bound b;
  memset(&b, 0, sizeof b);
  b.empty = zt_ints(0);
  b.full = zt_ints(1);
  OK(zt_send(b.full, 9));
  zk_wg_add(&b.wg, 1);
  for (int which = 0; which < 6; which++) {
    zk_ctx *x = context(NULL, ZK_FOREVER);
    start_bound(&b, x, which);
    PARKED(1, "bound", reasons[which]);
    zk_ctx_cancel(x, 1234); /* whatever the cause, the call says that it was cancelled */
    UNTIL(GET(&b.done));
    EQ(b.result, ZK_ECANCELED);
    EQ(b.v, 1);
    zk_ctx_unref(x);
  }
  /* Nothing has happened: nobody received, nobody sent, no waiter is left. */
  EQ(zk_chan_len(b.full), 1);
  EQ(zt_try_send(b.empty, 1), ZK_EAGAIN);
  EQ(zt_recv(b.full), 9);
  EQ(zt_try_recv(b.full), ZK_EAGAIN);
  zk_wg_done(&b.wg);
  UNTIL(zt_alive("bound") == 0);
  zk_chan_unref(b.empty);
  zk_chan_unref(b.full);
}

static void x06_a_deadline_of_the_context_times_the_wait_out(void) {
  bound b;
  memset(&b, 0, sizeof b);
  b.empty = zt_ints(0);
  b.full = zt_ints(1);
  OK(zt_send(b.full, 9));
  zk_wg_add(&b.wg, 1);
  for (int which = 0; which < 6; which++) {
    zk_ctx *x = context(NULL, zk_in(3 * ZK_MS));
    start_bound(&b, x, which);
    UNTIL(GET(&b.done));
    EQ(b.result, ZK_ETIMEDOUT);
    UNTIL(zt_alive("bound") == 0);
    zk_ctx_unref(x);
  }
  zk_wg_done(&b.wg);
  zk_chan_unref(b.empty);
  zk_chan_unref(b.full);
}

typedef struct late {
  zk_chan *ready;
  int rc[4], done, v;
} late;
static void after_the_end(void *arg) {
  late *l = (late *)arg;
  int v = 0;
  l->rc[0] = zk_chan_recv(l->ready, &v, sizeof v, ZK_FOREVER); /* also when it is ready */
  l->rc[1] = zk_chan_recv(l->ready, &v, sizeof v, ZK_NOWAIT);  /* does not block, so is not cancelled */
  l->rc[2] = zk_sleep(ZK_MIN);
  l->v = v;
  INC(&l->done);
}
static void x19_a_ready_operation_is_cancelled_too_but_never_a_try(void) {
  late l = { zt_ints(1), { 0, 0, 0, 0 }, 0, 0 };
  zk_ctx *x = context(NULL, ZK_FOREVER);
  zk_go_opts o = ZK_GO_OPTS_INIT;
  o.ctx = x;
  OK(zt_send(l.ready, 6));
  zk_ctx_cancel(x, 0);
  OK(zk_go_with(&o, after_the_end, &l));
  UNTIL(GET(&l.done));
  EQ(l.rc[0], ZK_ECANCELED);
  OK(l.rc[1]);
  EQ(l.v, 6);
  EQ(l.rc[2], ZK_ECANCELED);
  zk_ctx_unref(x);
  zk_chan_unref(l.ready);
}

/* Waits of all kinds by goroutines that keep their threads: the context is a party to them as to any other. */
typedef struct section {
  zk_chan *never, *full;
  zk_mutex held;
  zk_rwmutex written;
  zk_cond cond;
  zk_wg wg;
  zk_sem none;
  int next, wrong, ended;
} section;
static int waits_in_a_section(section *s, int kind) {
  int v = 1;
  zk_mutex own = ZK_ZERO;
  zk_case cases[2] = { RECV(s->never, &v), SEND(s->full, &v) };
  switch (kind) {
  case 0: return zk_chan_recv(s->never, &v, sizeof v, ZK_FOREVER);
  case 1: return zk_chan_send(s->full, &v, sizeof v, ZK_FOREVER);
  case 2: return zk_select(cases, 2, ZK_FOREVER);
  case 3: return zk_mutex_lock_until(&s->held, ZK_FOREVER);
  case 4: return zk_rwmutex_rlock_until(&s->written, zk_in(ZT_LIMIT));
  case 5: zk_mutex_lock(&own); return zk_cond_wait(&s->cond, &own, ZK_FOREVER);
  case 6: return zk_wg_wait(&s->wg, ZK_FOREVER);
  case 7: return zk_sem_acquire(&s->none, 1, ZK_FOREVER);
  default: return zk_sleep(ZT_LIMIT);
  }
}
enum { SECTIONS = 9 };
static void keeps_its_thread(void *arg) {
  section *s = (section *)arg;
  int kind = INC(&s->next) - 1;
  zk_block_begin();
  int rc = waits_in_a_section(s, kind);
  zk_block_end();
  if (rc != ZK_ECANCELED) INC(&s->wrong);
  if (zk_sleep(ZK_MIN) != ZK_ECANCELED) INC(&s->wrong); /* afterwards as ever */
  INC(&s->ended);
}
static int count_sections(const zk_goinfo *g, void *n) {
  if (!strcmp(g->state, "blocked in call")) ++*(int *)n;
  return 0;
}
static int in_sections(void) {
  int n = 0;
  zk_each(count_sections, &n);
  return n;
}
static void x19_a_goroutine_that_keeps_its_thread_is_cancelled_too(void) {
  for (int round = 0; round <= SECTIONS; round++) {
    section s;
    memset(&s, 0, sizeof s);
    s.never = zt_ints(0);
    s.full = zt_ints(1);
    OK(zt_send(s.full, 1));
    zk_mutex_lock(&s.held);
    zk_rwmutex_lock(&s.written);
    zk_wg_add(&s.wg, 1);
    zk_ctx *x = context(NULL, ZK_FOREVER);
    zk_go_opts o = ZK_GO_OPTS_INIT;
    o.ctx = x;
    for (int i = 0; i < SECTIONS; i++) OK(zk_go_with(&o, keeps_its_thread, &s));
    UNTIL(GET(&s.next) >= round); /* before, while and after they begin to wait */
    if (round == SECTIONS) UNTIL(in_sections() == SECTIONS);
    zk_ctx_cancel(x, 77);
    UNTIL(GET(&s.ended) == SECTIONS);
    EQ(s.wrong, 0);
    EQ(zt_try_send(s.never, 1), ZK_EAGAIN); /* nobody is left in a queue */
    EQ(zk_chan_len(s.full), 1);
    zk_ctx_unref(x);
    zk_chan_unref(s.never);
    zk_chan_unref(s.full);
  }
}

static void unbound(void *arg) {
  CHECK(zk_goctx() == NULL); /* zk_go does not inherit */
  INC((int *)arg);
}
static void starts_another(void *arg) {
  CHECK(zk_goctx() != NULL);
  OK(zk_go(unbound, arg));
}
static void a_context_is_not_inherited_and_is_kept(void) {
  int n = 0;
  zk_ctx *x = context(NULL, ZK_FOREVER);
  zk_go_opts o = ZK_GO_OPTS_INIT;
  o.ctx = x;
  OK(zk_go_with(&o, starts_another, &n));
  zk_ctx_unref(x); /* the goroutine has its own reference */
  UNTIL(GET(&n) == 1);
}

/* ---- groups */

typedef struct work {
  zk_chan *c;
  int result, now, most;
} work;
static int give(void *arg) { return ((work *)arg)->result; }
static int wait_for_it(void *arg) {
  int v, rc = zk_chan_recv(((work *)arg)->c, &v, sizeof v, ZK_FOREVER);
  return rc;
}
static int count_inside(void *arg) {
  work *w = (work *)arg;
  int n = INC(&w->now), most = GET(&w->most);
  while (n > most && !__atomic_compare_exchange_n(&w->most, &most, n, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {}
  zk_yield();
  __atomic_sub_fetch(&w->now, 1, __ATOMIC_SEQ_CST);
  return 0;
}

static void e01_e02_the_first_result_cancels_the_others(void) {
  work fails = { NULL, -4242, 0, 0 }, waits = { zt_ints(0), 0, 0, 0 };
  zk_group *g = zk_group_new(NULL, 0);
  CHECK(g != NULL);
  zk_ctx *x = zk_group_ctx(g);
  for (int i = 0; i < 5; i++) OK(zk_group_go(g, wait_for_it, &waits));
  PARKED(5, "", "chan receive");
  EQ(zk_group_wait_until(g, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_group_wait_until(g, zk_in(ZK_MS)), ZK_ETIMEDOUT);
  EQ(zk_ctx_err(x), 0);
  OK(zk_group_go(g, give, &fails));
  EQ(zk_group_wait(g), -4242);
  EQ(zk_ctx_err(x), -4242);
  zk_group_unref(g);
  zk_chan_unref(waits.c);
}

static void e02_without_a_failure_wait_ends_the_context(void) {
  work w = { NULL, 0, 0, 0 };
  zk_group *g = zk_group_new(NULL, 0);
  zk_ctx *x = zk_ctx_ref(zk_group_ctx(g));
  for (int i = 0; i < 20; i++) OK(zk_group_go(g, give, &w));
  OK(zk_group_wait(g));
  EQ(zk_ctx_err(x), ZK_ECANCELED);
  zk_group_unref(g);
  zk_ctx_unref(x);
}

static void e03_a_limit_bounds_the_members(void) {
  work w = { NULL, 0, 0, 0 }, waits = { zt_ints(0), 0, 0, 0 };
  zk_group *g = zk_group_new(NULL, 3);
  for (int i = 0; i < 200; i++) OK(zk_group_go(g, count_inside, &w));
  for (int i = 0; i < 3; i++) OK(zk_group_go(g, wait_for_it, &waits));
  EQ(zk_group_go_until(g, give, &w, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_group_go_until(g, give, &w, zk_in(ZK_MS)), ZK_ETIMEDOUT);
  zk_chan_close(waits.c);
  EQ(zk_group_wait(g), ZK_ECLOSED);
  CHECK(w.most >= 1 && w.most <= 3);
  zk_group_unref(g);
  zk_chan_unref(waits.c);
}

static int leaves_early(void *arg) {
  (void)arg;
  zk_goexit();
  return 1;
}
static void a_member_that_exits_counts_as_done(void) {
  zk_group *g = zk_group_new(NULL, 1);
  for (int i = 0; i < 3; i++) OK(zk_group_go(g, leaves_early, NULL));
  OK(zk_group_wait(g));
  zk_group_unref(g);
}

static void unref_cancels_and_waits(void) {
  work waits = { zt_ints(0), 0, 0, 0 };
  zk_group *g = zk_group_new(NULL, 0);
  for (int i = 0; i < 4; i++) OK(zk_group_go(g, wait_for_it, &waits));
  zk_group_unref(g);
  PARKED(0, "", "chan receive");
  zk_chan_unref(waits.c); /* no member uses it any more */
}

static void a_parent_ends_the_group(void) {
  work waits = { zt_ints(0), 0, 0, 0 };
  zk_ctx *x = context(NULL, zk_in(3 * ZK_MS));
  zk_group *g = zk_group_new(x, 0);
  OK(zk_group_go(g, wait_for_it, &waits));
  EQ(zk_group_wait(g), ZK_ETIMEDOUT);
  zk_group_unref(g);
  zk_ctx_unref(x);
  zk_chan_unref(waits.c);
}

static void e05_all_results_are_kept(void) {
  work w[6] = { { NULL, 0, 0, 0 }, { NULL, -7, 0, 0 }, { NULL, 0, 0, 0 }, { NULL, 8, 0, 0 }, { NULL, -9, 0, 0 }, { NULL, 0, 0, 0 } };
  zk_group *g = zk_group_new(NULL, 1); /* one after the other */
  int all[4] = { 0, 0, 0, 1 };
  EQ(zk_group_errors(g, all, 4), 0);
  EQ(zk_group_errors(NULL, all, 4), 0);
  for (int i = 0; i < 6; i++) OK(zk_group_go(g, give, &w[i]));
  EQ(zk_group_wait(g), -7);
  EQ(zk_group_errors(g, NULL, 0), 3);
  EQ(zk_group_errors(g, all, 2), 3);
  CHECK(all[0] == -7 && all[1] == 8 && all[2] == 0);
  EQ(zk_group_errors(g, all, 4), 3);
  CHECK(all[2] == -9 && all[3] == 1);
  zk_group_unref(g);
}

static void no_message(uint64_t goid, const char *msg, void *user) { (void)goid, (void)msg, (void)user; }
static int panics(void *arg) {
  zk_panic((const char *)arg);
  return 0;
}
static int exits(void *arg) {
  (void)arg;
  zk_goexit();
  return 0;
}
static void a_panic_in_a_group(void) {
  zk_config c = ZK_CONFIG_INIT;
  c.on_panic = no_message;
  OK(zk_init(&c));
  work waits = { zt_ints(0), 0, 0, 0 };
  zk_group *g = zk_group_new(NULL, 0);
  OK(zk_group_go(g, exits, NULL));
  OK(zk_group_go(g, wait_for_it, &waits));
  PARKED(1, "", "chan receive");
  EQ(zk_ctx_err(zk_group_ctx(g)), 0);
  OK(zk_group_go(g, panics, (void *)"in a group"));
  EQ(zk_group_wait(g), ZK_EPANIC);
  int all[3] = { 0, 0, 0 };
  EQ(zk_group_errors(g, all, 3), 2);
  CHECK(all[0] == ZK_EPANIC && all[1] == ZK_ECANCELED);
  zk_group_unref(g);
  zk_chan_unref(waits.c);
}
static void e02_a_panic_cancels_the_others(void) { CHILD_EXITS(a_panic_in_a_group, 0); }

/* ---- more of the rules */

static void x01_a_root_never_ends_by_itself(void) {
  zk_ctx *x = context(NULL, ZK_FOREVER);
  CHECK(zk_goctx() == NULL); /* who is bound to nothing has the background */
  EQ(zk_ctx_err(x), 0);
  EQ(zk_ctx_deadline(x), ZK_FOREVER);
  EQ(zk_chan_recv(zk_ctx_done(x), NULL, 0, zk_in(ZT_SOON)), ZK_ETIMEDOUT);
  EQ(zk_ctx_err(x), 0);
  zk_ctx_unref(x);
}

typedef struct watcher {
  zk_ctx *parent, *child;
  int done;
} watcher;
static void watches(void *arg) {
  watcher *w = (watcher *)arg;
  EQ(zk_chan_recv(zk_ctx_done(w->child), NULL, 0, zk_in(ZT_LIMIT)), ZK_ECLOSED);
  CHECK(zk_ctx_err(w->parent) != 0); /* the parent was first */
  EQ(zk_chan_recv(zk_ctx_done(w->parent), NULL, 0, ZK_NOWAIT), ZK_ECLOSED);
  INC(&w->done);
}
static void x03_a_context_is_done_before_its_children_are(void) {
  for (int i = 0; i < 30; i++) {
    watcher w[4];
    zk_ctx *x = context(NULL, ZK_FOREVER);
    for (int k = 0; k < 4; k++) {
      w[k].parent = x;
      w[k].child = context(x, ZK_FOREVER);
      w[k].done = 0;
      GO("watcher", watches, &w[k]);
    }
    PARKED(4, "watcher", "chan receive");
    zk_ctx_cancel(x, 0);
    for (int k = 0; k < 4; k++) {
      UNTIL(GET(&w[k].done));
      zk_ctx_unref(w[k].child);
    }
    zk_ctx_unref(x);
  }
}

static void x02_a_deep_tree_ends_and_goes(void) {
  enum { DEPTH = 10000 };
  zk_ctx *root = context(NULL, ZK_FOREVER), *x = zk_ctx_ref(root);
  for (int i = 0; i < DEPTH; i++) {
    zk_ctx *child = context(x, ZK_FOREVER);
    zk_ctx_unref(x);
    x = child;
  }
  zk_ctx_cancel(root, 5);
  EQ(zk_ctx_err(x), 5);
  zk_ctx_unref(root);
  zk_ctx_unref(x);
}

/* There is no cause for a timeout here: what the deadline gives is ZK_ETIMEDOUT, and a cancellation after it changes nothing, as one
 * before it keeps the deadline from saying anything. */
static void x08_a_deadline_and_a_cancellation_are_told_apart(void) {
  zk_ctx *late = context(NULL, zk_in(2 * ZK_MS));
  EQ(zk_chan_recv(zk_ctx_done(late), NULL, 0, zk_in(ZT_LIMIT)), ZK_ECLOSED);
  zk_ctx_cancel(late, 9);
  EQ(zk_ctx_err(late), ZK_ETIMEDOUT);
  zk_ctx_unref(late);
  for (int i = 0, shown = 0; !shown; i++) {
    CHECK(i < 100);
    zk_time deadline = zk_in(5 * ZK_MS);
    zk_ctx *early = context(NULL, deadline);
    zk_ctx_cancel(early, 9);
    shown = zk_now() < deadline; /* else it may have come before: once more */
    while (zk_now() <= deadline + ZK_MS) OK(zk_sleep(ZK_MS));
    if (shown) EQ(zk_ctx_err(early), 9);
    zk_ctx_unref(early);
  }
}

typedef struct launch {
  zk_group *g;
  int stop, rc, done, ran;
} launch;
static int until_stopped(void *arg) {
  while (!GET(&((launch *)arg)->stop)) zk_yield();
  return 0;
}
static int notes_that_it_ran(void *arg) {
  INC(&((launch *)arg)->ran);
  return 0;
}
static void launches(void *arg) {
  launch *l = (launch *)arg;
  l->rc = zk_group_go(l->g, notes_that_it_ran, l);
  INC(&l->done);
}
/* Extended: the launcher's own context ends its wait. */
static void e04_a_launch_blocked_on_the_limit_ignores_the_groups_cancellation(void) {
  zk_ctx *own = context(NULL, ZK_FOREVER);
  zk_group *g = zk_group_new(NULL, 1);
  launch l = { g, 0, -1, 0, 0 }, bound = { g, 0, -1, 0, 0 };
  zk_go_opts o = ZK_GO_OPTS_INIT;
  OK(zk_group_go(g, until_stopped, &l));
  GO("launches", launches, &l);
  PARKED(1, "launches", "group");
  o.ctx = own;
  o.name = "launches";
  OK(zk_go_with(&o, launches, &bound));
  PARKED(2, "launches", "group");
  zk_ctx_cancel(zk_group_ctx(g), 0);
  PARKED(2, "launches", "group"); /* they wait on */
  zk_ctx_cancel(own, 0);
  UNTIL(GET(&bound.done));
  EQ(bound.rc, ZK_ECANCELED);
  EQ(GET(&l.done), 0);
  SET(&l.stop, 1);
  UNTIL(GET(&l.done));
  OK(l.rc);
  EQ(zk_group_wait(g), 0);
  EQ(l.ran, 1);
  EQ(bound.ran, 0);
  zk_group_unref(g);
  zk_ctx_unref(own);
}

static int panics_as_a_member(void *arg) {
  zk_panic((const char *)arg);
  return 0;
}
static void group_panics(void) {
  CHECK(zk_workers(8) > 0);
  zk_group *g = zk_group_new(NULL, 0);
  OK(zk_group_go(g, panics_as_a_member, (void *)"in a member"));
  (void)zk_group_wait(g);
  fputs("wait returned", stderr);
}
static void e06_p18_a_group_does_not_contain_panics(void) {
  static char err[1 << 16];
  for (int i = 0; i < 10; i++) {
    int st = zt_child("group_panics", err, sizeof err);
    CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGABRT);
    CHECK(strstr(err, "panic: in a member") && !strstr(err, "wait returned"));
  }
}

static const zt_test tests[] = {
  BOTH(no_context_is_an_error),
  BOTH(x02_x04_cancel_reaches_everything_below),
  BOTH(x05_x07_the_first_cause_stays),
  BOTH(x09_x10_x11_deadlines),
  BOTH(x12_a_child_of_an_ended_parent_has_ended),
  BOTH(x13_x14_values_go_along),
  BOTH(x15_after),
  BOTH(x17_ended_children_are_let_go),
  BOTH(x18_done_is_one_channel_and_references_count),
  BOTH(x06_x19_every_wait_of_a_bound_goroutine_is_cancelled),
  BOTH(x06_a_deadline_of_the_context_times_the_wait_out),
  BOTH(x19_a_ready_operation_is_cancelled_too_but_never_a_try),
  BOTH(x19_a_goroutine_that_keeps_its_thread_is_cancelled_too),
  BOTH(a_context_is_not_inherited_and_is_kept),
  BOTH(e01_e02_the_first_result_cancels_the_others),
  BOTH(e02_without_a_failure_wait_ends_the_context),
  BOTH(e03_a_limit_bounds_the_members),
  BOTH(a_member_that_exits_counts_as_done),
  BOTH(unref_cancels_and_waits),
  BOTH(a_parent_ends_the_group),
  BOTH(e05_all_results_are_kept),
  ONCE(e02_a_panic_cancels_the_others),
  CHILD(a_panic_in_a_group),
  BOTH(x01_a_root_never_ends_by_itself),
  BOTH(x02_a_deep_tree_ends_and_goes),
  BOTH(x03_a_context_is_done_before_its_children_are),
  BOTH(x08_a_deadline_and_a_cancellation_are_told_apart),
  BOTH(e04_a_launch_blocked_on_the_limit_ignores_the_groups_cancellation),
  ONCE(e06_p18_a_group_does_not_contain_panics),
  CHILD(group_panics),
};
MAIN(tests)
