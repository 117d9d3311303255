/* Goroutines. */
#include "zktest.h"
#include <sys/syscall.h>

static long thread_id(void) { return syscall(SYS_gettid); }

static void add_one(void *arg) { INC((int *)arg); }

static void g02_no_function_is_an_error(void) {
  zk_go_opts o = ZK_GO_OPTS_INIT;
  EQ(zk_go(NULL, NULL), ZK_EINVAL);
  EQ(zk_go_copy(NULL, "x", 1), ZK_EINVAL);
  EQ(zk_go_with(&o, NULL, NULL), ZK_EINVAL);
  EQ(zk_go_with(NULL, add_one, NULL), ZK_EINVAL);
}

typedef struct note {
  int *sum, value;
  char rest[100];
} note;

static void add_note(void *arg) {
  note *n = (note *)arg;
  __atomic_add_fetch(n->sum, n->value, __ATOMIC_SEQ_CST);
  for (size_t i = 0; i < sizeof n->rest; i++) EQ(n->rest[i], 'r');
}

static void g01_arguments_are_taken_when_the_goroutine_is_made(void) {
  int sum = 0;
  note n;
  memset(&n, 'r', sizeof n);
  n.sum = &sum;
  for (n.value = 1; n.value <= 100; n.value++) OK(zk_go_copy(add_note, &n, sizeof n));
  memset(&n, 0, sizeof n);
  UNTIL(GET(&sum) == 5050);
}

static void check_large(void *arg) {
  unsigned char *p = (unsigned char *)arg;
  int *done;
  for (int i = (int)sizeof done; i < 4096; i++) EQ(p[i], i % 251);
  memcpy(&done, p, sizeof done);
  INC(done);
}

static void copies_up_to_4096_bytes(void) {
  unsigned char args[4096];
  int done = 0, *at = &done;
  for (int i = 0; i < 4096; i++) args[i] = (unsigned char)(i % 251);
  memcpy(args, &at, sizeof at);
  OK(zk_go_copy(check_large, args, sizeof args));
  memset(args, 0, sizeof args);
  UNTIL(GET(&done) == 1);
  EQ(zk_go_copy(check_large, args, 4097), ZK_EINVAL);
  EQ(zk_go_copy(check_large, NULL, 1), ZK_EINVAL);
}

static int ran_without_arguments;
static void without_arguments(void *arg) {
  (void)arg;
  INC(&ran_without_arguments);
}
static void copies_of_nothing(void) {
  SET(&ran_without_arguments, 0);
  OK(zk_go_copy(without_arguments, NULL, 0));
  UNTIL(GET(&ran_without_arguments) == 1);
}

static void wrong_options_are_refused(void) {
  int runs = 0, foreign[8] = { 0 };
  zk_go_opts o = ZK_GO_OPTS_INIT;
  o.flags = 4;
  EQ(zk_go_with(&o, add_one, &runs), ZK_EINVAL);
  o.flags = 0;
  o.stack_size = 1;
  EQ(zk_go_with(&o, add_one, &runs), ZK_EINVAL);
  o.stack_size = SIZE_MAX / 2;
  EQ(zk_go_with(&o, add_one, &runs), ZK_EINVAL);
  o.stack_size = 0;
  o.ctx = (zk_ctx *)(void *)foreign;
  EQ(zk_go_with(&o, add_one, &runs), ZK_EINVAL);
  o.ctx = NULL;
  o.size = 3;
  EQ(zk_go_with(&o, add_one, &runs), ZK_EINVAL);
  o.size = offsetof(zk_go_opts, ctx); /* an older program */
  OK(zk_go_with(&o, add_one, &runs));
  UNTIL(GET(&runs) == 1);
}

static void park_on(void *arg) { (void)zk_chan_recv((zk_chan *)arg, NULL, 0, zk_in(ZT_LIMIT)); }

static void a_name_is_copied_and_shown(void) {
  zk_chan *c = zt_ints(0);
  char name[] = "hello-goroutine";
  GO(name, park_on, c);
  memset(name, 'x', sizeof name - 1);
  PARKED(1, "hello-goroutine", "chan receive");
  GO("na\xff\xfe" "me", park_on, c); /* not UTF-8: shown somehow, never refused */
  PARKED(2, NULL, "chan receive");
  zk_chan_close(c);
  UNTIL(zt_alive("hello-goroutine") == 0);
  zk_chan_unref(c);
}

