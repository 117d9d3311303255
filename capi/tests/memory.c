/* The memory model: rules HB-01 to HB-16, as litmus loops. Plain words go over one edge of docs/memory-model.md, between goroutines and
 * plain threads, and nothing else orders the two sides. Built with ThreadSanitizer a missing edge is a report, also where the hardware
 * would not show it. The scenarios are those of Go's runtime/race/testdata named TestNoRace…, written anew. */
#include "zktest.h"

enum { ROUNDS = 300 };

/* Words that nothing protects but the edge under test. Volatile: written and read one by one. */
typedef struct plain {
  volatile uint64_t w[4];
} plain;
static void put(plain *p, uint64_t n) {
  for (int i = 0; i < 4; i++) p->w[i] = n;
}
static uint64_t get(const plain *p) {
  uint64_t n = p->w[0];
  for (int i = 1; i < 4; i++) EQ(p->w[i], n);
  return n;
}

/* The party on the other side: a goroutine that may move, one that is pinned, or a thread. */
enum { MOVES, PINNED, THREAD, KINDS };
typedef struct party {
  zk_fn f;
  void *arg;
  int done;
  pthread_t thread;
} party;
static void party_runs(void *arg) {
  party *p = (party *)arg;
  p->f(p->arg);
}
static void *party_thread(void *arg) {
  party_runs(arg);
  zk_release();
  return NULL;
}
static void party_ended(void *arg) { SET(&((party *)arg)->done, 1); }
static void start(party *p, int kind, zk_fn f, void *arg) {
  memset(p, 0, sizeof *p);
  p->f = f;
  p->arg = arg;
  if (kind == THREAD) {
    zk_hold();
    EQ(pthread_create(&p->thread, NULL, party_thread, p), 0);
    return;
  }
  zk_go_opts o = ZK_GO_OPTS_INIT;
  o.flags = kind == PINNED ? ZK_GO_PINNED : 0;
  o.on_exit = party_ended;
  OK(zk_go_with(&o, party_runs, p));
}
static void join_it(void *arg) { EQ(pthread_join(*(pthread_t *)arg, NULL), 0); }
static void end(party *p, int kind) {
  if (kind == THREAD) OK(zk_blocking(join_it, &p->thread));
  else UNTIL(GET(&p->done));
}

/* What the tests share. */
typedef struct world {
  plain word, words[ROUNDS + 1];
  zk_chan *c, *back;
  zk_mutex m;
  zk_rwmutex rw;
  zk_cond cond;
  zk_once once;
  zk_wg wg;
  zk_pool *pool;
  zk_ctx *ctx;
  zk_timer *t;
  int n, cap;
  uint64_t k;
} world;
static world *new_world(int cap) {
  world *w = (world *)calloc(1, sizeof *w);
  CHECK(w != NULL);
  w->c = zt_ints((size_t)cap);
  w->back = zt_ints(0);
  w->cap = cap;
  return w;
}
static void free_world(world *w) {
  zk_chan_unref(w->c);
  zk_chan_unref(w->back);
  free(w);
}

/* ---- goroutines */

static void sees_the_launch(void *arg) {
  world *w = (world *)arg;
  EQ(get(&w->word), 2 * w->k);
  put(&w->word, 2 * w->k + 1);
}
static void launches(void *arg) {
  world *w = (world *)arg;
  for (w->k = 1; w->k <= ROUNDS; w->k++) {
    put(&w->word, 2 * w->k);
    OK(zk_wg_go(&w->wg, sees_the_launch, w));
    OK(zk_wg_wait(&w->wg, zk_in(ZT_LIMIT)));
    EQ(get(&w->word), 2 * w->k + 1);
  }
}
static void hb01_the_launch_comes_before_the_first_instruction(void) {
  for (int kind = 0; kind < KINDS; kind++) {
    world *w = new_world(0);
    party p;
    start(&p, kind, launches, w);
    end(&p, kind);
    free_world(w);
  }
}

/* ---- channels */

