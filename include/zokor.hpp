// zokor.hpp - C++17 wrapper over zokor.h: header-only, no state of its own.      SPDX: MIT OR Apache-2.0
//
// Results become exceptions only where C++ expects them (construction, send on a closed channel, cancelation);
// everything else is bool / std::optional. A thread-local's address must not be kept across a blocking call, and no
// blocking call may stand in a catch block: a goroutine may wake up on another thread (see TLS in zokor.h).
#ifndef ZK_HPP
#define ZK_HPP
#include <zokor.h>

#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <system_error>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

namespace zokor {

struct error : std::exception {
  int code;
  explicit error(int c) : code(c) {}
  const char *what() const noexcept override { return zk_strerror(code); }
};
inline int check(int rc) { if (rc < 0) throw error(rc); return rc; }

namespace detail {
// Nanoseconds, saturating: chrono's own conversion overflows for hours::max().
template <class R, class P> constexpr zk_duration nanos(std::chrono::duration<R, P> d) {
  using seconds = std::chrono::duration<long double>;
  constexpr long double most = 9.2e9L;   // seconds in 63 bits of nanoseconds, rounded down
  const long double s = std::chrono::duration_cast<seconds>(d).count();
  if (s >= most) return std::numeric_limits<zk_duration>::max();
  if (s <= -most) return std::numeric_limits<zk_duration>::min();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(d).count();
}
} // namespace detail

struct deadline {                        // implicit from nothing, a duration, or an instant
  zk_time at = ZK_FOREVER;
  constexpr deadline() = default;
  constexpr explicit deadline(zk_time t) : at(t) {}
  template <class R, class P> deadline(std::chrono::duration<R, P> d) : at(zk_in(detail::nanos(d))) {}
  deadline(std::chrono::steady_clock::time_point t) : deadline(t - std::chrono::steady_clock::now()) {}
};
inline constexpr deadline forever{}, nowait{ZK_NOWAIT};

template <class R, class P> void sleep(std::chrono::duration<R, P> d) { check(zk_sleep(detail::nanos(d))); }
inline void yield() { zk_yield(); }

namespace detail {
// Trivially copyable values travel as bytes, all others as one owning pointer.
template <class T> inline constexpr bool flat = std::is_trivially_copyable_v<T> && sizeof(T) <= 64;
template <class T> using slot = std::conditional_t<flat<T>, T, T *>;
// Room for a slot that the library fills: T need not have a default constructor.
template <class T> union room {
  slot<T> value;
  room() {}
};
template <class T, class U> slot<T> pack(U &&v) {
  if constexpr (flat<T>) return T(std::forward<U>(v)); else return new T(std::forward<U>(v));
}
template <class T> T unpack(slot<T> &s) {
  if constexpr (flat<T>) return s;
  else { std::unique_ptr<T> p(s); return std::move(*p); }
}
template <class T> void discard(void *elem, void *) {
  T *p;
  std::memcpy(&p, elem, sizeof p);
  delete p;
}
struct goexit {};

template <class F> void call(void *p) {
  std::unique_ptr<F> f(static_cast<F *>(p));
  try { (*f)(); }
  catch (const goexit &) {}
  catch (const error &e) { if (e.code != ZK_ECANCELED && e.code != ZK_ETIMEDOUT) std::terminate(); }
  catch (...) { std::terminate(); }      // as with std::thread
}

// A function whose result or exception goes back to the caller, who waits for it.
template <class F> struct errand {
  using R = std::invoke_result_t<F &>;
  F &f;
  std::optional<std::conditional_t<std::is_void_v<R>, bool, R>> result{};
  std::exception_ptr thrown{};
  bool run() {                           // false: it ended by goexit
    try { if constexpr (std::is_void_v<R>) { f(); result = true; } else result.emplace(f()); }
    catch (const goexit &) { return false; }
    catch (...) { thrown = std::current_exception(); }
    return true;
  }
  R finish() {
    if (thrown) std::rethrow_exception(thrown);
    if constexpr (!std::is_void_v<R>) return std::move(*result);
  }
  static void as_fn(void *p) { if (!static_cast<errand *>(p)->run()) std::terminate(); }
  static int as_int_fn(void *p) { if (!static_cast<errand *>(p)->run()) zk_goexit(); return 0; }
};
} // namespace detail

// Ends the goroutine; destructors on its stack run (zk_goexit would leave them out). Not inside a noexcept function.
[[noreturn]] inline void goexit() { throw detail::goexit{}; }

template <class F> void go(F &&f) {      // closures move into the goroutine
  using D = std::decay_t<F>;
  auto p = std::make_unique<D>(std::forward<F>(f));
  check(zk_go(&detail::call<D>, p.get()));
  (void)p.release();
}

// Runs f as a main goroutine on this thread; its result or exception comes back. Throws ZK_EDEADLOCK.
template <class F> auto run(F &&f) {
  detail::errand<std::remove_reference_t<F>> e{f};
  check(zk_run(&decltype(e)::as_int_fn, &e, nullptr));
  return e.finish();
}

// Runs f on a helper thread while this goroutine waits; its result or exception comes back.
template <class F> auto blocking(F &&f) {
  detail::errand<std::remove_reference_t<F>> e{f};
  check(zk_blocking(&decltype(e)::as_fn, &e));
  return e.finish();
}

// What a channel does with a value for which it has no room. All but block mean that no send ever waits; see zokor.h.
enum class policy : std::uint32_t {
  block = ZK_CHAN_BLOCK,
  unbounded = ZK_CHAN_UNBOUNDED,         // the capacity is the high-water mark, where sends fail; 0: none
  drop_oldest = ZK_CHAN_DROP_OLDEST,
  drop_newest = ZK_CHAN_DROP_NEWEST,
  latest = ZK_CHAN_LATEST,               // capacity 0 or 1
};

namespace detail {
template <class T, class U> bool send(zk_chan *c, U &&v, deadline d) {
  slot<T> s = pack<T>(std::forward<U>(v));
  int rc = zk_chan_send(c, &s, sizeof s, d.at);
  if constexpr (!flat<T>) { if (rc < 0) delete s; }
  if (rc == ZK_EAGAIN || rc == ZK_ETIMEDOUT || rc == ZK_ELIMIT) return false;
  return check(rc), true;
}
} // namespace detail

template <class T> class chan {
  zk_chan *c_ = nullptr;
  struct adopt {};
  chan(zk_chan *c, adopt) : c_(c) {}
public:
  using slot = detail::slot<T>;
  explicit chan(std::size_t capacity = 0, policy p = policy::block) {
    if (p == policy::latest && capacity > 1) throw error(ZK_EINVAL);
    zk_chan_opts o = ZK_CHAN_OPTS_INIT;
    o.elem_size = sizeof(slot);
    o.capacity = capacity;
    o.policy = static_cast<std::uint32_t>(p);
    if constexpr (!detail::flat<T>) o.drop = &detail::discard<T>;
    if (!(c_ = zk_chan_new_with(&o))) throw std::bad_alloc();
  }
  // One more reference to a channel that another language made; its elements must be slots of T.
  static chan share(zk_chan *c) { return chan(zk_chan_ref(c), adopt{}); }
  chan(const chan &o) : c_(zk_chan_ref(o.c_)) {}
  chan(chan &&o) noexcept : c_(std::exchange(o.c_, nullptr)) {}
  chan &operator=(chan o) noexcept { std::swap(c_, o.c_); return *this; }
  ~chan() { zk_chan_unref(c_); }

  // false: not sent before the deadline, or at the high-water mark (the value is dropped). Throws on closed.
  template <class U> bool send(U &&v, deadline d = {}) const { return detail::send<T>(c_, std::forward<U>(v), d); }
  // nullopt: closed and drained, or the deadline passed.
  std::optional<T> recv(deadline d = {}) const {
    detail::room<T> r;
    int rc = zk_chan_recv(c_, &r.value, sizeof(slot), d.at);
    if (rc == ZK_ECLOSED || rc == ZK_EAGAIN || rc == ZK_ETIMEDOUT) return std::nullopt;
    check(rc);
    return detail::unpack<T>(r.value);
  }
  bool close() const { return zk_chan_close(c_) == ZK_OK; }   // false: it was closed already
  std::size_t size() const { return zk_chan_len(c_); }
  std::size_t capacity() const { return zk_chan_cap(c_); }
  std::uint64_t dropped() const { return zk_chan_dropped(c_); }   // by the policy
  std::uint64_t refused() const { return zk_chan_refused(c_); }   // sends at the high-water mark
  zk_chan *get() const { return c_; }

  struct iterator {                      // for (auto v : ch) - until closed and drained
    using value_type = T; using difference_type = std::ptrdiff_t;
    using reference = T &; using pointer = T *; using iterator_category = std::input_iterator_tag;
    const chan *ch = nullptr; std::optional<T> v{};
    T &operator*() { return *v; }
    T *operator->() { return &*v; }
    iterator &operator++() {             // assigning would ask T for an assignment operator
      v.reset();
      if (auto next = ch->recv()) v.emplace(std::move(*next));
      return *this;
    }
    void operator++(int) { ++*this; }
    // Only a comparison with end() means anything: is there no value left?
    friend bool operator==(const iterator &a, const iterator &b) { return a.v.has_value() == b.v.has_value(); }
    friend bool operator!=(const iterator &a, const iterator &b) { return !(a == b); }
  };
  iterator begin() const { return {this, recv()}; }
  iterator end() const { return {}; }
};

// One of those who send on a channel: when the last one goes, the channel is closed. A copy is another one.
template <class T> class producer {
  zk_producer *p_;
public:
  explicit producer(const chan<T> &c) : p_(zk_producer_new(c.get())) { if (!p_) throw error(ZK_ECLOSED); }
  producer(const producer &o) : p_(zk_producer_dup(o.p_)) { if (!p_ && o.p_) throw std::bad_alloc(); }
  producer(producer &&o) noexcept : p_(std::exchange(o.p_, nullptr)) {}
  producer &operator=(producer o) noexcept { std::swap(p_, o.p_); return *this; }
  ~producer() { zk_producer_drop(p_); }
  // As chan::send.
  template <class U> bool send(U &&v, deadline d = {}) const { return detail::send<T>(get(), std::forward<U>(v), d); }
  void drop() { zk_producer_drop(std::exchange(p_, nullptr)); }   // before the end of its scope; then it sends no more
  zk_chan *get() const { return zk_producer_chan(p_); }           // borrowed
};

// ---- select: one arm per case; the chosen arm's callback runs; returns its index.
namespace detail {
template <class T, class F> class send_arm {
  zk_chan *c_; slot<T> s_; F f_; bool sent_ = false;
public:
  template <class U> send_arm(zk_chan *c, U &&v, F f) : c_(c), s_(pack<T>(std::forward<U>(v))), f_(std::move(f)) {}
  send_arm(const send_arm &) = delete;
  ~send_arm() { if constexpr (!flat<T>) { if (!sent_) delete s_; } }
  // A value is sent once: in a later select the arm is switched off.
  zk_case raw() { return {sent_ ? nullptr : c_, &s_, sizeof s_, nullptr, ZK_OP_SEND, 0}; }
  void fire() { sent_ = true; f_(); }
};
template <class T, class F> class recv_arm {
  zk_chan *c_; F f_; room<T> r_; bool ok_ = false;
public:
  recv_arm(zk_chan *c, F f) : c_(c), f_(std::move(f)) {}
  recv_arm(const recv_arm &) = delete;
  zk_case raw() { return {c_, &r_.value, sizeof(slot<T>), &ok_, ZK_OP_RECV, 0}; }
  void fire() { f_(take()); }
private:
  // Not inlined, or gcc 12 warns of every callback that does not look whether there is a value.
#if defined(__GNUC__)
  __attribute__((noinline))
#endif
  std::optional<T> take() {
    std::optional<T> v;
    if (ok_) v.emplace(unpack<T>(r_.value));
    return v;
  }
};
template <class F> struct other_arm { zk_time at; F f; };
template <class A> struct is_other : std::false_type {};
template <class F> struct is_other<other_arm<F>> : std::true_type {};
} // namespace detail

template <class T, class U, class F> auto on_send(const chan<T> &c, U &&v, F f) {
  return detail::send_arm<T, F>(c.get(), std::forward<U>(v), std::move(f));
}
template <class T, class U, class F> auto on_send(const producer<T> &p, U &&v, F f) {
  return detail::send_arm<T, F>(p.get(), std::forward<U>(v), std::move(f));
}
template <class T, class F> auto on_recv(const chan<T> &c, F f) {
  return detail::recv_arm<T, F>(c.get(), std::move(f));
}
template <class F> auto otherwise(F f) { return detail::other_arm<F>{ZK_NOWAIT, std::move(f)}; }
template <class F> auto on_timeout(deadline d, F f) { return detail::other_arm<F>{d.at, std::move(f)}; }

namespace detail {
template <class... Arms> int select(int (*wait)(const zk_case *, size_t, zk_time), Arms &...arms) {
  constexpr int others = (0 + ... + int(is_other<std::decay_t<Arms>>::value));
  static_assert(others <= 1, "a select has at most one otherwise() or on_timeout()");
  zk_case cs[sizeof...(Arms) + 1]; std::size_t n = 0; zk_time at = ZK_FOREVER;
  auto add = [&](auto &a) {
    if constexpr (is_other<std::decay_t<decltype(a)>>::value) at = a.at; else cs[n++] = a.raw();
  };
  (add(arms), ...);
  int rc = wait(cs, n, at), k = 0;
  auto run = [&](auto &a) {
    if constexpr (is_other<std::decay_t<decltype(a)>>::value) {
      if (rc == ZK_EAGAIN || rc == ZK_ETIMEDOUT) { rc = -1; a.f(); return true; }
      return false;
    } else { if (rc == k++) { a.fire(); return true; } return false; }
  };
  bool ran = (run(arms) || ...);
  if (!ran) check(rc);
  return rc;
}
} // namespace detail

// -1: the otherwise() or on_timeout() arm ran. Throws ZK_ECLOSED when the chosen send met a closed channel.
template <class... Arms> int select(Arms &&...arms) { return detail::select(&zk_select, arms...); }
// The same, but among several ready arms the first listed one is chosen.
template <class... Arms> int select_ordered(Arms &&...arms) { return detail::select(&zk_select_ordered, arms...); }

class wait_group {
  zk_wg w_ = ZK_ZERO;
public:
  wait_group() = default;
  wait_group(const wait_group &) = delete;
  wait_group &operator=(const wait_group &) = delete;
  // Goroutines that still use this object must not outlive it.
  ~wait_group() { int rc = zk_wg_wait(&w_, ZK_FOREVER); if (rc < 0 && rc != ZK_ESHUTDOWN) std::terminate(); }
  void add(int n = 1) { zk_wg_add(&w_, n); }
  void done() { zk_wg_done(&w_); }
  void wait() { check(zk_wg_wait(&w_, ZK_FOREVER)); }
  bool wait(deadline d) {                // false: not all done before the deadline
    int rc = zk_wg_wait(&w_, d.at);
    if (rc == ZK_EAGAIN || rc == ZK_ETIMEDOUT) return false;
    return check(rc), true;
  }
  template <class F> void go(F &&f) {
    using D = std::decay_t<F>;
    auto p = std::make_unique<D>(std::forward<F>(f));
    check(zk_wg_go(&w_, &detail::call<D>, p.get()));
    (void)p.release();
  }
};

class mutex {                            // Lockable: std::lock_guard<zokor::mutex>, std::unique_lock, std::scoped_lock
  zk_mutex m_ = ZK_ZERO;
public:
  mutex() = default;
  mutex(const mutex &) = delete;
  mutex &operator=(const mutex &) = delete;
  void lock() { zk_mutex_lock(&m_); }
  void unlock() { zk_mutex_unlock(&m_); }
  bool try_lock() { return lock(nowait); }
  bool lock(deadline d) {                // false: not before the deadline
    int rc = zk_mutex_lock_until(&m_, d.at);
    if (rc == ZK_EAGAIN || rc == ZK_ETIMEDOUT) return false;
    return check(rc), true;
  }
};

class shared_mutex {                     // SharedMutex: std::shared_lock reads, std::unique_lock writes
  zk_rwmutex m_ = ZK_ZERO;
public:
  shared_mutex() = default;
  shared_mutex(const shared_mutex &) = delete;
  shared_mutex &operator=(const shared_mutex &) = delete;
  void lock() { zk_rwmutex_lock(&m_); }
  void unlock() { zk_rwmutex_unlock(&m_); }
  bool try_lock() { return zk_rwmutex_lock_until(&m_, ZK_NOWAIT) == ZK_OK; }
  void lock_shared() { zk_rwmutex_rlock(&m_); }
  void unlock_shared() { zk_rwmutex_runlock(&m_); }
  bool try_lock_shared() { return zk_rwmutex_rlock_until(&m_, ZK_NOWAIT) == ZK_OK; }
};

// A deadline and a way to cancel, for many goroutines; copies refer to the same one. go(ctx, f) binds a goroutine to it:
// its blocking calls throw ZK_ECANCELED or ZK_ETIMEDOUT once it has ended, and the goroutine then ends quietly.
class context {
  zk_ctx *x_ = nullptr;
public:
  explicit context(deadline d = {}) : x_(zk_ctx_new(nullptr, d.at)) { if (!x_) throw std::bad_alloc(); }
  explicit context(const context &parent, deadline d) : x_(zk_ctx_new(parent.x_, d.at)) { if (!x_) throw std::bad_alloc(); }
  context(const context &o) : x_(zk_ctx_ref(o.x_)) {}
  context(context &&o) noexcept : x_(std::exchange(o.x_, nullptr)) {}
  context &operator=(context o) noexcept { std::swap(x_, o.x_); return *this; }
  ~context() { zk_ctx_unref(x_); }
  void cancel(int cause = 0) const { zk_ctx_cancel(x_, cause); }
  int err() const { return zk_ctx_err(x_); }                  // 0 while live, else the cause
  zk_chan *done() const { return zk_ctx_done(x_); }           // borrowed; closed when it ends
  zk_ctx *get() const { return x_; }
};

template <class F> void go(const context &ctx, F &&f) {
  using D = std::decay_t<F>;
  auto p = std::make_unique<D>(std::forward<F>(f));
  zk_go_opts o = ZK_GO_OPTS_INIT;
  o.ctx = ctx.get();
  check(zk_go_with(&o, &detail::call<D>, p.get()));
  (void)p.release();
}

// Goroutines that end together. They may borrow from the scope of the group: its destructor cancels and waits. The first exception
// of a member ends the group's context, to which all are bound: the blocking calls of the others throw ZK_ECANCELED, and a
// member that lets that through ends quietly. wait() throws the first exception, errors() has all of them.
class group {
  zk_group *g_;
  mutex m_;
  std::vector<std::exception_ptr> thrown_;

