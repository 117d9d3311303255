/* Timers: rules T-03 to T-15 as far as C can see them. */
#include "zktest.h"

/* The next tick, or 0 when there is none at once. */
static zk_time tick_now(zk_timer *t) {
  zk_time at = 0;
  int rc = zk_chan_recv(zk_timer_chan(t), &at, sizeof at, ZK_NOWAIT);
  CHECK(rc == ZK_OK || rc == ZK_EAGAIN);
  return at;
}

static zk_time tick(zk_timer *t) {
  zk_time at = 0;
  OK(zk_chan_recv(zk_timer_chan(t), &at, sizeof at, zk_in(ZT_LIMIT)));
  return at;
}

static zk_timer *timer(zk_duration first, zk_duration period) {
  zk_timer *t = zk_timer_new(first, period);
  CHECK(t != NULL);
  return t;
}

static void wait_for(zk_time t) {
  while (zk_now() <= t) OK(zk_sleep(t - zk_now() + 1));
}

static void t16_no_timer_is_an_error(void) {
  EQ(zk_timer_stop(NULL), ZK_EINVAL);
  EQ(zk_timer_reset(NULL, 1), ZK_EINVAL);
  CHECK(zk_timer_chan(NULL) == NULL);
  zk_timer_unref(NULL);
  CHECK(zk_timer_new(1, -1) == NULL);
  CHECK(zk_timer_new(1, INT64_MIN) == NULL);
  CHECK(zk_timer_func(1, NULL, NULL) == NULL);
  zk_chan *c = zt_ints(0);
  EQ(zk_timer_stop((zk_timer *)(void *)c), ZK_EINVAL);
  zk_timer_unref((zk_timer *)(void *)c);
  EQ(zk_chan_cap(c), 0);
  zk_chan_unref(c);
}

static void t03_a_timer_channel_looks_unbuffered(void) {
  zk_timer *t = timer(0, 0);
  zk_chan *c = zk_timer_chan(t);
  EQ(zk_chan_cap(c), 0);
  EQ(zk_chan_len(c), 0);
  wait_for(zk_in(ZK_MS));
  EQ(zk_chan_len(c), 0);
  CHECK(tick_now(t) != 0);
  zk_timer_unref(t);
}

static void t04_t06_reset_leaves_no_stale_tick(void) {
  for (int i = 0; i < 50; i++) {
    zk_timer *t = timer(0, 0);
    wait_for(zk_in(0));
    EQ(zk_timer_reset(t, ZK_MIN), 1); /* it had expired, unread */
    EQ(tick_now(t), 0);
    EQ(zk_timer_reset(t, 0), 1);
    CHECK(tick(t) != 0);
    EQ(zk_timer_reset(t, ZK_MIN), 0); /* the tick was received */
    EQ(zk_timer_stop(t), 1);
    zk_timer_unref(t);
  }
}

static void t05_stop_of_an_expired_unread_timer_is_in_time(void) {
  zk_timer *t = timer(0, 0);
  wait_for(zk_in(ZK_MS));
  EQ(zk_timer_stop(t), 1);
  EQ(tick_now(t), 0);
  EQ(zk_timer_stop(t), 0);
  zk_timer_unref(t);
  t = timer(0, 0);
  CHECK(tick(t) != 0);
  EQ(zk_timer_stop(t), 0);
  zk_timer_unref(t);
}

static void t07_the_tick_is_the_due_time(void) {
  zk_time before = zk_now();
  zk_timer *t = timer(3 * ZK_MS, 0);
  zk_time after = zk_now();
  wait_for(zk_in(10 * ZK_MS));
  zk_time at = tick_now(t);
  CHECK(at >= before + 3 * ZK_MS && at <= after + 3 * ZK_MS);
  zk_timer_unref(t);
}

typedef struct waiter {
  zk_timer *t;
  zk_chan *stop;
  int ticks, done;
} waiter;

static void wait_for_tick(void *arg) {
  waiter *w = (waiter *)arg;
  zk_time at;
  int v;
  zk_case k[2];
  memset(k, 0, sizeof k);
  k[0].chan = zk_timer_chan(w->t);
  k[0].elem = &at;
  k[0].size = sizeof at;
  k[0].op = ZK_OP_RECV;
  k[1] = RECV(w->stop, &v);
  if (zk_select(k, 2, ZK_FOREVER) == 0) INC(&w->ticks);
  INC(&w->done);
}

static void t08_one_tick_wakes_one_waiter(void) {
  waiter w = { timer(2 * ZK_MS, 0), zt_ints(0), 0, 0 };
  GO("waiter", wait_for_tick, &w);
  GO("waiter", wait_for_tick, &w);
  UNTIL(GET(&w.done) == 1);
  PARKED(1, "waiter", "select");
  EQ(GET(&w.ticks), 1);
  zk_chan_close(w.stop);
  UNTIL(GET(&w.done) == 2);
  EQ(GET(&w.ticks), 1);
  zk_timer_unref(w.t);
  zk_chan_unref(w.stop);
}