static void sends_all(void *arg) {
  world *w = (world *)arg;
  for (int k = 1; k <= ROUNDS; k++) {
    put(&w->words[k], (uint64_t)k);
    zk_case send = SEND(w->c, &k);
    if (k % 2) OK(zt_send(w->c, k));
    else EQ(zk_select(&send, 1, zk_in(ZT_LIMIT)), 0);
  }
}
static void hb02_a_send_comes_before_the_end_of_its_receive(void) {
  static const int caps[] = { 0, 1, 3 };
  for (int kind = 0; kind < KINDS; kind++)
    for (int i = 0; i < 3; i++) {
      world *w = new_world(caps[i]);
      party p;
      start(&p, kind, sends_all, w);
      for (int k = 1; k <= ROUNDS; k++) {
        int v = 0;
        zk_case recv[2] = { RECV(w->back, &v), RECV(w->c, &v) };
        switch (k % 3) {
        case 0: v = zt_recv(w->c); break;
        case 1: EQ(zk_select(recv, 2, zk_in(ZT_LIMIT)), 1); break;
        default: UNTIL((v = zt_try_recv(w->c)) != ZK_EAGAIN);
        }
        EQ(v, k);
        EQ(get(&w->words[k]), k);
      }
      end(&p, kind);
      free_world(w);
    }
}

static void receives_twice_each(void *arg) {
  world *w = (world *)arg;
  for (int k = 1; k <= ROUNDS; k++) {
    put(&w->word, (uint64_t)k);
    EQ(zt_recv(w->c), k);
    EQ(zt_recv(w->c), -k); /* the other side has read it */
  }
}
static void hb03_an_unbuffered_receive_comes_before_the_end_of_its_send(void) {
  for (int kind = 0; kind < KINDS; kind++) {
    world *w = new_world(0);
    party p;
    start(&p, kind, receives_twice_each, w);
    for (int k = 1; k <= ROUNDS; k++) {
      OK(zt_send(w->c, k));
      EQ(get(&w->word), k);
      OK(zt_send(w->c, -k));
    }
    end(&p, kind);
    free_world(w);
  }
}

static void closes(void *arg) {
  world *w = (world *)arg;
  put(&w->word, w->k);
  OK(zk_chan_close(w->c));
}
static void hb04_closing_comes_before_the_receive_that_reports_it(void) {
  for (int kind = 0; kind < KINDS; kind++)
    for (uint64_t k = 1; k <= 60; k++) {
      world *w = new_world((int)(k % 2));
      int v = 0;
      zk_case recv = RECV(w->c, &v);
      bool ok = true;
      party p;
      recv.ok = &ok;
      w->k = k;
      start(&p, kind, closes, w);
      switch (k % 3) {
      case 0: EQ(zt_recv(w->c), ZK_ECLOSED); break;
      case 1:
        EQ(zk_select(&recv, 1, zk_in(ZT_LIMIT)), 0);
        CHECK(!ok);
        break;
      default: UNTIL(zt_try_recv(w->c) == ZK_ECLOSED);
      }
      EQ(get(&w->word), k);
      end(&p, kind);
      free_world(w);
    }
}

static void adds_inside(void *arg) {
  world *w = (world *)arg;
  for (int i = 0; i < ROUNDS; i++) {
    OK(zt_send(w->c, 1)); /* acquire */
    put(&w->word, get(&w->word) + 1);
    EQ(zt_recv(w->c), 1);
  }
}
static void hb05_with_capacity_one_a_channel_is_a_mutex(void) {
  world *w = new_world(1);
  party p[5];
  for (int i = 0; i < 5; i++) start(&p[i], i % KINDS, adds_inside, w);
  for (int i = 0; i < 5; i++) end(&p[i], i % KINDS);
  EQ(get(&w->word), 5 * ROUNDS);
  free_world(w);
}
static void marks_and_receives(void *arg) {
  world *w = (world *)arg;
  for (int k = 0; k < ROUNDS; k++) {
    put(&w->words[k], (uint64_t)k + 1);
    EQ(zt_recv(w->c), k);
  }
}
static void hb05_receive_k_comes_before_the_end_of_send_k_plus_c(void) {
  for (int kind = 0; kind < KINDS; kind++)
    for (int cap = 1; cap <= 5; cap += 2) {
      world *w = new_world(cap);
      party p;
      start(&p, kind, marks_and_receives, w);
      for (int k = 0; k < ROUNDS; k++) {
        OK(zt_send(w->c, k));
        if (k >= cap) EQ(get(&w->words[k - cap]), k - cap + 1);
      }
      end(&p, kind);
      free_world(w);
    }
}

/* ---- locks */

