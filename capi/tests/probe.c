/* C beside Rust in one process: the same sizes and numbers on both sides, and channels shared by goroutines of both. */
#include "zktest.h"

#include "probe.h"

/* ---- layouts and constants */

enum { MOST = 200 };
static struct { const char *name; int64_t value; int met; } told[MOST];
static int tellings;

static void tell(const char *name, int64_t value) {
  CHECK(tellings < MOST);
  told[tellings].name = name;
  told[tellings].value = value;
  told[tellings++].met = 0;
}

static void expect(const char *name, int64_t value) {
  for (int i = 0; i < tellings; i++)
    if (!strcmp(told[i].name, name)) {
      told[i].met = 1;
      zt_eq(__FILE__, __LINE__, name, told[i].value, value);
      return;
    }
  zt_fail(__FILE__, __LINE__, name, 0, 0, 0);
}

#define S(type) expect("sizeof " #type, (int64_t)sizeof(type))
#define F(type, field) expect(#type "." #field, (int64_t)offsetof(type, field))
#define N(number) expect(#number, (number))

static void both_sides_have_the_same_sizes_and_numbers(void) {
  tellings = 0;
  zk_probe_layout(tell);
  S(zk_allocator); F(zk_allocator, alloc); F(zk_allocator, free); F(zk_allocator, user);
  S(zk_config); F(zk_config, size); F(zk_config, workers); F(zk_config, max_blocking); F(zk_config, stack_size);
  F(zk_config, max_goroutines); F(zk_config, on_panic); F(zk_config, user); F(zk_config, allocator);
  S(zk_go_opts); F(zk_go_opts, size); F(zk_go_opts, name); F(zk_go_opts, stack_size); F(zk_go_opts, flags);
  F(zk_go_opts, ctx); F(zk_go_opts, on_exit);
  S(zk_chan_opts); F(zk_chan_opts, size); F(zk_chan_opts, elem_size); F(zk_chan_opts, capacity);
  F(zk_chan_opts, drop); F(zk_chan_opts, user); F(zk_chan_opts, name); F(zk_chan_opts, policy);
  F(zk_chan_opts, reserved);
  S(zk_case); F(zk_case, chan); F(zk_case, elem); F(zk_case, size); F(zk_case, ok); F(zk_case, op); F(zk_case, reserved);
  S(zk_mutex); F(zk_mutex, zk_priv); S(zk_rwmutex); F(zk_rwmutex, zk_priv); S(zk_cond); F(zk_cond, zk_priv);
  S(zk_once); F(zk_once, zk_priv); S(zk_sem); F(zk_sem, zk_priv);
  S(zk_wg); F(zk_wg, zk_priv); S(zk_scope); F(zk_scope, zk_priv);
  S(zk_stats); F(zk_stats, size); F(zk_stats, goroutines); F(zk_stats, runnable); F(zk_stats, blocked);
  F(zk_stats, created); F(zk_stats, workers); F(zk_stats, blocking_threads); F(zk_stats, switches); F(zk_stats, steals);
  F(zk_stats, parks); F(zk_stats, timers); F(zk_stats, fds); F(zk_stats, stack_bytes);
  S(zk_goinfo); F(zk_goinfo, size); F(zk_goinfo, id); F(zk_goinfo, name); F(zk_goinfo, state); F(zk_goinfo, wait_on);
  F(zk_goinfo, since); F(zk_goinfo, stack_size); F(zk_goinfo, stack_used);
  N(ZK_FOREVER); N(ZK_NOWAIT);
  N(ZK_ECLOSED); N(ZK_ETIMEDOUT); N(ZK_EAGAIN); N(ZK_ECANCELED); N(ZK_EINVAL); N(ZK_ENOMEM); N(ZK_EMSGSIZE); N(ZK_EBUSY);
  N(ZK_EPERM); N(ZK_EDEADLOCK); N(ZK_EPANIC); N(ZK_ESHUTDOWN); N(ZK_ENOTSUP); N(ZK_ELIMIT);
  for (int i = 0; i < tellings; i++)
    if (!told[i].met) zt_fail(__FILE__, __LINE__, told[i].name, 0, 0, 0);
}

/* ---- channels */

enum { MESSAGES = 5000 };
typedef struct pipes {
  zk_chan *a, *b, *c, *done;
  zk_wg wg;
} pipes;

static zk_chan *words(size_t capacity) {
  zk_chan *c = zk_chan_new(sizeof(int64_t), capacity);
  CHECK(c != NULL);
  return c;
}

