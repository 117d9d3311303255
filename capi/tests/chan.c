/* Channels: rules C-01 to C-28 as far as C can see them, and everything the header says about them. */
#include "zktest.h"

/* A goroutine that sends or receives one value and remembers what came of it. */
typedef struct party {
  zk_chan *chan;
  int value, result, done;
} party;

static void sender(void *arg) {
  party *p = (party *)arg;
  p->result = zt_send(p->chan, p->value);
  INC(&p->done);
}

static void receiver(void *arg) {
  party *p = (party *)arg;
  p->value = -1;
  p->result = zk_chan_recv(p->chan, &p->value, sizeof p->value, zk_in(ZT_LIMIT));
  INC(&p->done);
}

#define SENDER(p, c, v) ((p)->chan = (c), (p)->value = (v), (p)->done = 0, zt_go("sender", sender, (p)))
#define RECEIVER(p, c) ((p)->chan = (c), (p)->done = 0, zt_go("receiver", receiver, (p)))

static void c01_absurd_sizes_give_no_channel(void) {
  CHECK(zk_chan_new(SIZE_MAX, 1) == NULL);
  CHECK(zk_chan_new(1, SIZE_MAX) == NULL);
  CHECK(zk_chan_new((size_t)1 << 33, (size_t)1 << 33) == NULL);
  CHECK(zk_chan_new(8, SIZE_MAX / 8) == NULL);
  CHECK(zk_chan_new((size_t)-4, 0) == NULL);
  CHECK(zk_chan_new(8, (size_t)-1) == NULL); /* a negative number, converted */
}

static void c02_no_channel_is_an_error_and_empty(void) {
  int v = 1;
  EQ(zk_chan_send(NULL, &v, sizeof v, ZK_FOREVER), ZK_EINVAL);
  EQ(zk_chan_recv(NULL, &v, sizeof v, ZK_FOREVER), ZK_EINVAL);
  EQ(zk_chan_close(NULL), ZK_EINVAL);
  EQ(zk_chan_len(NULL), 0);
  EQ(zk_chan_cap(NULL), 0);
  CHECK(zk_chan_ref(NULL) == NULL);
  zk_chan_unref(NULL);
}

static void foreign_pointers_are_seen(void) {
  uint64_t zeroes[8] = { 0 };
  char text[] = "this is no channel at all, but long enough to be looked at";
  int v = 1;
  zk_timer *t = zk_timer_new(ZK_SEC, 0);
  void *foreign[] = { zeroes, text + 1, (void *)((uintptr_t)zeroes | 1), t };
  for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
    zk_chan *c = (zk_chan *)foreign[i];
    EQ(zk_chan_send(c, &v, sizeof v, ZK_FOREVER), ZK_EINVAL);
    EQ(zk_chan_recv(c, &v, sizeof v, ZK_FOREVER), ZK_EINVAL);
    EQ(zk_chan_close(c), ZK_EINVAL);
    EQ(zk_chan_len(c), 0);
    CHECK(zk_chan_ref(c) == NULL);
    zk_chan_unref(c);
    zk_case k = RECV(c, &v);
    EQ(zk_select(&k, 1, ZK_FOREVER), ZK_EINVAL);
  }
  EQ(zk_timer_stop((zk_timer *)(void *)zeroes), ZK_EINVAL);
  zk_timer_unref(t);
}

static void element_sizes_must_match(void) {
  zk_chan *c = zt_ints(1);
  char small = 1;
  int64_t big = 1;
  EQ(zk_chan_send(c, &small, sizeof small, ZK_FOREVER), ZK_EMSGSIZE);
  EQ(zk_chan_send(c, &big, sizeof big, ZK_FOREVER), ZK_EMSGSIZE);
  EQ(zk_chan_recv(c, &big, sizeof big, ZK_FOREVER), ZK_EMSGSIZE);
  EQ(zk_chan_recv(c, &small, sizeof small, ZK_NOWAIT), ZK_EMSGSIZE);
  EQ(zk_chan_send(c, NULL, sizeof(int), ZK_FOREVER), ZK_EINVAL);
  EQ(zk_chan_len(c), 0);
  OK(zt_send(c, 3));
  OK(zk_chan_recv(c, NULL, 999, ZK_NOWAIT)); /* to discard, any size will do */
  zk_chan_unref(c);
}