static void adds_locked(void *arg) {
  world *w = (world *)arg;
  for (int i = 0; i < ROUNDS; i++) {
    if (i % 3) zk_mutex_lock(&w->m);
    else UNTIL(zk_mutex_lock_until(&w->m, ZK_NOWAIT) == ZK_OK);
    put(&w->word, get(&w->word) + 1);
    zk_mutex_unlock(&w->m);
  }
}
static void hb06_an_unlock_comes_before_the_next_lock(void) {
  world *w = new_world(0);
  party p[6];
  for (int i = 0; i < 6; i++) start(&p[i], i % KINDS, adds_locked, w);
  for (int i = 0; i < 6; i++) end(&p[i], i % KINDS);
  EQ(get(&w->word), 6 * ROUNDS);
  free_world(w);
}
typedef struct reader {
  world *w;
  plain *seen;
} reader;
static void reads_under_the_lock(void *arg) {
  reader *r = (reader *)arg;
  for (int i = 0; i < ROUNDS; i++) {
    zk_rwmutex_rlock(&r->w->rw);
    put(r->seen, get(&r->w->word));
    zk_rwmutex_runlock(&r->w->rw);
    zk_yield();
  }
}
static void writes_under_the_lock(void *arg) {
  world *w = (world *)arg;
  for (int i = 0; i < ROUNDS; i++) {
    zk_rwmutex_lock(&w->rw);
    uint64_t now = get(&w->word);
    for (int r = 0; r < KINDS; r++) CHECK(get(&w->words[r]) <= now);
    put(&w->word, now + 1);
    zk_rwmutex_unlock(&w->rw);
    zk_yield();
  }
}
static void hb06_a_writers_unlock_comes_before_readers_and_theirs_before_the_next_writer(void) {
  world *w = new_world(0);
  party readers[KINDS], writers[KINDS];
  reader r[KINDS];
  for (int i = 0; i < KINDS; i++) {
    r[i].w = w;
    r[i].seen = &w->words[i];
    start(&readers[i], i, reads_under_the_lock, &r[i]);
    start(&writers[i], i, writes_under_the_lock, w);
  }
  for (int i = 0; i < KINDS; i++) {
    end(&readers[i], i);
    end(&writers[i], i);
  }
  EQ(get(&w->word), KINDS * ROUNDS);
  free_world(w);
}

/* ---- wait group, once, cond, pool */

static void writes_and_is_done(void *arg) {
  world *w = (world *)arg;
  put(&w->word, w->k);
  zk_wg_done(&w->wg);
}
static void returns_after_writing(void *arg) {
  world *w = (world *)arg;
  put(&w->words[0], w->k);
}
static void hb07_done_comes_before_the_wait_it_releases(void) {
  for (int kind = 0; kind < KINDS; kind++) {
    world *w = new_world(0);
    for (w->k = 1; w->k <= 100; w->k++) {
      party p;
      zk_wg_add(&w->wg, 1);
      start(&p, kind, writes_and_is_done, w);
      OK(zk_wg_go(&w->wg, returns_after_writing, w));
      OK(zk_wg_wait(&w->wg, zk_in(ZT_LIMIT)));
      EQ(get(&w->word), w->k);
      EQ(get(&w->words[0]), w->k);
      end(&p, kind);
    }
    free_world(w);
  }
}

static void runs_once(void *arg) { put(&((world *)arg)->word, 7); }
static void calls_once(void *arg) {
  world *w = (world *)arg;
  zk_once_do(&w->once, runs_once, w);
  EQ(get(&w->word), 7);
}
static void hb08_the_once_functions_return_comes_before_every_return_of_once(void) {
  for (int k = 0; k < 100; k++) {
    world *w = new_world(0);
    party p[KINDS];
    for (int i = 0; i < KINDS; i++) start(&p[i], i, calls_once, w);
    calls_once(w);
    for (int i = 0; i < KINDS; i++) end(&p[i], i);
    free_world(w);
  }
}

static void waits_for_the_signal(void *arg) {
  world *w = (world *)arg;
  zk_mutex_lock(&w->m);
  w->n++;
  OK(zk_cond_wait(&w->cond, &w->m, zk_in(ZT_LIMIT)));
  zk_mutex_unlock(&w->m);
  EQ(get(&w->word), w->k);
}
static int both_wait(world *w) {
  zk_mutex_lock(&w->m);
  int n = w->n;
  zk_mutex_unlock(&w->m);
  return n == 2;
}
/* The word is written without the lock: the signal alone orders it. */
static void hb09_a_signal_comes_before_the_wait_it_ends(void) {
  for (int kind = 0; kind < KINDS; kind++)
    for (uint64_t k = 1; k <= 30; k++) {
      world *w = new_world(0);
      party p[2];
      w->k = k;
      for (int i = 0; i < 2; i++) start(&p[i], kind, waits_for_the_signal, w);
      UNTIL(both_wait(w));
      put(&w->word, k);
      if (k % 2) zk_cond_broadcast(&w->cond);
      else {
        zk_cond_signal(&w->cond);
        zk_cond_signal(&w->cond);
      }
      for (int i = 0; i < 2; i++) end(&p[i], kind);
      free_world(w);
    }
}

