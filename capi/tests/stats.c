/* Looking inside: counters, goroutines, dumps. */
#include "zktest.h"

static void park_on(void *arg) { (void)zk_chan_recv((zk_chan *)arg, NULL, 0, zk_in(ZT_LIMIT)); }

static void bad_arguments_are_errors(void) {
  EQ(zk_stats_get(NULL), ZK_EINVAL);
  EQ(zk_each(NULL, NULL), ZK_EINVAL);
  EQ(zk_dump(-1), -EBADF);
  zk_stats s = ZK_STATS_INIT;
  s.size = 3;
  EQ(zk_stats_get(&s), ZK_EINVAL);
}

static void stats_of_other_versions(void) {
  struct { zk_stats s; uint64_t more[2]; } newer;
  memset(&newer, 0, sizeof newer);
  newer.s.size = sizeof newer;
  OK(zk_stats_get(&newer.s));
  CHECK(newer.s.workers > 0);
  EQ(newer.s.size, sizeof newer);
  EQ(newer.more[0], 0);
  zk_stats s;
  memset(&s, 0xee, sizeof s);
  s.size = offsetof(zk_stats, workers); /* an older program: nothing behind that is written */
  OK(zk_stats_get(&s));
  CHECK(s.goroutines < 1000000);
  EQ(s.workers, (int64_t)0xeeeeeeeeeeeeeeee);
}

static void g15_ob04_goroutines_are_counted(void) {
  zk_chan *c = zt_ints(0);
  zk_stats before = ZK_STATS_INIT, s = ZK_STATS_INIT;
  OK(zk_stats_get(&before));
  EQ(before.goroutines, zk_goid() != 0);
  for (int i = 0; i < 7; i++) GO("counted", park_on, c);
  PARKED(7, "counted", "chan receive");
  OK(zk_stats_get(&s));
  EQ(s.goroutines - before.goroutines, 7);
  EQ(s.created - before.created, 7);
  CHECK(s.blocked >= 7);
  CHECK(s.stack_bytes >= 7 * (60 << 10));
  CHECK(s.parks >= 7 && s.switches >= 7);
  EQ(zt_alive("counted"), 7);
  zk_chan_close(c);
  UNTIL(zt_alive("counted") == 0);
  OK(zk_stats_get(&s));
  EQ(s.goroutines, before.goroutines);
  zk_chan_unref(c);
}

typedef struct view {
  int seen, stop_after;
  zk_time since;
  size_t size, used;
} view;
static int look(const zk_goinfo *g, void *user) {
  view *v = (view *)user;
  EQ(g->size, sizeof *g);
  CHECK(g->name && g->state && g->wait_on && g->id);
  if (strcmp(g->name, "viewed") != 0) return 0;
  v->since = g->since;
  v->size = g->stack_size;
  v->used = g->stack_used;
  return ++v->seen == v->stop_after;
}
static void each_shows_what_a_goroutine_does(void) {
  zk_chan *c = zt_ints(0);
  zk_time before = zk_now();
  for (int i = 0; i < 3; i++) GO("viewed", park_on, c);
  PARKED(3, "viewed", "chan receive");
  view v = { 0, -1, 0, 0, 0 };
  OK(zk_each(look, &v));
  EQ(v.seen, 3);
  CHECK(v.since >= before - ZK_SEC && v.since <= zk_now()); /* a coarse clock */
  CHECK(v.size >= 32 << 10);
  CHECK(v.used > 0 && v.used < v.size);
  v.seen = 0;
  v.stop_after = 2;
  OK(zk_each(look, &v)); /* a result that is not 0 stops */
  EQ(v.seen, 2);
  zk_chan_close(c);
  UNTIL(zt_alive("viewed") == 0);
  zk_chan_unref(c);
}

typedef struct wait_case {
  const char *what;
  zk_fn f;
} wait_case;
typedef struct spot {
  zk_chan *empty, *stop;
  zk_wg wg;
  int v;
} spot;
static void on_send(void *arg) { (void)zk_chan_send(((spot *)arg)->empty, &((spot *)arg)->v, sizeof(int), zk_in(ZT_LIMIT)); }
static void on_recv(void *arg) { park_on(((spot *)arg)->stop); }
static void on_select(void *arg) {
  int v;
  zk_case k = RECV(((spot *)arg)->stop, &v);
  (void)zk_select(&k, 1, zk_in(ZT_LIMIT));
}
static void on_wg(void *arg) { (void)zk_wg_wait(&((spot *)arg)->wg, zk_in(ZT_LIMIT)); }
static void tb03_the_reasons_to_wait_have_names(void) {
  spot s = { zt_ints(0), zt_ints(0), ZK_ZERO, 0 };
  zk_wg_add(&s.wg, 1);
  const wait_case cases[] = {
    { "chan send", on_send }, { "chan receive", on_recv }, { "select", on_select }, { "wait group", on_wg } };
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    GO(cases[i].what, cases[i].f, &s);
    PARKED(1, cases[i].what, cases[i].what);
  }
  zk_chan_close(s.stop);
  zk_chan_close(s.empty);
  zk_wg_done(&s.wg);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) UNTIL(zt_alive(cases[i].what) == 0);
  zk_chan_unref(s.empty);
  zk_chan_unref(s.stop);
}

static int sleeps_a_little(const zk_goinfo *g, void *user) {
  if (!strcmp(g->name, "sleeper") && !strcmp(g->wait_on, "sleep")) *(int *)user = 1;
  return 0;
}
static void sleeper(void *arg) {
  while (!GET((int *)arg)) OK(zk_sleep(ZK_MS));
}
static void a_sleeper_is_seen_sleeping(void) {
  int stop = 0, seen = 0;
  GO("sleeper", sleeper, &stop);
  UNTIL((zk_each(sleeps_a_little, &seen), seen));
  SET(&stop, 1);
  UNTIL(zt_alive("sleeper") == 0);
}