  template <class F> struct member {
    group *of;
    F f;
    int run() {
      std::exception_ptr thrown;
      int code = ZK_EPANIC;
      try { f(); return 0; }
      catch (const detail::goexit &) { return 0; }
      catch (const error &e) { thrown = std::current_exception(); code = e.code; }
      catch (...) { thrown = std::current_exception(); }
      bool quiet = (code == ZK_ECANCELED || code == ZK_ETIMEDOUT) && zk_ctx_err(zk_group_ctx(of->g_)) != 0;
      if (!quiet) of->note(std::move(thrown));
      return code;
    }
  };
  void note(std::exception_ptr e) {
    m_.lock();
    thrown_.push_back(std::move(e));
    m_.unlock();
  }
  template <class F> void start(F &&f) {
    using M = member<std::decay_t<F>>;
    std::unique_ptr<M> p(new M{this, std::forward<F>(f)});
    check(zk_group_go(g_, [](void *m) { return std::unique_ptr<M>(static_cast<M *>(m))->run(); }, p.get()));
    (void)p.release();
  }
  bool finish(int rc) {
    m_.lock();
    std::exception_ptr first = thrown_.empty() ? nullptr : thrown_.front();
    m_.unlock();
    if (first) std::rethrow_exception(first);
    return check(rc), true;
  }
public:
  explicit group(uint32_t limit = 0) : g_(zk_group_new(nullptr, limit)) { if (!g_) throw std::bad_alloc(); }
  explicit group(const context &parent, uint32_t limit = 0) : g_(zk_group_new(parent.get(), limit)) {
    if (!g_) throw std::bad_alloc();
  }
  group(const group &) = delete;
  group &operator=(const group &) = delete;
  ~group() { zk_group_unref(g_); }
  zk_ctx *ctx() const { return zk_group_ctx(g_); }   // borrowed
  void cancel() const { zk_ctx_cancel(ctx(), 0); }