static void t09_reset_retargets_a_parked_waiter(void) {
  waiter w = { timer(ZK_MIN, 0), zt_ints(0), 0, 0 };
  GO("waiter", wait_for_tick, &w);
  PARKED(1, "waiter", "select");
  EQ(zk_timer_reset(w.t, 2 * ZK_MIN), 1);
  EQ(zk_timer_reset(w.t, ZK_MS), 1);
  UNTIL(GET(&w.done));
  EQ(w.ticks, 1);
  zk_timer_unref(w.t);
  zk_chan_unref(w.stop);
}

static void t15_stop_does_not_wake_a_parked_waiter(void) {
  waiter w = { timer(ZK_MIN, 0), zt_ints(0), 0, 0 };
  GO("waiter", wait_for_tick, &w);
  PARKED(1, "waiter", "select");
  EQ(zk_timer_stop(w.t), 1);
  PARKED(1, "waiter", "select");
  zk_chan_close(w.stop);
  UNTIL(GET(&w.done));
  EQ(w.ticks, 0);
  zk_timer_unref(w.t);
  zk_chan_unref(w.stop);
}

static void count_up(void *arg) { INC((int *)arg); }

static void t11_a_function_runs_in_a_goroutine(void) {
  int runs = 0;
  zk_timer *t = zk_timer_func(0, count_up, &runs);
  CHECK(t != NULL);
  CHECK(zk_timer_chan(t) == NULL);
  UNTIL(GET(&runs) == 1);
  EQ(zk_timer_stop(t), 0);
  zk_timer_unref(t);
  t = zk_timer_func(ZK_MIN, count_up, &runs);
  EQ(zk_timer_stop(t), 1);
  EQ(zk_timer_stop(t), 0);
  zk_timer_unref(t);
  EQ(GET(&runs), 1);
}

static void t12_a_function_runs_again_after_reset(void) {
  int runs = 0;
  zk_timer *t = zk_timer_func(0, count_up, &runs);
  UNTIL(GET(&runs) == 1);
  EQ(zk_timer_reset(t, 0), 0);
  UNTIL(GET(&runs) == 2);
  EQ(zk_timer_reset(t, ZK_MIN), 0);
  EQ(zk_timer_reset(t, 0), 1);
  UNTIL(GET(&runs) == 3);
  zk_timer_unref(t);
}

static void t13_a_ticker_drops_ticks_and_keeps_its_phase(void) {
  const zk_duration period = 4 * ZK_MS;
  zk_timer *t = timer(period, period);
  zk_time first = tick(t);
  wait_for(first + 5 * period);
  zk_time late;
  UNTIL((late = tick_now(t)) != 0); /* the oldest tick that nobody took, and only that one */
  CHECK(late > first);
  EQ((late - first) % period, 0);
  zk_time next = tick(t);
  CHECK(next > late);
  EQ((next - first) % period, 0);
  zk_timer_unref(t);
}

static void t14_reset_restarts_the_phase_and_keeps_the_period(void) {
  const zk_duration period = 4 * ZK_MS;
  zk_timer *t = timer(period, period);
  wait_for(tick(t) + 2 * period); /* a tick is pending */
  zk_time before = zk_now();
  EQ(zk_timer_reset(t, 2 * period), 1);
  EQ(tick_now(t), 0);
  zk_time first = tick(t), second = tick(t);
  CHECK(first >= before + 2 * period);
  EQ((second - first) % period, 0);
  EQ(zk_timer_stop(t), 1);
  zk_timer_unref(t);
}

static void t02_a_timer_that_never_fires(void) {
  zk_timer *t = timer(INT64_MAX, 0), *u = timer(-ZK_SEC, 0);
  CHECK(tick(u) != 0);
  EQ(tick_now(t), 0);
  EQ(zk_timer_stop(t), 1);
  zk_timer_unref(t);
  zk_timer_unref(u);
}

static void t18_timers_of_no_duration_are_not_missed(void) {
  for (int i = 0; i < 20000; i++) {
    zk_timer *t = timer(0, 0);
    CHECK(tick(t) != 0);
    zk_timer_unref(t);
  }
}