static void deep(int levels, volatile char *sum) {
  volatile char frame[1024];
  frame[0] = frame[1023] = 1;
  *sum = (char)(*sum + frame[0]);
  if (levels > 1) deep(levels - 1, sum);
  *sum = (char)(*sum + frame[1023]);
}
static void use_a_megabyte(void *arg) {
  volatile char sum = 0;
  deep(1000, &sum);
  INC((int *)arg);
}
static void a_stack_may_be_large(void) {
  int done = 0;
  zk_go_opts o = ZK_GO_OPTS_INIT;
  o.stack_size = 2 << 20;
  OK(zk_go_with(&o, use_a_megabyte, &done));
  UNTIL(GET(&done));
}

typedef struct ending {
  int ran, exited, order;
  zk_chan *c;
} ending;
static void end_normally(void *arg) { ((ending *)arg)->ran = INC(&((ending *)arg)->order); }
static void end_early(void *arg) {
  ((ending *)arg)->ran = INC(&((ending *)arg)->order);
  zk_goexit();
}
static void noted(void *arg) { SET(&((ending *)arg)->exited, INC(&((ending *)arg)->order)); }

static void on_exit_runs_last_however_it_ends(void) {
  const zk_fn ends[] = { end_normally, end_early };
  for (int i = 0; i < 2; i++) {
    ending e = { 0, 0, 0, NULL };
    zk_go_opts o = ZK_GO_OPTS_INIT;
    o.on_exit = noted;
    OK(zk_go_with(&o, ends[i], &e));
    UNTIL(GET(&e.exited) == 2);
    EQ(e.ran, 1);
  }
}

static void exit_deep_down(int n) {
  char here[64];
  memset(here, n, sizeof here);
  if (n < 0) return;
  if (n == 0) zk_goexit();
  exit_deep_down(n - 1);
  CHECK(!"goexit returned");
}
static void exits_deep_down(void *arg) {
  INC((int *)arg);
  exit_deep_down(20);
}
static void p09_goexit_ends_one_goroutine_from_any_depth(void) {
  int n = 0;
  for (int i = 0; i < 50; i++) GO("exiting", exits_deep_down, &n);
  UNTIL(zt_alive("exiting") == 0);
  EQ(GET(&n), 50);
}

static void tell_id(void *arg) { __atomic_store_n((uint64_t *)arg, zk_goid(), __ATOMIC_SEQ_CST); }
static void ids_are_new_and_zero_outside(void) {
  uint64_t a = 0, b = 0, here = zk_goid();
  OK(zk_go(tell_id, &a));
  OK(zk_go(tell_id, &b));
  UNTIL(GET(&a) && GET(&b));
  CHECK(a != b && a != here && b != here);
}
static void id_outside_is_zero(void) { EQ(zk_goid(), 0); }

static void yielder(void *arg) {
  for (int i = 0; i < 200; i++) zk_yield();
  INC((int *)arg);
}
static void g08_yield_lets_others_run(void) {
  int done = 0;
  for (int i = 0; i < 8; i++) OK(zk_go(yielder, &done));
  UNTIL(GET(&done) == 8);
}

typedef struct pinned {
  zk_chan *c;
  int done, lock, exclusive;
} pinned;

enum { ROUNDS = 300 };

static void stay_put(void *arg) {
  pinned *p = (pinned *)arg;
  if (p->lock) {
    zk_lock_thread();
    zk_lock_thread();
    zk_unlock_thread();
  }
  long id = thread_id();
  for (int i = 0; i < ROUNDS; i++) {
    zk_yield();
    EQ(thread_id(), id);
    (void)zt_recv(p->c);
    EQ(thread_id(), id);
  }
  if (p->lock) zk_unlock_thread();
  INC(&p->done);
}
static void feed(void *arg) {
  pinned *p = (pinned *)arg;
  for (int i = 0; i < ROUNDS; i++) OK(zt_send(p->c, i));
}

static void pinned_goroutines_keep_their_thread(void) {
  for (uint32_t flags = ZK_GO_PINNED; flags <= (ZK_GO_PINNED | ZK_GO_EXCLUSIVE); flags++) {
    pinned p = { zt_ints(0), 0, 0, 0 };
    zk_go_opts o = ZK_GO_OPTS_INIT;
    o.flags = flags;
    for (int i = 0; i < 4; i++) {
      OK(zk_go_with(&o, stay_put, &p));
      OK(zk_go(feed, &p));
    }
    UNTIL(GET(&p.done) == 4);
    zk_chan_unref(p.c);
  }
}

