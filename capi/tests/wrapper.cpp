// zokor.hpp: values are owned by one party on every path (run under ASan and LSan), results and exceptions are as documented.
#include "zktest.h"

#include <atomic>
#include <memory>
#include <mutex>
#include <shared_mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
#include <zokor.hpp>

using namespace std::chrono_literals;
using zokor::chan;

// Counts the objects that are alive.
struct Counted {
  static std::atomic<int> alive;
  int value;
  explicit Counted(int v) : value(v) { alive++; }
  Counted(const Counted &o) : value(o.value) { alive++; }
  Counted(Counted &&o) noexcept : value(std::exchange(o.value, -1)) { alive++; }
  Counted &operator=(const Counted &) = delete;
  ~Counted() { alive--; }
};
std::atomic<int> Counted::alive{0};

static void values_of_every_kind_travel() {
  chan<int> ints(1);
  chan<std::string> texts(1);
  chan<std::unique_ptr<int>> owners(1);
  struct Flat { double d; char c[40]; };
  chan<Flat> flats(1);
  struct NoDefault { int v; explicit NoDefault(int x) : v(x) {} };
  chan<NoDefault> odd(1);
  CHECK(ints.send(4) && *ints.recv() == 4);
  CHECK(texts.send("a text too long for the small buffer of std::string"));
  CHECK(texts.recv()->size() > 40);
  CHECK(owners.send(std::make_unique<int>(9)) && **owners.recv() == 9);
  CHECK(flats.send(Flat{1.5, "x"}) && flats.recv()->d == 1.5);
  CHECK(odd.send(NoDefault(6)) && odd.recv()->v == 6);
}

static void values_that_were_not_sent_or_not_received_are_destroyed() {
  {
    chan<Counted> c(2);
    CHECK(c.send(Counted(1)) && c.send(Counted(2)));
    CHECK(!c.send(Counted(3), zokor::nowait));
    CHECK(!c.send(Counted(4), 1ms));
    EQ(Counted::alive, 2);
    EQ(c.recv()->value, 1);
    c.close();
    bool thrown = false;
    try { c.send(Counted(5)); } catch (const zokor::error &e) { thrown = e.code == ZK_ECLOSED; }
    CHECK(thrown);
    EQ(Counted::alive, 1);
  }
  EQ(Counted::alive, 0); // the channel dropped what nobody received
}

static void results_are_optional() {
  chan<int> c(1);
  CHECK(!c.recv(zokor::nowait));
  CHECK(!c.recv(1ms));
  CHECK(c.send(1));
  CHECK(!c.send(2, zokor::nowait) && !c.send(2, 1ms));
  EQ(c.size(), 1);
  EQ(c.capacity(), 1);
  CHECK(c.close() && !c.close());
  EQ(*c.recv(), 1);
  CHECK(!c.recv());
  CHECK(!chan<std::string>().recv(std::chrono::steady_clock::now() - 1s));
}

static void channels_are_shared_by_copy_and_given_by_move() {
  chan<Counted> a(1), b = a, m = std::move(b);
  CHECK(b.get() == nullptr && a.get() == m.get());
  CHECK(m.send(Counted(3)));
  b = a;
  EQ(b.recv()->value, 3);
  auto c = chan<Counted>::share(a.get());
  CHECK(c.send(Counted(4)));
}

static void a_loop_ends_when_closed_and_drained() {
  chan<std::string> c(3);
  for (auto s : {"a", "b", "c"}) c.send(s);
  c.close();
  std::string all;
  for (auto &s : c) all += s;
  CHECK(all == "abc");
  chan<Counted> d(4);
  for (int i = 0; i < 4; i++) d.send(Counted(i));
  for (auto &v : d) if (v.value == 1) break;
  EQ(d.size(), 2);
}

static void closures_move_into_goroutines() {
  chan<int> done;
  auto owned = std::make_unique<int>(5);
  zokor::go([done, owned = std::move(owned)] { done.send(*owned); });
  EQ(*done.recv(), 5);
  zokor::wait_group wg;
  std::atomic<int> sum{0};
  for (int i = 1; i <= 20; i++) wg.go([&sum, i, text = std::string(100, 'x')] { sum += i * int(text.size()) / 100; });
  wg.wait();
  EQ(sum, 210);
}

