/* Configuration, start, main goroutines, deadlock, shutdown, fork. Most of it needs a process of its own. */
#include "zktest.h"

static int answer(void *arg) {
  *(uint64_t *)arg = zk_goid();
  return 42;
}
static int nested(void *arg) {
  (void)arg;
  int code = -1;
  uint64_t id;
  EQ(zk_run(answer, &id, &code), ZK_EPERM);
  EQ(code, -1);
  return 0;
}

static void run_lends_this_thread_and_gives_the_result(void) {
  uint64_t id = 0;
  int code = 0;
  OK(zk_run(answer, &id, &code));
  EQ(code, 42);
  CHECK(id != 0);
  OK(zk_run(answer, &id, NULL));
  EQ(zk_run(NULL, NULL, &code), ZK_EINVAL);
  EQ(zk_goid(), 0);
}
static void run_inside_a_goroutine_is_not_allowed(void) { OK(zk_run(nested, NULL, NULL)); }

static void parked_for_good(void *arg) { (void)zk_chan_recv((zk_chan *)arg, NULL, 0, zk_in(ZT_LIMIT)); }
static int start_and_leave(void *arg) {
  OK(zk_go(parked_for_good, arg));
  return 0;
}
static void other_goroutines_go_on_after_run(void) {
  zk_chan *c = zt_ints(0);
  OK(zk_run(start_and_leave, c, NULL));
  PARKED(1, "", "chan receive");
  zk_chan_close(c);
  UNTIL(zt_alive(NULL) == 0);
  zk_chan_unref(c);
}

typedef struct both {
  zk_chan *a, *b;
} both;
static int ping(void *arg) {
  both *p = (both *)arg;
  for (int i = 0; i < 1000; i++) {
    OK(zt_send(p->a, i));
    EQ(zt_recv(p->b), i);
  }
  return 0;
}
static int pong(void *arg) {
  both *p = (both *)arg;
  for (int i = 0; i < 1000; i++) {
    EQ(zt_recv(p->a), i);
    OK(zt_send(p->b, i));
  }
  return 0;
}
static void *pong_thread(void *arg) {
  OK(zk_run(pong, arg, NULL));
  return NULL;
}
static void several_threads_may_be_in_run(void) {
  both p = { zt_ints(0), zt_ints(0) };
  pthread_t t;
  EQ(pthread_create(&t, NULL, pong_thread, &p), 0);
  OK(zk_run(ping, &p, NULL));
  EQ(pthread_join(t, NULL), 0);
  zk_chan_unref(p.a);
  zk_chan_unref(p.b);
}

static void g04_workers_are_asked_for_and_set(void) {
  int before = zk_workers(0);
  CHECK(before >= 1);
  EQ(zk_workers(3), before);
  EQ(zk_workers(0), 3);
  EQ(zk_workers(UINT32_MAX), ZK_EINVAL);
  EQ(zk_workers(0), 3);
  EQ(zk_workers((uint32_t)before), 3);
}

/* ---- zk_init */

static void init_refuses_nonsense(void) {
  zk_config c = ZK_CONFIG_INIT;
  EQ(zk_init(NULL), ZK_EINVAL);
  c.size = 5;
  EQ(zk_init(&c), ZK_EINVAL);
  c.size = sizeof c;
  c.workers = UINT32_MAX;
  EQ(zk_init(&c), ZK_EINVAL);
  c.workers = 0;
  c.stack_size = 100;
  EQ(zk_init(&c), ZK_EINVAL);
  c.stack_size = SIZE_MAX - 5;
  EQ(zk_init(&c), ZK_EINVAL);
  c.stack_size = 0;
  zk_allocator incomplete = { NULL, NULL, NULL };
  c.allocator = &incomplete;
  EQ(zk_init(&c), ZK_EINVAL);
}

