/* Defer, panic, recover: rules P-01 to P-12. */
#include "zktest.h"

/* What ran, in order, as letters. */
typedef struct trail {
  char seen[32];
  int n, done;
} trail;
static trail *current; /* of the one goroutine that a test looks at */

static void letter(void *arg) { current->seen[current->n++] = *(const char *)arg; }
#define DEFER(text) OK(zk_defer(letter, (void *)(text)))
#define SEEN(t, text) CHECK(!strcmp((t)->seen, (text)))

static void nothing_is_an_error(void) {
  EQ(zk_defer(NULL, NULL), ZK_EINVAL);
  EQ(zk_try(NULL, NULL, NULL, 0), ZK_EINVAL);
  zk_scope_end(NULL);
}

static void defer_outside_everything(void) { EQ(zk_defer(letter, NULL), ZK_EPERM); }

static void a_scope_runs_its_defers_last_first(void) {
  static trail t;
  memset(&t, 0, sizeof t);
  current = &t;
  zk_scope outer = zk_scope_begin();
  DEFER("a");
  DEFER("b");
  zk_scope inner = zk_scope_begin();
  DEFER("c");
  DEFER("d");
  zk_scope_end(&inner);
  SEEN(&t, "dc");
  zk_scope_end(&inner); /* closed already: nothing */
  SEEN(&t, "dc");
  DEFER("e");
  zk_scope_end(&outer);
  SEEN(&t, "dceba");
}

static void ends_normally(void *arg) {
  (void)arg;
  DEFER("a");
  DEFER("b");
  current->seen[current->n++] = '.';
}
static void panics(void *arg) {
  DEFER("a");
  DEFER("b");
  zk_panic((const char *)arg);
}

static void p02_p04_try_catches_and_defers_run(void) {
  static trail t;
  memset(&t, 0, sizeof t);
  char why[20] = "untouched";
  current = &t;
  OK(zk_try(ends_normally, NULL, why, sizeof why));
  SEEN(&t, ".ba");
  CHECK(!strcmp(why, "untouched"));
  EQ(zk_try(panics, (void *)"disk on fire", why, sizeof why), ZK_EPANIC);
  SEEN(&t, ".baba");
  CHECK(!strcmp(why, "disk on fire"));
  EQ(zk_try(panics, (void *)"a text that is longer than the room", why, sizeof why), ZK_EPANIC);
  CHECK(!strcmp(why, "a text that is long"));
  EQ(zk_try(panics, (void *)"x", why, 0), ZK_EPANIC);
  EQ(zk_try(panics, (void *)"x", NULL, 10), ZK_EPANIC);
  EQ(zk_try(panics, NULL, why, 1), ZK_EPANIC);
  EQ(why[0], 0);
  EQ(zk_try(panics, (void *)"not \xff utf-8", why, sizeof why), ZK_EPANIC);
  CHECK(!strncmp(why, "not ", 4) && strstr(why, "utf-8"));
}

static void nested(void *arg) {
  char why[20];
  (void)arg;
  DEFER("o");
  EQ(zk_try(panics, (void *)"inner", why, sizeof why), ZK_EPANIC);
  CHECK(!strcmp(why, "inner"));
  DEFER("p");
  zk_panic("outer");
}
static void tries_nest(void) {
  static trail t;
  memset(&t, 0, sizeof t);
  char why[20];
  current = &t;
  EQ(zk_try(nested, NULL, why, sizeof why), ZK_EPANIC);
  CHECK(!strcmp(why, "outer"));
  SEEN(&t, "bapo");
}

static void panic_again(void *arg) { zk_panic((const char *)arg); }
static void replaces(void *arg) {
  (void)arg;
  DEFER("a");
  OK(zk_defer(panic_again, (void *)"second"));
  zk_panic("first");
}
static void returns_and_then_panics(void *arg) {
  (void)arg;
  DEFER("a");
  OK(zk_defer(panic_again, (void *)"late"));
  DEFER("b");
}
/* The function has returned when its deferred function panics: the try is still in progress, and its caller's registers are as before. */
static void p02_a_panic_in_a_defer_after_the_return_is_caught(void) {
  static trail t;
  memset(&t, 0, sizeof t);
  current = &t;
  volatile int seed = 3;
  int a = seed, b = seed * 5, c = seed * 7, d = seed * 11, e = seed * 13;
  for (int i = 0; i < 5; i++) {
    char why[20];
    EQ(zk_try(returns_and_then_panics, NULL, why, sizeof why), ZK_EPANIC);
    CHECK(!strcmp(why, "late"));
    EQ(a + b + c + d + e, 3 * 37);
    a++, b--, c += 2, d -= 2, e += 0 * i;
  }
  SEEN(&t, "bababababa");
}
static void a_panic_in_a_defer_goes_on_with_the_rest(void) {
  static trail t;
  memset(&t, 0, sizeof t);
  char why[60];
  current = &t;
  EQ(zk_try(replaces, NULL, why, sizeof why), ZK_EPANIC);
  CHECK(strstr(why, "second"));
  SEEN(&t, "a");
}

