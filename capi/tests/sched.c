/* The scheduler: rules G-03 to G-23 that the other files do not have. Go's scenarios (runtime/proc_test.go) are written anew. */
#include "zktest.h"
#include <sched.h>
#include <sys/syscall.h>

static long thread_id(void) { return syscall(SYS_gettid); }

static void spin(zk_duration d) {
  zk_time until = zk_now() + d;
  while (zk_now() < until) {}
}

/* ---- ends, and how one learns of them */

typedef struct ends {
  int ended, plain;
  zk_wg wg;
  zk_chan *gate;
} ends;
static void ends_later(void *arg) {
  ends *e = (ends *)arg;
  (void)zk_chan_recv(e->gate, NULL, 0, zk_in(ZT_LIMIT));
  INC(&e->ended);
}
static void g03_only_synchronisation_tells_the_end(void) {
  ends e = { 0, 0, ZK_ZERO, zt_ints(0) };
  uint64_t me = zk_goid();
  for (int i = 0; i < 20; i++) OK(zk_wg_go(&e.wg, ends_later, &e));
  PARKED(20, "", "chan receive");
  EQ(zk_wg_wait(&e.wg, ZK_NOWAIT), ZK_EAGAIN);
  EQ(GET(&e.ended), 0);
  zk_chan_close(e.gate);
  OK(zk_wg_wait(&e.wg, zk_in(ZT_LIMIT)));
  EQ(GET(&e.ended), 20);
  EQ(zk_goid(), me); /* numbers tell goroutines apart and nothing else */
  zk_chan_unref(e.gate);
}

/* ---- who runs at once */

typedef struct laps {
  int turn, p, ready;
  zk_wg wg;
} laps;
typedef struct lap {
  laps *all;
  int me;
} lap;
static void spins_and_hands_on(void *arg) {
  lap *l = (lap *)arg;
  for (int k = 0; k < 3; k++) {
    while (GET(&l->all->turn) != k * l->all->p + l->me) {}
    INC(&l->all->turn);
  }
}
/* P goroutines that never call must all be on a thread of their own. */
static void g06_goroutines_run_truly_in_parallel(void) {
  int before = zk_workers(0);
  for (int p = 2; p <= 4; p += 2) {
    laps all = { 0, p, 0, ZK_ZERO };
    lap l[4];
    CHECK(zk_workers((uint32_t)p) > 0);
    for (int i = 0; i < p; i++) {
      l[i].all = &all;
      l[i].me = i;
      OK(zk_wg_go(&all.wg, spins_and_hands_on, &l[i]));
    }
    OK(zk_wg_wait(&all.wg, zk_in(ZT_LIMIT)));
    EQ(all.turn, 3 * p);
  }
  CHECK(zk_workers((uint32_t)before) > 0);
}

typedef struct order {
  int seen[16], n, runs;
  zk_wg wg;
  zk_chan *c;
} order;
typedef struct place {
  order *o;
  int i;
} place;
static void takes_its_place(void *arg) {
  place *p = (place *)arg;
  p->o->seen[__atomic_fetch_add(&p->o->n, 1, __ATOMIC_SEQ_CST)] = p->i;
}
static int launches_ten(void *arg) {
  order *o = (order *)arg;
  place p[10];
  static const int expected[10] = { 9, 0, 1, 2, 3, 4, 5, 6, 7, 8 };
  for (int t = 0; t < 100; t++) {
    o->n = 0;
    for (int i = 0; i < 10; i++) {
      p[i].o = o;
      p[i].i = i;
      OK(zk_wg_go(&o->wg, takes_its_place, &p[i]));
    }
    OK(zk_wg_wait(&o->wg, zk_in(ZT_LIMIT)));
    EQ(o->n, 10);
    o->runs += !memcmp(o->seen, expected, sizeof expected);
  }
  return 0;
}
/* This is how it is, not a promise: a time slice may end in between, so one run in ten may differ. */
static void g09_the_goroutine_made_last_runs_next(void) {
  order o;
  memset(&o, 0, sizeof o);
  int before = zk_workers(1);
  for (int round = 0; round < 5 && o.runs < 90; round++) { /* on a loaded machine slices end often */
    o.runs = 0;
    OK(zk_run(launches_ten, &o, NULL));
  }
  CHECK(zk_workers((uint32_t)before) > 0);
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
  CHECK(o.runs >= 10); /* so slow that slices end often */
#else
  CHECK(o.runs >= 90);
#endif
}

