/* Select: rules S-01 to S-21 as far as C can see them. */
#include "zktest.h"

typedef struct chooser {
  zk_case cases[4];
  size_t n;
  int values[4], index, done;
  bool ok;
  zk_time deadline;
} chooser;

static void choose(void *arg) {
  chooser *s = (chooser *)arg;
  s->index = zk_select(s->cases, s->n, s->deadline);
  INC(&s->done);
}

static void chooser_init(chooser *s) {
  memset(s, 0, sizeof *s);
  s->deadline = zk_in(ZT_LIMIT);
}
static void arm(chooser *s, zk_chan *c, uint32_t op, int value) {
  s->values[s->n] = value;
  s->cases[s->n] = zt_case(op, c, &s->values[s->n]);
  s->cases[s->n].ok = &s->ok;
  s->n++;
}

static void s02_the_choice_is_uniform(void) {
  enum { TRIALS = 10000 };
  zk_chan *c[4];
  int count[4] = { 0 }, v = 0;
  for (int i = 0; i < 4; i++) c[i] = zt_ints(1);
  for (int t = 0; t < TRIALS; t++) {
    (void)zt_try_send(c[0], 1);
    (void)zt_try_send(c[1], 1);
    zk_case k[4] = { RECV(c[0], &v), RECV(c[1], &v), RECV(c[2], &v), RECV(c[3], &v) };
    int i = zk_select(k, 4, ZK_FOREVER);
    CHECK(i == 0 || i == 1);
    count[i]++;
  }
  CHECK(abs(count[0] - TRIALS / 2) <= 500); /* ten sigma: rule H-5 */
  EQ(count[0] + count[1], TRIALS);
  for (int i = 0; i < 4; i++) zk_chan_unref(c[i]);
}

static void s03_the_choice_is_per_case(void) {
  enum { TRIALS = 10000 };
  zk_chan *a = zt_ints(0), *b = zt_ints(0);
  int v = 0, first = 0;
  zk_chan_close(a);
  zk_chan_close(b);
  for (int t = 0; t < TRIALS; t++) {
    zk_case k[4] = { RECV(a, &v), RECV(b, &v), RECV(a, &v), RECV(a, &v) };
    first += zk_select(k, 4, ZK_FOREVER) != 1;
  }
  CHECK(abs(first - TRIALS * 3 / 4) <= 500);
  zk_chan_unref(a);
  zk_chan_unref(b);
}

static void listed_order_takes_the_first_ready(void) {
  zk_chan *a = zt_ints(8), *b = zt_ints(8);
  int v = 0;
  for (int i = 0; i < 8; i++) {
    OK(zt_send(a, i));
    OK(zt_send(b, 100 + i));
  }
  for (int i = 0; i < 8; i++) {
    zk_case k[3] = { RECV(NULL, &v), RECV(a, &v), RECV(b, &v) };
    EQ(zk_select_ordered(k, 3, ZK_FOREVER), 1);
    EQ(v, i);
  }
  zk_case k[2] = { RECV(a, &v), RECV(b, &v) };
  EQ(zk_select_ordered(k, 2, ZK_FOREVER), 1);
  EQ(v, 100);
  zk_chan_unref(a);
  zk_chan_unref(b);
}

typedef struct race {
  zk_chan *a, *b, *go, *done;
} race;

static void racer(void *arg) {
  race *r = (race *)arg;
  int v;
  ZK_RANGE(r->go, &v) {
    zk_case k[2] = { RECV(r->a, &v), RECV(r->b, &v) };
    int i = zk_select(k, 2, ZK_NOWAIT);
    OK(zt_send(r->done, i));
  }
}

/* One of two channels is ready at every instant, so the default must never run. */
static void s04_s05_the_default_never_runs_while_something_is_ready(void) {
  enum { TRIALS = 20000 };
  race r = { zt_ints(1), zt_ints(1), zt_ints(0), zt_ints(0) };
  GO("racer", racer, &r);
  for (int t = 0; t < TRIALS; t++) {
    int v;
    OK(zt_send(r.a, 1));
    OK(zt_send(r.go, 1));
    OK(zt_send(r.b, 1));
    zk_case k = RECV(r.a, &v);
    (void)zk_select(&k, 1, ZK_NOWAIT);
    CHECK(zt_recv(r.done) >= 0);
    (void)zt_try_recv(r.a);
    (void)zt_try_recv(r.b);
  }
  zk_chan_close(r.go);
  UNTIL(zt_alive("racer") == 0);
  zk_chan_unref(r.a);
  zk_chan_unref(r.b);
  zk_chan_unref(r.go);
  zk_chan_unref(r.done);
}