static void frames(int n) {
  volatile char here[200];
  here[0] = (char)n;
  if (n < 0) return;
  if (n > 0) frames(n - 1);
  else zk_panic("deep");
  here[1] = here[0];
}
static void deep(void *arg) {
  DEFER("z");
  frames(30);
  (void)arg;
}
static void try_catches_from_any_depth_and_leaves_nothing(void) {
  static trail t;
  memset(&t, 0, sizeof t);
  current = &t;
  for (int i = 0; i < 10; i++) EQ(zk_try(deep, NULL, NULL, 0), ZK_EPANIC);
  SEEN(&t, "zzzzzzzzzz");
}

/* ---- goroutines */

static void defers_and_exits(void *arg) {
  (void)arg;
  DEFER("a");
  zk_scope s = zk_scope_begin();
  DEFER("b");
  (void)s;
  zk_goexit();
}
static void defers_and_returns(void *arg) {
  (void)arg;
  DEFER("c");
}
static void note_end(void *arg) { SET(&((trail *)arg)->done, 1); }
static void run_in_goroutine(zk_fn f, trail *t) {
  zk_go_opts o = ZK_GO_OPTS_INIT;
  o.on_exit = note_end;
  SET(&t->done, 0);
  OK(zk_go_with(&o, f, t));
  UNTIL(GET(&t->done));
}
static void p09_goexit_and_return_run_the_defers(void) {
  static trail t;
  memset(&t, 0, sizeof t);
  current = &t;
  run_in_goroutine(defers_and_exits, &t);
  SEEN(&t, "ba");
  run_in_goroutine(defers_and_returns, &t);
  SEEN(&t, "bac");
}

static void exits_in_try(void *arg) {
  (void)arg;
  DEFER("x");
  zk_goexit();
}
static void tries_to_stay(void *arg) {
  (void)arg;
  DEFER("y");
  (void)zk_try(exits_in_try, NULL, NULL, 0);
  letter((void *)"!");
}
static void p10_goexit_is_not_caught(void) {
  static trail t;
  memset(&t, 0, sizeof t);
  current = &t;
  run_in_goroutine(tries_to_stay, &t);
  SEEN(&t, "xy");
}

/* What a deferred function tries while the goroutine exits is caught; so is its panic if a try was in progress around it. */
static void panics_plainly(void *arg) { zk_panic((const char *)arg); }
static void tries_during_exit(void *arg) {
  char why[20] = "";
  (void)arg;
  EQ(zk_try(panics_plainly, (void *)"inside", why, sizeof why), ZK_EPANIC);
  CHECK(!strcmp(why, "inside"));
  EQ(zk_try(exits_in_try, NULL, NULL, 0), 0); /* never returns */
}
static void exits_and_tries(void *arg) {
  (void)arg;
  DEFER("a");
  OK(zk_defer(tries_during_exit, NULL));
  zk_goexit();
}
static void exits_with_a_panic(void *arg) {
  (void)arg;
  DEFER("c");
  OK(zk_defer(panics_plainly, (void *)"during the exit"));
  DEFER("d");
  zk_goexit();
}
static void tries_around_it(void *arg) {
  (void)arg;
  DEFER("b");
  (void)zk_try(exits_with_a_panic, NULL, NULL, 0);
  letter((void *)"!");
}
static void p10_a_panic_in_an_exit_is_caught_and_the_exit_goes_on(void) {
  static trail t;
  memset(&t, 0, sizeof t);
  current = &t;
  run_in_goroutine(exits_and_tries, &t);
  SEEN(&t, "xa");
  run_in_goroutine(tries_around_it, &t);
  SEEN(&t, "xadcb");
}
static void not_tried(void) {
  static trail t;
  current = &t;
  OK(zk_go(exits_with_a_panic, NULL));
  zk_sleep(ZT_LIMIT);
}