typedef struct crowd {
  int ready, threads[64];
  zk_wg wg;
} crowd;
static void notes_thread(void *arg) {
  crowd *c = (crowd *)arg;
  c->threads[INC(&c->ready) - 1] = (int)thread_id();
  spin(2 * ZK_MS);
}
static void fills_its_queue(void *arg) {
  crowd *c = (crowd *)arg;
  for (int i = 0; i < 64; i++) OK(zk_wg_go(&c->wg, notes_thread, c));
}
/* All of them are made by one worker; the others come and take some. */
static void g10_idle_workers_take_work_from_busy_ones(void) {
  crowd c;
  memset(&c, 0, sizeof c);
  int before = zk_workers(4), others = 0;
  OK(zk_wg_go(&c.wg, fills_its_queue, &c));
  OK(zk_wg_wait(&c.wg, zk_in(ZT_LIMIT)));
  for (int i = 1; i < 64; i++) others += c.threads[i] != c.threads[0];
  CHECK(others > 0);
  CHECK(zk_workers((uint32_t)before) > 0);
}

/* ---- time slices and fairness */

typedef struct hog {
  int stop, rounds;
  zk_wg wg;
  zk_chan *never;
} hog;
static void hogs_but_calls(void *arg) {
  hog *h = (hog *)arg;
  int v;
  while (!GET(&h->stop)) {
    (void)zk_chan_recv(h->never, &v, sizeof v, ZK_NOWAIT);
    INC(&h->rounds);
  }
}
static void says_stop(void *arg) { SET(&((hog *)arg)->stop, 1); }
static int one_hog(void *arg) {
  hog *h = (hog *)arg;
  OK(zk_wg_go(&h->wg, hogs_but_calls, h));
  OK(zk_wg_go(&h->wg, hogs_but_calls, h));
  zk_yield();
  OK(zk_wg_go(&h->wg, says_stop, h)); /* has to get its turn although nobody yields */
  return zk_wg_wait(&h->wg, zk_in(ZT_LIMIT));
}
static void g11_a_hog_that_makes_calls_gives_way(void) {
  hog h = { 0, 0, ZK_ZERO, zt_ints(0) };
  int before = zk_workers(1), code = -1;
  OK(zk_run(one_hog, &h, &code));
  OK(code);
  CHECK(zk_workers((uint32_t)before) > 0);
  zk_chan_unref(h.never);
}

typedef struct pair {
  zk_chan *there, *back;
  int stop, spins;
  uint64_t turns;
  zk_wg wg;
} pair;
static void works(int n) {
  volatile unsigned sink = 0;
  for (int i = 0; i < n; i++) sink += (unsigned)i;
}
static void leads(void *arg) {
  pair *p = (pair *)arg;
  int v = 0;
  while (!GET(&p->stop)) {
    OK(zt_send(p->there, v));
    works(p->spins);
    CHECK(zt_recv(p->back) >= 0);
    __atomic_fetch_add(&p->turns, 1, __ATOMIC_RELAXED);
  }
  zk_chan_close(p->there);
}
static void echoes(void *arg) {
  pair *p = (pair *)arg;
  int v;
  while (zk_recv(p->there, &v) == ZK_OK) {
    works(p->spins);
    OK(zt_send(p->back, v));
  }
}
static void pair_start(pair *p, int spins) {
  memset(p, 0, sizeof *p);
  p->there = zt_ints(0);
  p->back = zt_ints(0);
  p->spins = spins;
  OK(zk_wg_go(&p->wg, leads, p));
  OK(zk_wg_go(&p->wg, echoes, p));
}
static void pair_stop(pair *p) {
  SET(&p->stop, 1);
  OK(zk_wg_wait(&p->wg, zk_in(ZT_LIMIT)));
  zk_chan_unref(p->there);
  zk_chan_unref(p->back);
}

