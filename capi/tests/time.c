/* The clock, sleeping, and what a deadline means. */
#include "zktest.h"
#include <time.h>

static zk_time system_clock(void) {
  struct timespec t;
  CHECK(clock_gettime(CLOCK_MONOTONIC, &t) == 0);
  return t.tv_sec * ZK_SEC + t.tv_nsec;
}
static void compares_clocks(void *arg) {
  zk_chan *c = (zk_chan *)arg;
  zk_time seen;
  ZK_RANGE(c, &seen) {
    CHECK(zk_now() >= seen); /* never backwards, from wherever it came */
    zk_sleep(0);
  }
}
/* The system's monotonic clock, which no setting of the wall clock moves. */
static void t20_time_is_monotonic(void) {
  zk_chan *c = zk_chan_new(sizeof(zk_time), 0);
  zk_time last = zk_now();
  for (int i = 0; i < 3; i++) GO("compares", compares_clocks, c);
  for (int i = 0; i < 1000; i++) {
    zk_time before = system_clock(), t = zk_now(), after = system_clock();
    CHECK(before <= t && t <= after && t >= last);
    OK(zk_send(c, &t));
    last = t;
  }
  zk_chan_close(c);
  UNTIL(zt_alive("compares") == 0);
  zk_chan_unref(c);
}

static void t01_sleep_lasts_at_least_that_long(void) {
  zk_time from = zk_now();
  OK(zk_sleep(3 * ZK_MS));
  CHECK(zk_now() - from >= 3 * ZK_MS);
}

static void t01_sleep_of_nothing_returns_at_once(void) {
  for (int i = 0; i < 100000; i++) OK(zk_sleep(0));
  OK(zk_sleep(-ZK_SEC));
  OK(zk_sleep(INT64_MIN));
}


static void t02_instants_saturate(void) {
  EQ(zk_in(INT64_MAX), ZK_FOREVER);
  EQ(zk_in(INT64_MAX - 1), ZK_FOREVER);
  CHECK(zk_in(0) <= zk_now());
  /* An instant in the far past is a deadline that has passed, not ZK_NOWAIT. */
  CHECK(zk_in(INT64_MIN) != ZK_NOWAIT);
  CHECK(zk_in(INT64_MIN) < zk_now());
  CHECK(zk_in(-zk_now()) != ZK_NOWAIT);
}

static void only_nowait_would_block_and_the_past_times_out(void) {
  zk_chan *c = zt_ints(1);
  int v = 0;
  EQ(zk_chan_recv(c, &v, sizeof v, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_chan_recv(c, &v, sizeof v, zk_in(-ZK_SEC)), ZK_ETIMEDOUT);
  EQ(zk_chan_recv(c, &v, sizeof v, zk_in(INT64_MIN)), ZK_ETIMEDOUT);
  EQ(zk_chan_recv(c, &v, sizeof v, 1), ZK_ETIMEDOUT);
  EQ(zk_chan_recv(c, &v, sizeof v, -1), ZK_ETIMEDOUT);
  zk_chan_unref(c);
}

static void a_deadline_in_the_past_still_takes_what_is_ready(void) {
  zk_chan *c = zt_ints(1);
  int v = 5;
  OK(zk_chan_send(c, &v, sizeof v, zk_in(-ZK_SEC)));
  v = 0;
  OK(zk_chan_recv(c, &v, sizeof v, zk_in(-ZK_SEC)));
  EQ(v, 5);
  zk_chan_unref(c);
}

static void a_wait_ends_at_its_deadline_and_not_before(void) {
  zk_chan *c = zt_ints(0);
  int v = 1;
  zk_time deadline = zk_in(5 * ZK_MS);
  EQ(zk_chan_send(c, &v, sizeof v, deadline), ZK_ETIMEDOUT);
  CHECK(zk_now() >= deadline);
  deadline = zk_in(5 * ZK_MS);
  EQ(zk_chan_recv(c, &v, sizeof v, deadline), ZK_ETIMEDOUT);
  CHECK(zk_now() >= deadline);
  EQ(v, 1);
  zk_chan_unref(c);
}

static const zt_test tests[] = {
  BOTH(t20_time_is_monotonic),
  BOTH(t01_sleep_lasts_at_least_that_long),
  BOTH(t01_sleep_of_nothing_returns_at_once),
  BOTH(t02_instants_saturate),
  BOTH(only_nowait_would_block_and_the_past_times_out),
  BOTH(a_deadline_in_the_past_still_takes_what_is_ready),
  BOTH(a_wait_ends_at_its_deadline_and_not_before),
};
MAIN(tests)