static void exit_instead(void *arg) {
  (void)arg;
  zk_goexit();
}
static void panics_but_exits(void *arg) {
  (void)arg;
  DEFER("a");
  OK(zk_defer(exit_instead, NULL));
  zk_panic("discarded");
}
static void p11_goexit_in_a_defer_discards_the_panic(void) {
  static trail t;
  memset(&t, 0, sizeof t);
  current = &t;
  run_in_goroutine(panics_but_exits, &t);
  SEEN(&t, "a");
}

static void parks_in_try(void *arg) {
  EQ(zt_recv((zk_chan *)arg), 5);
  zk_yield();
  zk_panic("after a wait");
}
static void a_try_may_wait_inside(void) {
  char why[20];
  for (int i = 0; i < 50; i++) {
    zk_chan *c = zt_ints(1);
    OK(zt_send(c, 5));
    EQ(zk_try(parks_in_try, c, why, sizeof why), ZK_EPANIC);
    CHECK(!strcmp(why, "after a wait"));
    zk_chan_unref(c);
  }
}

#ifndef __cplusplus
static void in_a_block(void) {
  ZK_SCOPE;
  DEFER("a");
  {
    ZK_SCOPE;
    DEFER("b");
  }
  DEFER("c");
}
static void panics_in_a_block(void *arg) {
  ZK_SCOPE;
  DEFER("d");
  zk_panic(arg);
}
static void scope_is_a_statement(void) {
  static trail t;
  memset(&t, 0, sizeof t);
  current = &t;
  in_a_block();
  SEEN(&t, "bca");
  EQ(zk_try(panics_in_a_block, "x", NULL, 0), ZK_EPANIC);
  SEEN(&t, "bcad");
}
#endif

/* ---- panics that nobody catches */

static void say(void *arg) { fprintf(stderr, "%s\n", (const char *)arg); }
static void dies(void *arg) {
  OK(zk_defer(say, (void *)"deferred first"));
  zk_panic((const char *)arg);
}
static void uncaught(void) {
  GO("doomed", dies, (void *)"nobody catches this");
  for (;;) zk_yield();
}
static int dies_in_main(void *arg) {
  dies(arg);
  return 0;
}
static void uncaught_in_main(void) { (void)zk_run(dies_in_main, (void *)"main is doomed", NULL); }
static void uncaught_on_a_thread(void) { zk_panic("a plain thread"); }
static void p01_p02_an_uncaught_panic_ends_the_process(void) {
  char err[1 << 14];
  int status = zt_child("uncaught", err, sizeof err);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
  const char *deferred = strstr(err, "deferred first"), *report = strstr(err, "panic: nobody catches this");
  CHECK(deferred && report && deferred < report);
  CHECK(strstr(report, "doomed"));
  CHILD_ABORTS(uncaught_in_main, "main is doomed");
  CHILD_ABORTS(not_tried, "panic: during the exit");
  CHILD_ABORTS(uncaught_on_a_thread, "a plain thread");
}

static int reported;
static void on_panic(uint64_t goid, const char *msg, void *user) {
  CHECK(goid != 0 && user == NULL && strstr(msg, "to the hook"));
  INC(&reported);
}
static int panics_in_main(void *arg) {
  zk_panic((const char *)arg);
  return 0;
}
static void with_a_hook(void) {
  zk_config c = ZK_CONFIG_INIT;
  c.on_panic = on_panic;
  OK(zk_init(&c));
  for (int i = 0; i < 20; i++) GO("doomed", dies, (void *)"to the hook");
  UNTIL(GET(&reported) == 20);
  UNTIL(zt_alive("doomed") == 0);
  zk_wg wg = ZK_ZERO;
  OK(zk_wg_go(&wg, panic_again, (void *)"to the hook")); /* a member that panics is done after the report */
  OK(zk_wg_wait(&wg, zk_in(ZT_LIMIT)));
  EQ(GET(&reported), 21);
  int code = -1, rc = zk_run(panics_in_main, (void *)"to the hook", &code);
  EQ(rc, ZK_EPANIC);
  EQ(code, -1);
  EQ(GET(&reported), 22);
}
static void the_hook_lets_the_rest_go_on(void) { CHILD_EXITS(with_a_hook, 0); }

/* ---- recovery, and panics inside panics */