static void s06_absent_channels_are_never_ready(void) {
  int v = 1;
  zk_chan *c = zt_ints(1);
  zk_case k[3] = { SEND(NULL, &v), RECV(NULL, &v), RECV(c, &v) };
  EQ(zk_select(k, 2, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_select(k, 2, zk_in(ZK_MS)), ZK_ETIMEDOUT);
  EQ(zk_select(NULL, 0, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_select(NULL, 0, zk_in(ZK_MS)), ZK_ETIMEDOUT);
  OK(zt_send(c, 5));
  EQ(zk_select(k, 3, ZK_FOREVER), 2);
  zk_chan_unref(c);
}

static void s07_a_closed_channel_is_always_ready(void) {
  zk_chan *c = zt_ints(0);
  int v = 9;
  bool ok = true;
  zk_chan_close(c);
  zk_case k = RECV(c, &v);
  k.ok = &ok;
  EQ(zk_select(&k, 1, ZK_FOREVER), 0);
  EQ(ok, false);
  EQ(v, 0);
  k = SEND(c, &v);
  k.ok = &ok;
  ok = true;
  EQ(zk_select(&k, 1, ZK_FOREVER), ZK_ECLOSED);
  EQ(ok, false);
  zk_chan_unref(c);
}

static void s07_a_closed_send_beside_a_ready_receive(void) {
  enum { TRIALS = 400 };
  zk_chan *shut = zt_ints(0), *full = zt_ints(1);
  int v = 0, closed = 0;
  zk_chan_close(shut);
  OK(zt_send(full, 3));
  for (int t = 0; t < TRIALS; t++) {
    zk_case k[2] = { SEND(shut, &v), RECV(full, &v) };
    int i = zk_select(k, 2, ZK_FOREVER);
    if (i == ZK_ECLOSED) {
      closed++;
      EQ(zk_chan_len(full), 1); /* the other channel's value is not consumed */
    } else {
      EQ(i, 1);
      OK(zt_send(full, 3));
    }
  }
  CHECK(closed > TRIALS / 10 && closed < TRIALS * 9 / 10);
  zk_chan_unref(shut);
  zk_chan_unref(full);
}

static void s08_a_closed_send_never_falls_to_the_default(void) {
  zk_chan *c = zt_ints(0);
  int v = 0;
  zk_chan_close(c);
  zk_case k = SEND(c, &v);
  for (int i = 0; i < 100; i++) EQ(zk_select(&k, 1, ZK_NOWAIT), ZK_ECLOSED);
  zk_chan_unref(c);
}

static void s09_exactly_one_case_runs(void) {
  zk_chan *a = zt_ints(0), *b = zt_ints(0);
  for (int i = 0; i < 300; i++) {
    chooser s;
    chooser_init(&s);
    arm(&s, a, ZK_OP_RECV, -1);
    arm(&s, b, ZK_OP_RECV, -1);
    GO("chooser", choose, &s);
    PARKED(1, "chooser", "select");
    int sent_a = zt_try_send(a, 1), sent_b = zt_try_send(b, 2);
    OK(sent_a);
    EQ(sent_b, ZK_EAGAIN);
    UNTIL(GET(&s.done));
    EQ(s.index, 0);
    EQ(s.values[0], 1);
    EQ(s.values[1], -1);
    CHECK(s.ok);
  }
  zk_chan_unref(a);
  zk_chan_unref(b);
}

static void s10_losers_leave_no_trace(void) {
  zk_chan *a = zt_ints(0), *b = zt_ints(0);
  chooser s;
  chooser_init(&s);
  arm(&s, a, ZK_OP_RECV, 0); /* the same channel twice */
  arm(&s, b, ZK_OP_SEND, 5);
  arm(&s, a, ZK_OP_RECV, 0);
  GO("chooser", choose, &s);
  PARKED(1, "chooser", "select");
  EQ(zt_try_recv(b), 5);
  UNTIL(GET(&s.done));
  EQ(s.index, 1);
  EQ(zt_try_send(a, 1), ZK_EAGAIN);
  EQ(zt_try_recv(b), ZK_EAGAIN);
  /* A waiter in the middle of a queue withdraws without disturbing the others. */
  chooser q[3];
  for (int i = 0; i < 3; i++) {
    chooser_init(&q[i]);
    arm(&q[i], a, ZK_OP_RECV, -1);
    if (i == 1) arm(&q[i], b, ZK_OP_RECV, -1);
    GO("chooser", choose, &q[i]);
    PARKED(i + 1, "chooser", "select");
  }
  OK(zt_try_send(b, 7));
  UNTIL(GET(&q[1].done));
  OK(zt_try_send(a, 10));
  OK(zt_try_send(a, 12));
  EQ(zt_try_send(a, 13), ZK_EAGAIN);
  UNTIL(GET(&q[0].done) && GET(&q[2].done));
  EQ(q[0].values[0], 10);
  EQ(q[2].values[0], 12);
  zk_chan_unref(a);
  zk_chan_unref(b);
}

static long resident_pages(void) {
  long size = 0, resident = 0;
  FILE *f = fopen("/proc/self/statm", "r");
  if (f) {
    if (fscanf(f, "%ld %ld", &size, &resident) != 2) resident = 0;
    fclose(f);
  }
  return resident;
}

static void s11_selects_leave_no_residue(void) {
  zk_chan *quiet = zt_ints(0), *busy = zt_ints(1);
  long before = 0;
  int v = 1;
  for (int i = 0; i < 200000; i++) {
    if (i == 100000) before = resident_pages();
    OK(zt_send(busy, i));
    zk_case k[2] = { RECV(quiet, &v), RECV(busy, &v) };
    EQ(zk_select(k, 2, ZK_FOREVER), 1);
  }
  CHECK(resident_pages() - before < 64);
  zk_chan_unref(quiet);
  zk_chan_unref(busy);
}

static void s12_a_select_never_meets_itself(void) {
  zk_chan *c = zt_ints(0);
  int v = 1, w = 0;
  zk_case k[2] = { SEND(c, &v), RECV(c, &w) };
  EQ(zk_select(k, 2, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_select(k, 2, zk_in(5 * ZK_MS)), ZK_ETIMEDOUT);
  chooser s;
  chooser_init(&s);
  arm(&s, c, ZK_OP_SEND, 4);
  arm(&s, c, ZK_OP_RECV, 0);
  GO("chooser", choose, &s);
  PARKED(1, "chooser", "select");
  EQ(zt_try_recv(c), 4); /* another party may match either side */
  UNTIL(GET(&s.done));
  EQ(s.index, 0);
  SET(&s.done, 0);
  GO("chooser", choose, &s);
  PARKED(1, "chooser", "select");
  OK(zt_try_send(c, 6));
  UNTIL(GET(&s.done));
  EQ(s.index, 1);
  EQ(s.values[1], 6);
  zk_chan_unref(c);
}

static void s13_both_directions_of_one_buffer(void) {
  enum { TRIALS = 1000 };
  zk_chan *c = zt_ints(2);
  int v = 1, w, sends = 0;
  OK(zt_send(c, 0));
  for (int t = 0; t < TRIALS; t++) {
    zk_case k[2] = { SEND(c, &v), RECV(c, &w) };
    int i = zk_select(k, 2, ZK_FOREVER);
    CHECK(i == 0 || i == 1);
    sends += i == 0;
    if (i == 0) (void)zt_recv(c);
    else OK(zt_send(c, 0));
  }
  CHECK(sends > TRIALS / 3 && sends < TRIALS * 2 / 3);
  zk_chan_unref(c);
}

static void s14_a_losing_send_keeps_its_value(void) {
  zk_chan *a = zt_ints(1), *b = zt_ints(1);
  int v = 42, w = 0;
  OK(zt_send(b, 7));
  OK(zt_send(a, 0)); /* full: the send cannot proceed */
  zk_case k[2] = { SEND(a, &v), RECV(b, &w) };
  EQ(zk_select(k, 2, ZK_FOREVER), 1);
  EQ(w, 7);
  EQ(v, 42);
  EQ(zk_chan_len(a), 1);
  EQ(zt_recv(a), 0);
  EQ(zt_try_recv(a), ZK_EAGAIN);
  zk_chan_unref(a);
  zk_chan_unref(b);
}

static void s16_close_completes_a_parked_select(void) {
  zk_chan *a = zt_ints(0), *b = zt_ints(0);
  chooser r, w;
  chooser_init(&r);
  arm(&r, a, ZK_OP_RECV, 9);
  r.ok = true;
  chooser_init(&w);
  arm(&w, b, ZK_OP_SEND, 9);
  w.ok = true;
  GO("chooser", choose, &r);
  GO("chooser", choose, &w);
  PARKED(2, "chooser", "select");
  OK(zk_chan_close(a));
  OK(zk_chan_close(b));
  UNTIL(GET(&r.done) && GET(&w.done));
  EQ(r.index, 0);
  EQ(r.ok, false);
  EQ(r.values[0], 0);
  EQ(w.index, ZK_ECLOSED);
  EQ(w.ok, false);
  zk_chan_unref(a);
  zk_chan_unref(b);
}

/* The worker that runs this has the channel to itself from here on, unless another one comes. */
static void use_alone(zk_chan *c) {
  for (int i = 0; i < 3000; i++) {
    if (zt_try_send(c, 1) == ZK_OK) EQ(zt_try_recv(c), 1);
  }
}

/* Waits for ever on two channels, in either order of their addresses; `what` ends the wait through the case `at`. */
static void wait_for_ever(uint32_t op, int swapped, int at, int closes) {
  zk_chan *c[2] = { zt_ints(op == ZK_OP_SEND), zt_ints(op == ZK_OP_SEND) };
  chooser s;
  use_alone(c[0]);
  use_alone(c[1]);
  if (op == ZK_OP_SEND) {
    OK(zt_try_send(c[0], 70));
    OK(zt_try_send(c[1], 71));
  }
  chooser_init(&s);
  s.deadline = ZK_FOREVER;
  s.ok = closes;
  arm(&s, c[swapped], op, 9);
  arm(&s, c[!swapped], op, 9);
  zk_chan *ends = c[at ^ swapped], *other = c[!at ^ swapped];
  GO("chooser", choose, &s);
  PARKED(1, "chooser", "select");
  if (closes) {
    OK(zk_chan_close(ends));
  } else if (op == ZK_OP_SEND) {
    EQ(zt_try_recv(ends), ends == c[0] ? 70 : 71);
  } else {
    OK(zt_try_send(ends, 42));
  }
  UNTIL(GET(&s.done));
  EQ(s.ok, !closes);
  EQ(s.index, closes && op == ZK_OP_SEND ? ZK_ECLOSED : at);
  EQ(s.values[!at], 9);
  if (op == ZK_OP_SEND) {
    EQ(zt_try_recv(ends), closes ? (ends == c[0] ? 70 : 71) : 9);
    EQ(zt_try_recv(other), other == c[0] ? 70 : 71);
    EQ(zt_try_recv(other), ZK_EAGAIN); /* nobody waits there any more */
  } else {
    EQ(s.values[at], closes ? 0 : 42);
    EQ(zt_try_send(other, 1), ZK_EAGAIN);
  }
  zk_chan_unref(c[0]);
  zk_chan_unref(c[1]);
}

static void s09_s10_s16_a_select_without_deadline(void) {
  for (int i = 0; i < 16; i++) wait_for_ever(i & 1 ? ZK_OP_SEND : ZK_OP_RECV, i >> 1 & 1, i >> 2 & 1, i >> 3);
}

/* A case that is ready has its chance whatever it takes to run it: a closed channel, a lock that another worker has, a full buffer with a sender. */
static void s02_the_choice_is_uniform_among_unlike_channels(void) {
  enum { TRIALS = 12000 };
  zk_chan *c[4] = { zt_ints(1), zt_ints(1), zt_ints(0), zt_ints(1) };
  int count[4] = { 0 }, v = 0;
  use_alone(c[0]);
  use_alone(c[2]);
  zk_chan_close(c[2]);
  for (int t = 0; t < TRIALS; t++) {
    (void)zt_try_send(c[0], 1);
    (void)zt_try_send(c[1], 1);
    zk_case k[4] = { RECV(c[0], &v), RECV(c[1], &v), RECV(c[2], &v), RECV(c[3], &v) };
    int i = zk_select(k, 4, t & 1 ? ZK_FOREVER : ZK_NOWAIT);
    CHECK(i >= 0 && i <= 2);
    count[i]++;
  }
  for (int i = 0; i < 3; i++) CHECK(abs(count[i] - TRIALS / 3) <= 550);
  for (int i = 0; i < 4; i++) zk_chan_unref(c[i]);
}

static void s19_the_number_of_cases_is_bounded(void) {
  enum { MANY = 65536 };
  zk_case *k = (zk_case *)calloc(MANY + 1, sizeof *k);
  zk_chan *c = zt_ints(1);
  int v;
  for (int i = 0; i <= MANY; i++) k[i] = RECV(NULL, &v);
  k[MANY - 1].chan = c;
  OK(zt_send(c, 8));
  EQ(zk_select(k, MANY + 1, ZK_NOWAIT), ZK_EINVAL);
  EQ(zk_select(k, SIZE_MAX, ZK_NOWAIT), ZK_EINVAL);
  EQ(zk_chan_len(c), 1);
  EQ(zk_select(k, MANY, ZK_FOREVER), MANY - 1);
  EQ(v, 8);
  zk_chan_unref(c);
  free(k);
}

static void many_cases_that_wait(void) {
  enum { N = 40 };
  zk_chan *c[N];
  zk_case k[N];
  int v[N];
  for (int i = 0; i < N; i++) {
    c[i] = zt_ints(0);
    k[i] = RECV(c[i], &v[i]);
  }
  EQ(zk_select(k, N, zk_in(ZK_MS)), ZK_ETIMEDOUT);
  for (int i = 0; i < N; i++) EQ(zt_try_send(c[i], 1), ZK_EAGAIN);
  zk_chan_close(c[N - 1]);
  EQ(zk_select(k, N, ZK_FOREVER), N - 1);
  for (int i = 0; i < N; i++) zk_chan_unref(c[i]);
}

static void bad_cases_are_errors_and_do_nothing(void) {
  zk_chan *c = zt_ints(1);
  int v = 1;
  zk_case good = SEND(c, &v), k[2];
  k[0] = good;
#define BAD(field, value, error)                \
  k[1] = good;                                  \
  k[1].field = value;                           \
  EQ(zk_select(k, 2, ZK_NOWAIT), error);        \
  EQ(zk_select_ordered(k, 2, ZK_FOREVER), error)
  BAD(op, 0, ZK_EINVAL);
  BAD(op, 3, ZK_EINVAL);
  BAD(reserved, 1, ZK_EINVAL);
  BAD(size, 8, ZK_EMSGSIZE);
  BAD(size, 0, ZK_EMSGSIZE);
  BAD(elem, NULL, ZK_EINVAL);
#undef BAD
  EQ(zk_select(NULL, 1, ZK_NOWAIT), ZK_EINVAL);
  EQ(zk_chan_len(c), 0);
  zk_chan_unref(c);
}

enum { STRESS = 20000 };
typedef struct stress {
  zk_chan *c[4];
  int turn;
  int64_t sum;
  zk_wg wg;
} stress;

static void plain_sender(void *arg) {
  stress *s = (stress *)arg;
  zk_chan *c = s->c[(INC(&s->turn) - 1) % 4];
  for (int i = 0; i < STRESS; i++) OK(zt_send(c, i));
}
static void plain_receiver(void *arg) {
  stress *s = (stress *)arg;
  zk_chan *c = s->c[(INC(&s->turn) - 1) % 4];
  for (int i = 0; i < STRESS; i++) CHECK(zt_recv(c) >= 0);
}
static void stress_select(stress *s, uint32_t op) {
  int left[4] = { STRESS, STRESS, STRESS, STRESS }, v = 0;
  for (int i = 0; i < 4 * STRESS; i++) {
    zk_case k[4];
    for (int j = 0; j < 4; j++) k[j] = zt_case(op, left[j] ? s->c[j] : NULL, &v);
    int chosen = zk_select(k, 4, zk_in(ZT_LIMIT));
    CHECK(chosen >= 0 && left[chosen] > 0);
    left[chosen]--;
  }
}
static void select_sender(void *arg) { stress_select((stress *)arg, ZK_OP_SEND); }
static void select_receiver(void *arg) { stress_select((stress *)arg, ZK_OP_RECV); }

static void s20_plain_and_select_parties_under_load(void) {
  const size_t caps[] = { 0, 0, 2, 3 };
  stress *s = (stress *)calloc(1, sizeof *s);
  for (int i = 0; i < 4; i++) s->c[i] = zt_ints(caps[i]);
  for (int i = 0; i < 4; i++) OK(zk_wg_go(&s->wg, plain_sender, s));
  OK(zk_wg_go(&s->wg, select_receiver, s));
  OK(zk_wg_wait(&s->wg, zk_in(ZT_LIMIT)));
  for (int i = 0; i < 4; i++) OK(zk_wg_go(&s->wg, plain_receiver, s));
  OK(zk_wg_go(&s->wg, select_sender, s));
  OK(zk_wg_wait(&s->wg, zk_in(ZT_LIMIT)));
  OK(zk_wg_go(&s->wg, select_sender, s));
  OK(zk_wg_go(&s->wg, select_receiver, s));
  OK(zk_wg_wait(&s->wg, zk_in(ZT_LIMIT)));
  for (int i = 0; i < 4; i++) zk_chan_unref(s->c[i]);
  free(s);
}

/* Selects without deadline, over channels in an order that changes, until all of them are closed. */
static void drain(void *arg) {
  stress *s = (stress *)arg;
  zk_chan *c[4];
  int left = 4;
  memcpy(c, s->c, sizeof c);
  for (int i = 0; left > 0; i++) {
    zk_case k[4];
    int v[4] = { -1, -1, -1, -1 };
    bool ok = true;
    for (int j = 0; j < left; j++) {
      k[j] = RECV(c[(i + j) % left], &v[j]);
      k[j].ok = &ok;
    }
    int at = zk_select(k, (size_t)left, ZK_FOREVER);
    CHECK(at >= 0 && at < left);
    for (int j = 0; j < left; j++) CHECK(v[j] == -1 || j == at);
    if (ok) {
      __atomic_add_fetch(&s->sum, v[at], __ATOMIC_SEQ_CST);
    } else {
      EQ(v[at], 0);
      int closed = (i + at) % left;
      c[closed] = c[--left];
    }
  }
}

static void fill(void *arg) {
  stress *s = (stress *)arg;
  for (int i = 0; i < STRESS / 4; i++) {
    zk_case k[4];
    int v[4];
    for (int j = 0; j < 4; j++) {
      v[j] = i + 1;
      k[j] = SEND(s->c[(i + 3 * j) % 4], &v[j]);
    }
    CHECK(zk_select(k, 1 + (size_t)i % 4, ZK_FOREVER) >= 0);
  }
}

static void s20_selects_without_deadline_under_load(void) {
  const size_t caps[] = { 3, 0, 1, 0 };
  for (int many = 1; many <= 3; many++) {
    stress *s = (stress *)calloc(1, sizeof *s);
    zk_wg drains;
    memset(&drains, 0, sizeof drains);
    for (int i = 0; i < 4; i++) s->c[i] = zt_ints(caps[i]);
    for (int i = 0; i < many; i++) {
      OK(zk_wg_go(&drains, drain, s));
      OK(zk_wg_go(&s->wg, fill, s));
      OK(zk_wg_go(&s->wg, plain_sender, s));
    }
    OK(zk_wg_wait(&s->wg, zk_in(ZT_LIMIT)));
    for (int i = 0; i < 4; i++) OK(zk_chan_close(s->c[i]));
    OK(zk_wg_wait(&drains, zk_in(ZT_LIMIT)));
    const int64_t each = STRESS / 4, plain = STRESS;
    EQ(s->sum, many * (each * (each + 1) / 2 + plain * (plain - 1) / 2));
    for (int i = 0; i < 4; i++) zk_chan_unref(s->c[i]);
    free(s);
  }
}

#ifndef __cplusplus
static int evaluated;
static zk_chan *once(zk_chan *c) {
  evaluated++;
  return c;
}

static void s01_operands_are_evaluated_once(void) {
  zk_chan *c = ZK_CHAN(int, 1);
  int v = 3, w = 0;
  bool ok = false;
  evaluated = 0;
  EQ(ZK_SELECT(ZK_SEND(once(c), &v), ZK_RECV(once(NULL), &w)), 0);
  EQ(evaluated, 2);
  EQ(ZK_TRY_SELECT(ZK_SEND(c, &v)), ZK_EAGAIN);
  EQ(ZK_SELECT_UNTIL(zk_in(ZT_LIMIT), ZK_RECV_OK(c, &w, &ok)), 0);
  CHECK(ok);
  EQ(w, 3);
  OK(zk_chan_close(c));
  EQ(ZK_SELECT(ZK_DONE(c)), 0);
  zk_chan_unref(c);
}
#endif

typedef struct first_come {
  zk_chan *c[2];
  int index, value, done;
} first_come;
static void takes_the_first(void *arg) {
  first_come *f = (first_come *)arg;
  zk_case k[2] = { RECV(f->c[0], &f->value), RECV(f->c[1], &f->value) };
  f->index = zk_select(k, 2, zk_in(ZT_LIMIT));
  INC(&f->done);
}
/* Out of park there is no choice to make: who comes first decides, in all rounds. */
static void s15_a_parked_select_takes_who_comes_first(void) {
  first_come f = { { zt_ints(1), zt_ints(1) }, -1, 0, 0 };
  for (int round = 0; round < 50; round++) {
    int first = round % 2;
    SET(&f.done, 0);
    GO("first", takes_the_first, &f);
    PARKED(1, "first", "select");
    OK(zt_send(f.c[first], round));
    OK(zt_send(f.c[1 - first], -1));
    UNTIL(GET(&f.done));
    EQ(f.index, first);
    EQ(f.value, round);
    EQ(zt_recv(f.c[1 - first]), -1); /* the other value is still there */
  }
  zk_chan_unref(f.c[0]);
  zk_chan_unref(f.c[1]);
}

/* With data always there, a closed channel beside it is taken every other time, within ten sigma (H-5). */
static void s17_a_done_channel_has_no_precedence(void) {
  enum { TRIALS = 10000 };
  zk_chan *done = zt_ints(0), *data = zt_ints(1);
  int v = 0, ended = 0;
  zk_chan_close(done);
  for (int t = 0; t < TRIALS; t++) {
    (void)zt_try_send(data, t);
    zk_case k[2] = { RECV(done, &v), RECV(data, &v) };
    ended += zk_select(k, 2, ZK_FOREVER) == 0;
  }
  CHECK(abs(ended - TRIALS / 2) <= 500);
  zk_chan_unref(done);
  zk_chan_unref(data);
}

/* Nobody has run the timer: it is looked at when somebody asks. */
static void s21_an_expired_timer_is_ready_in_a_nonblocking_select(void) {
  for (int i = 0; i < 20; i++) {
    zk_timer *t = zk_timer_new(100 * ZK_US, 0);
    zk_time at = 0, due = zk_in(100 * ZK_US);
    zk_case k;
    memset(&k, 0, sizeof k);
    k.chan = zk_timer_chan(t);
    k.elem = &at;
    k.size = sizeof at;
    k.op = ZK_OP_RECV;
    while (zk_now() <= due) {} /* no call that could run timers */
    EQ(zk_select(&k, 1, ZK_NOWAIT), 0);
    CHECK(at != 0 && at <= due);
    EQ(zk_select(&k, 1, ZK_NOWAIT), ZK_EAGAIN);
    zk_timer_unref(t);
  }
}

static const zt_test tests[] = {
  BOTH(s02_the_choice_is_uniform),
  BOTH(s03_the_choice_is_per_case),
  BOTH(listed_order_takes_the_first_ready),
  BOTH(s04_s05_the_default_never_runs_while_something_is_ready),
  BOTH(s06_absent_channels_are_never_ready),
  BOTH(s07_a_closed_channel_is_always_ready),
  BOTH(s07_a_closed_send_beside_a_ready_receive),
  BOTH(s08_a_closed_send_never_falls_to_the_default),
  BOTH(s09_exactly_one_case_runs),
  BOTH(s10_losers_leave_no_trace),
  BOTH(s11_selects_leave_no_residue),
  BOTH(s12_a_select_never_meets_itself),
  BOTH(s13_both_directions_of_one_buffer),
  BOTH(s14_a_losing_send_keeps_its_value),
  BOTH(s16_close_completes_a_parked_select),
  BOTH(s09_s10_s16_a_select_without_deadline),
  BOTH(s02_the_choice_is_uniform_among_unlike_channels),
  BOTH(s19_the_number_of_cases_is_bounded),
  BOTH(many_cases_that_wait),
  BOTH(bad_cases_are_errors_and_do_nothing),
  BOTH(s20_plain_and_select_parties_under_load),
  BOTH(s20_selects_without_deadline_under_load),
#ifndef __cplusplus
  BOTH(s01_operands_are_evaluated_once),
#endif
  BOTH(s15_a_parked_select_takes_who_comes_first),
  BOTH(s17_a_done_channel_has_no_precedence),
  BOTH(s21_an_expired_timer_is_ready_in_a_nonblocking_select),
};
MAIN(tests)