static void options_of_other_versions(void) {
  struct { zk_chan_opts o; char more[24]; } newer;
  memset(&newer, 0, sizeof newer);
  newer.o.size = sizeof newer;
  newer.o.elem_size = 4;
  newer.o.capacity = 2;
  zk_chan *c = zk_chan_new_with(&newer.o);
  CHECK(c != NULL);
  EQ(zk_chan_cap(c), 2);
  zk_chan_unref(c);
  newer.more[20] = 1; /* an option this library does not know is not ignored */
  CHECK(zk_chan_new_with(&newer.o) == NULL);
  zk_chan_opts o = ZK_CHAN_OPTS_INIT;
  o.elem_size = 4;
  o.capacity = 7;
  o.size = offsetof(zk_chan_opts, capacity); /* an older program: no capacity yet */
  c = zk_chan_new_with(&o);
  CHECK(c != NULL);
  EQ(zk_chan_cap(c), 0);
  zk_chan_unref(c);
  const size_t absurd[] = { 0, 1, 7, sizeof o - 1, sizeof o - 3, 1 << 20, SIZE_MAX };
  for (size_t i = 0; i < sizeof absurd / sizeof *absurd; i++) {
    o.size = absurd[i];
    CHECK(zk_chan_new_with(&o) == NULL);
  }
  CHECK(zk_chan_new_with(NULL) == NULL);
}

static void c03_a_rendezvous_needs_both(void) {
  zk_chan *c = zt_ints(0);
  party p;
  OK(SENDER(&p, c, 8));
  PARKED(1, "sender", "chan send");
  EQ(GET(&p.done), 0);
  EQ(zt_recv(c), 8);
  UNTIL(GET(&p.done));
  OK(p.result);
  OK(RECEIVER(&p, c));
  PARKED(1, "receiver", "chan receive");
  OK(zt_send(c, 9));
  UNTIL(GET(&p.done));
  EQ(p.value, 9);
  zk_chan_unref(c);
}

static void c04_c05_the_buffer_is_a_queue_of_its_size(void) {
  zk_chan *c = zt_ints(5);
  EQ(zk_chan_cap(c), 5);
  for (int round = 0; round < 7; round++) {
    for (int i = 0; i < 5; i++) {
      EQ(zk_chan_len(c), i);
      OK(zt_try_send(c, round * 10 + i));
    }
    EQ(zt_try_send(c, 99), ZK_EAGAIN);
    for (int i = 0; i < 5; i++) EQ(zt_try_recv(c), round * 10 + i);
    EQ(zt_try_recv(c), ZK_EAGAIN);
  }
  zk_chan_unref(c);
}

static void c06_receivers_are_served_in_the_order_they_came(void) {
  zk_chan *c = zt_ints(0);
  party p[6];
  for (int i = 0; i < 6; i++) {
    OK(RECEIVER(&p[i], c));
    PARKED(i + 1, "receiver", "chan receive");
  }
  for (int i = 0; i < 6; i++) OK(zt_try_send(c, i));
  EQ(zt_try_send(c, 6), ZK_EAGAIN);
  for (int i = 0; i < 6; i++) {
    UNTIL(GET(&p[i].done));
    EQ(p[i].value, i);
  }
  zk_chan_unref(c);
}

static void c06_senders_are_served_in_the_order_they_came(void) {
  zk_chan *c = zt_ints(2);
  party p[6];
  for (int i = 0; i < 2; i++) OK(zt_try_send(c, i));
  for (int i = 0; i < 6; i++) {
    OK(SENDER(&p[i], c, i + 2));
    PARKED(i + 1, "sender", "chan send");
  }
  for (int i = 0; i < 8; i++) EQ(zt_try_recv(c), i);
  UNTIL(zt_alive("sender") == 0);
  zk_chan_unref(c);
}

static void c08_handoff_bypasses_the_buffer(void) {
  zk_chan *c = zt_ints(3);
  party p;
  OK(RECEIVER(&p, c));
  PARKED(1, "receiver", "chan receive");
  OK(zt_try_send(c, 5));
  EQ(zk_chan_len(c), 0);
  UNTIL(GET(&p.done));
  EQ(p.value, 5);
  zk_chan_unref(c);
}

static void c09_nobody_steals_what_was_handed_to_a_receiver(void) {
  zk_chan *c = zt_ints(1);
  for (int i = 0; i < 200; i++) {
    party p;
    OK(RECEIVER(&p, c));
    PARKED(1, "receiver", "chan receive");
    OK(zt_try_send(c, i));
    EQ(zt_try_recv(c), ZK_EAGAIN);
    UNTIL(GET(&p.done));
    EQ(p.value, i);
  }
  zk_chan_unref(c);
}