static void goexit_runs_destructors() {
  zokor::wait_group wg;
  wg.go([] {
    Counted here(1);
    zokor::goexit();
  });
  wg.wait();
  EQ(Counted::alive, 0);
}

static void exceptions_inside_a_goroutine() {
  zokor::wait_group wg;
  std::atomic<int> caught{0};
  for (int i = 0; i < 8; i++)
    wg.go([&] {
      for (int k = 0; k < 50; k++) {
        try {
          std::string text(200, 'y');
          zokor::yield();
          throw std::runtime_error(text);
        } catch (const std::exception &e) {
          if (std::string(e.what()).size() == 200) caught++;
        }
        zokor::yield();
      }
    });
  wg.wait();
  EQ(caught, 400);
}

// While one goroutine is inside a catch block, another on the same thread throws: each keeps its own exception.
static void exceptions_caught_while_others_throw() {
  zokor::wait_group wg;
  chan<int> turn;
  std::atomic<int> right{0};
  for (int i = 0; i < 4; i++)
    wg.go([&, i] {
      for (int k = 0; k < 20; k++) {
        try {
          throw i * 1000 + k;
        } catch (int) {
          zokor::yield();
          try { throw; } catch (int again) { if (again == i * 1000 + k) right++; }
        }
      }
    });
  wg.wait();
  EQ(right, 80);
}

static void select_runs_the_chosen_arm() {
  chan<int> numbers(1);
  chan<std::string> texts(1), never;
  int sent = 0;
  std::string got;
  auto round = [&] {
    return zokor::select(
        zokor::on_recv(never, [](auto) { CHECK(!"never"); }),
        zokor::on_recv(texts, [&](auto s) { got = s ? *s : "closed"; }),
        zokor::on_send(numbers, 7, [&] { sent++; }),
        zokor::otherwise([&] { got = "nothing"; }));
  };
  EQ(round(), 2);
  EQ(sent, 1);
  EQ(round(), -1);
  CHECK(got == "nothing");
  texts.send("hello");
  EQ(round(), 1);
  CHECK(got == "hello");
  texts.close();
  EQ(round(), 1);
  CHECK(got == "closed");
  bool timed = false;
  EQ(zokor::select(zokor::on_recv(never, [](auto) {}), zokor::on_timeout(1ms, [&] { timed = true; })), -1);
  CHECK(timed);
  numbers.recv();
  numbers.send(1);
  chan<int> second(1);
  second.send(2);
  int value = 0;
  for (int i = 0; i < 20; i++) {
    EQ(zokor::select_ordered(zokor::on_recv(numbers, [&](auto v) { value = *v; }), zokor::on_recv(second, [](auto) {})), 0);
    numbers.send(value);
  }
}

static void select_keeps_or_destroys_each_value_once() {
  chan<Counted> full(1), empty;
  full.send(Counted(1));
  for (int i = 0; i < 10; i++)
    EQ(zokor::select(zokor::on_send(full, Counted(2), [] {}), zokor::on_send(empty, Counted(3), [] {}), zokor::otherwise([] {})), -1);
  EQ(Counted::alive, 1);
  full.recv();
  EQ(zokor::select(zokor::on_send(full, Counted(4), [] {}), zokor::on_recv(empty, [](auto) {})), 0);
  EQ(Counted::alive, 1);
  EQ(zokor::select(zokor::on_recv(full, [](auto v) { EQ(v->value, 4); })), 0);
  EQ(Counted::alive, 0);
  empty.close();
  bool thrown = false;
  try { zokor::select(zokor::on_send(empty, Counted(5), [] {})); } catch (const zokor::error &e) { thrown = e.code == ZK_ECLOSED; }
  CHECK(thrown);
  EQ(Counted::alive, 0);
  // A callback that throws: the value it was for has been sent, or is gone.
  try { zokor::select(zokor::on_send(full, Counted(6), [] { throw 1; })); CHECK(!"thrown"); } catch (int) {}
  try { zokor::select(zokor::on_recv(full, [](auto) { throw 2; })); CHECK(!"thrown"); } catch (int) {}
  EQ(Counted::alive, 0);
}

static void an_arm_sends_its_value_once() {
  chan<Counted> c(2);
  auto arm = zokor::on_send(c, Counted(8), [] {});
  EQ(zokor::select(arm, zokor::otherwise([] {})), 0);
  EQ(zokor::select(arm, zokor::otherwise([] {})), -1);
  EQ(c.size(), 1);
}