static void tick_up(void *arg) { INC((int *)arg); }
static void init_fails_once_it_runs(void) {
  int n = 0;
  OK(zk_go(tick_up, &n));
  UNTIL(GET(&n));
  zk_config c = ZK_CONFIG_INIT;
  EQ(zk_init(&c), ZK_EBUSY);
}
static void init_sets_the_number_of_workers(void) {
  zk_config c = ZK_CONFIG_INIT;
  c.workers = 3;
  OK(zk_init(&c));
  EQ(zk_workers(0), 3);
}
static void init_limits_goroutines(void) {
  zk_config c = ZK_CONFIG_INIT;
  c.max_goroutines = 10;
  OK(zk_init(&c));
  zk_chan *hold = zt_ints(0);
  for (int i = 0; i < 10; i++) GO("limited", parked_for_good, hold);
  EQ(zt_go("limited", parked_for_good, hold), ZK_ELIMIT);
  EQ(zk_go_copy(tick_up, "x", 1), ZK_ELIMIT);
  EQ(zk_run(answer, NULL, NULL), ZK_ELIMIT); /* a main goroutine counts as well */
  zk_wg wg = ZK_ZERO;
  EQ(zk_wg_go(&wg, tick_up, NULL), ZK_ELIMIT);
  OK(zk_wg_wait(&wg, ZK_NOWAIT)); /* the counter is as before */
  zk_chan_close(hold);
  UNTIL(zt_alive("limited") == 0);
  int n = 0;
  OK(zk_go(tick_up, &n));
  UNTIL(GET(&n));
}
static int stack_seen(const zk_goinfo *g, void *user) {
  if (!strcmp(g->name, "sized")) *(size_t *)user = g->stack_size;
  return 0;
}
static void stack_size_default(void) {
  zk_chan *c = zt_ints(0);
  size_t size = 0;
  GO("sized", parked_for_good, c);
  PARKED(1, "sized", "chan receive");
  OK(zk_each(stack_seen, &size));
  CHECK(size >= 60 << 10 && size <= 64 << 10);
}

/* ---- the allocator */

typedef struct heap {
  int64_t live, calls;
} heap;
static void *heap_alloc(size_t size, size_t align, void *user) {
  heap *h = (heap *)user;
  __atomic_add_fetch(&h->live, (int64_t)size, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&h->calls, 1, __ATOMIC_SEQ_CST);
  void *p = NULL;
  if (align < sizeof(void *)) align = sizeof(void *);
  return posix_memalign(&p, align, size) == 0 ? p : NULL;
}
static void heap_free(void *p, size_t size, size_t align, void *user) {
  (void)align;
  __atomic_sub_fetch(&((heap *)user)->live, (int64_t)size, __ATOMIC_SEQ_CST);
  memset(p, 0xdd, size);
  free(p);
}
static heap counted;
static const zk_allocator counting = { heap_alloc, heap_free, &counted };
static const zk_allocator another = { heap_alloc, heap_free, NULL };

static void allocator_serves_everything(void) {
  zk_config c = ZK_CONFIG_INIT;
  c.allocator = &counting;
  OK(zk_init(&c));
  int64_t before = GET(&counted.live), calls = GET(&counted.calls);
  zk_chan *ch = zk_chan_new(1000, 100);
  CHECK(GET(&counted.live) >= before + 100000);
  CHECK(GET(&counted.calls) > calls);
  int n = 0;
  for (int i = 0; i < 1000; i++) OK(zk_go(tick_up, &n));
  UNTIL(GET(&n) == 1000);
  zk_chan_unref(ch);
  CHECK(GET(&counted.live) < before + 100000);
  c.allocator = &another;
  EQ(zk_init(&c), ZK_EBUSY);
}
static void allocator_comes_too_late(void) {
  zk_chan *c = zt_ints(1);
  zk_config cfg = ZK_CONFIG_INIT;
  cfg.allocator = &counting;
  EQ(zk_init(&cfg), ZK_EBUSY);
  zk_chan_unref(c);
}

/* ---- deadlock */