static void c10_a_freed_slot_belongs_to_the_blocked_sender(void) {
  zk_chan *c = zt_ints(1);
  for (int i = 0; i < 200; i++) {
    party p;
    OK(zt_try_send(c, 1));
    OK(SENDER(&p, c, 2));
    PARKED(1, "sender", "chan send");
    EQ(zt_try_recv(c), 1);
    EQ(zk_chan_len(c), 1);
    EQ(zt_try_send(c, 3), ZK_EAGAIN);
    EQ(zt_try_recv(c), 2);
    UNTIL(GET(&p.done));
    OK(p.result);
  }
  zk_chan_unref(c);
}

static void c11_nonblocking_needs_a_parked_partner(void) {
  zk_chan *c = zt_ints(0);
  party p;
  EQ(zt_try_send(c, 1), ZK_EAGAIN);
  EQ(zt_try_recv(c), ZK_EAGAIN);
  OK(RECEIVER(&p, c));
  PARKED(1, "receiver", "chan receive");
  OK(zt_try_send(c, 1));
  UNTIL(GET(&p.done));
  OK(SENDER(&p, c, 2));
  PARKED(1, "sender", "chan send");
  EQ(zt_try_recv(c), 2);
  UNTIL(GET(&p.done));
  zk_chan_unref(c);
}

static void c12_len_counts_the_buffer_only(void) {
  zk_chan *c = zt_ints(0), *d = zt_ints(2);
  party p[2];
  OK(SENDER(&p[0], c, 1));
  PARKED(1, "sender", "chan send");
  EQ(zk_chan_len(c), 0);
  EQ(zk_chan_cap(c), 0);
  OK(zt_send(d, 1));
  OK(zt_send(d, 2));
  OK(SENDER(&p[1], d, 3));
  PARKED(2, "sender", "chan send");
  EQ(zk_chan_len(d), 2);
  EQ(zk_chan_cap(d), 2);
  EQ(zt_recv(c), 1);
  for (int i = 1; i < 4; i++) EQ(zt_recv(d), i);
  UNTIL(zt_alive("sender") == 0);
  zk_chan_unref(c);
  zk_chan_unref(d);
}

static void c13_c14_a_closed_channel_is_drained_then_zero(void) {
  zk_chan *c = zt_ints(4);
  int v;
  for (int i = 1; i <= 3; i++) OK(zt_send(c, i));
  OK(zk_chan_close(c));
  for (int i = 1; i <= 3; i++) EQ(zt_recv(c), i);
  for (int i = 0; i < 3; i++) {
    v = 77;
    EQ(zk_chan_recv(c, &v, sizeof v, ZK_FOREVER), ZK_ECLOSED);
    EQ(v, 0);
    v = 77;
    EQ(zk_chan_recv(c, &v, sizeof v, ZK_NOWAIT), ZK_ECLOSED);
    EQ(v, 0);
  }
  EQ(zk_chan_recv(c, NULL, 0, ZK_FOREVER), ZK_ECLOSED);
  zk_chan_unref(c);
}

static void c15_close_wakes_every_receiver(void) {
  zk_chan *c = zt_ints(0);
  party p[5];
  for (int i = 0; i < 5; i++) OK(RECEIVER(&p[i], c));
  PARKED(5, "receiver", "chan receive");
  OK(zk_chan_close(c));
  for (int i = 0; i < 5; i++) {
    UNTIL(GET(&p[i].done));
    EQ(p[i].result, ZK_ECLOSED);
    EQ(p[i].value, 0);
  }
  zk_chan_unref(c);
}

static void c16_p17_close_wakes_every_sender_and_the_buffer_survives(void) {
  zk_chan *c = zt_ints(1);
  party p[4];
  OK(zt_send(c, 7));
  for (int i = 0; i < 4; i++) OK(SENDER(&p[i], c, 100 + i));
  PARKED(4, "sender", "chan send");
  OK(zk_chan_close(c));
  for (int i = 0; i < 4; i++) {
    UNTIL(GET(&p[i].done));
    EQ(p[i].result, ZK_ECLOSED);
  }
  EQ(zt_recv(c), 7);
  EQ(zt_recv(c), ZK_ECLOSED);
  zk_chan_unref(c);
}