static int lives_beside_a_pair(void *arg) {
  pair p;
  int n = 0;
  (void)arg;
  pair_start(&p, 0);
  for (int i = 0; i < 20; i++) {
    zk_yield();
    OK(zk_sleep(100 * ZK_US));
    zk_timer *t = zk_timer_func(0, says_stop, &n); /* a function gets its turn too */
    CHECK(t != NULL);
    hog *h = (hog *)(void *)&n;
    UNTIL(GET(&h->stop));
    SET(&n, 0);
    zk_timer_unref(t);
  }
  pair_stop(&p);
  return 0;
}
static void g12_a_pair_that_wakes_each_other_starves_nobody(void) {
  int before = zk_workers(1);
  OK(zk_run(lives_beside_a_pair, NULL, NULL));
  CHECK(zk_workers((uint32_t)before) > 0);
}

/* What this process has had of the CPUs: other programs take their share as well. */
static zk_time cpu_time(void) {
  struct timespec t;
  CHECK(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t) == 0);
  return t.tv_sec * ZK_SEC + t.tv_nsec;
}
static void use_cpu(zk_time much) {
  for (zk_time until = cpu_time() + much; cpu_time() < until;) OK(zk_sleep(5 * ZK_MS));
}
/* Go's TestPingPongHog: what counts is the time each pair gets, so turns are weighed with what one costs when the pair is alone. */
static double alone(int spins) {
  pair p;
  zk_time from = cpu_time();
  pair_start(&p, spins);
  use_cpu(50 * ZK_MS);
  pair_stop(&p);
  return (double)(cpu_time() - from) / (double)(p.turns + 1);
}
static int two_pairs(void *arg) {
  (void)arg;
  double light_cost = alone(0), heavy_cost = alone(20000);
  pair light, heavy;
  pair_start(&light, 0);
  pair_start(&heavy, 20000);
  use_cpu(200 * ZK_MS);
  SET(&light.stop, 1);
  pair_stop(&heavy);
  pair_stop(&light);
  double l = (double)light.turns * light_cost, h = (double)heavy.turns * heavy_cost;
  CHECK(l > 0 && h > 0);
  CHECK(l / h < 20 && h / l < 20);
  return 0;
}
static void g13_a_heavy_pair_and_a_light_pair_share_the_worker(void) {
  int before = zk_workers(1);
  OK(zk_run(two_pairs, NULL, NULL));
  CHECK(zk_workers((uint32_t)before) > 0);
}

typedef struct chain {
  int stop, ended;
} chain;
static void respawns(void *arg) {
  chain *c = (chain *)arg;
  if (GET(&c->stop)) SET(&c->ended, 1);
  else OK(zk_go(respawns, arg));
}
static int beside_a_chain(void *arg) {
  chain *c = (chain *)arg;
  OK(zk_go(respawns, c));
  zk_time from = zk_now();
  for (int i = 0; i < 20; i++) zk_yield();
  CHECK((zk_now() - from) / 20 < ZK_SEC); /* our bound is 100 ms; the rest is for a loaded machine */
  SET(&c->stop, 1);
  UNTIL(GET(&c->ended));
  return 0;
}
static void g14_a_respawn_chain_starves_nobody(void) {
  chain c = { 0, 0 };
  int before = zk_workers(1);
  OK(zk_run(beside_a_chain, &c, NULL));
  CHECK(zk_workers((uint32_t)before) > 0);
}

/* ---- threads */