static void g16_a_locked_goroutine_keeps_its_thread(void) {
  pinned p = { zt_ints(0), 0, 1, 0 };
  for (int i = 0; i < 4; i++) {
    OK(zk_go(stay_put, &p));
    OK(zk_go(feed, &p));
  }
  UNTIL(GET(&p.done) == 4);
  zk_chan_unref(p.c);
}

/* ThreadSanitizer knows some 8,000 goroutines at a time. */
#if defined(__SANITIZE_THREAD__)
enum { CHAIN = 1000, MANY = 2000 };
#else
enum { CHAIN = 10000, MANY = 50000 };
#endif

typedef struct chain_link {
  zk_chan *in, *out;
} chain_link;
static void pass_on(void *arg) {
  chain_link l = *(chain_link *)arg;
  OK(zt_send(l.out, zt_recv(l.in) + 1));
  zk_chan_unref(l.in);
  zk_chan_unref(l.out);
}
static void g20_a_chain_of_10000(void) {
  zk_chan *first = zt_ints(0), *in = zk_chan_ref(first);
  for (int i = 0; i < CHAIN; i++) {
    chain_link l = { in, zt_ints(0) };
    in = zk_chan_ref(l.out);
    OK(zk_go_copy(pass_on, &l, sizeof l));
  }
  OK(zt_send(first, 0));
  EQ(zt_recv(in), CHAIN);
  zk_chan_unref(first);
  zk_chan_unref(in);
}

static void many_goroutines_all_run(void) {
  int n = 0;
  for (int i = 0; i < MANY; i++) OK(zk_go(add_one, &n));
  UNTIL(GET(&n) == MANY);
}

#ifndef __cplusplus
static void add_two(void *arg) {
  struct { int *n, by; } *a = arg;
  __atomic_add_fetch(a->n, a->by, __ATOMIC_SEQ_CST);
}
struct add { int *n, by; };
static void sugar_copies_a_literal(void) {
  int n = 0;
  for (int i = 1; i <= 10; i++) OK(ZK_GO(add_two, (struct add){ &n, i }));
  UNTIL(GET(&n) == 55);
}
#endif

/* Misuse that has no result to say so in: the process ends with a message. */
static void goexit_outside(void) { zk_goexit(); }
static void lock_thread_outside(void) { zk_lock_thread(); }
static void unlock_thread_outside(void) { zk_unlock_thread(); }
static void sg05_go_only_functions_outside_a_goroutine(void) {
  CHILD_ABORTS(goexit_outside, "zk_goexit outside a goroutine");
  CHILD_ABORTS(lock_thread_outside, "zk_lock_thread outside a goroutine");
  CHILD_ABORTS(unlock_thread_outside, "zk_unlock_thread outside a goroutine");
}

static void overflow(void *arg) {
  volatile char sum = 0;
  (void)arg;
  deep(1 << 20, &sum);
}
static void overflowing(void) {
  OK(zt_go("deep-one", overflow, NULL));
  for (;;) zk_yield();
}
ZT_UNUSED static void g19_a_stack_overflow_is_reported_and_fatal(void) { CHILD_ABORTS(overflowing, "\"deep-one\""); }

static const zt_test tests[] = {
  BOTH(g02_no_function_is_an_error),
  BOTH(g01_arguments_are_taken_when_the_goroutine_is_made),
  BOTH(copies_up_to_4096_bytes),
  BOTH(copies_of_nothing),
  BOTH(wrong_options_are_refused),
  BOTH(a_name_is_copied_and_shown),
  BOTH(a_stack_may_be_large),
  BOTH(on_exit_runs_last_however_it_ends),
  BOTH(p09_goexit_ends_one_goroutine_from_any_depth),
  BOTH(ids_are_new_and_zero_outside),
  ONCE(id_outside_is_zero),
  BOTH(g08_yield_lets_others_run),
  BOTH(pinned_goroutines_keep_their_thread),
  BOTH(g16_a_locked_goroutine_keeps_its_thread),
  BOTH(g20_a_chain_of_10000),
  BOTH(many_goroutines_all_run),
#ifndef __cplusplus
  BOTH(sugar_copies_a_literal),
#endif
  ONCE(sg05_go_only_functions_outside_a_goroutine),
#if !defined(__SANITIZE_THREAD__) /* which puts signals off */
  ONCE(g19_a_stack_overflow_is_reported_and_fatal),
#endif
  CHILD(goexit_outside),
  CHILD(lock_thread_outside),
  CHILD(unlock_thread_outside),
  CHILD(overflowing),
};
MAIN(tests)