static void quiet(void *arg) { (void)arg; }
static void helper_tries(void *arg) {
  OK(zk_try(quiet, NULL, NULL, 0)); /* nothing of its own has panicked */
  letter(arg);
}
static void nested_try(void *arg) {
  char why[20];
  EQ(zk_try(panic_again, (void *)"own", why, sizeof why), ZK_EPANIC);
  CHECK(!strcmp(why, "own"));
  letter(arg);
}
static void panics_with_helpers(void *arg) {
  (void)arg;
  DEFER("a");
  OK(zk_defer(helper_tries, (void *)"h"));
  OK(zk_defer(nested_try, (void *)"n"));
  zk_panic("goes on");
}
/* A try in a deferred function, or in a helper of one, catches what panics below itself, and not the panic that runs it. */
static void p03_a_deferred_function_does_not_recover_the_panic_that_runs_it(void) {
  static trail t;
  memset(&t, 0, sizeof t);
  char why[20];
  current = &t;
  EQ(zk_try(panics_with_helpers, NULL, why, sizeof why), ZK_EPANIC);
  CHECK(!strcmp(why, "goes on"));
  SEEN(&t, "nha");
}

static void panics_with_nothing(void *arg) {
  (void)arg;
  zk_panic(NULL);
}
static void uncaught_nothing(void) {
  GO("doomed", panics_with_nothing, NULL);
  for (;;) zk_yield();
}
static void p05_a_panic_without_a_value_is_still_a_panic(void) {
  char why[20] = "untouched";
  EQ(zk_try(panics_with_nothing, NULL, why, sizeof why), ZK_EPANIC);
  CHECK(!strcmp(why, "(no message)"));
  CHILD_ABORTS(uncaught_nothing, "panic: (no message)");
}

static void goes_below_zero(void *arg) { zk_wg_done((zk_wg *)arg); }
/* What panics in Go and has a result to say so in is an error here; what has none panics and can be caught. */
static void p06_misuse_can_be_handled(void) {
  zk_chan *c = zt_ints(1);
  zk_wg wg = ZK_ZERO;
  char why[60] = "";
  OK(zk_chan_close(c));
  EQ(zk_chan_close(c), ZK_ECLOSED);
  EQ(zt_try_send(c, 1), ZK_ECLOSED);
  EQ(zk_chan_close(NULL), ZK_EINVAL);
  CHECK(zk_chan_new(sizeof(int), (size_t)-1) == NULL);
  EQ(zk_try(goes_below_zero, &wg, why, sizeof why), ZK_EPANIC);
  CHECK(!strcmp(why, "sync: negative WaitGroup counter"));
  OK(zk_wg_wait(&wg, ZK_NOWAIT)); /* and nothing was changed */
  zk_chan_unref(c);
}

static void panics_three_times(void *arg) {
  OK(zk_defer(panic_again, (void *)"the third"));
  OK(zk_defer(panic_again, (void *)"the second"));
  zk_panic((const char *)arg);
}
static void three_panics(void) {
  GO("doomed", panics_three_times, (void *)"the first");
  for (;;) zk_yield();
}
/* Go's TestRecursivePanic4. */
static void p07_nested_panics_are_reported_oldest_first(void) {
  CHILD_ABORTS(three_panics, "panic: the first\n\tpanic: the second\n\tpanic: the third\n");
}

static void hook_that_panics(uint64_t goid, const char *msg, void *user) {
  (void)goid;
  (void)user;
  fputs(msg, stderr);
  zk_panic("in the hook");
}
static void panicking_hook(void) {
  zk_config c = ZK_CONFIG_INIT;
  c.on_panic = hook_that_panics;
  OK(zk_init(&c));
  GO("doomed", panic_again, (void *)"for the hook");
  for (;;) zk_yield();
}
/* Go's TestPanicLoop. */
static void p08_a_panic_while_a_panic_is_reported_does_not_loop(void) {
  CHILD_ABORTS(panicking_hook, "panic while printing panic value: in the hook");
}

/* ---- hooks that panic: the others run as well, nothing is left behind, and the first panic goes on */

