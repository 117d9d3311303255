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

static const zt_test tests[] = {
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
};
MAIN(tests)