static int wait_for_nobody(void *arg) { return zk_chan_recv((zk_chan *)arg, NULL, 0, ZK_FOREVER); }
static void waits_for_nobody(void *arg) { (void)wait_for_nobody(arg); }
static int leave_by_goexit(void *arg) {
  (void)arg;
  zk_goexit();
  return 0;
}
static int all_of_them_wait(void *arg) {
  GO("second", waits_for_nobody, arg);
  return wait_for_nobody(arg);
}
static void deadlock(void) {
  zk_chan *c = zt_ints(0);
  int code = -1;
  EQ(zk_run(all_of_them_wait, c, &code), ZK_EDEADLOCK);
  EQ(code, -1);
}
static void d01_d08_a_deadlock_is_reported_with_a_dump(void) {
  char err[1 << 14];
  int status = zt_child("deadlock", err, sizeof err);
  if (status != 0) fputs(err, stderr);
  EQ(status, 0);
  CHECK(strstr(err, "second") && strstr(err, "chan receive"));
}
static void goexit_from_main(void) {
  int code = -1;
  EQ(zk_run(leave_by_goexit, NULL, &code), ZK_EDEADLOCK);
  EQ(code, -1);
}
static int sleeping_main(void *arg) {
  zk_chan *c = (zk_chan *)arg;
  EQ(zk_chan_recv(c, NULL, 0, zk_in(5 * ZK_MS)), ZK_ETIMEDOUT);
  return 0;
}
static void d04_a_deadline_keeps_it_alive(void) {
  zk_chan *c = zt_ints(0);
  OK(zk_run(sleeping_main, c, NULL));
  zk_chan_unref(c);
}
static void *ends_the_process(void *arg) {
  (void)arg;
  usleep(150000); /* a report comes at once if it comes */
  _exit(0);
}
static void sleeps_for_ever(void *arg) {
  (void)arg;
  zk_sleep(INT64_MAX);
}
static int waits_beside_a_sleeper(void *arg) {
  int v;
  OK(zk_go(sleeps_for_ever, NULL));
  return zk_recv((zk_chan *)arg, &v);
}
static void endless_sleep(void) {
  pthread_t t;
  CHECK(pthread_create(&t, NULL, ends_the_process, NULL) == 0);
  int never = zk_run(waits_beside_a_sleeper, zt_ints(0), NULL);
  EQ(never, 0);
}
static void d04_t02_an_endless_sleep_is_a_sleep(void) { CHILD_EXITS(endless_sleep, 0); }
static void *waker(void *arg) {
  zk_chan *c = (zk_chan *)arg;
  usleep(50000); /* it has to come late: until then nothing else is alive */
  OK(zt_send(c, 1));
  zk_release();
  return NULL;
}
static void held(void) {
  zk_chan *c = zt_ints(0);
  pthread_t t;
  int code = -1;
  zk_hold();
  EQ(pthread_create(&t, NULL, waker, c), 0);
  OK(zk_run(wait_for_nobody, c, &code));
  OK(code);
  pthread_join(t, NULL);
}

/* ---- shutdown and fork */