enum { VALUES = 7 };
typedef struct hooks {
  int runs, panics, deferred;
} hooks;
static hooks seen_hooks;
static void note_deferred(void *arg) {
  (void)arg;
  seen_hooks.deferred++;
}
/* Each run panics but the second; the texts tell which it was. */
static void hook(void *elem, void *user) {
  static const char *const texts[VALUES] = { "hook 0", "hook 1", "hook 2", "hook 3", "hook 4", "hook 5", "hook 6" };
  hooks *h = (hooks *)user;
  int n = h->runs++;
  CHECK(elem != NULL);
  EQ(h->deferred, n); /* what the one before has deferred has run */
  OK(zk_defer(note_deferred, NULL));
  if (n == 1) return;
  h->panics++;
  zk_panic(texts[n]);
}
static void unref_chan(void *c) { zk_chan_unref((zk_chan *)c); }
static void drop_producer(void *p) { OK(zk_producer_drop((zk_producer *)p)); }
static void unref_pool(void *p) { zk_pool_unref((zk_pool *)p); }
static void unref_quietly(void *c) {
  char why[20];
  EQ(zk_try(unref_chan, c, why, sizeof why), ZK_EPANIC);
  CHECK(!strcmp(why, "hook 0"));
}
typedef void (*drop_fn)(void *elem, void *user);
static zk_chan *hooked_by(drop_fn drop, size_t elem_size, size_t capacity, uint32_t policy) {
  zk_chan_opts o = ZK_CHAN_OPTS_INIT;
  char room[1024] = "";
  o.elem_size = elem_size;
  o.capacity = capacity;
  o.drop = drop;
  o.user = &seen_hooks;
  o.policy = policy;
  zk_chan *c = zk_chan_new_with(&o);
  CHECK(c != NULL && elem_size <= sizeof room);
  for (size_t i = 0; i < capacity; i++) OK(zk_chan_send(c, room, elem_size, ZK_NOWAIT));
  memset(&seen_hooks, 0, sizeof seen_hooks);
  return c;
}
static zk_chan *hooked(size_t elem_size, size_t capacity, uint32_t policy) { return hooked_by(hook, elem_size, capacity, policy); }
#define ALL_RAN(count) (EQ(seen_hooks.runs, (count)), EQ(seen_hooks.panics, (count) > 1 ? (count) - 1 : 1), EQ(seen_hooks.deferred, (count)))

static void c27_a_hook_that_panics_keeps_no_other_element_from_its_own(void) {
  static const size_t sizes[] = { sizeof(int), 24, 1000 };
  for (size_t i = 0; i < 3; i++) {
    unref_quietly(hooked(sizes[i], VALUES, ZK_CHAN_BLOCK));
    ALL_RAN(VALUES);
    unref_quietly(hooked(sizes[i], VALUES, ZK_CHAN_UNBOUNDED));
    ALL_RAN(VALUES);
    unref_quietly(hooked(sizes[i], 1, ZK_CHAN_BLOCK));
    ALL_RAN(1);
  }
  zk_chan *c = hooked(sizeof(int), VALUES, ZK_CHAN_BLOCK);
  OK(zk_try(unref_chan, zk_chan_ref(c), NULL, 0)); /* not the last reference */
  EQ(seen_hooks.runs, 0);
  unref_quietly(c);
  ALL_RAN(VALUES);
}

static void c27_the_last_reference_may_be_a_producers(void) {
  char why[20];
  zk_chan *c = hooked(sizeof(int), VALUES, ZK_CHAN_BLOCK);
  zk_producer *p = zk_producer_new(c);
  zk_chan_unref(c);
  EQ(seen_hooks.runs, 0);
  EQ(zk_try(drop_producer, p, why, sizeof why), ZK_EPANIC);
  CHECK(!strcmp(why, "hook 0"));
  ALL_RAN(VALUES);
}

static void pl01_a_hook_that_panics_keeps_no_other_object_from_its_own(void) {
  char why[20];
  int objects[VALUES];
  zk_pool *p = zk_pool_new(NULL, hook, &seen_hooks);
  memset(&seen_hooks, 0, sizeof seen_hooks);
  for (int i = 0; i < VALUES; i++) zk_pool_put(p, &objects[i]);
  EQ(zk_try(unref_pool, p, why, sizeof why), ZK_EPANIC);
  CHECK(!strcmp(why, "hook 0"));
  ALL_RAN(VALUES);
  unref_pool(zk_pool_new(NULL, hook, &seen_hooks));
  ALL_RAN(VALUES); /* and nothing of it is left for the next */
}