static void qp06_values_that_a_policy_drops_are_destroyed() {
  using zokor::policy;
  for (policy p : {policy::drop_oldest, policy::drop_newest, policy::latest, policy::unbounded}) {
    {
      chan<Counted> c(1, p);
      for (int i = 0; i < 5; i++) EQ(c.send(Counted(i), zokor::nowait), p != policy::unbounded || i == 0);
      EQ(Counted::alive, 1);
      EQ(c.dropped() + c.refused(), 4);
      if (p != policy::unbounded) {
        EQ(zokor::select(zokor::on_send(c, Counted(5), [] {})), 0);
        EQ(c.dropped(), 5);
      } else {
        CHECK(!c.send(Counted(5)));      // a send does not wait
        EQ(zokor::select(zokor::on_send(c, Counted(5), [] {}), zokor::otherwise([] {})), -1);
      }
      EQ(Counted::alive, 1);
      EQ(c.recv()->value, p == policy::drop_newest || p == policy::unbounded ? 0 : 5);
      CHECK(c.send(Counted(6)));
    }
    EQ(Counted::alive, 0);
  }
  int code = 0;
  try { chan<int> c(2, policy::latest); } catch (const zokor::error &e) { code = e.code; }
  EQ(code, ZK_EINVAL);
}

static void pr01_the_last_producer_object_closes() {
  chan<std::string> c(1);
  std::atomic<int> got{0};
  zokor::wait_group all;
  {
    zokor::producer<std::string> p(c);
    for (int i = 0; i < 3; i++) {
      all.go([p] {                       // a copy for each
        for (int n = 0; n < 10; n++) CHECK(p.send("a text too long for the small buffer of std::string"));
      });
    }
    zokor::producer<std::string> moved(std::move(p)), assigned(moved);
    assigned = moved;
    all.go([&] { for (auto &text : c) { CHECK(text.size() >= 8); got++; } });
    EQ(zokor::select(zokor::on_send(moved, "one more", [] {}), zokor::on_timeout(20s, [] {})), 0);
    moved.drop();
    bool thrown = false;
    try { moved.send("none"); } catch (const zokor::error &e) { thrown = e.code == ZK_EINVAL; }
    CHECK(thrown);
  }
  all.wait(20s);
  EQ(got, 31);
  int code = 0;
  try { zokor::producer<std::string> late(c); } catch (const zokor::error &e) { code = e.code; }
  EQ(code, ZK_ECLOSED);
}

static void locks_lock() {
  zokor::mutex m;
  zokor::shared_mutex rw;
  zokor::wait_group wg;
  int n = 0, sum = 0;
  for (int i = 0; i < 6; i++)
    wg.go([&] {
      for (int k = 0; k < 500; k++) {
        { std::lock_guard<zokor::mutex> lock(m); n++; }
        if (k % 50) { std::shared_lock<zokor::shared_mutex> lock(rw); (void)sum; }
        else { std::unique_lock<zokor::shared_mutex> lock(rw); sum++; }
      }
    });
  wg.wait();
  EQ(n, 3000);
  EQ(sum, 60);
  std::unique_lock<zokor::mutex> held(m);
  CHECK(!m.try_lock() && !m.lock(zokor::deadline(1ms)));
  CHECK(rw.try_lock_shared() && rw.try_lock_shared() && !rw.try_lock());
  rw.unlock_shared();
  rw.unlock_shared();
}

static void a_context_ends_goroutines_and_their_frames() {
  chan<int> never;
  zokor::wait_group wg;
  zokor::context ctx, child(ctx, zokor::forever), copy = ctx;
  chan<bool> waiting(4);
  for (int i = 0; i < 4; i++) {
    wg.add();
    zokor::go(child, [&, i] {
      struct Done { zokor::wait_group &wg; ~Done() { wg.done(); } } done{wg};
      Counted here(i);
      waiting.send(true, zokor::nowait);
      never.recv();                                           // throws: the goroutine ends quietly
      CHECK(!"reached");
    });
  }
  for (int i = 0; i < 4; i++) CHECK(waiting.recv());
  EQ(ctx.err(), 0);
  copy.cancel(77);
  wg.wait();
  EQ(child.err(), 77);
  EQ(Counted::alive, 0);
  EQ(zk_chan_recv(child.done(), nullptr, 0, ZK_NOWAIT), ZK_ECLOSED);
}