static void the_channel_outlives_the_timer_when_referenced(void) {
  zk_timer *t = timer(0, 0);
  zk_chan *c = zk_chan_ref(zk_timer_chan(t));
  wait_for(zk_in(0));
  zk_timer_unref(t); /* stops it: the tick is gone */
  zk_time at;
  EQ(zk_chan_recv(c, &at, sizeof at, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_chan_recv(c, &at, 4, ZK_NOWAIT), ZK_EMSGSIZE);
  zk_chan_unref(c);
}

/* ---- memory, order and load */

static uint64_t armed(void) {
  zk_stats s = ZK_STATS_INIT;
  OK(zk_stats_get(&s));
  return s.timers;
}
static void never_runs(void *arg) { EQ(arg == NULL, 1); }
static void t10_a_timer_that_nobody_refers_to_is_gone(void) {
  uint64_t before = armed();
  for (int i = 0; i < 1000; i++) {
    zk_timer *unread = timer(ZK_MIN, ZK_MIN), *function = zk_timer_func(ZK_MIN, never_runs, &before);
    CHECK(function != NULL);
    zk_timer_unref(unread);
    zk_timer_unref(function);
  }
  EQ(armed(), before);
}

typedef struct slot {
  zk_duration d;
  zk_time at;
  int place;
  int *order;
  zk_wg *wg;
} slot;
static void fires_in(void *arg) {
  slot *s = (slot *)arg;
  zk_timer *t = timer(s->d, 0);
  s->at = tick(t);
  s->place = INC(s->order);
  zk_timer_unref(t);
}
/* Go's TestAfterQueuing, with its thirteen slots and five attempts, each with twice the distance: a loaded machine gets its time. Equal
 * deadlines may come in any order. */
static void t17_distinct_deadlines_fire_in_order(void) {
  static const int slots[13] = { 5, 3, 6, 6, 6, 1, 1, 2, 7, 9, 4, 8, 0 };
  int attempt, good = 0;
  for (attempt = 0; attempt < 5 && !good; attempt++) {
    zk_wg wg = ZK_ZERO;
    slot s[13];
    int order = 0;
    for (int i = 0; i < 13; i++) {
      s[i].d = slots[i] * 10 * ZK_MS << attempt;
      s[i].order = &order;
      OK(zk_wg_go(&wg, fires_in, &s[i]));
    }
    OK(zk_wg_wait(&wg, zk_in(ZT_LIMIT)));
    good = 1;
    for (int i = 0; i < 13; i++)
      for (int j = 0; j < 13; j++)
        if (slots[i] < slots[j] && s[i].place > s[j].place) good = 0;
  }
  CHECK(good);
}

typedef struct load {
  zk_chan *there, *back;
  zk_wg wg;
  int slept;
} load;
static void sleeps_a_little(void *arg) {
  load *l = (load *)arg;
  for (int i = 0; i < 3; i++) OK(zk_sleep(ZK_MS));
  INC(&l->slept);
}
static void plays(void *arg) {
  load *l = (load *)arg;
  int v;
  ZK_RANGE(l->there, &v) { OK(zt_send(l->back, v)); }
}
/* Go's TestLongAdjustTimers: 5000 short sleepers beside a ping-pong. */
static void t19_thousands_of_sleepers_and_a_ping_pong(void) {
  load l;
  memset(&l, 0, sizeof l);
  l.there = zt_ints(0);
  l.back = zt_ints(0);
  for (int i = 0; i < 5000; i++) OK(zk_wg_go(&l.wg, sleeps_a_little, &l));
  GO("plays", plays, &l);
  for (int i = 0; i < 1000; i++) {
    OK(zt_send(l.there, i));
    EQ(zt_recv(l.back), i);
  }
  OK(zk_wg_wait(&l.wg, zk_in(ZT_LIMIT)));
  EQ(l.slept, 5000);
  zk_chan_close(l.there);
  UNTIL(zt_alive("plays") == 0);
  zk_chan_unref(l.there);
  zk_chan_unref(l.back);
}

static const zt_test tests[] = {
  BOTH(t16_no_timer_is_an_error),
  BOTH(t03_a_timer_channel_looks_unbuffered),
  BOTH(t04_t06_reset_leaves_no_stale_tick),
  BOTH(t05_stop_of_an_expired_unread_timer_is_in_time),
  BOTH(t07_the_tick_is_the_due_time),
  BOTH(t08_one_tick_wakes_one_waiter),
  BOTH(t09_reset_retargets_a_parked_waiter),
  BOTH(t15_stop_does_not_wake_a_parked_waiter),
  BOTH(t11_a_function_runs_in_a_goroutine),
  BOTH(t12_a_function_runs_again_after_reset),
  BOTH(t13_a_ticker_drops_ticks_and_keeps_its_phase),
  BOTH(t14_reset_restarts_the_phase_and_keeps_the_period),
  BOTH(t02_a_timer_that_never_fires),
  BOTH(t18_timers_of_no_duration_are_not_missed),
  BOTH(the_channel_outlives_the_timer_when_referenced),
  BOTH(t10_a_timer_that_nobody_refers_to_is_gone),
  BOTH(t17_distinct_deadlines_fire_in_order),
  BOTH(t19_thousands_of_sleepers_and_a_ping_pong),
};
MAIN(tests)