static void send_messages(void *arg) {
  pipes *p = (pipes *)arg;
  for (int64_t i = 0; i < MESSAGES; i++) OK(zk_chan_send(p->a, &i, sizeof i, zk_in(ZT_LIMIT)));
  OK(zk_chan_close(p->a));
}

/* C goroutine -> Rust goroutine -> Rust goroutine -> here. */
static void a_value_goes_through_goroutines_of_both(void) {
  for (size_t capacity = 0; capacity < 20; capacity += 7) {
    pipes p = { words(capacity), words(capacity), words(capacity), NULL, ZK_ZERO };
    OK(zk_probe_relay(p.a, p.b));
    OK(zk_probe_relay(p.b, p.c));
    OK(zk_go(send_messages, &p));
    int64_t v;
    for (int64_t i = 0; i < MESSAGES; i++) {
      OK(zk_chan_recv(p.c, &v, sizeof v, zk_in(ZT_LIMIT)));
      EQ(v, i + 2);
    }
    EQ(zk_chan_recv(p.c, &v, sizeof v, zk_in(ZT_LIMIT)), ZK_ECLOSED);
    zk_chan_unref(p.a);
    zk_chan_unref(p.b);
    zk_chan_unref(p.c);
  }
}

static void feed(void *arg) {
  pipes *p = (pipes *)arg;
  for (int64_t i = 0; i < MESSAGES; i++) OK(zk_chan_send(p->a, &i, sizeof i, zk_in(ZT_LIMIT)));
}
static void drain(void *arg) {
  pipes *p = (pipes *)arg;
  for (int64_t i = 0, v; i < MESSAGES; i++) {
    OK(zk_chan_recv(p->b, &v, sizeof v, zk_in(ZT_LIMIT)));
    EQ(v, i);
  }
}

/* Select in Rust against plain operations in C, and the reverse. */
static void a_select_on_one_side_meets_the_other(void) {
  pipes p = { words(0), words(0), NULL, words(2), ZK_ZERO };
  int64_t v;
  OK(zk_probe_select(p.a, p.b, p.done, 2 * MESSAGES));
  OK(zk_wg_go(&p.wg, feed, &p));
  OK(zk_wg_go(&p.wg, drain, &p));
  OK(zk_wg_wait(&p.wg, zk_in(ZT_LIMIT)));
  OK(zk_chan_recv(p.done, &v, sizeof v, zk_in(ZT_LIMIT)));
  EQ(v, (int64_t)MESSAGES * (MESSAGES - 1) / 2);
  OK(zk_chan_recv(p.done, &v, sizeof v, zk_in(ZT_LIMIT)));
  EQ(v, MESSAGES);
  OK(zk_probe_relay(p.a, p.b));
  int64_t next = 0, out = 0, got;
  while (out < MESSAGES) {
    zk_case k[2];
    memset(k, 0, sizeof k);
    k[0].chan = next < MESSAGES ? p.a : NULL;
    k[0].elem = &next;
    k[0].op = ZK_OP_SEND;
    k[1].chan = p.b;
    k[1].elem = &got;
    k[1].op = ZK_OP_RECV;
    k[0].size = k[1].size = sizeof got;
    int chosen = zk_select(k, 2, zk_in(ZT_LIMIT));
    if (chosen == 0) next++;
    else {
      EQ(chosen, 1);
      EQ(got, ++out);
    }
  }
  OK(zk_chan_close(p.a));
  EQ(zk_chan_recv(p.b, &got, sizeof got, zk_in(ZT_LIMIT)), ZK_ECLOSED);
  zk_chan_unref(p.a);
  zk_chan_unref(p.b);
  zk_chan_unref(p.done);
}

static void on_a_thread(void *arg) {
  zk_chan *c = (zk_chan *)arg;
  int64_t v = 77;
  EQ(zk_goid(), 0);
  OK(zk_chan_send(c, &v, sizeof v, ZK_FOREVER));
}
static void a_thread_of_rust_is_a_plain_thread(void) {
  zk_chan *c = words(1);
  int64_t v = 0;
  zk_probe_thread(on_a_thread, c);
  OK(zk_chan_recv(c, &v, sizeof v, zk_in(ZT_LIMIT)));
  EQ(v, 77);
  zk_chan_unref(c);
}

static const zt_test tests[] = {
  BOTH(both_sides_have_the_same_sizes_and_numbers),
  BOTH(a_value_goes_through_goroutines_of_both),
  BOTH(a_select_on_one_side_meets_the_other),
  BOTH(a_thread_of_rust_is_a_plain_thread),
};
MAIN(tests)
