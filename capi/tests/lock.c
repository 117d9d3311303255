/* Mutex, rwmutex, cond, once, semaphore, pool: rules M-*, RW-*, CV-*, O-*, SEM-*, PL-* as far as C can see them. */
#include "zktest.h"

static void nothing_to_lock_is_an_error(void) {
  zk_mutex m = ZK_ZERO;
  zk_cond c = ZK_ZERO;
  EQ(zk_mutex_lock_until(NULL, ZK_NOWAIT), ZK_EINVAL);
  EQ(zk_mutex_lock_until((zk_mutex *)((char *)&m + 1), ZK_NOWAIT), ZK_EINVAL);
  EQ(zk_rwmutex_lock_until(NULL, ZK_NOWAIT), ZK_EINVAL);
  EQ(zk_rwmutex_rlock_until(NULL, ZK_NOWAIT), ZK_EINVAL);
  EQ(zk_cond_wait(NULL, &m, ZK_NOWAIT), ZK_EINVAL);
  EQ(zk_cond_wait(&c, NULL, ZK_NOWAIT), ZK_EINVAL);
  EQ(zk_sem_acquire(NULL, 1, ZK_NOWAIT), ZK_EINVAL);
  CHECK(zk_pool_get(NULL) == NULL);
  zk_pool_put(NULL, NULL);
  zk_pool_unref(NULL);
}

typedef struct shared {
  zk_mutex m;
  zk_rwmutex rw;
  zk_cond c;
  zk_once o;
  zk_sem s;
  zk_wg wg;
  int value, inside, order, result, ready;
} shared;

static shared zero;

/* ---- mutex */

static void unlocks(void *arg) { zk_mutex_unlock(&((shared *)arg)->m); }
static void locks(void *arg) {
  shared *s = (shared *)arg;
  zk_mutex_lock(&s->m);
  s->value = INC(&s->order);
  zk_mutex_unlock(&s->m);
}