static void c17_c18_send_and_close_on_closed_are_errors(void) {
  zk_chan *c = zt_ints(1);
  OK(zk_chan_close(c));
  EQ(zt_send(c, 1), ZK_ECLOSED);
  EQ(zt_try_send(c, 1), ZK_ECLOSED);
  EQ(zk_chan_close(c), ZK_ECLOSED);
  EQ(zk_chan_close(c), ZK_ECLOSED);
  zk_chan_unref(c);
}

static void c20_range_ends_when_closed_and_drained(void) {
  zk_chan *c = zt_ints(10);
  int v, sum = 0;
  for (int i = 1; i <= 10; i++) OK(zt_send(c, i));
  zk_chan_close(c);
  ZK_RANGE(c, &v) {
    sum += v;
    if (v == 4) break;
  }
  EQ(sum, 10);
  EQ(zk_chan_len(c), 6);
  ZK_RANGE(c, &v) sum += v;
  EQ(sum, 55);
  zk_chan_unref(c);
}

static void c21_elements_of_no_size_are_counted(void) {
  zk_chan *c = zk_chan_new(0, 3);
  CHECK(c != NULL);
  for (int i = 0; i < 3; i++) OK(zk_chan_send(c, NULL, 0, ZK_NOWAIT));
  EQ(zk_chan_send(c, NULL, 0, ZK_NOWAIT), ZK_EAGAIN);
  EQ(zk_chan_len(c), 3);
  char nothing = 'n';
  OK(zk_chan_recv(c, &nothing, 0, ZK_NOWAIT));
  EQ(nothing, 'n');
  OK(zk_chan_recv(c, NULL, 0, ZK_NOWAIT));
  OK(zk_chan_recv(c, NULL, 0, ZK_NOWAIT));
  EQ(zk_chan_recv(c, NULL, 0, ZK_NOWAIT), ZK_EAGAIN);
  zk_chan_unref(c);
}

static void elements_of_odd_and_large_sizes_arrive_whole(void) {
  enum { LARGE = 5000 };
  const size_t sizes[] = { 1, 3, 7, 24, 63, LARGE };
  static unsigned char out[LARGE], in[LARGE];
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
    zk_chan *c = zk_chan_new(sizes[s], 3);
    for (int round = 0; round < 10; round++) {
      for (size_t i = 0; i < sizes[s]; i++) out[i] = (unsigned char)(i * 7 + (size_t)round);
      OK(zk_chan_send(c, out, sizes[s], ZK_NOWAIT));
      memset(in, 0, sizeof in);
      OK(zk_chan_recv(c, in, sizes[s], ZK_NOWAIT));
      CHECK(!memcmp(in, out, sizes[s]));
    }
    zk_chan_unref(c);
  }
}

static void c22_the_value_of_a_buffered_send_is_fixed(void) {
  zk_chan *c = zt_ints(1);
  int v = 5;
  OK(zk_chan_send(c, &v, sizeof v, ZK_NOWAIT));
  v = 6;
  EQ(zt_recv(c), 5);
  zk_chan_unref(c);
}

enum { PRODUCERS = 7, CONSUMERS = 5, EACH = 2000 };
typedef struct mill {
  zk_chan *c;
  int next;
  zk_wg producers, consumers;
  char seen[PRODUCERS * EACH];
} mill;

static void producer(void *arg) {
  mill *m = (mill *)arg;
  int who = INC(&m->next) - 1;
  for (int i = 0; i < EACH; i++) OK(zt_send(m->c, who * EACH + i));
}

static void consumer(void *arg) {
  mill *m = (mill *)arg;
  int last[PRODUCERS], v;
  for (int i = 0; i < PRODUCERS; i++) last[i] = -1;
  ZK_RANGE(m->c, &v) {
    CHECK(v % EACH > last[v / EACH]); /* one producer's values come in its order */
    last[v / EACH] = v % EACH;
    EQ(INC(&m->seen[v]), 1);
  }
}