/* The elements are channels whose own elements panic: each panic goes on to whoever gives that channel back. */
static void hook_of_channels(void *elem, void *user) {
  zk_chan *inner = *(zk_chan **)elem;
  int *n = (int *)user;
  memset(&seen_hooks, 0, sizeof seen_hooks);
  if ((*n)++ != 1) zk_chan_unref(inner);
  else unref_quietly(inner);
  CHECK(*n == 2); /* the others do not come here */
}
/* Three channels as the elements of one, with these hooks. */
static zk_chan *of_channels(drop_fn outer, int *user, drop_fn inner) {
  zk_chan_opts o = ZK_CHAN_OPTS_INIT;
  o.elem_size = sizeof(zk_chan *);
  o.capacity = 3;
  o.drop = outer;
  o.user = user;
  zk_chan *c = zk_chan_new_with(&o);
  for (int i = 0; i < 3; i++) {
    zk_chan *element = hooked_by(inner, sizeof(int), VALUES, ZK_CHAN_BLOCK);
    OK(zk_chan_send(c, &element, sizeof element, ZK_NOWAIT));
  }
  return c;
}
static void hooks_nest(void) {
  char why[20];
  int n = 0;
  zk_chan *c = of_channels(hook_of_channels, &n, hook);
  EQ(zk_try(unref_chan, c, why, sizeof why), ZK_EPANIC);
  CHECK(!strcmp(why, "hook 0"));
  EQ(n, 3);
  ALL_RAN(VALUES);
}

/* One element that is given up by an operation: what the operation has taken of the heap for it does not stay behind. */
static void receives_nothing(void *c) { (void)zk_chan_recv((zk_chan *)c, NULL, 0, ZK_NOWAIT); }
static void sends_one_more(void *c) {
  char room[1000] = "";
  (void)zk_chan_send((zk_chan *)c, room, sizeof room, ZK_NOWAIT);
}
static void selects_nothing(void *c) {
  zk_case k[40];
  memset(k, 0, sizeof k);
  for (int i = 0; i < 40; i++) {
    k[i].chan = (zk_chan *)c;
    k[i].op = ZK_OP_RECV;
  }
  (void)zk_select(k, 40, ZK_NOWAIT);
}
static void selects_one_more(void *c) {
  char room[1000] = "";
  zk_case k;
  memset(&k, 0, sizeof k);
  k.chan = (zk_chan *)c;
  k.elem = room;
  k.size = sizeof room;
  k.op = ZK_OP_SEND;
  (void)zk_select(&k, 1, ZK_NOWAIT);
}
static void c25_a_hook_that_panics_leaves_no_memory_of_the_operation_behind(void) {
  static const zk_fn ways[] = { receives_nothing, selects_nothing, sends_one_more, selects_one_more };
  for (int i = 0; i < 4; i++) {
    char why[20];
    zk_chan *c = hooked(1000, 2, i < 2 ? ZK_CHAN_BLOCK : ZK_CHAN_DROP_OLDEST);
    EQ(zk_try(ways[i], c, why, sizeof why), ZK_EPANIC);
    CHECK(!strcmp(why, "hook 0"));
    EQ(seen_hooks.runs, 1);
    EQ(seen_hooks.deferred, 1);
    EQ(zk_chan_len(c), i < 2 ? 1 : 2);
    seen_hooks.runs = seen_hooks.deferred = 1;
    while (zk_chan_recv(c, why + sizeof why - 1, 0, ZK_NOWAIT) == ZK_OK) {}
    char room[1000];
    while (zk_chan_recv(c, room, sizeof room, ZK_NOWAIT) == ZK_OK) {}
    zk_chan_unref(c);
  }
}

/* ---- hooks that exit: the others run as well, and then the goroutine ends */