  // Waits while the group is at its limit. The result of f, if it has one, is in what this returns once the group has waited; empty
  // when f threw.
  template <class F> auto go(F &&f) {
    using R = std::invoke_result_t<std::decay_t<F> &>;
    if constexpr (std::is_void_v<R>) {
      start(std::forward<F>(f));
    } else {
      auto result = std::make_shared<std::optional<R>>();
      start([result, f = std::decay_t<F>(std::forward<F>(f))]() mutable { result->emplace(f()); });
      return std::shared_ptr<const std::optional<R>>(std::move(result));
    }
  }
  void wait() { finish(zk_group_wait(g_)); }
  bool wait(deadline d) {                // false: members are left at the deadline
    int rc = zk_group_wait_until(g_, d.at);
    bool late = rc == ZK_EAGAIN || rc == ZK_ETIMEDOUT;
    if (late && zk_group_wait_until(g_, ZK_NOWAIT) == ZK_EAGAIN) return false;
    return finish(rc);
  }
  std::vector<std::exception_ptr> errors() {   // so far, in order of time
    m_.lock();
    auto all = thrown_;
    m_.unlock();
    return all;
  }
};

// A timer that ticks on a channel; it stops when the object goes.
class timer {
  struct unref { void operator()(zk_timer *t) const { zk_timer_unref(t); } };
  std::unique_ptr<zk_timer, unref> t_;
public:
  template <class R, class P> explicit timer(std::chrono::duration<R, P> first) : timer(first, first.zero()) {}
  template <class R, class P, class R2, class P2>
  timer(std::chrono::duration<R, P> first, std::chrono::duration<R2, P2> period)
      : t_(zk_timer_new(detail::nanos(first), detail::nanos(period))) {
    if (!t_) throw error(period < period.zero() ? ZK_EINVAL : ZK_ENOMEM);
  }
  chan<zk_time> ticks() const { return chan<zk_time>::share(zk_timer_chan(t_.get())); }
  bool stop() { return check(zk_timer_stop(t_.get())) == 1; }
  template <class R, class P> bool reset(std::chrono::duration<R, P> first) {
    return check(zk_timer_reset(t_.get(), detail::nanos(first))) == 1;
  }
};

} // namespace zokor
#endif