static void ends_locked(void *arg) {
  zk_lock_thread();
  zk_yield();
  SET((long *)arg, thread_id());
}
static void looks_for_thread(void *arg) {
  crowd *c = (crowd *)arg;
  c->threads[INC(&c->ready) - 1] = (int)thread_id();
  zk_yield();
}
static void g17_the_thread_of_a_goroutine_that_ends_locked_is_not_used_again(void) {
  for (int round = 0; round < 5; round++) {
    crowd c;
    long dead = 0;
    memset(&c, 0, sizeof c);
    GO("locked", ends_locked, &dead);
    UNTIL(GET(&dead) != 0 && zt_alive("locked") == 0);
    /* The thread ends; that of zk_run runs its main goroutine from now on, and nobody else. */
    for (int i = 0; i < 64; i++) OK(zk_wg_go(&c.wg, looks_for_thread, &c));
    OK(zk_wg_wait(&c.wg, zk_in(ZT_LIMIT)));
    for (int i = 0; i < 64; i++) CHECK(c.threads[i] != dead);
  }
}

static void churns(void *arg) {
  hog *h = (hog *)arg;
  while (!GET(&h->stop)) {
    zk_wg wg = ZK_ZERO;
    int n[2] = { 0, 0 };
    OK(zk_wg_go(&wg, says_stop, &n));
    OK(zk_wg_wait(&wg, zk_in(ZT_LIMIT)));
  }
}
static void g21_the_worker_count_changes_under_churn(void) {
  hog h = { 0, 0, ZK_ZERO, NULL };
  int before = zk_workers(0);
  for (int i = 0; i < 4; i++) OK(zk_wg_go(&h.wg, churns, &h));
  for (uint32_t i = 0; i < 200; i++) {
    CHECK(zk_workers(1 + i * 7 % 8) > 0);
    zk_yield();
  }
  SET(&h.stop, 1);
  OK(zk_wg_wait(&h.wg, zk_in(ZT_LIMIT)));
  CHECK(zk_workers((uint32_t)before) > 0);
}

/* ---- who gets what after a mass wake-up */

typedef struct getter {
  zk_chan *c;
  int value, done;
} getter;
static void gets(void *arg) {
  getter *g = (getter *)arg;
  g->value = zt_recv(g->c);
  INC(&g->done);
}
static void puts_it(void *arg) {
  getter *g = (getter *)arg;
  g->done = zt_send(g->c, g->value) == ZK_OK ? 1 : -1;
}
static void g22_values_follow_the_order_of_waiting_whatever_the_order_of_execution(void) {
  enum { N = 10 };
  getter g[N];
  zk_chan *c = zt_ints(0);
  for (int i = 0; i < N; i++) {
    g[i].c = c;
    g[i].value = -1;
    g[i].done = 0;
    GO("getter", gets, &g[i]);
    PARKED(i + 1, "getter", "chan receive");
  }
  for (int i = 0; i < N; i++) OK(zt_send(c, i));
  for (int i = 0; i < N; i++) {
    UNTIL(GET(&g[i].done));
    EQ(g[i].value, i);
  }
  for (int i = 0; i < N; i++) {
    g[i].done = 0;
    GO("sender", puts_it, &g[i]);
    PARKED(i + 1, "sender", "chan send");
  }
  for (int i = 0; i < N; i++) EQ(zt_recv(c), i);
  UNTIL(zt_alive("sender") == 0);
  for (int i = 0; i < N; i++) EQ(g[i].done, 1);
  zk_chan_close(c);
  zk_chan_unref(c);
}
static void g22_closing_wakes_each_waiter_once(void) {
  enum { N = 10 };
  getter g[N];
  zk_chan *c = zt_ints(0);
  for (int i = 0; i < N; i++) {
    g[i].c = c;
    g[i].done = 0;
    GO("getter", gets, &g[i]);
  }
  PARKED(N, "getter", "chan receive");
  zk_chan_close(c);
  UNTIL(zt_alive("getter") == 0);
  for (int i = 0; i < N; i++) {
    EQ(g[i].done, 1);
    EQ(g[i].value, ZK_ECLOSED);
  }
  zk_chan_unref(c);
}

/* ---- labels */