static void wait_groups_wait() {
  zokor::wait_group wg;
  wg.add();
  CHECK(!wg.wait(zokor::nowait) && !wg.wait(1ms));
  zokor::go([&] { wg.done(); });
  CHECK(wg.wait(20s));
}

static void e01_e02_a_group_cancels_and_collects() {
  chan<int> never;
  std::vector<int> lent(8, 1);
  zokor::group g;
  auto sum = g.go([&] {
    int n = 0;
    for (int v : lent) n += v;
    return n;
  });
  std::atomic<int> came_back{0};
  for (int i = 0; i < 3; i++)
    g.go([&] {
      struct leaves { std::atomic<int> &n; ~leaves() { n++; } } here{came_back};
      never.recv();
    });
  auto nothing = g.go([&]() -> int { throw std::runtime_error("first"); });
  bool thrown = false;
  try { g.wait(); } catch (const std::runtime_error &e) { thrown = std::string(e.what()) == "first"; }
  CHECK(thrown);
  EQ(came_back, 3);
  EQ(sum->value(), 8);
  CHECK(!nothing->has_value());
  EQ(g.errors().size(), 1u);
  CHECK(zk_ctx_err(g.ctx()) != 0);
}

static void e05_a_group_keeps_all_exceptions() {
  zokor::group g(1); // one after the other
  for (int i = 0; i < 5; i++) g.go([i] { if (i % 2 == 0) throw i; });
  int first = -1;
  try { g.wait(); } catch (int i) { first = i; }
  EQ(first, 0);
  EQ(g.errors().size(), 3u);
  int seen = 0;
  for (auto &e : g.errors()) try { std::rethrow_exception(e); } catch (int i) { seen = seen * 10 + i; }
  EQ(seen, 24);
}

static void a_group_ends_with_its_object_parent_or_deadline() {
  chan<int> never;
  std::atomic<int> ended{0};
  auto waits = [&] {
    struct leaves { std::atomic<int> &n; ~leaves() { n++; } } here{ended};
    never.recv();
  };
  {
    zokor::group g;
    for (int i = 0; i < 4; i++) g.go(waits);
    CHECK(!g.wait(std::chrono::milliseconds(1)));
    CHECK(!g.wait(zokor::nowait));
  }
  EQ(ended, 4);
  zokor::context parent;
  zokor::group g(parent);
  g.go(waits);
  parent.cancel();
  int code = 0;
  try { g.wait(); } catch (const zokor::error &e) { code = e.code; }
  EQ(code, ZK_ECANCELED);
  EQ(ended, 5);
  CHECK(g.errors().empty());
}

static void durations_saturate() {
  EQ(zokor::deadline(std::chrono::hours::max()).at, ZK_FOREVER);
  CHECK(zokor::deadline(std::chrono::hours::min()).at < zk_now());
  CHECK(zokor::deadline(std::chrono::hours::min()).at != ZK_NOWAIT);
  EQ(zokor::deadline().at, ZK_FOREVER);
  EQ(zokor::nowait.at, ZK_NOWAIT);
  zk_time t = zokor::deadline(1500us).at - zk_now();
  CHECK(t <= 1500000 && t > -1000000000);
}

static void timers_tick() {
  zokor::timer t(1ms);
  auto ticks = t.ticks();
  CHECK(ticks.recv(20s));
  CHECK(!t.stop());
  CHECK(!t.reset(1h) && t.stop());
  zokor::timer p(1ms, 1ms);
  auto c = p.ticks();
  auto a = c.recv(), b = c.recv();
  CHECK(a && b && (*b - *a) % 1000000 == 0);
  bool thrown = false;
  try { zokor::timer bad(1ms, -1ms); } catch (const zokor::error &e) { thrown = e.code == ZK_EINVAL; }
  CHECK(thrown);
}

static void results_and_exceptions_come_back() {
  EQ(zokor::blocking([] { return 3; }), 3);
  CHECK(zokor::blocking([] { return std::string("text"); }) == "text");
  bool thrown = false;
  try { zokor::blocking([] { throw std::runtime_error("inside"); }); } catch (const std::runtime_error &) { thrown = true; }
  CHECK(thrown);
}