static void c24_every_value_is_received_once(void) {
  const size_t caps[] = { 0, 1, 10 };
  for (size_t k = 0; k < 3; k++) {
    mill *m = (mill *)calloc(1, sizeof *m);
    m->c = zt_ints(caps[k]);
    for (int i = 0; i < CONSUMERS; i++) OK(zk_wg_go(&m->consumers, consumer, m));
    for (int i = 0; i < PRODUCERS; i++) OK(zk_wg_go(&m->producers, producer, m));
    OK(zk_wg_wait(&m->producers, zk_in(ZT_LIMIT)));
    OK(zk_chan_close(m->c));
    OK(zk_wg_wait(&m->consumers, zk_in(ZT_LIMIT)));
    for (int i = 0; i < PRODUCERS * EACH; i++) EQ(m->seen[i], 1);
    zk_chan_unref(m->c);
    free(m);
  }
}

static void c28_a_channel_is_a_semaphore(void) {
  zk_chan *sem = zk_chan_new(0, 3);
  for (int i = 0; i < 3; i++) OK(zk_chan_send(sem, NULL, 0, ZK_NOWAIT));
  EQ(zk_chan_send(sem, NULL, 0, zk_in(ZK_MS)), ZK_ETIMEDOUT);
  OK(zk_chan_recv(sem, NULL, 0, ZK_NOWAIT));
  OK(zk_chan_send(sem, NULL, 0, ZK_NOWAIT));
  zk_chan_unref(sem);
}

/* ---- the drop hook: every element whose send was ZK_OK is received or dropped, once */

static void count_drop(void *elem, void *user) {
  int v;
  memcpy(&v, elem, sizeof v);
  INC(&((int *)user)[v]);
}

static zk_chan *dropping(size_t capacity, int *drops) {
  zk_chan_opts o = ZK_CHAN_OPTS_INIT;
  o.elem_size = sizeof(int);
  o.capacity = capacity;
  o.drop = count_drop;
  o.user = drops;
  o.name = "dropping";
  zk_chan *c = zk_chan_new_with(&o);
  CHECK(c != NULL);
  return c;
}

static void c27_elements_nobody_received_are_dropped_with_the_channel(void) {
  int drops[6] = { 0 };
  zk_chan *c = dropping(5, drops);
  for (int i = 0; i < 5; i++) OK(zt_send(c, i));
  EQ(zt_recv(c), 0);
  EQ(zt_try_send(c, 5), ZK_OK);
  zk_chan_close(c);
  zk_chan_unref(c);
  EQ(drops[0], 0); /* received */
  for (int i = 1; i < 6; i++) EQ(drops[i], 1);
}

static void c25_an_element_received_as_null_is_dropped(void) {
  int drops[3] = { 0 };
  zk_chan *c = dropping(2, drops);
  OK(zt_send(c, 0));
  OK(zt_send(c, 1));
  OK(zk_chan_recv(c, NULL, 0, ZK_NOWAIT));
  EQ(drops[0], 1);
  zk_case k = RECV(c, (int *)NULL);
  k.elem = NULL;
  EQ(zk_select(&k, 1, ZK_NOWAIT), 0);
  EQ(drops[1], 1);
  party p;
  OK(SENDER(&p, c, 2)); /* through a rendezvous of a kind: from the buffer or from the sender's hands */
  OK(zk_chan_recv(c, NULL, 0, zk_in(ZT_LIMIT)));
  UNTIL(GET(&p.done));
  EQ(drops[2], 1);
  zk_chan_unref(c);
  for (int i = 0; i < 3; i++) EQ(drops[i], 1);
}

static void c25_a_parked_receiver_without_room_drops_what_it_is_handed(void) {
  int drops[1] = { 0 };
  zk_chan *c = dropping(0, drops);
  party p;
  OK(SENDER(&p, c, 0));
  PARKED(1, "sender", "chan send");
  OK(zk_chan_recv(c, NULL, 0, ZK_NOWAIT));
  UNTIL(GET(&p.done));
  OK(p.result);
  EQ(drops[0], 1);
  zk_chan_unref(c);
}

static void an_element_that_was_not_sent_stays_the_callers(void) {
  int drops[4] = { 0 };
  zk_chan *c = dropping(1, drops);
  OK(zt_send(c, 0));
  EQ(zt_try_send(c, 1), ZK_EAGAIN);
  int v = 2;
  EQ(zk_chan_send(c, &v, sizeof v, zk_in(ZK_MS)), ZK_ETIMEDOUT);
  party p;
  OK(SENDER(&p, c, 3));
  PARKED(1, "sender", "chan send");
  zk_chan_close(c);
  UNTIL(GET(&p.done));
  EQ(p.result, ZK_ECLOSED);
  zk_chan_unref(c);
  EQ(drops[0], 1);
  for (int i = 1; i < 4; i++) EQ(drops[i], 0);
}