static void *make_word(void *user) {
  INC((int *)user);
  return calloc(1, sizeof(plain));
}
static void add_and_free(void *obj, void *user) {
  __atomic_add_fetch((int *)user + 1, (int)get((plain *)obj), __ATOMIC_SEQ_CST);
  free(obj);
}
static void borrows(void *arg) {
  world *w = (world *)arg;
  for (int i = 0; i < ROUNDS; i++) {
    plain *p = (plain *)zk_pool_get(w->pool);
    put(p, get(p) + 1);
    zk_pool_put(w->pool, p);
  }
}
static void hb10_putting_comes_before_getting_the_same_object(void) {
  int counts[2] = { 0, 0 };
  world *w = new_world(0);
  party p[6];
  w->pool = zk_pool_new(make_word, add_and_free, counts);
  for (int i = 0; i < 6; i++) start(&p[i], i % KINDS, borrows, w);
  for (int i = 0; i < 6; i++) end(&p[i], i % KINDS);
  zk_pool_unref(w->pool);
  EQ(counts[1], 6 * ROUNDS); /* no addition was lost */
  free_world(w);
}

/* ---- time and contexts */

static void tells_what_it_sees(void *arg) {
  world *w = (world *)arg;
  OK(zt_send(w->c, (int)get(&w->word)));
}
static void arms(void *arg) {
  world *w = (world *)arg;
  zk_timer *t = zk_timer_new(ZK_MIN, 0);
  for (int k = 1; k <= 30; k++) {
    put(&w->word, (uint64_t)(2 * k));
    zk_timer *f = zk_timer_func(20 * ZK_US, tells_what_it_sees, w);
    EQ(zt_recv(w->back), 2 * k);
    put(&w->word, (uint64_t)(2 * k + 1));
    CHECK(zk_timer_reset(f, 0) >= 0);
    EQ(zt_recv(w->back), 2 * k + 1);
    put(&w->words[0], (uint64_t)k);
    CHECK(zk_timer_reset(t, 20 * ZK_US) >= 0);
    OK(zk_chan_recv(zk_timer_chan(t), NULL, 0, zk_in(ZT_LIMIT)));
    EQ(get(&w->words[0]), k);
    zk_timer_unref(f);
  }
  zk_timer_unref(t);
}
static void hb12_arming_a_timer_comes_before_its_tick(void) {
  for (int kind = 0; kind < KINDS; kind++) {
    world *w = new_world(1);
    party p;
    start(&p, kind, arms, w);
    for (int k = 2; k <= 61; k++) {
      EQ(zt_recv(w->c), k);
      OK(zt_send(w->back, k));
    }
    end(&p, kind);
    free_world(w);
  }
}

static void cancels(void *arg) {
  world *w = (world *)arg;
  put(&w->word, w->k);
  zk_ctx_cancel(w->ctx, 5);
}
static void sees_the_end(void *arg) {
  world *w = (world *)arg;
  EQ(zk_chan_recv(w->back, NULL, 0, ZK_FOREVER), ZK_ECANCELED);
  EQ(get(&w->word), w->k);
  INC(&w->n);
}
static void hb13_cancelling_comes_before_the_receive_from_done(void) {
  for (int kind = 0; kind < KINDS; kind++)
    for (uint64_t k = 1; k <= 60; k++) {
      world *w = new_world(1);
      party p;
      zk_go_opts o = ZK_GO_OPTS_INIT;
      w->k = k;
      w->ctx = zk_ctx_new(NULL, ZK_FOREVER);
      zk_ctx *child = zk_ctx_new(w->ctx, zk_in(ZK_MIN));
      zk_timer *f = zk_ctx_after(child, tells_what_it_sees, w);
      o.ctx = child;
      OK(zk_go_with(&o, sees_the_end, w));
      start(&p, kind, cancels, w);
      switch (k % 3) {
      case 0: EQ(zk_chan_recv(zk_ctx_done(child), NULL, 0, zk_in(ZT_LIMIT)), ZK_ECLOSED); break;
      case 1: UNTIL(zk_ctx_err(child) == 5); break;
      default: EQ(zt_recv(w->c), k);
      }
      EQ(get(&w->word), k);
      if (k % 3 != 2) EQ(zt_recv(w->c), k);
      UNTIL(GET(&w->n) == 1);
      end(&p, kind);
      zk_timer_unref(f);
      zk_ctx_unref(child);
      zk_ctx_unref(w->ctx);
      free_world(w);
    }
}