static void exits_at_once(void *arg) {
  (void)arg;
  zk_goexit();
}
/* The first exits inside a try, which does not catch it; the third panics, which is discarded; the fourth exits again. */
static void hook_that_exits(void *elem, void *user) {
  hooks *h = (hooks *)user;
  int n = h->runs++;
  CHECK(elem != NULL);
  EQ(h->deferred, n);
  OK(zk_defer(note_deferred, NULL));
  if (n == 0) {
    (void)zk_try(exits_at_once, NULL, NULL, 0);
    CHECK(!"an exit was caught");
  }
  if (n == 2) zk_panic("discarded");
  if (n == 3) zk_goexit();
}
static zk_chan *exiting(void) { return hooked_by(hook_that_exits, sizeof(int), VALUES, ZK_CHAN_BLOCK); }
static void lets_go(void *arg) {
  (void)arg;
  DEFER("a");
  (void)zk_try(unref_chan, exiting(), NULL, 0);
  letter((void *)"!");
}
static void lets_a_pool_go(void *arg) {
  int objects[VALUES];
  (void)arg;
  DEFER("b");
  zk_pool *p = zk_pool_new(NULL, hook_that_exits, &seen_hooks);
  memset(&seen_hooks, 0, sizeof seen_hooks);
  for (int i = 0; i < VALUES; i++) zk_pool_put(p, &objects[i]);
  zk_pool_unref(p);
  letter((void *)"!");
}
/* The elements are channels whose own elements exit: each drain is finished before the one around it goes on. */
static void hook_of_exiting_channels(void *elem, void *user) {
  memset(&seen_hooks, 0, sizeof seen_hooks);
  ++*(int *)user;
  zk_chan_unref(*(zk_chan **)elem);
}
static int outer_runs;
static void lets_many_go(void *arg) {
  (void)arg;
  DEFER("c");
  zk_chan *c = of_channels(hook_of_exiting_channels, &outer_runs, hook_that_exits);
  outer_runs = 0;
  zk_chan_unref(c);
  letter((void *)"!");
}
static void p10_a_hook_that_exits_keeps_no_other_value_from_its_own(void) {
  static trail t;
  memset(&t, 0, sizeof t);
  current = &t;
  static const zk_fn ways[] = { lets_go, lets_a_pool_go, lets_many_go };
  for (int i = 0; i < 3; i++) {
    memset(&seen_hooks, 0, sizeof seen_hooks);
    run_in_goroutine(ways[i], &t);
    EQ(seen_hooks.runs, VALUES);
    EQ(seen_hooks.deferred, VALUES);
  }
  EQ(outer_runs, 3);
  SEEN(&t, "abc");
  run_in_goroutine(defers_and_returns, &t); /* nothing of it is left for the next */
  SEEN(&t, "abcc");
}

static void hook_outside(void) { zk_chan_unref(hooked(sizeof(int), VALUES, ZK_CHAN_BLOCK)); }
static void p01_a_hook_that_panics_outside_of_a_try_ends_the_process(void) { CHILD_ABORTS(hook_outside, "hook 0"); }

/* ---- the ends of a process */

static void park_with_a_defer(void *arg) {
  OK(zk_defer(say, (void *)"a deferred function ran"));
  (void)zk_chan_recv((zk_chan *)arg, NULL, 0, ZK_FOREVER);
}
static void spins(void *arg) {
  (void)arg;
  for (;;) zk_yield();
}
static int starts_some(void *arg) {
  for (int i = 0; i < 100; i++) GO("parked", park_with_a_defer, arg);
  PARKED(100, "parked", "chan receive");
  GO("spins", spins, NULL);
  return 3;
}
static void main_returns(void) {
  int code = 0;
  OK(zk_run(starts_some, zt_ints(0), &code));
  exit(code);
}
static int exits_inside(void *arg) {
  starts_some(arg);
  OK(zk_defer(say, (void *)"a deferred function ran"));
  exit(7);
}
static void exits(void) { (void)zk_run(exits_inside, zt_ints(0), NULL); }
static void p13_p14_the_end_of_the_process_waits_for_nobody(void) {
  static char err[1 << 14];
  int st = zt_child("main_returns", err, sizeof err);
  CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 3 && !strstr(err, "a deferred function ran"));
  st = zt_child("exits", err, sizeof err);
  CHECK(WIFEXITED(st) && WEXITSTATUS(st) == 7 && !strstr(err, "a deferred function ran"));
}

static int overflows(int n) {
  volatile char here[512];
  here[0] = (char)n;
  if (n < 0) return 0;
  return overflows(n + 1) + here[0];
}
static void overflows_its_stack(void *arg) { *(int *)arg = overflows(0); }
static void unlocks_nothing(void *arg) { zk_mutex_unlock((zk_mutex *)arg); }
static void tries_to_survive(void *arg) {
  int n = 0;
  zk_mutex m = ZK_ZERO;
  if (arg) (void)zk_try(overflows_its_stack, &n, NULL, 0);
  else (void)zk_try(unlocks_nothing, &m, NULL, 0);
  fputs("it went on", stderr);
}
static void overflow_in_try(void) {
  GO("deep", tries_to_survive, (void *)"overflow");
  for (;;) zk_yield();
}
static void unlock_in_try(void) {
  GO("unlocks", tries_to_survive, NULL);
  for (;;) zk_yield();
}
static void p15_fatal_errors_cannot_be_caught(void) {
  static char err[1 << 16];
  int st = zt_child("overflow_in_try", err, sizeof err);
  CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGABRT && strstr(err, "overflowed its stack") && !strstr(err, "it went on"));
  st = zt_child("unlock_in_try", err, sizeof err);
  CHECK(WIFSIGNALED(st) && WTERMSIG(st) == SIGABRT && strstr(err, "unlock of unlocked mutex") && !strstr(err, "it went on"));
}