typedef struct labelled {
  char seen[40], own[40];
  int has, done;
  zk_chan *gate;
} labelled;
static void reads_label(void *arg) {
  labelled *l = (labelled *)arg;
  l->has = zk_label_get("request", l->seen, sizeof l->seen);
  OK(zk_label_set("own", "1"));
  EQ(zk_label_get("own", l->own, sizeof l->own), 1);
  (void)zk_chan_recv(l->gate, NULL, 0, zk_in(ZT_LIMIT));
  INC(&l->done);
}
static int labels_its_children(void *arg) {
  labelled *l = (labelled *)arg;
  char text[8] = "x", dump[4000];
  int fds[2];
  EQ(zk_label_set(NULL, "x"), ZK_EINVAL);
  EQ(zk_label_get(NULL, text, sizeof text), ZK_EINVAL);
  EQ(zk_label_get("request", text, sizeof text), 0);
  EQ(text[0], 0);
  OK(zk_label_set("request", "forty-two"));
  EQ(zk_label_get("request", text, sizeof text), 1);
  CHECK(!strcmp(text, "forty-t")); /* cut off */
  EQ(zk_label_get("request", NULL, 0), 1);
  GO("labelled", reads_label, l);
  OK(zk_label_set("request", "43")); /* not the child's any more */
  PARKED(1, "labelled", "chan receive");
  EQ(zk_label_get("own", NULL, 0), 0);
  CHECK(pipe(fds) == 0);
  OK(zk_dump(fds[1]));
  ssize_t n = read(fds[0], dump, sizeof dump - 1);
  CHECK(n > 0);
  dump[n] = 0;
  close(fds[0]);
  close(fds[1]);
  CHECK(strstr(dump, "[chan receive] {own: 1, request: forty-two}:"));
  CHECK(strstr(dump, "[running] {request: 43}:"));
  OK(zk_label_set("request", NULL));
  EQ(zk_label_get("request", NULL, 0), 0);
  zk_chan_close(l->gate);
  UNTIL(GET(&l->done));
  EQ(l->has, 1);
  CHECK(!strcmp(l->seen, "forty-two") && !strcmp(l->own, "1"));
  return 0;
}
static void g23_labels_are_inherited_and_printed_in_dumps(void) {
  labelled l;
  memset(&l, 0, sizeof l);
  l.gate = zt_ints(0);
  EQ(zk_label_set("outside", "a goroutine"), ZK_EPERM);
  EQ(zk_label_get("outside", NULL, 0), 0);
  OK(zk_run(labels_its_children, &l, NULL));
  zk_chan_unref(l.gate);
}

/* The number of CPUs this process may use, in a process that has set nothing. */
static void one_cpu(void) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(sched_getcpu(), &set);
  CHECK(sched_setaffinity(0, sizeof set, &set) == 0);
  EQ(zk_workers(0), 1);
}
static void g05_the_default_worker_count_honours_the_affinity_mask(void) { CHILD_EXITS(one_cpu, 0); }

static const zt_test tests[] = {
  BOTH(g03_only_synchronisation_tells_the_end),
  ONCE(g05_the_default_worker_count_honours_the_affinity_mask),
  ONCE(g06_goroutines_run_truly_in_parallel),
  ONCE(g09_the_goroutine_made_last_runs_next),
  ONCE(g10_idle_workers_take_work_from_busy_ones),
  ONCE(g11_a_hog_that_makes_calls_gives_way),
  ONCE(g12_a_pair_that_wakes_each_other_starves_nobody),
  ONCE(g13_a_heavy_pair_and_a_light_pair_share_the_worker),
  ONCE(g14_a_respawn_chain_starves_nobody),
  BOTH(g17_the_thread_of_a_goroutine_that_ends_locked_is_not_used_again),
  BOTH(g21_the_worker_count_changes_under_churn),
  BOTH(g22_values_follow_the_order_of_waiting_whatever_the_order_of_execution),
  BOTH(g22_closing_wakes_each_waiter_once),
  ONCE(g23_labels_are_inherited_and_printed_in_dumps),
  CHILD(one_cpu),
};
MAIN(tests)