/* ---- what orders nothing */

static void tries_and_fails(void *arg) {
  world *w = (world *)arg;
  int v = 9;
  for (int i = 0; i < ROUNDS; i++) {
    zk_case k[2] = { SEND(w->c, &v), RECV(w->back, &v) };
    EQ(zt_try_send(w->c, 2), ZK_EAGAIN);
    EQ(zt_try_recv(w->back), ZK_EAGAIN);
    EQ(zk_mutex_lock_until(&w->m, ZK_NOWAIT), ZK_EAGAIN);
    EQ(zk_rwmutex_rlock_until(&w->rw, ZK_NOWAIT), ZK_EAGAIN);
    EQ(zk_rwmutex_lock_until(&w->rw, ZK_NOWAIT), ZK_EAGAIN);
    EQ(zk_wg_wait(&w->wg, ZK_NOWAIT), ZK_EAGAIN);
    EQ(zk_select(k, 2, ZK_NOWAIT), ZK_EAGAIN);
    EQ(v, 9);
  }
}
static void hb14_a_failed_try_leaves_no_trace(void) {
  world *w = new_world(1);
  party p[KINDS];
  OK(zt_send(w->c, 1));
  zk_mutex_lock(&w->m);
  zk_rwmutex_lock(&w->rw);
  zk_wg_add(&w->wg, 1);
  for (int i = 0; i < KINDS; i++) start(&p[i], i, tries_and_fails, w);
  for (int i = 0; i < KINDS; i++) end(&p[i], i);
  EQ(zk_chan_len(w->c), 1);
  EQ(zk_chan_len(w->back), 0);
  zk_wg_done(&w->wg);
  zk_mutex_unlock(&w->m);
  zk_rwmutex_unlock(&w->rw);
  OK(zk_mutex_lock_until(&w->m, ZK_NOWAIT));
  OK(zk_rwmutex_lock_until(&w->rw, ZK_NOWAIT));
  free_world(w);
}

static void asks(void *arg) {
  world *w = (world *)arg;
  while (!GET(&w->n)) {
    CHECK(zk_chan_len(w->c) <= 3);
    EQ(zk_chan_cap(w->c), 3);
    zk_yield();
  }
}
static void hb16_len_and_capacity_may_be_asked_while_others_send_and_close(void) {
  for (int kind = 0; kind < KINDS; kind++) {
    world *w = new_world(3);
    party p;
    start(&p, kind, asks, w);
    for (int k = 0; k < ROUNDS; k++) {
      OK(zt_send(w->c, k));
      if (k % 3 == 2)
        while (zt_try_recv(w->c) >= 0) {}
    }
    OK(zk_chan_close(w->c));
    SET(&w->n, 1);
    end(&p, kind);
    free_world(w);
  }
}

static const zt_test tests[] = {
  BOTH(hb01_the_launch_comes_before_the_first_instruction),
  BOTH(hb02_a_send_comes_before_the_end_of_its_receive),
  BOTH(hb03_an_unbuffered_receive_comes_before_the_end_of_its_send),
  BOTH(hb04_closing_comes_before_the_receive_that_reports_it),
  BOTH(hb05_with_capacity_one_a_channel_is_a_mutex),
  BOTH(hb05_receive_k_comes_before_the_end_of_send_k_plus_c),
  BOTH(hb06_an_unlock_comes_before_the_next_lock),
  BOTH(hb06_a_writers_unlock_comes_before_readers_and_theirs_before_the_next_writer),
  BOTH(hb07_done_comes_before_the_wait_it_releases),
  BOTH(hb08_the_once_functions_return_comes_before_every_return_of_once),
  BOTH(hb09_a_signal_comes_before_the_wait_it_ends),
  BOTH(hb10_putting_comes_before_getting_the_same_object),
  BOTH(hb12_arming_a_timer_comes_before_its_tick),
  BOTH(hb13_cancelling_comes_before_the_receive_from_done),
  BOTH(hb14_a_failed_try_leaves_no_trace),
  BOTH(hb16_len_and_capacity_may_be_asked_while_others_send_and_close),
};
MAIN(tests)