static void references_keep_the_channel(void) {
  int drops[1] = { 0 };
  zk_chan *c = dropping(1, drops);
  CHECK(zk_chan_ref(c) == c);
  OK(zt_send(c, 0));
  zk_chan_unref(c);
  EQ(drops[0], 0);
  EQ(zk_chan_len(c), 1);
  zk_chan_unref(c);
  EQ(drops[0], 1);
}

/* ---- plain threads and goroutines on one channel */

static void *thread_of_a_mill(void *arg) {
  producer(arg);
  return NULL;
}

typedef struct join3 {
  pthread_t *threads;
} join3;

static void join_threads(void *arg) {
  for (int i = 0; i < 3; i++) EQ(pthread_join(((join3 *)arg)->threads[i], NULL), 0);
}

static void c24_plain_threads_and_goroutines_share_a_channel(void) {
  mill *m = (mill *)calloc(1, sizeof *m);
  pthread_t threads[3];
  m->c = zt_ints(2);
  for (int i = 0; i < CONSUMERS; i++) OK(zk_wg_go(&m->consumers, consumer, m));
  for (int i = 0; i < 3; i++) EQ(pthread_create(&threads[i], NULL, thread_of_a_mill, m), 0);
  for (int i = 3; i < PRODUCERS; i++) OK(zk_wg_go(&m->producers, producer, m));
  OK(zk_wg_wait(&m->producers, zk_in(ZT_LIMIT)));
  /* The threads may still have to be served by goroutines of this worker. */
  join3 j = { threads };
  OK(zk_blocking(join_threads, &j));
  OK(zk_chan_close(m->c));
  OK(zk_wg_wait(&m->consumers, zk_in(ZT_LIMIT)));
  for (int i = 0; i < PRODUCERS * EACH; i++) EQ(m->seen[i], 1);
  zk_chan_unref(m->c);
  free(m);
}

#ifndef __cplusplus
static void typed_sugar(void) {
  zk_chan *c = ZK_CHAN(long, 1);
  long v = 3, w = 0;
  OK(zk_send(c, &v));
  EQ(zk_try_send(c, &v), ZK_EAGAIN);
  EQ(zk_send_until(c, &v, zk_in(ZK_MS)), ZK_ETIMEDOUT);
  OK(zk_recv(c, &w));
  EQ(w, 3);
  EQ(zk_try_recv(c, &w), ZK_EAGAIN);
  EQ(zk_recv_until(c, &w, zk_in(ZK_MS)), ZK_ETIMEDOUT);
  OK(zk_send(c, &(long){ 12 }));
  int wrong;
  EQ(zk_recv(c, &wrong), ZK_EMSGSIZE);
  zk_chan_unref(c);
}
#endif

/* ---- select waiters in the queue, losses and races */

typedef struct either {
  zk_chan *a, *b;
  int index, value, done;
} either;
static void receives_either(void *arg) {
  either *e = (either *)arg;
  zk_case k[2] = { RECV(e->a, &e->value), RECV(e->b, &e->value) };
  e->index = zk_select(k, 2, zk_in(ZT_LIMIT));
  INC(&e->done);
}
static void c07_select_waiters_stand_in_the_same_queue(void) {
  zk_chan *c = zt_ints(0), *other = zt_ints(0);
  party first, third;
  either second = { c, other, -1, -1, 0 };
  OK(RECEIVER(&first, c));
  PARKED(1, "receiver", "chan receive");
  GO("either", receives_either, &second);
  PARKED(1, "either", "select");
  OK(RECEIVER(&third, c));
  PARKED(2, "receiver", "chan receive");
  for (int i = 1; i <= 3; i++) OK(zt_send(c, i));
  UNTIL(GET(&first.done) && GET(&second.done) && GET(&third.done));
  EQ(first.value, 1);
  EQ(second.value, 2);
  EQ(second.index, 0);
  EQ(third.value, 3);
  /* One that leaves from the middle leaves the order of the rest as it is. */
  second.done = 0;
  OK(RECEIVER(&first, c));
  PARKED(1, "receiver", "chan receive");
  GO("either", receives_either, &second);
  PARKED(1, "either", "select");
  OK(RECEIVER(&third, c));
  PARKED(2, "receiver", "chan receive");
  OK(zt_send(other, 9));
  UNTIL(GET(&second.done));
  EQ(second.index, 1);
  OK(zt_send(c, 4));
  OK(zt_send(c, 5));
  UNTIL(GET(&first.done) && GET(&third.done));
  EQ(first.value, 4);
  EQ(third.value, 5);
  zk_chan_unref(c);
  zk_chan_unref(other);
}