static void registers_and_waits(void *arg) {
  zk_timer *t = zk_timer_func(ZK_MS, panic_again, arg);
  CHECK(t != NULL);
  (void)zk_sleep(20 * ZK_SEC);
}
static void registers_in_a_context(void *arg) {
  zk_ctx *x = zk_ctx_new(NULL, zk_in(ZK_MS));
  CHECK(zk_ctx_after(x, panic_again, arg) != NULL);
  (void)zk_sleep(20 * ZK_SEC);
}
static int tries_to_catch_a_callback(void *arg) {
  (void)zk_try(*(zk_fn *)arg, (void *)"in a callback", NULL, 0);
  fputs("it went on", stderr);
  return 0;
}
static void timer_callback(void) {
  zk_fn f = registers_and_waits;
  (void)zk_run(tries_to_catch_a_callback, &f, NULL);
}
static void context_callback(void) {
  zk_fn f = registers_in_a_context;
  (void)zk_run(tries_to_catch_a_callback, &f, NULL);
}
static void p16_a_panic_in_a_callback_ends_the_process(void) {
  CHILD_ABORTS(timer_callback, "panic: in a callback");
  CHILD_ABORTS(context_callback, "panic: in a callback");
}

static const zt_test tests[] = {
  BOTH(nothing_is_an_error),
  ONCE(defer_outside_everything),
  BOTH(a_scope_runs_its_defers_last_first),
  BOTH(p02_p04_try_catches_and_defers_run),
  BOTH(tries_nest),
  BOTH(a_panic_in_a_defer_goes_on_with_the_rest),
  BOTH(p02_a_panic_in_a_defer_after_the_return_is_caught),
  BOTH(try_catches_from_any_depth_and_leaves_nothing),
  BOTH(p09_goexit_and_return_run_the_defers),
  BOTH(p10_goexit_is_not_caught),
  BOTH(p10_a_panic_in_an_exit_is_caught_and_the_exit_goes_on),
  BOTH(p11_goexit_in_a_defer_discards_the_panic),
  BOTH(a_try_may_wait_inside),
#ifndef __cplusplus
  BOTH(scope_is_a_statement),
#endif
  ONCE(p01_p02_an_uncaught_panic_ends_the_process),
  ONCE(the_hook_lets_the_rest_go_on),
  CHILD(uncaught),
  CHILD(uncaught_in_main),
  CHILD(not_tried),
  CHILD(uncaught_on_a_thread),
  CHILD(with_a_hook),
  BOTH(p03_a_deferred_function_does_not_recover_the_panic_that_runs_it),
  BOTH(p05_a_panic_without_a_value_is_still_a_panic),
  BOTH(p06_misuse_can_be_handled),
  ONCE(p07_nested_panics_are_reported_oldest_first),
  ONCE(p08_a_panic_while_a_panic_is_reported_does_not_loop),
  ONCE(p13_p14_the_end_of_the_process_waits_for_nobody),
  ONCE(p15_fatal_errors_cannot_be_caught),
  ONCE(p16_a_panic_in_a_callback_ends_the_process),
  BOTH(c27_a_hook_that_panics_keeps_no_other_element_from_its_own),
  BOTH(c27_the_last_reference_may_be_a_producers),
  BOTH(pl01_a_hook_that_panics_keeps_no_other_object_from_its_own),
  BOTH(hooks_nest),
  BOTH(p10_a_hook_that_exits_keeps_no_other_value_from_its_own),
  BOTH(c25_a_hook_that_panics_leaves_no_memory_of_the_operation_behind),
  ONCE(p01_a_hook_that_panics_outside_of_a_try_ends_the_process),
  CHILD(hook_outside),
  CHILD(uncaught_nothing),
  CHILD(three_panics),
  CHILD(panicking_hook),
  CHILD(main_returns),
  CHILD(exits),
  CHILD(overflow_in_try),
  CHILD(unlock_in_try),
  CHILD(timer_callback),
  CHILD(context_callback),
};
MAIN(tests)