static void m01_m02_unlocked_at_first_and_without_owner(void) {
  shared s = zero;
  zk_mutex_lock(&s.m);
  EQ(zk_mutex_lock_until(&s.m, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_mutex_lock_until(&s.m, zk_in(-1)), ZK_ETIMEDOUT);
  zk_time deadline = zk_in(2 * ZK_MS);
  EQ(zk_mutex_lock_until(&s.m, deadline), ZK_ETIMEDOUT);
  CHECK(zk_now() >= deadline);
  OK(zk_go(unlocks, &s)); /* any goroutine may unlock */
  OK(zk_mutex_lock_until(&s.m, zk_in(ZT_LIMIT)));
  GO("locker", locks, &s);
  PARKED(1, "locker", "mutex");
  EQ(s.value, 0);
  zk_mutex_unlock(&s.m);
  UNTIL(zt_alive("locker") == 0);
  EQ(s.value, 1);
}

enum { HAMMERS = 8, BLOWS = 3000 };
static void hammer(void *arg) {
  shared *s = (shared *)arg;
  for (int i = 0; i < BLOWS; i++) {
    zk_mutex_lock(&s->m);
    EQ(++s->inside, 1);
    s->value++;
    if (i % 64 == 0) zk_yield();
    s->inside--;
    zk_mutex_unlock(&s->m);
  }
}
static void *hammer_thread(void *arg) {
  hammer(arg);
  return NULL;
}
static void join_thread(void *arg) { EQ(pthread_join(*(pthread_t *)arg, NULL), 0); }
static void a_mutex_excludes_goroutines_and_threads(void) {
  shared s = zero;
  pthread_t t;
  for (int i = 0; i < HAMMERS; i++) OK(zk_wg_go(&s.wg, hammer, &s));
  EQ(pthread_create(&t, NULL, hammer_thread, &s), 0);
  OK(zk_wg_wait(&s.wg, zk_in(ZT_LIMIT)));
  OK(zk_blocking(join_thread, &t));
  EQ(s.value, (HAMMERS + 1) * BLOWS);
}

static void unlock_of_an_unlocked_mutex(void) {
  zk_mutex m = ZK_ZERO;
  zk_mutex_unlock(&m);
}
static void runlock_of_an_unlocked_rwmutex(void) {
  zk_rwmutex m = ZK_ZERO;
  zk_rwmutex_runlock(&m);
}
static void unlock_of_a_read_rwmutex(void) {
  zk_rwmutex m = ZK_ZERO;
  zk_rwmutex_rlock(&m);
  zk_rwmutex_unlock(&m);
}
static void tried(void *arg) {
  (void)arg;
  unlock_of_an_unlocked_mutex();
}
static void unlock_inside_try(void) {
  (void)zk_try(tried, NULL, NULL, 0);
  printf("caught\n");
}
static void wait_without_lock(void) {
  zk_mutex m = ZK_ZERO;
  zk_cond c = ZK_ZERO;
  (void)zk_cond_wait(&c, &m, ZK_FOREVER);
}
static void lock_of_nothing(void) { zk_mutex_lock(NULL); }
static void m03_rw06_cv01_misuse_is_fatal(void) {
  CHILD_ABORTS(unlock_of_an_unlocked_mutex, "unlock of unlocked mutex");
  CHILD_ABORTS(unlock_inside_try, "unlock of unlocked mutex");
  CHILD_ABORTS(runlock_of_an_unlocked_rwmutex, "RWMutex");
  CHILD_ABORTS(unlock_of_a_read_rwmutex, "RWMutex");
  CHILD_ABORTS(wait_without_lock, "unlock of unlocked mutex");
  CHILD_ABORTS(lock_of_nothing, "zk_mutex_lock: no lock");
}

/* ---- rwmutex */

static void reads(void *arg) {
  shared *s = (shared *)arg;
  zk_rwmutex_rlock(&s->rw);
  INC(&s->inside);
  zk_rwmutex_runlock(&s->rw);
}
static void writes(void *arg) {
  shared *s = (shared *)arg;
  zk_rwmutex_lock(&s->rw);
  s->value = GET(&s->inside);
  zk_rwmutex_unlock(&s->rw);
}

static void rw01_many_readers_or_one_writer(void) {
  shared s = zero;
  zk_rwmutex_rlock(&s.rw);
  OK(zk_rwmutex_rlock_until(&s.rw, ZK_NOWAIT));
  EQ(zk_rwmutex_lock_until(&s.rw, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_rwmutex_lock_until(&s.rw, zk_in(ZK_MS)), ZK_ETIMEDOUT);
  OK(zk_rwmutex_rlock_until(&s.rw, ZK_NOWAIT)); /* RW-07: the failed attempt leaves no mark */
  for (int i = 0; i < 3; i++) zk_rwmutex_runlock(&s.rw);
  zk_rwmutex_lock(&s.rw);
  EQ(zk_rwmutex_rlock_until(&s.rw, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_rwmutex_rlock_until(&s.rw, zk_in(ZK_MS)), ZK_ETIMEDOUT);
  zk_rwmutex_unlock(&s.rw);
}

static void rw02_rw04_phases_alternate(void) {
  shared s = zero;
  zk_rwmutex_rlock(&s.rw);
  GO("writer", writes, &s);
  PARKED(1, "writer", "rwmutex write");
  EQ(zk_rwmutex_rlock_until(&s.rw, ZK_NOWAIT), ZK_EAGAIN); /* a writer that waits keeps new readers out */
  zk_rwmutex_runlock(&s.rw);
  UNTIL(zt_alive("writer") == 0);
  zk_rwmutex_lock(&s.rw);
  for (int i = 0; i < 4; i++) GO("reader", reads, &s);
  PARKED(4, "reader", "rwmutex read");
  GO("writer", writes, &s);
  PARKED(1, "writer", "rwmutex write");
  zk_rwmutex_unlock(&s.rw); /* every reader already waiting gets in before the next writer */
  UNTIL(zt_alive("writer") == 0 && zt_alive("reader") == 0);
  EQ(s.value, 4);
}

/* ---- cond */

static void waits_for_signal(void *arg) {
  shared *s = (shared *)arg;
  zk_mutex_lock(&s->m);
  OK(zk_cond_wait(&s->c, &s->m, zk_in(ZT_LIMIT)));
  s->value = s->value * 10 + ++s->order;
  zk_mutex_unlock(&s->m);
}

static void cv02_cv03_signals_wake_in_order_and_are_not_kept(void) {
  shared s = zero;
  zk_mutex_lock(&s.m);
  zk_cond_signal(&s.c); /* nobody waits: lost */
  EQ(zk_cond_wait(&s.c, &s.m, zk_in(ZK_MS)), ZK_ETIMEDOUT);
  EQ(zk_mutex_lock_until(&s.m, ZK_NOWAIT), ZK_EAGAIN); /* locked again */
  EQ(zk_cond_wait(&s.c, &s.m, ZK_NOWAIT), ZK_EAGAIN);
  zk_mutex_unlock(&s.m);
  for (int i = 0; i < 3; i++) {
    GO("waiter", waits_for_signal, &s);
    PARKED(i + 1, "waiter", "cond");
  }
  for (int i = 2; i >= 0; i--) {
    zk_cond_signal(&s.c);
    PARKED(i, "waiter", "cond");
    UNTIL(zt_alive("waiter") == i);
  }
  EQ(s.value, 123);
}

static void cv04_broadcast_wakes_all_that_wait(void) {
  shared s = zero;
  for (int i = 0; i < 5; i++) GO("waiter", waits_for_signal, &s);
  PARKED(5, "waiter", "cond");
  zk_cond_broadcast(&s.c);
  UNTIL(zt_alive("waiter") == 0);
  EQ(s.order, 5);
}

/* ---- once */

static void first(void *arg) {
  shared *s = (shared *)arg;
  s->value++;
  while (!GET(&s->ready)) zk_yield();
  INC(&s->inside);
}
static void does_once(void *arg) {
  shared *s = (shared *)arg;
  zk_once_do(&s->o, first, s);
  EQ(GET(&s->inside), 1); /* whoever returns finds it done */
  INC(&s->order);
}
static void o01_once_runs_one_and_all_wait_for_it(void) {
  shared s = zero;
  for (int i = 0; i < 5; i++) GO("once", does_once, &s);
  PARKED(4, "once", "once");
  EQ(GET(&s.order), 0);
  SET(&s.ready, 1);
  UNTIL(GET(&s.order) == 5);
  EQ(s.value, 1);
  zk_once_do(&s.o, first, &s);
  EQ(s.value, 1);
  UNTIL(zt_alive("once") == 0);
}

static void leaves(void *arg) {
  ((shared *)arg)->value++;
  zk_goexit();
}
static void exits_in_once(void *arg) { zk_once_do(&((shared *)arg)->o, leaves, arg); }
static void panics(void *arg) {
  ((shared *)arg)->value++;
  zk_panic("in once");
}
static void panics_in_once(void *arg) { zk_once_do(&((shared *)arg)->o, panics, arg); }
static void o02_o03_a_panic_or_goexit_counts_as_done(void) {
  shared s = zero, t = zero;
  GO("once", exits_in_once, &s);
  UNTIL(zt_alive("once") == 0);
  zk_once_do(&s.o, leaves, &s);
  EQ(s.value, 1);
  EQ(zk_try(panics_in_once, &t, NULL, 0), ZK_EPANIC);
  OK(zk_try(panics_in_once, &t, NULL, 0));
  EQ(t.value, 1);
}

/* ---- semaphore */

static void takes_two(void *arg) {
  shared *s = (shared *)arg;
  OK(zk_sem_acquire(&s->s, 2, zk_in(ZT_LIMIT)));
  s->value = INC(&s->order);
}
static void takes_one(void *arg) {
  shared *s = (shared *)arg;
  OK(zk_sem_acquire(&s->s, 1, zk_in(ZT_LIMIT)));
  s->result = INC(&s->order);
}
static void sem02_a_large_request_is_not_overtaken(void) {
  zk_sem init = ZK_SEM_INIT(3);
  shared s = zero;
  s.s = init;
  OK(zk_sem_acquire(&s.s, 2, ZK_NOWAIT));
  GO("large", takes_two, &s);
  PARKED(1, "large", "semaphore");
  GO("small", takes_one, &s);
  PARKED(1, "small", "semaphore");
  EQ(zk_sem_acquire(&s.s, 1, ZK_NOWAIT), ZK_EAGAIN); /* although one is free */
  EQ(zk_sem_acquire(&s.s, 1, zk_in(ZK_MS)), ZK_ETIMEDOUT);
  zk_sem_release(&s.s, 1);
  UNTIL(zt_alive("large") == 0);
  EQ(s.value, 1);
  zk_sem_release(&s.s, 1);
  UNTIL(zt_alive("small") == 0);
  zk_sem_release(&s.s, 3);
  OK(zk_sem_acquire(&s.s, 3, ZK_NOWAIT));
  OK(zk_sem_acquire(&s.s, 0, ZK_NOWAIT));
}

/* ---- what a bound goroutine sees */

static void waits_bound(void *arg) {
  shared *s = (shared *)arg;
  switch (s->ready) {
  case 0: s->result = zk_mutex_lock_until(&s->m, ZK_FOREVER); break;
  case 1: s->result = zk_rwmutex_lock_until(&s->rw, ZK_FOREVER); break;
  case 2: s->result = zk_rwmutex_rlock_until(&s->rw, ZK_FOREVER); break;
  case 3: s->result = zk_sem_acquire(&s->s, 1, ZK_FOREVER); break;
  default:
    zk_mutex_unlock(&s->m);
    zk_mutex_lock(&s->m);
    s->result = zk_cond_wait(&s->c, &s->m, ZK_FOREVER);
  }
  INC(&s->order);
}
static void a_bound_goroutine_is_cancelled(void) {
  static const char *const reasons[] = { "mutex", "rwmutex write", "rwmutex read", "semaphore", "cond" };
  for (int i = 0; i < 5; i++) {
    shared s = zero;
    zk_go_opts o = ZK_GO_OPTS_INIT;
    o.ctx = zk_ctx_new(NULL, ZK_FOREVER);
    o.name = "bound";
    s.ready = i;
    zk_mutex_lock(&s.m);
    zk_rwmutex_lock(&s.rw);
    OK(zk_go_with(&o, waits_bound, &s));
    PARKED(1, "bound", reasons[i]);
    zk_ctx_cancel(o.ctx, 0);
    UNTIL(GET(&s.order) == 1);
    EQ(s.result, ZK_ECANCELED);
    zk_mutex_unlock(&s.m); /* a cond's waiter has the mutex again */
    zk_rwmutex_unlock(&s.rw);
    OK(zk_mutex_lock_until(&s.m, ZK_NOWAIT));
    OK(zk_rwmutex_lock_until(&s.rw, ZK_NOWAIT));
    UNTIL(zt_alive("bound") == 0);
    zk_ctx_unref(o.ctx);
  }
}

/* ---- pool */

typedef struct factory {
  int made, dropped;
} factory;
static void *make_one(void *user) {
  INC(&((factory *)user)->made);
  return malloc(16);
}
static void drop_one(void *obj, void *user) {
  INC(&((factory *)user)->dropped);
  free(obj);
}
static void pl01_a_pool_keeps_what_is_put_back(void) {
  factory f = { 0, 0 };
  zk_pool *p = zk_pool_new(make_one, drop_one, &f), *empty = zk_pool_new(NULL, NULL, NULL);
  CHECK(p != NULL && empty != NULL);
  CHECK(zk_pool_get(empty) == NULL);
  zk_pool_unref(empty);
  void *a = zk_pool_get(p), *b = zk_pool_get(p);
  CHECK(a && b && a != b);
  EQ(f.made, 2);
  zk_pool_put(p, a);
  zk_pool_put(p, NULL);
  void *c = zk_pool_get(p);
  CHECK(c != NULL && c != b);
  zk_pool_put(p, b);
  zk_pool_put(p, c);
  zk_pool_unref(p);
  EQ(f.dropped, f.made);
}

/* ---- order, barging and starvation of the mutex */

typedef struct queue {
  zk_mutex m;
  int order[8], n;
} queue;
typedef struct place {
  queue *q;
  int i;
} place;
static void locks_in_line(void *arg) {
  place *p = (place *)arg;
  zk_mutex_lock(&p->q->m);
  p->q->order[p->q->n++] = p->i;
  zk_mutex_unlock(&p->q->m);
}
static int on_one_worker(zk_int_fn f, void *arg) {
  int before = zk_workers(1), code = -1;
  OK(zk_run(f, arg, &code));
  CHECK(zk_workers((uint32_t)before) > 0);
  return code;
}
/* Whether the one that ran could overtake the one that was woken; not if its time slice ended just then. */
static int five_in_line(queue *q) {
  place p[5];
  q->n = 0;
  zk_mutex_lock(&q->m);
  for (int i = 0; i < 5; i++) {
    p[i].q = q;
    p[i].i = i;
    GO("in line", locks_in_line, &p[i]);
    PARKED(i + 1, "in line", "mutex");
  }
  zk_mutex_unlock(&q->m);
  int locked = zk_mutex_lock_until(&q->m, ZK_NOWAIT) == ZK_OK, barged = locked && q->n == 0;
  if (locked) zk_mutex_unlock(&q->m);
  UNTIL(zt_alive("in line") == 0);
  for (int i = 0; i < 5; i++) EQ(q->order[i], i);
  return barged;
}
static int five_until_it_shows(void *arg) {
  for (int i = 0; i < 100; i++)
    if (five_in_line((queue *)arg)) return 0;
  return 1;
}
static void m04_sem01_waiters_are_served_in_order_and_who_runs_may_barge(void) {
  queue q;
  memset(&q, 0, sizeof q);
  OK(on_one_worker(five_until_it_shows, &q));
}

/* Waits until the goroutine is parked on the mutex again, or has ended: its turn came while we had the worker to ourselves no more. */
static int starved_waits(void) {
  for (;;) {
    zt_look l = { "starved", "mutex", 0, 0 };
    zk_each(zt_visit, &l);
    if (l.waiting == 1 || l.found == 0) return l.waiting;
    zk_yield();
  }
}
/* 1: the mutex was handed over. 0: the time slice ended in between, which proves nothing. */
static int starves_one(queue *q) {
  place p = { q, 1 };
  q->n = 0;
  zk_mutex_lock(&q->m);
  GO("starved", locks_in_line, &p);
  PARKED(1, "starved", "mutex");
  zk_time patience = zk_in(3 * ZK_MS);
  while (zk_now() < patience) {}
  zk_mutex_unlock(&q->m);
  int mine = zk_mutex_lock_until(&q->m, ZK_NOWAIT) == ZK_OK; /* not starving yet: who runs may overtake */
  if (!mine || !starved_waits()) {                           /* it has run, and lost after more than 1 ms */
    if (mine) zk_mutex_unlock(&q->m);
    UNTIL(zt_alive("starved") == 0);
    return 0;
  }
  zk_mutex_unlock(&q->m); /* hands over */
  int rc = zk_mutex_lock_until(&q->m, ZK_NOWAIT);
  if (rc == ZK_OK) {
    EQ(q->n, 1); /* only because it has had it */
    zk_mutex_unlock(&q->m);
  }
  UNTIL(zt_alive("starved") == 0);
  OK(zk_mutex_lock_until(&q->m, ZK_NOWAIT)); /* with the last waiter the mode is over */
  zk_mutex_unlock(&q->m);
  return rc == ZK_EAGAIN;
}
static int starves_until_it_shows(void *arg) {
  for (int i = 0; i < 100; i++)
    if (starves_one((queue *)arg)) return 0;
  return 1;
}
static void m05_starvation_hands_over(void) {
  queue q;
  memset(&q, 0, sizeof q);
  OK(on_one_worker(starves_until_it_shows, &q));
}

static void hogs(void *arg) {
  shared *s = (shared *)arg;
  while (GET(&s->value) < 10) {
    zk_mutex_lock(&s->m);
    zk_time until = zk_in(100 * ZK_US);
    while (zk_now() < until) {}
    zk_mutex_unlock(&s->m);
    zk_yield();
  }
}
/* Go's TestMutexFairness: held for 100 us of every 100 us, and somebody else gets it ten times within ten seconds. */
static void m06_a_hog_lets_others_in(void) {
  shared s = zero;
  zk_time from = zk_now();
  GO("hog", hogs, &s);
  for (int i = 0; i < 10; i++) {
    zk_mutex_lock(&s.m);
    INC(&s.value);
    zk_mutex_unlock(&s.m);
    zk_yield();
  }
  CHECK(zk_now() - from < 10 * ZK_SEC);
  UNTIL(zt_alive("hog") == 0);
}

static void m07_a_try_takes_what_is_free_and_fails_at_once(void) {
  shared s = zero;
  OK(zk_mutex_lock_until(&s.m, ZK_NOWAIT));
  zk_time from = zk_now();
  for (int i = 0; i < 1000; i++) EQ(zk_mutex_lock_until(&s.m, ZK_NOWAIT), ZK_EAGAIN);
  CHECK(zk_now() - from < ZK_SEC);
  zk_mutex_unlock(&s.m);
  OK(zk_mutex_lock_until(&s.m, ZK_NOWAIT));
  zk_mutex_unlock(&s.m);
}

static void unlocks_later(void *arg) { zk_mutex_unlock((zk_mutex *)arg); }
static void panics_with_the_mutex(void *arg) {
  zk_mutex_lock((zk_mutex *)arg);
  zk_panic("with the mutex held");
}
static void panics_with_a_deferred_unlock(void *arg) {
  zk_mutex_lock((zk_mutex *)arg);
  OK(zk_defer(unlocks_later, arg));
  zk_panic("with the mutex held");
}
/* No poisoning: it stays locked unless an unlock was deferred, and then it is like any other. */
static void m08_a_panic_poisons_nothing(void) {
  zk_mutex m = ZK_ZERO;
  EQ(zk_try(panics_with_a_deferred_unlock, &m, NULL, 0), ZK_EPANIC);
  OK(zk_mutex_lock_until(&m, ZK_NOWAIT));
  zk_mutex_unlock(&m);
  EQ(zk_try(panics_with_the_mutex, &m, NULL, 0), ZK_EPANIC);
  EQ(zk_mutex_lock_until(&m, ZK_NOWAIT), ZK_EAGAIN);
  zk_mutex_unlock(&m); /* anybody may */
  OK(zk_mutex_lock_until(&m, ZK_NOWAIT));
  zk_mutex_unlock(&m);
}

/* ---- more of the rwmutex */

static void rw03_reading_twice_waits_for_ever_behind_a_writer(void) {
  shared s = zero;
  zk_rwmutex_rlock(&s.rw);
  GO("writer", writes, &s);
  PARKED(1, "writer", "rwmutex write");
  EQ(zk_rwmutex_rlock_until(&s.rw, zk_in(20 * ZK_MS)), ZK_ETIMEDOUT);
  zk_rwmutex_runlock(&s.rw);
  UNTIL(zt_alive("writer") == 0);
}

static void runlocks(void *arg) { zk_rwmutex_runlock(&((shared *)arg)->rw); }
static void wunlocks(void *arg) { zk_rwmutex_unlock(&((shared *)arg)->rw); }
static void rw05_others_may_unlock(void) {
  shared s = zero;
  zk_rwmutex_rlock(&s.rw);
  zk_rwmutex_rlock(&s.rw);
  OK(zk_go(runlocks, &s));
  OK(zk_go(runlocks, &s));
  OK(zk_rwmutex_lock_until(&s.rw, zk_in(ZT_LIMIT)));
  OK(zk_go(wunlocks, &s));
  OK(zk_rwmutex_lock_until(&s.rw, zk_in(ZT_LIMIT)));
  zk_rwmutex_unlock(&s.rw);
}

static void gives_up_writing(void *arg) {
  shared *s = (shared *)arg;
  s->result = zk_rwmutex_lock_until(&s->rw, ZK_FOREVER);
}
/* Nor does one that waited and gave up: the readers it held off get in. */
static void rw07_a_failed_try_leaves_no_mark(void) {
  shared s = zero;
  zk_rwmutex_rlock(&s.rw);
  for (int i = 0; i < 100; i++) {
    EQ(zk_rwmutex_lock_until(&s.rw, ZK_NOWAIT), ZK_EAGAIN);
    OK(zk_rwmutex_rlock_until(&s.rw, ZK_NOWAIT));
    zk_rwmutex_runlock(&s.rw);
  }
  zk_go_opts o = ZK_GO_OPTS_INIT;
  o.name = "writer";
  o.ctx = zk_ctx_new(NULL, ZK_FOREVER);
  OK(zk_go_with(&o, gives_up_writing, &s));
  PARKED(1, "writer", "rwmutex write");
  GO("reader", reads, &s);
  PARKED(1, "reader", "rwmutex read");
  zk_ctx_cancel(o.ctx, 0);
  UNTIL(zt_alive("writer") == 0 && zt_alive("reader") == 0);
  EQ(s.result, ZK_ECANCELED);
  EQ(s.inside, 1);
  zk_rwmutex_runlock(&s.rw);
  zk_ctx_unref(o.ctx);
}

typedef struct ward {
  zk_rwmutex rw;
  int readers, writers, sum;
  zk_wg wg;
} ward;
static void ward_reads(void *arg) {
  ward *w = (ward *)arg;
  for (int i = 0; i < 300; i++) {
    zk_rwmutex_rlock(&w->rw);
    INC(&w->readers);
    EQ(GET(&w->writers), 0);
    if (i % 16 == 0) zk_yield();
    __atomic_sub_fetch(&w->readers, 1, __ATOMIC_SEQ_CST);
    zk_rwmutex_runlock(&w->rw);
  }
}
static void ward_writes(void *arg) {
  ward *w = (ward *)arg;
  for (int i = 0; i < 300; i++) {
    zk_rwmutex_lock(&w->rw);
    EQ(INC(&w->writers), 1);
    EQ(GET(&w->readers), 0);
    if (i % 16 == 0) zk_yield();
    w->sum++;
    __atomic_sub_fetch(&w->writers, 1, __ATOMIC_SEQ_CST);
    zk_rwmutex_unlock(&w->rw);
  }
}
static void rw10_readers_and_writers_never_mix(void) {
  ward w;
  memset(&w, 0, sizeof w);
  for (int i = 0; i < 8; i++) OK(zk_wg_go(&w.wg, i % 4 ? ward_reads : ward_writes, &w));
  OK(zk_wg_wait(&w.wg, zk_in(ZT_LIMIT)));
  EQ(w.sum, 600);
}

/* ---- once inside once */

static void again(void *arg) { zk_once_do((zk_once *)arg, again, arg); }
static int once_in_once(void *arg) {
  again(arg);
  return 0;
}
static void recursive_once(void) {
  zk_once o = ZK_ZERO;
  EQ(zk_run(once_in_once, &o, NULL), ZK_EDEADLOCK);
}
static void o04_a_call_from_inside_waits_for_ever(void) { CHILD_EXITS(recursive_once, 0); }

/* ---- more of the semaphore */

typedef struct taker {
  zk_sem *s;
  uint32_t n;
  int rc, done;
  zk_time deadline;
} taker;
static void takes(void *arg) {
  taker *t = (taker *)arg;
  t->rc = zk_sem_acquire(t->s, t->n, t->deadline);
  INC(&t->done);
}
static void start_taker(taker *t, zk_sem *s, uint32_t n, zk_ctx *x, zk_time deadline, int others) {
  zk_go_opts o = ZK_GO_OPTS_INIT;
  memset(t, 0, sizeof *t);
  t->s = s;
  t->n = n;
  t->deadline = deadline;
  o.ctx = x;
  o.name = "taker";
  OK(zk_go_with(&o, takes, t));
  PARKED(others + 1, "taker", "semaphore");
}

static void sem03_an_ended_context_never_acquires(void) {
  zk_sem s = ZK_SEM_INIT(1);
  zk_ctx *x = zk_ctx_new(NULL, ZK_FOREVER);
  zk_go_opts o = ZK_GO_OPTS_INIT;
  taker t = { &s, 1, 0, 0, ZK_FOREVER };
  zk_ctx_cancel(x, 0);
  o.ctx = x;
  OK(zk_go_with(&o, takes, &t)); /* although a token is free */
  UNTIL(GET(&t.done));
  EQ(t.rc, ZK_ECANCELED);
  OK(zk_sem_acquire(&s, 1, ZK_NOWAIT));
  zk_ctx_unref(x);
}
static void cancels_it(void *arg) { zk_ctx_cancel((zk_ctx *)arg, 0); }
static void sem03_a_cancellation_that_races_with_a_grant_loses_no_token(void) {
  zk_sem s = ZK_ZERO;
  for (int i = 0; i < 100; i++) {
    taker t;
    zk_wg wg = ZK_ZERO;
    zk_ctx *x = zk_ctx_new(NULL, ZK_FOREVER);
    start_taker(&t, &s, 1, x, ZK_FOREVER, 0);
    OK(zk_wg_go(&wg, cancels_it, x));
    zk_sem_release(&s, 1);
    OK(zk_wg_wait(&wg, zk_in(ZT_LIMIT)));
    UNTIL(GET(&t.done));
    CHECK(t.rc == ZK_OK || t.rc == ZK_ECANCELED);
    EQ(zk_sem_acquire(&s, 1, ZK_NOWAIT), t.rc == ZK_OK ? ZK_EAGAIN : ZK_OK);
    UNTIL(zt_alive("taker") == 0);
    zk_ctx_unref(x);
  }
}
static void sem04_sem05_a_hopeless_wish_holds_up_nobody_once_it_is_given_up(void) {
  zk_sem s = ZK_SEM_INIT(2);
  zk_ctx *x = zk_ctx_new(NULL, ZK_FOREVER);
  taker large, behind;
  start_taker(&large, &s, 1000000, x, ZK_FOREVER, 0);
  start_taker(&behind, &s, 1, NULL, zk_in(ZT_LIMIT), 1); /* strictly in order (SEM-02) */
  zk_ctx_cancel(x, 0);
  UNTIL(GET(&behind.done) && GET(&large.done));
  EQ(large.rc, ZK_ECANCELED);
  OK(behind.rc);
  OK(zk_sem_acquire(&s, 1, ZK_NOWAIT));
  EQ(zk_sem_acquire(&s, 1, ZK_NOWAIT), ZK_EAGAIN); /* both tokens are out */
  EQ(zk_sem_acquire(&s, 5, zk_in(2 * ZK_MS)), ZK_ETIMEDOUT);
  UNTIL(zt_alive("taker") == 0);
  zk_ctx_unref(x);
}
static void release_too_much(void) {
  zk_sem s = ZK_SEM_INIT(INT64_MAX);
  zk_sem_release(&s, 1);
}
/* A semaphore of C has no size; what it counts has an end. */
static void sem06_releasing_beyond_the_end_of_counting_is_fatal(void) {
  CHILD_ABORTS(release_too_much, "zk_sem_release: too many tokens");
}

/* ---- whoever is the last may free it, although others are still on their way out of unlock */

typedef struct counted {
  zk_mutex m;
  zk_rwmutex rw;
  int users;
} counted;
static int freed;
static void use_and_free(void *arg) {
  counted *c = (counted *)arg;
  for (int i = 0; i < 3; i++) {
    zk_rwmutex_rlock(&c->rw);
    zk_yield();
    zk_rwmutex_runlock(&c->rw);
    while (zk_rwmutex_lock_until(&c->rw, zk_in(ZK_US)) != ZK_OK) {}
    zk_rwmutex_unlock(&c->rw);
  }
  zk_mutex_lock(&c->m);
  zk_yield(); /* the others queue */
  int left = --c->users;
  zk_mutex_unlock(&c->m);
  if (left == 0) {
    memset((void *)c, 0xa5, sizeof *c); /* a late look at a lock would wait for ever */
    free(c);
    INC(&freed);
  }
}
static void m01_the_last_user_frees_what_the_mutex_is_in(void) {
  freed = 0;
  for (int i = 0; i < 60; i++) {
    counted *c = (counted *)calloc(1, sizeof *c);
    CHECK(c != NULL);
    c->users = 5;
    for (int k = 0; k < 5; k++) GO("user", use_and_free, c);
  }
  UNTIL(GET(&freed) == 60);
  UNTIL(zt_alive("user") == 0);
}

static const zt_test tests[] = {
  BOTH(m01_the_last_user_frees_what_the_mutex_is_in),
  BOTH(nothing_to_lock_is_an_error),
  BOTH(m01_m02_unlocked_at_first_and_without_owner),
  BOTH(a_mutex_excludes_goroutines_and_threads),
  ONCE(m03_rw06_cv01_misuse_is_fatal),
  BOTH(rw01_many_readers_or_one_writer),
  BOTH(rw02_rw04_phases_alternate),
  BOTH(cv02_cv03_signals_wake_in_order_and_are_not_kept),
  BOTH(cv04_broadcast_wakes_all_that_wait),
  BOTH(o01_once_runs_one_and_all_wait_for_it),
  BOTH(o02_o03_a_panic_or_goexit_counts_as_done),
  BOTH(sem02_a_large_request_is_not_overtaken),
  BOTH(a_bound_goroutine_is_cancelled),
  BOTH(pl01_a_pool_keeps_what_is_put_back),
  CHILD(unlock_of_an_unlocked_mutex),
  CHILD(unlock_inside_try),
  CHILD(runlock_of_an_unlocked_rwmutex),
  CHILD(unlock_of_a_read_rwmutex),
  CHILD(wait_without_lock),
  CHILD(lock_of_nothing),
  ONCE(m04_sem01_waiters_are_served_in_order_and_who_runs_may_barge),
  ONCE(m05_starvation_hands_over),
  BOTH(m06_a_hog_lets_others_in),
  BOTH(m07_a_try_takes_what_is_free_and_fails_at_once),
  BOTH(m08_a_panic_poisons_nothing),
  BOTH(rw03_reading_twice_waits_for_ever_behind_a_writer),
  BOTH(rw05_others_may_unlock),
  BOTH(rw07_a_failed_try_leaves_no_mark),
  BOTH(rw10_readers_and_writers_never_mix),
  ONCE(o04_a_call_from_inside_waits_for_ever),
  BOTH(sem03_an_ended_context_never_acquires),
  BOTH(sem03_a_cancellation_that_races_with_a_grant_loses_no_token),
  BOTH(sem04_sem05_a_hopeless_wish_holds_up_nobody_once_it_is_given_up),
  ONCE(sem06_releasing_beyond_the_end_of_counting_is_fatal),
  CHILD(recursive_once),
  CHILD(release_too_much),
};
MAIN(tests)