static void run_gives_results_exceptions_and_deadlock() {
  EQ(zokor::run([] { return 11; }), 11);
  int n = 0;
  zokor::run([&] { zokor::yield(); n = 1; });
  EQ(n, 1);
  bool thrown = false;
  try { zokor::run([] { throw std::runtime_error("main"); }); } catch (const std::runtime_error &) { thrown = true; }
  CHECK(thrown);
  zokor::run([&] {
    try { zokor::run([] {}); } catch (const zokor::error &e) { n = e.code; }
  });
  EQ(n, ZK_EPERM);
}

static void plain_threads_take_part() {
  chan<std::string> c;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) threads.emplace_back([c, i] { for (int k = 0; k < 100; k++) c.send(std::to_string(i * 100 + k)); });
  std::vector<bool> seen(400);
  for (int i = 0; i < 400; i++) seen[size_t(std::stoi(*c.recv()))] = true;
  for (auto &t : threads) t.join();
  for (bool s : seen) CHECK(s);
}

// zk_try does not stop an exception; what was deferred below it runs, and a panic afterwards goes to a try that is still in progress.
struct passing { int deferred, caught; };
static void count_deferred(void *arg) { static_cast<passing *>(arg)->deferred++; }
static void throws_an_exception(void *arg) {
  OK(zk_defer(count_deferred, arg));
  if (zk_goid() != 0) zk_block_begin(); // ended for it
  throw 5;
}
static void tries_twice(void *arg) {
  OK(zk_defer(count_deferred, arg));
  EQ(zk_try(throws_an_exception, arg, nullptr, 0), 0); // does not come back
}
static void panics(void *) { zk_panic("an outer one"); }
static void catches(void *arg) {
  auto *p = static_cast<passing *>(arg);
  try { zk_try(tries_twice, p, nullptr, 0); } catch (int i) { p->caught += i; }
  EQ(p->deferred, 2);
  panics(nullptr);
}
static void an_exception_passes_through_a_try() {
  for (int i = 0; i < 3; i++) {
    passing p{};
    char text[40] = "";
    EQ(zk_try(catches, &p, text, sizeof text), ZK_EPANIC);
    EQ(strcmp(text, "an outer one"), 0);
    EQ(p.deferred, 2);
    EQ(p.caught, 5);
  }
}

static void uncaught() {
  zokor::go([] { throw std::runtime_error("nobody catches this"); });
  for (;;) zokor::yield();
}
static void send_on_closed_uncaught() {
  chan<int> c;
  c.close();
  zokor::go([c] { c.send(1); });
  for (;;) zokor::yield();
}
static void an_exception_that_leaves_a_goroutine_terminates() {
  CHILD_ABORTS(uncaught, "nobody catches this");
  CHILD_ABORTS(send_on_closed_uncaught, "channel is closed");
}

static const zt_test tests[] = {
  BOTH(values_of_every_kind_travel),
  BOTH(values_that_were_not_sent_or_not_received_are_destroyed),
  BOTH(results_are_optional),
  BOTH(channels_are_shared_by_copy_and_given_by_move),
  BOTH(a_loop_ends_when_closed_and_drained),
  BOTH(closures_move_into_goroutines),
  BOTH(goexit_runs_destructors),
  BOTH(exceptions_inside_a_goroutine),
  BOTH(exceptions_caught_while_others_throw),
  BOTH(an_exception_passes_through_a_try),
  BOTH(select_runs_the_chosen_arm),
  BOTH(select_keeps_or_destroys_each_value_once),
  BOTH(an_arm_sends_its_value_once),
  BOTH(qp06_values_that_a_policy_drops_are_destroyed),
  BOTH(pr01_the_last_producer_object_closes),
  BOTH(locks_lock),
  BOTH(a_context_ends_goroutines_and_their_frames),
  BOTH(wait_groups_wait),
  BOTH(e01_e02_a_group_cancels_and_collects),
  BOTH(e05_a_group_keeps_all_exceptions),
  BOTH(a_group_ends_with_its_object_parent_or_deadline),
  BOTH(durations_saturate),
  BOTH(timers_tick),
  BOTH(results_and_exceptions_come_back),
  ONCE(run_gives_results_exceptions_and_deadlock),
  ONCE(plain_threads_take_part),
  ONCE(an_exception_that_leaves_a_goroutine_terminates),
  CHILD(uncaught),
  CHILD(send_on_closed_uncaught),
};
MAIN(tests)