static void tb02_tb06_a_dump_names_goroutines_and_what_they_wait_for(void) {
  zk_chan *c = zt_ints(0);
  char path[] = "/tmp/zokor-dump-XXXXXX", text[1 << 14];
  int fd = mkstemp(path);
  CHECK(fd >= 0);
  unlink(path);
  GO("dumped-one", park_on, c);
  PARKED(1, "dumped-one", "chan receive");
  OK(zk_dump(fd));
  ssize_t n = pread(fd, text, sizeof text - 1, 0);
  CHECK(n > 0);
  text[n] = 0;
  CHECK(strstr(text, "dumped-one") && strstr(text, "chan receive"));
  close(fd);
  zk_chan_close(c);
  UNTIL(zt_alive("dumped-one") == 0);
  zk_chan_unref(c);
}

__attribute__((noinline)) static int dump_innermost(zk_chan *c) {
  int v = 0, r = zk_recv(c, &v);
  return r == 0 ? v : r;
}
__attribute__((noinline)) static int dump_middle(zk_chan *c) { return dump_innermost(c) + 1; }
__attribute__((noinline)) static int dump_outermost(zk_chan *c) { return dump_middle(c) + 1; }
static void dump_reader(void *arg) { CHECK(dump_outermost((zk_chan *)arg) != 0); }
__attribute__((noinline)) static int dump_deeper(zk_chan *c, int depth) {
  return (depth == 0 ? dump_innermost(c) : dump_deeper(c, depth - 1)) + 1;
}
static void dump_deep_reader(void *arg) { CHECK(dump_deeper((zk_chan *)arg, 400) != 0); }

/* The dump's entry of the goroutine with that name, without what follows it. */
static char *dump_entry(const char *name) {
  static char text[1 << 16];
  char path[] = "/tmp/zokor-dump-XXXXXX", line[64];
  int fd = mkstemp(path);
  CHECK(fd >= 0);
  unlink(path);
  OK(zk_dump(fd));
  ssize_t n = pread(fd, text, sizeof text - 1, 0);
  close(fd);
  CHECK(n > 0);
  text[n] = 0;
  snprintf(line, sizeof line, "\tname \"%s\"\n", name);
  char *entry = strstr(text, line);
  CHECK(entry);
  char *end = strstr(entry, "\n\n");
  CHECK(end);
  end[1] = 0;
  return entry;
}
/* Whether the entry has functions of these names in this order, each with a place in this file. */
static void has_in_order(const char *entry, const char *const *names) {
  const char *at = entry;
  for (; *names; names++) {
    const char *next = strstr(at, *names);
    if (!next) fprintf(stderr, "no %s in order in:\n%s\n", *names, entry);
    CHECK(next);
    const char *place = strchr(next, '\n');
    CHECK(place && place[1] == '\t');
    CHECK(strstr(place, "stats.c:") && strstr(place, "stats.c:") < strchr(place + 1, '\n'));
    at = place;
  }
}

static void tb04_a_dump_shows_the_frames_of_a_parked_goroutine(void) {
  const char *const names[] = {"dump_innermost", "dump_middle", "dump_outermost", "dump_reader", NULL};
  zk_chan *c = zt_ints(0);
  GO("frames-one", dump_reader, c);
  PARKED(1, "frames-one", "chan receive");
  char *entry = dump_entry("frames-one");
  has_in_order(entry, names);
  /* Before the program's functions there is one of the library, and behind them none. */
  int before = 0;
  for (char *at = entry; at < strstr(entry, "dump_innermost"); at = strchr(at, '\n') + 1) before += *at != '\t';
  EQ(before, 1);
  CHECK(!strstr(strstr(entry, "dump_reader"), ".rs:") && !strstr(entry, "zokor_context_entry") && !strstr(entry, "unknown"));
  OK(zt_send(c, 1));
  UNTIL(zt_alive("frames-one") == 0);
  zk_chan_unref(c);
}

static void tb04_a_dump_shows_both_ends_of_a_long_stack(void) {
  const char *const names[] = {"dump_innermost", "dump_deeper", NULL}, *const ends[] = {"dump_deeper", "dump_deep_reader", NULL};
  zk_chan *c = zt_ints(0);
  GO("frames-deep", dump_deep_reader, c);
  PARKED(1, "frames-deep", "chan receive");
  char *entry = dump_entry("frames-deep"), *middle = strstr(entry, " frames elided...\n");
  CHECK(middle);
  has_in_order(entry, names);
  has_in_order(middle, ends);
  int shown = 0;
  for (char *at = entry; (at = strstr(at, "dump_deeper")); at++) shown++;
  CHECK(shown >= 90 && shown < 100);
  OK(zt_send(c, 1));
  UNTIL(zt_alive("frames-deep") == 0);
  zk_chan_unref(c);
}

static const zt_test tests[] = {
  BOTH(bad_arguments_are_errors),
  BOTH(stats_of_other_versions),
  BOTH(g15_ob04_goroutines_are_counted),
  BOTH(each_shows_what_a_goroutine_does),
  BOTH(tb03_the_reasons_to_wait_have_names),
  BOTH(a_sleeper_is_seen_sleeping),
  BOTH(tb02_tb06_a_dump_names_goroutines_and_what_they_wait_for),
  BOTH(tb04_a_dump_shows_the_frames_of_a_parked_goroutine),
  BOTH(tb04_a_dump_shows_both_ends_of_a_long_stack),
};
MAIN(tests)