/* Objects in the caller's memory: what need not wait is done, what would wait for ever is refused. */
static void no_waits_where_nobody_runs(void) {
  zk_mutex free = ZK_ZERO, held = ZK_ZERO;
  zk_rwmutex written = ZK_ZERO;
  zk_cond cond = ZK_ZERO;
  zk_sem one = ZK_SEM_INIT(1);
  zk_wg wg = ZK_ZERO;
  zk_group *group = zk_group_new(NULL, 1);
  int n = 0;
  OK(zk_mutex_lock_until(&free, ZK_FOREVER));
  zk_mutex_unlock(&free);
  zk_mutex_lock(&held);
  EQ(zk_mutex_lock_until(&held, ZK_FOREVER), ZK_ESHUTDOWN);
  EQ(zk_cond_wait(&cond, &held, ZK_FOREVER), ZK_ESHUTDOWN);
  zk_mutex_unlock(&held); /* locked after the wait as before */
  zk_rwmutex_lock(&written);
  EQ(zk_rwmutex_lock_until(&written, ZK_FOREVER), ZK_ESHUTDOWN);
  EQ(zk_rwmutex_rlock_until(&written, ZK_FOREVER), ZK_ESHUTDOWN);
  OK(zk_sem_acquire(&one, 1, ZK_FOREVER));
  EQ(zk_sem_acquire(&one, 1, ZK_FOREVER), ZK_ESHUTDOWN);
  EQ(zk_wg_go(&wg, tick_up, &n), ZK_ESHUTDOWN);
  OK(zk_wg_wait(&wg, ZK_FOREVER));
  zk_wg_add(&wg, 1);
  EQ(zk_wg_wait(&wg, ZK_FOREVER), ZK_ESHUTDOWN);
  EQ(zk_group_go(group, answer, &n), ZK_ESHUTDOWN);
  OK(zk_group_wait(group));
  zk_group_unref(group);
  EQ(n, 0);
}
static void after_shutdown(void) {
  int n = 0;
  zk_chan *c = zt_ints(0);
  OK(zk_go(tick_up, &n));
  OK(zk_shutdown(zk_in(ZT_LIMIT)));
  EQ(GET(&n), 1);
  EQ(zk_go(tick_up, &n), ZK_ESHUTDOWN);
  EQ(zk_go_copy(tick_up, "x", 1), ZK_ESHUTDOWN);
  EQ(zk_run(answer, &n, NULL), ZK_ESHUTDOWN);
  EQ(zk_blocking(tick_up, &n), ZK_ESHUTDOWN);
  CHECK(zk_timer_func(0, tick_up, &n) == NULL);
  CHECK(zk_timer_new(0, 0) == NULL);
  EQ(GET(&n), 1);
  int v = 0;
  EQ(zk_chan_send(c, &v, sizeof v, ZK_NOWAIT), ZK_ESHUTDOWN);
  EQ(zk_sleep(ZK_MS), ZK_ESHUTDOWN);
  EQ(zk_workers(0), ZK_ESHUTDOWN);
  EQ(zk_shutdown(ZK_FOREVER), ZK_ESHUTDOWN);
  zk_config cfg = ZK_CONFIG_INIT;
  EQ(zk_init(&cfg), ZK_ESHUTDOWN);
  no_waits_where_nobody_runs();
  zk_chan_unref(c);
}
static void shutdown_of_the_stubborn(void) {
  zk_chan *c = zt_ints(0);
  GO("stubborn", waits_for_nobody, c);
  PARKED(1, "stubborn", "chan receive");
  zk_group *group = zk_group_new(NULL, 0);
  OK(zk_group_go(group, wait_for_nobody, c));
  EQ(zk_shutdown(zk_in(5 * ZK_MS)), ZK_ETIMEDOUT);
  EQ(zk_group_wait(group), ZK_ESHUTDOWN);
  zk_group_unref(group); /* waits for nobody who cannot run any more */
}
static void shutdown_that_does_not_wait(void) {
  zk_chan *c = zt_ints(0);
  GO("stubborn", waits_for_nobody, c);
  EQ(zk_shutdown(ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_shutdown(ZK_NOWAIT), ZK_ESHUTDOWN);
}
static int shut_inside(void *arg) {
  (void)arg;
  return zk_shutdown(ZK_FOREVER);
}
static void shutdown_inside_a_goroutine_is_not_allowed(void) {
  int code = 0;
  OK(zk_run(shut_inside, NULL, &code));
  EQ(code, ZK_EPERM);
}
/* In the child whatever lock the looking thread had is held for ever, and there are no goroutines to see. */
static int nobody_comes(const zk_goinfo *g, void *user) {
  (void)g;
  (void)user;
  _exit(2);
}
static void *looks_on_and_on(void *stop) {
  zk_stats s = ZK_STATS_INIT;
  int null = open("/dev/null", O_WRONLY);
  while (!GET((int *)stop)) {
    OK(zk_stats_get(&s));
    OK(zk_dump(null));
  }
  close(null);
  return NULL;
}
static void forked_while_others_look(void) {
  int stop = 0, null = open("/dev/null", O_WRONLY);
  zk_chan *c = zt_ints(0);
  GO("seen", waits_for_nobody, c);
  pthread_t looker;
  CHECK(pthread_create(&looker, NULL, looks_on_and_on, &stop) == 0);
  for (int i = 0; i < 100; i++) {
    int status = -1;
    pid_t pid = fork();
    if (pid == 0) {
      alarm(10);
      zk_stats s = ZK_STATS_INIT;
      if (zk_stats_get(&s) != ZK_OK || s.goroutines != 0) _exit(1);
      OK(zk_each(nobody_comes, NULL));
      OK(zk_dump(null));
      _exit(33);
    }
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    EQ(WEXITSTATUS(status), 33);
  }
  SET(&stop, 1);
  pthread_join(looker, NULL);
}
static void forked(void) {
  int n = 0, status = -1;
  OK(zk_go(tick_up, &n));
  UNTIL(GET(&n));
  zk_chan *c = zt_ints(0);
  pid_t pid = fork();
  if (pid == 0) {
    int v = 0;
    if (zk_go(tick_up, &n) != ZK_ESHUTDOWN) _exit(1);
    if (zk_chan_recv(c, &v, sizeof v, ZK_FOREVER) != ZK_ESHUTDOWN) _exit(2);
    if (zk_chan_send(c, &v, sizeof v, ZK_FOREVER) != ZK_ESHUTDOWN) _exit(3);
    if (zk_sleep(ZK_SEC) != ZK_ESHUTDOWN) _exit(4);
    if (zk_run(answer, &v, NULL) != ZK_ESHUTDOWN) _exit(5);
    no_waits_where_nobody_runs();
    _exit(33);
  }
  CHECK(waitpid(pid, &status, 0) == pid);
  CHECK(WIFEXITED(status));
  EQ(WEXITSTATUS(status), 33);
  OK(zk_go(tick_up, &n)); /* the parent goes on */
  UNTIL(GET(&n) == 2);
}

/* ---- panics: what C can cause before zk_panic, a wait group below zero */

static void below_zero(void *arg) { zk_wg_done((zk_wg *)arg); }
static int reported;
static uint64_t reported_id;
static char reported_text[200];
static void on_panic(uint64_t goid, const char *msg, void *user) {
  CHECK(user == &reported);
  reported_id = goid;
  snprintf(reported_text, sizeof reported_text, "%s", msg);
  SET(&reported, 1);
}
static void panic_with_a_hook(void) {
  zk_config c = ZK_CONFIG_INIT;
  c.on_panic = on_panic;
  c.user = &reported;
  OK(zk_init(&c));
  zk_wg wg = ZK_ZERO;
  int n = 0;
  OK(zt_go("panicking", below_zero, &wg));
  UNTIL(GET(&reported));
  CHECK(strstr(reported_text, "sync: negative WaitGroup counter"));
  CHECK(reported_id != 0);
  UNTIL(zt_alive("panicking") == 0);
  OK(zk_go(tick_up, &n)); /* the rest goes on */
  UNTIL(GET(&n));
}
static void panic_without_a_hook(void) {
  zk_wg wg = ZK_ZERO;
  OK(zt_go("panicking", below_zero, &wg));
  for (;;) zk_yield();
}

static void in_processes_of_their_own(void) {
  CHILD_EXITS(init_fails_once_it_runs, 0);
  CHILD_EXITS(init_refuses_nonsense, 0);
  CHILD_EXITS(init_sets_the_number_of_workers, 0);
  CHILD_EXITS(init_limits_goroutines, 0);
  CHILD_EXITS(stack_size_default, 0);
  CHILD_EXITS(allocator_serves_everything, 0);
  CHILD_EXITS(allocator_comes_too_late, 0);
}
static void p12_goexit_from_main_is_a_deadlock_once_nobody_is_left(void) {
  char err[1 << 12];
  EQ(zt_child("goexit_from_main", err, sizeof err), 0);
  CHECK(strstr(err, "fatal error: no goroutines (main called goexit) - deadlock!\n"));
}
static void misuse_release(void) { zk_release(); }
static void misuse_goexit(void) { zk_goexit(); }
static void misuse_block_end(void) { zk_block_end(); }
static void misuse_wait_group(void) { zk_wg_done(NULL); }
static void misuse_mutex(void) {
  zk_mutex m = ZK_ZERO;
  zk_mutex_unlock(&m);
}
static void p15_misuse_ends_the_process_with_one_line(void) {
  CHILD_ABORTS(misuse_release, "fatal error: zk_release without zk_hold\n");
  CHILD_ABORTS(misuse_goexit, "fatal error: zk_goexit outside a goroutine\n");
  CHILD_ABORTS(misuse_block_end, "fatal error: zk_block_end outside a goroutine\n");
  CHILD_ABORTS(misuse_wait_group, "fatal error: zk_wg_done: no wait group\n");
  CHILD_ABORTS(misuse_mutex, "fatal error: sync: unlock of unlocked mutex\n");
}
static void d06_d07_a_hold_keeps_the_deadlock_report_away(void) { CHILD_EXITS(held, 0); }
static void shutdown_ends_everything(void) {
  CHILD_EXITS(after_shutdown, 0);
  CHILD_EXITS(shutdown_of_the_stubborn, 0);
  CHILD_EXITS(shutdown_that_does_not_wait, 0);
}
static void sg04_a_forked_child_is_shut_down(void) {
  CHILD_EXITS(forked, 0);
  CHILD_EXITS(forked_while_others_look, 0);
}
static void p01_a_panic_goes_to_the_hook_or_ends_the_process(void) {
  CHILD_EXITS(panic_with_a_hook, 0);
  CHILD_ABORTS(panic_without_a_hook, "panic: sync: negative WaitGroup counter");
}

/* ---- more of deadlock */

static void waits_in_try(void *arg) { (void)zk_chan_recv((zk_chan *)arg, NULL, 0, ZK_FOREVER); }
static int waits_inside_a_try(void *arg) {
  (void)zk_try(waits_in_try, arg, NULL, 0);
  fputs("it went on", stderr);
  return 0;
}
static void deadlock_in_try(void) { EQ(zk_run(waits_inside_a_try, zt_ints(0), NULL), ZK_EDEADLOCK); }
static void d02_a_deadlock_is_reported_at_once_and_cannot_be_caught(void) {
  static char err[1 << 14];
  zk_time from = zk_now();
  EQ(zt_child("deadlock_in_try", err, sizeof err), 0);
  CHECK(zk_now() - from < 10 * ZK_SEC);
  CHECK(strstr(err, "all goroutines are asleep - deadlock!") && !strstr(err, "it went on"));
}

static void sleeps_and_sends(void *arg) {
  OK(zk_sleep(50 * ZK_MS));
  OK(zt_send((zk_chan *)arg, 1));
}
static void sleeps_the_thread(void *arg) {
  (void)arg;
  usleep(50000);
}
static void blocks_and_sends(void *arg) {
  OK(zk_blocking(sleeps_the_thread, NULL));
  OK(zt_send((zk_chan *)arg, 2));
}
static void sends_later(void *arg) { OK(zt_send((zk_chan *)arg, 3)); }
static int silenced_by_others(void *arg) {
  zk_chan *c = (zk_chan *)arg;
  int v = 0;
  GO("sleeps", sleeps_and_sends, c);
  OK(zk_recv(c, &v));
  EQ(v, 1);
  GO("blocks", blocks_and_sends, c);
  OK(zk_recv(c, &v));
  EQ(v, 2);
  zk_timer *t = zk_timer_func(50 * ZK_MS, sends_later, c);
  OK(zk_recv(c, &v));
  EQ(v, 3);
  zk_timer_unref(t);
  return 0;
}
static void others_can_go_on(void) {
  int code = -1;
  OK(zk_run(silenced_by_others, zt_ints(0), &code));
  OK(code);
}
static void d03_who_can_still_go_on_silences_it(void) { CHILD_EXITS(others_can_go_on, 0); }

static int fds[2];
static void reads_a_byte(void *arg) {
  char byte = 0;
  EQ(read(fds[0], &byte, 1), 1);
  *(char *)arg = byte;
}
static void *writes_later(void *arg) {
  usleep(100000);
  EQ(write(fds[1], "x", 1), 1);
  return arg;
}
/* A thread of which the library knows nothing writes; waiting for it is in the three ways there are. */
static int waits_for_input(void *arg) {
  (void)arg;
  for (int way = 0; way < 3; way++) {
    char byte = 0;
    pthread_t t;
    EQ(pthread_create(&t, NULL, writes_later, NULL), 0);
    if (way == 0) OK(zk_blocking(reads_a_byte, &byte));
    if (way == 1) {
      zk_block_begin();
      reads_a_byte(&byte);
      zk_block_end();
    }
    if (way == 2) reads_a_byte(&byte);
    EQ(byte, 'x');
    EQ(pthread_join(t, NULL), 0);
  }
  return 0;
}
static void input(void) {
  int code = -1;
  CHECK(pipe(fds) == 0);
  OK(zk_run(waits_for_input, NULL, &code));
  OK(code);
}
static void d05_waiting_for_input_counts_as_alive(void) { CHILD_EXITS(input, 0); }

static void *calls_in_twice(void *arg) {
  usleep(30000);
  OK(zt_send((zk_chan *)arg, 1)); /* from here on the library knows this thread */
  usleep(50000);
  OK(zt_send((zk_chan *)arg, 2));
  return NULL;
}
static int outlives_a_thread(void *arg) {
  zk_chan *c = (zk_chan *)arg;
  int v = 0;
  OK(zk_recv(c, &v));
  zk_release();
  OK(zk_recv(c, &v));
  EQ(v, 2);
  fputs("the thread counted as alive", stderr);
  return zk_recv(c, &v);
}
static void after_the_last_thread(void) {
  zk_chan *c = zt_ints(0);
  pthread_t t;
  zk_hold();
  EQ(pthread_create(&t, NULL, calls_in_twice, c), 0);
  EQ(zk_run(outlives_a_thread, c, NULL), ZK_EDEADLOCK);
  EQ(pthread_join(t, NULL), 0);
}
static void d07_threads_of_the_host_count_as_alive_until_they_end(void) {
  static char err[1 << 14];
  EQ(zt_child("after_the_last_thread", err, sizeof err), 0);
  CHECK(strstr(err, "the thread counted as alive"));
}

static const zt_test tests[] = {
  ONCE(run_lends_this_thread_and_gives_the_result),
  ONCE(run_inside_a_goroutine_is_not_allowed),
  ONCE(other_goroutines_go_on_after_run),
  ONCE(several_threads_may_be_in_run),
  BOTH(g04_workers_are_asked_for_and_set),
  ONCE(in_processes_of_their_own),
  ONCE(d01_d08_a_deadlock_is_reported_with_a_dump),
  ONCE(p12_goexit_from_main_is_a_deadlock_once_nobody_is_left),
  ONCE(p15_misuse_ends_the_process_with_one_line),
  ONCE(d04_a_deadline_keeps_it_alive),
  ONCE(d04_t02_an_endless_sleep_is_a_sleep),
  CHILD(endless_sleep),
  ONCE(d06_d07_a_hold_keeps_the_deadlock_report_away),
  ONCE(shutdown_ends_everything),
  ONCE(shutdown_inside_a_goroutine_is_not_allowed),
  ONCE(sg04_a_forked_child_is_shut_down),
  ONCE(p01_a_panic_goes_to_the_hook_or_ends_the_process),
  CHILD(init_refuses_nonsense),
  CHILD(init_fails_once_it_runs),
  CHILD(init_sets_the_number_of_workers),
  CHILD(init_limits_goroutines),
  CHILD(stack_size_default),
  CHILD(allocator_serves_everything),
  CHILD(allocator_comes_too_late),
  CHILD(deadlock),
  CHILD(goexit_from_main),
  CHILD(held),
  CHILD(after_shutdown),
  CHILD(shutdown_of_the_stubborn),
  CHILD(shutdown_that_does_not_wait),
  CHILD(forked),
  CHILD(forked_while_others_look),
  CHILD(misuse_release),
  CHILD(misuse_goexit),
  CHILD(misuse_block_end),
  CHILD(misuse_wait_group),
  CHILD(misuse_mutex),
  CHILD(panic_with_a_hook),
  CHILD(panic_without_a_hook),
  ONCE(d02_a_deadlock_is_reported_at_once_and_cannot_be_caught),
  ONCE(d03_who_can_still_go_on_silences_it),
  ONCE(d05_waiting_for_input_counts_as_alive),
  ONCE(d07_threads_of_the_host_count_as_alive_until_they_end),
  CHILD(deadlock_in_try),
  CHILD(others_can_go_on),
  CHILD(input),
  CHILD(after_the_last_thread),
};
MAIN(tests)