typedef struct once_more {
  zk_chan *c;
  int rc, done;
} once_more;
static void tries_to_receive(void *arg) {
  once_more *r = (once_more *)arg;
  r->rc = zt_try_recv(r->c);
  INC(&r->done);
}
/* Go's TestNonblockRecvRace: at every instant there is a value, or the channel is closed. */
static void c23_a_nonblocking_receive_fails_only_if_it_had_to(void) {
  for (int i = 0; i < 1000; i++) {
    once_more r = { zt_ints(1), 0, 0 };
    OK(zt_send(r.c, 1));
    OK(zk_go(tries_to_receive, &r));
    OK(zk_chan_close(r.c));
    int got = zt_recv(r.c);
    CHECK(got == 1 || got == ZK_ECLOSED);
    UNTIL(GET(&r.done));
    CHECK(r.rc == 1 || r.rc == ZK_ECLOSED);
    zk_chan_unref(r.c);
  }
}

static void c26_a_channel_keeps_nothing_of_a_delivered_value(void) {
  int drops[4] = { 0 };
  zk_chan *c = dropping(2, drops);
  for (int round = 0; round < 50; round++) {
    OK(zt_send(c, 0));
    OK(zt_send(c, 1));
    EQ(zt_recv(c), 0);
    EQ(zt_recv(c), 1);
  }
  party p;
  OK(RECEIVER(&p, c)); /* handed over, past the buffer */
  PARKED(1, "receiver", "chan receive");
  OK(zt_send(c, 2));
  UNTIL(GET(&p.done));
  OK(zt_send(c, 3)); /* stays in the buffer */
  zk_chan_close(c);
  zk_chan_unref(c);
  EQ(drops[0] + drops[1] + drops[2], 0);
  EQ(drops[3], 1);
}

static const zt_test tests[] = {
  BOTH(c01_absurd_sizes_give_no_channel),
  BOTH(c02_no_channel_is_an_error_and_empty),
  BOTH(foreign_pointers_are_seen),
  BOTH(element_sizes_must_match),
  BOTH(options_of_other_versions),
  BOTH(c03_a_rendezvous_needs_both),
  BOTH(c04_c05_the_buffer_is_a_queue_of_its_size),
  BOTH(c06_receivers_are_served_in_the_order_they_came),
  BOTH(c06_senders_are_served_in_the_order_they_came),
  BOTH(c08_handoff_bypasses_the_buffer),
  BOTH(c09_nobody_steals_what_was_handed_to_a_receiver),
  BOTH(c10_a_freed_slot_belongs_to_the_blocked_sender),
  BOTH(c11_nonblocking_needs_a_parked_partner),
  BOTH(c12_len_counts_the_buffer_only),
  BOTH(c13_c14_a_closed_channel_is_drained_then_zero),
  BOTH(c15_close_wakes_every_receiver),
  BOTH(c16_p17_close_wakes_every_sender_and_the_buffer_survives),
  BOTH(c17_c18_send_and_close_on_closed_are_errors),
  BOTH(c20_range_ends_when_closed_and_drained),
  BOTH(c21_elements_of_no_size_are_counted),
  BOTH(elements_of_odd_and_large_sizes_arrive_whole),
  BOTH(c22_the_value_of_a_buffered_send_is_fixed),
  BOTH(c24_every_value_is_received_once),
  BOTH(c28_a_channel_is_a_semaphore),
  BOTH(c27_elements_nobody_received_are_dropped_with_the_channel),
  BOTH(c25_an_element_received_as_null_is_dropped),
  BOTH(c25_a_parked_receiver_without_room_drops_what_it_is_handed),
  BOTH(an_element_that_was_not_sent_stays_the_callers),
  BOTH(references_keep_the_channel),
  BOTH(c24_plain_threads_and_goroutines_share_a_channel),
#ifndef __cplusplus
  BOTH(typed_sugar),
#endif
  BOTH(c07_select_waiters_stand_in_the_same_queue),
  BOTH(c23_a_nonblocking_receive_fails_only_if_it_had_to),
  BOTH(c26_a_channel_keeps_nothing_of_a_delivered_value),
};
MAIN(tests)
