/* zokor.h - goroutines, channels and select for C.            SPDX: MIT OR Apache-2.0
 *
 * CONVENTIONS (they hold for every function below; exceptions are stated)
 *
 *   Results     int / int64_t: >= 0 is success, < 0 is an error.
 *                 -1 .. -4095   the operating system's errno, negated
 *                 <= -5001      one of ZK_E* below, the same number on every OS
 *               errno itself is never read or written: a goroutine may wake up on
 *               another thread, and compilers keep the old thread's &errno.
 *   Time        One clock: monotonic nanoseconds. Every blocking call has ONE form
 *               with an absolute `deadline`: ZK_FOREVER, ZK_NOWAIT or zk_in(5*ZK_SEC).
 *   Ownership   zk_X_new() returns one reference, given back with zk_X_unref().
 *               Arguments are borrowed for the call. "borrowed" on a result means:
 *               do not unref, valid as long as its parent. unref(NULL) does nothing.
 *   Storage     Sync types are plain structs, valid when zeroed, never moved while
 *               in use, and need no destroy call. All other types are opaque.
 *               Who holds a lock or got what it waited for (zk_wg_wait, a token, a
 *               once) may free the object if nobody else is to use it, although the
 *               call of the other side (unlock, done, release) has not returned.
 *   Structs     Option and report structs start with `size`; fill them with their
 *               *_INIT macro and they stay compatible with newer libraries.
 *   Threads     [any] callable from every thread; a blocking call made outside a
 *               goroutine blocks that OS thread.   [go] only inside a goroutine.
 *               All objects may be shared freely between goroutines and threads.
 *               An `elem` or buffer stays valid and unchanged until the call returns.
 *               With a deadline in the past a call that cannot finish at once gives
 *               ZK_ETIMEDOUT; only ZK_NOWAIT gives ZK_EAGAIN.
 *   Cancel      A goroutine started with a context gets ZK_ECANCELED (or
 *               ZK_ETIMEDOUT) from its blocking calls once that context is done,
 *               also when the operation was ready (never with ZK_NOWAIT, which does
 *               not block). The operation then has not happened. Unbound goroutines
 *               never see it; zk_go does not inherit a context.
 *   Scheduling  Cooperative: a goroutine runs until it blocks, yields, ends, or makes
 *               any call into this library after its time slice (10 ms) is used up.
 *               One that makes no call, or blocks its thread, holds up nobody else:
 *               its worker's place is given to another thread.
 *   NULL        A NULL channel, timer, context … is ZK_EINVAL; in a select case it is
 *               never ready; zk_chan_len and zk_chan_cap of NULL are 0.
 *   TLS         Do not keep a thread-local variable's address (errno included)
 *               across a blocking call, unless the goroutine is pinned.
 *   Signals     No function may be called from a signal handler: write to a pipe, or
 *               set a flag, and let a thread or goroutine act on it.
 *   fork        In the child only exec*() and _exit() are allowed.
 */
#ifndef ZK_H
#define ZK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- version --------------------------------------------------------------------------------- */

#define ZK_VERSION_MAJOR  0
#define ZK_VERSION_MINOR  1
#define ZK_VERSION_PATCH  0
#define ZK_VERSION_STRING "0.1.0"
#define ZK_MAKE_VERSION(a, b, c) (((a) << 16) | ((b) << 8) | (c))
#define ZK_VERSION        ZK_MAKE_VERSION(ZK_VERSION_MAJOR, ZK_VERSION_MINOR, ZK_VERSION_PATCH)
#define ZK_AT_LEAST(a, b) (ZK_VERSION >= ZK_MAKE_VERSION(a, b, 0))

/* ---- compiler glue --------------------------------------------------------------------------- */

#if defined(_WIN32) && !defined(ZK_STATIC)
#  define ZK_API __declspec(dllimport)
#elif defined(__GNUC__)
#  define ZK_API __attribute__((visibility("default")))
#else
#  define ZK_API
#endif

#if defined(__GNUC__)
#  define ZK_OWNED      __attribute__((warn_unused_result))
#  define ZK_NORETURN   __attribute__((noreturn))
#  define ZK_DEPRECATED(since, use) __attribute__((deprecated("since " since ": use " use)))
#else
#  define ZK_OWNED
#  define ZK_NORETURN
#  define ZK_DEPRECATED(since, use)
#endif

/* Called without the linker's stub, which costs as much as a look at an empty channel. */
#if defined(__GNUC__) && defined(__ELF__) && defined(__has_attribute)
#  if __has_attribute(noplt)
#    define ZK_DIRECT __attribute__((noplt))
#  endif
#endif
#ifndef ZK_DIRECT
#  define ZK_DIRECT
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- results --------------------------------------------------------------------------------- */

#define ZK_ERRORS(X)                                                            \
  X(ZK_ECLOSED,   -5001, "channel is closed")                                   \
  X(ZK_ETIMEDOUT, -5002, "deadline has passed")                                 \
  X(ZK_EAGAIN,    -5003, "operation would block")                               \
  X(ZK_ECANCELED, -5004, "context was canceled")                                \
  X(ZK_EINVAL,    -5005, "invalid argument")                                    \
  X(ZK_ENOMEM,    -5006, "out of memory")                                       \
  X(ZK_EMSGSIZE,  -5007, "element size does not match the channel")             \
  X(ZK_EBUSY,     -5008, "resource is busy")                                    \
  X(ZK_EPERM,     -5009, "not allowed from here")                               \
  X(ZK_EDEADLOCK, -5010, "all goroutines are blocked")                          \
  X(ZK_EPANIC,    -5011, "goroutine panicked")                                  \
  X(ZK_ESHUTDOWN, -5012, "runtime is shut down")                                \
  X(ZK_ENOTSUP,   -5013, "not supported on this platform")                      \
  X(ZK_EOF,       -5014, "end of stream")                                       \
  X(ZK_ENOHOST,   -5015, "unknown host or service")                             \
  X(ZK_ELIMIT,    -5016, "configured limit reached")

enum {
  ZK_OK = 0,
#define ZK_DEF(name, code, text) name = code,
  ZK_ERRORS(ZK_DEF)
#undef ZK_DEF
  ZK_EMAX_ = -5999
};

/* The text for a result: "channel is closed", "Connection reset by peer". [any]
 * Never NULL; static storage. Results >= 0 are "ok". */
ZK_API const char *zk_strerror(int rc);

/* The name of a result: "ZK_ECLOSED", "ECONNRESET". [any]
 * Never NULL; static storage. "unknown" for a number that means nothing. */
ZK_API const char *zk_errname(int rc);

/* The version of the library that runs; compare with ZK_VERSION. [any] */
ZK_API uint32_t zk_version(void);
ZK_API const char *zk_version_string(void);  /* The same as text, "0.1.0". [any] */

/* ---- time ------------------------------------------------------------------------------------ */

typedef int64_t zk_time;      /* Absolute, monotonic nanoseconds. */
typedef int64_t zk_duration;  /* Nanoseconds. */

#define ZK_US      INT64_C(1000)
#define ZK_MS      INT64_C(1000000)
#define ZK_SEC     INT64_C(1000000000)
#define ZK_MIN     (60 * ZK_SEC)
#define ZK_NOWAIT  INT64_C(0)   /* deadline: now or not at all */
#define ZK_FOREVER INT64_MAX    /* deadline: never */

ZK_API zk_time zk_now(void);  /* The present instant. [any] */

/* now + d, saturating: ZK_FOREVER when it is too far off. [any] */
ZK_API zk_time zk_in(zk_duration d);
ZK_API int zk_sleep(zk_duration d);  /* Waits for at least d; d <= 0 returns at once. [any] */

/* ---- runtime --------------------------------------------------------------------------------- */

typedef struct zk_chan zk_chan;          /* A channel. */
typedef struct zk_ctx zk_ctx;  /* A context: a deadline, a way to cancel, values; a tree of them. */
typedef struct zk_group zk_group;        /* Goroutines that finish together. */
typedef struct zk_pool zk_pool;          /* A cache of equal objects. */
typedef struct zk_producer zk_producer;  /* One of those who send on a channel. */
typedef struct zk_timer zk_timer;        /* A timer. */

/* Where the library takes its memory from. Both functions are called from any thread and from
 * goroutines, must not call the library, and must not wait. */
typedef struct zk_allocator {
  void *(*alloc)(size_t size, size_t align, void *user);  /* NULL: no memory. */
  /* Same size and align as at alloc. */
  void (*free)(void *p, size_t size, size_t align, void *user);
  void *user;
} zk_allocator;

typedef struct zk_config {
  size_t size;                    /* = sizeof(zk_config) */
  uint32_t workers;               /* 0: one per available CPU */
  uint32_t max_blocking;          /* 0: 512 threads for zk_blocking() */
  size_t stack_size;              /* 0: 64 KiB virtual, committed on touch */
  uint64_t max_goroutines;        /* 0: no limit */
  /* NULL: dump + abort; after it returns the goroutine ends, the rest goes on */
  void (*on_panic)(uint64_t goid, const char *msg, void *user);
  void *user;
  const zk_allocator *allocator;  /* NULL: malloc; must outlive the process */
} zk_config;

typedef int (*zk_int_fn)(void *arg);  /* The same with a result. */
typedef void (*zk_fn)(void *arg);     /* What a goroutine or callback runs. */

#define ZK_CONFIG_INIT { sizeof(zk_config), 0, 0, 0, 0, NULL, NULL, NULL }

/* Optional: the runtime starts by itself with defaults on first use. [any]
 * ZK_EBUSY: it runs, or memory was allocated and another allocator is asked for. ZK_EINVAL: a
 * size or number that makes no sense. ZK_ENOTSUP: fields this library does not know are set. */
ZK_API int zk_init(const zk_config *cfg);

/* Runs fn(arg) as a main goroutine and lends the calling thread to the runtime until it returns.
 * [any]
 * exit_code (may be NULL) receives its result. Other goroutines go on. Several threads may be in
 * zk_run at once. fn begins on the calling thread and may go on on another one after any call
 * that waits, as every goroutine; zk_lock_thread at its beginning keeps it here. After zk_goexit
 * in fn it waits for the others, then returns ZK_EDEADLOCK. ZK_EDEADLOCK: nothing could ever run
 * again; a dump went to stderr. Never reported while a foreign OS thread that has called in is
 * alive, or while a hold is out. ZK_EPANIC: fn panicked, and zk_config.on_panic let the rest go
 * on. ZK_ELIMIT: there are zk_config.max_goroutines already. ZK_EPERM: called from a goroutine,
 * or inside zk_blocking. */
ZK_API int zk_run(zk_int_fn fn, void *arg, int *exit_code);

/* Something the runtime cannot see (a signal handler, a thread that will call in later) may
 * still wake goroutines: no deadlock report until the matching zk_release. [any] */
ZK_API void zk_hold(void);
ZK_API void zk_release(void);  /* Takes one zk_hold back; without one the process ends. [any] */

/* Sets how many goroutines may run at once; 0 only asks. Returns the former value. [any]
 * ZK_EINVAL above 4096. */
ZK_API int zk_workers(uint32_t n);

/* Waits for all goroutines until deadline, then stops the workers. [any]
 * ZK_ETIMEDOUT or ZK_EAGAIN: some were still alive and will not run again. ZK_EPERM: called from
 * a goroutine, or inside zk_blocking. Afterwards, and in a forked child, calls that need the
 * runtime give ZK_ESHUTDOWN, this one included. */
ZK_API int zk_shutdown(zk_time deadline);

/* ---- goroutines ------------------------------------------------------------------------------ */

typedef struct zk_go_opts {
  size_t size;        /* = sizeof(zk_go_opts) */
  const char *name;   /* copied; shown in dumps and traces */
  size_t stack_size;  /* 0: the runtime's default */
  uint32_t flags;     /* ZK_GO_* */
  zk_ctx *ctx;        /* NULL: unbound; else referenced until the end */
  zk_fn on_exit;      /* runs last, also after a panic; gets arg */
} zk_go_opts;

#define ZK_GO_OPTS_INIT { sizeof(zk_go_opts), NULL, 0, 0, NULL, NULL }

#define ZK_GO_PINNED 1u     /* never changes OS thread once started: addresses of thread-locals
                               stay valid; others share the thread */
#define ZK_GO_EXCLUSIVE 2u  /* has an OS thread to itself (LockOSThread) */

/* Starts fn(arg). arg is not copied and must stay valid for fn. [any] */
ZK_API int zk_go(zk_fn fn, void *arg);

/* Starts fn(copy): size bytes at args are copied first, so args may be a temporary. size <=
 * 4096. [any] */
ZK_API int zk_go_copy(zk_fn fn, const void *args, size_t size);

/* Starts fn(arg) with options. [any]
 * ZK_EINVAL: unknown flags, a stack size below 16 KiB or above the largest slot. */
ZK_API int zk_go_with(const zk_go_opts *opts, zk_fn fn, void *arg);
ZK_API void zk_yield(void);  /* Lets others run; outside a goroutine the OS thread yields. [any] */

/* Gives this goroutine an OS thread to itself from here on; nests. [go] */
ZK_API void zk_lock_thread(void);

/* Takes one zk_lock_thread back. A goroutine that ends while locked ends the thread. [go] */
ZK_API void zk_unlock_thread(void);

/* Sets a label of the goroutine that calls, a note of what it works for; value NULL takes it
 * away. Both are copied. [go]
 * Goroutines it starts from then on begin with its labels; dumps and reports show them.
 * ZK_EINVAL: no key. ZK_EPERM: outside a goroutine. */
ZK_API int zk_label_set(const char *key, const char *value);

/* 1: the goroutine that calls has the label, and value (may be NULL) gets its text, cut off to
 * size bytes with the NUL. 0: it has not. [any]
 * ZK_EINVAL: no key. */
ZK_API int zk_label_get(const char *key, char *value, size_t size);

/* The number of the goroutine that calls; 0 outside goroutines. [any] */
ZK_API uint64_t zk_goid(void);
ZK_API void zk_goexit(void) ZK_NORETURN;  /* Ends the goroutine that calls. [go] */

/* ---- channels -------------------------------------------------------------------------------- */

typedef struct zk_chan_opts {
  size_t size;        /* = sizeof(zk_chan_opts) */
  size_t elem_size;
  size_t capacity;    /* 0: rendezvous */
  /* for elements whose send returned ZK_OK and that nobody received, or received as NULL, or
   * that the policy dropped */
  void (*drop)(void *elem, void *user);
  void *user;
  const char *name;   /* copied; shown in dumps */
  /* ZK_CHAN_BLOCK or another: what becomes of an element for which there is no room */
  uint32_t policy;
  uint32_t reserved;  /* 0 */
} zk_chan_opts;

/* What becomes of an element that finds no room: no receiver waits, and the buffer is full. All
 * else is the same for all channels, select too: a case that sends is ready when there is room,
 * and always with the policies that drop. */
enum {
  ZK_CHAN_BLOCK = 0,        /* the sender waits */
  /* The buffer grows, and no send waits. At `capacity` elements, unless that is 0, sends fail:
   * the high-water mark. */
  ZK_CHAN_UNBOUNDED = 1,
  /* It takes the place of the oldest one, which is dropped. With capacity 0 it is dropped itself. */
  ZK_CHAN_DROP_OLDEST = 2,
  ZK_CHAN_DROP_NEWEST = 3,  /* it is dropped; its send returns ZK_OK */
  ZK_CHAN_LATEST = 4        /* ZK_CHAN_DROP_OLDEST with one slot: `capacity` is 0 or 1 */
};
#define ZK_CHAN_OPTS_INIT { sizeof(zk_chan_opts), 0, 0, NULL, NULL, NULL, ZK_CHAN_BLOCK, 0 }

/* A channel of elements of elem_size bytes; capacity 0 is a rendezvous. NULL: no memory, or a
 * size beyond reason. [any] */
ZK_API zk_chan *zk_chan_new(size_t elem_size, size_t capacity) ZK_OWNED;

/* A channel with options. NULL: as above, or the options are not understood. [any]
 * drop runs in whichever goroutine or thread gives the element up, and never while the channel
 * is locked. An element that the policy drops is given up by the one who sends, before the call
 * that sends returns. */
ZK_API zk_chan *zk_chan_new_with(const zk_chan_opts *opts) ZK_OWNED;
ZK_API zk_chan *zk_chan_ref(zk_chan *c);  /* One more reference; returns c. [any] */

/* Gives a reference back; does not close. With the last one, elements that wait in the buffer go
 * to drop. [any]
 * If drop panics, or calls zk_goexit, all the same each element gets its turn; then the channel
 * is freed, and the first panic, or the exit, goes on from here. What a call of drop defers runs
 * when it returns. */
ZK_API void zk_chan_unref(zk_chan *c);

/* Copies *elem in. size must equal the element size (ZK_EMSGSIZE). [any]
 * ZK_ECLOSED: the channel was closed, before or while waiting. ZK_ELIMIT: it is
 * ZK_CHAN_UNBOUNDED and at its high-water mark (ZK_EAGAIN with ZK_NOWAIT, as from every full
 * channel). ZK_ENOMEM: its buffer cannot grow. On any error nothing was sent. */
ZK_API int zk_chan_send(zk_chan *c, const void *elem, size_t size, zk_time deadline) ZK_DIRECT;

/* Copies an element out; elem = NULL (any size) discards it. [any]
 * Closed: drains the buffer first, then zeroes *elem and fails with ZK_ECLOSED. On any other
 * error *elem is as before. */
ZK_API int zk_chan_recv(zk_chan *c, void *elem, size_t size, zk_time deadline) ZK_DIRECT;

/* Wakes every sender and receiver that waits. ZK_ECLOSED if it was closed already. [any] */
ZK_API int zk_chan_close(zk_chan *c);
ZK_API size_t zk_chan_len(const zk_chan *c);  /* Elements in the buffer, a snapshot. [any] */

/* Size of the buffer; of ZK_CHAN_UNBOUNDED the high-water mark, SIZE_MAX if there is none. [any] */
ZK_API size_t zk_chan_cap(const zk_chan *c);

/* Elements that the channel's policy has dropped: sent = received + dropped + in the buffer. A
 * snapshot. [any] */
ZK_API uint64_t zk_chan_dropped(const zk_chan *c);

/* Calls of zk_chan_send that failed at the high-water mark. A select waits there, and is not
 * counted. A snapshot. [any] */
ZK_API uint64_t zk_chan_refused(const zk_chan *c);

/* A handle for somebody who sends on c; holds a reference to it. [any]
 * A channel that has had producers is closed when the last of them is dropped: receivers drain
 * it and get ZK_ECLOSED. Each goroutine that sends has a handle of its own, made here or with
 * zk_producer_dup, before the one it was made from is dropped. NULL: no memory, no such channel,
 * the channel of a timer, or it is closed (also by its last producer). */
ZK_API zk_producer *zk_producer_new(zk_chan *c) ZK_OWNED;

/* Another handle to the same channel, also to a closed one. NULL: no memory, or p is visibly no
 * handle. [any] */
ZK_API zk_producer *zk_producer_dup(const zk_producer *p) ZK_OWNED;

/* Drops a handle; the last one of a channel closes it. NULL is fine. [any]
 * ZK_EINVAL: p is visibly no handle, for one because it was dropped before. That is found as
 * long as its memory is not used again; nothing has happened then. It may hold the last
 * reference to the channel: see zk_chan_unref. */
ZK_API int zk_producer_drop(zk_producer *p);

/* As zk_chan_send on the channel of p. [any] */
ZK_API int zk_producer_send(const zk_producer *p, const void *elem, size_t size, zk_time deadline);

/* The channel of p, for a select; borrowed: valid until p is dropped. NULL: p is visibly no
 * handle. [any] */
ZK_API zk_chan *zk_producer_chan(const zk_producer *p);

/* Typed sugar: sizeof is taken from the pointer, so a mismatch is caught. */
#define ZK_CHAN(type, cap)       zk_chan_new(sizeof(type), (cap))
#define zk_send(c, p)            zk_chan_send((c), (p), sizeof *(p), ZK_FOREVER)
#define zk_recv(c, p)            zk_chan_recv((c), (p), sizeof *(p), ZK_FOREVER)
#define zk_send_until(c, p, dl)  zk_chan_send((c), (p), sizeof *(p), (dl))
#define zk_recv_until(c, p, dl)  zk_chan_recv((c), (p), sizeof *(p), (dl))
#define zk_try_send(c, p)        zk_chan_send((c), (p), sizeof *(p), ZK_NOWAIT)
#define zk_try_recv(c, p)        zk_chan_recv((c), (p), sizeof *(p), ZK_NOWAIT)
#define ZK_RANGE(c, p)           while (zk_recv((c), (p)) == ZK_OK)

/* ---- select ---------------------------------------------------------------------------------- */

typedef struct zk_case {
  zk_chan *chan;      /* NULL: this case is never ready (switches it off) */
  void *elem;         /* sent from / received into; NULL on receive: discard */
  size_t size;        /* element size */
  bool *ok;           /* may be NULL; set for the case that ran: false when closed */
  uint32_t op;        /* ZK_OP_SEND or ZK_OP_RECV */
  uint32_t reserved;  /* 0 */
} zk_case;

enum { ZK_OP_SEND = 1, ZK_OP_RECV = 2 };

/* Waits until one case can proceed, performs it and returns its index. [any]
 * Among several ready ones the choice is uniformly random, per case. ZK_EAGAIN (ZK_NOWAIT) and
 * ZK_ETIMEDOUT mean no case ran: they are the default: of a switch. ZK_ECLOSED: the chosen send
 * case met a closed channel (its *ok is false); nothing was sent. At most 65536 cases. A select
 * never meets itself. Without a case that has a channel it waits for the deadline. */
ZK_API int zk_select(const zk_case *cases, size_t n, zk_time deadline) ZK_DIRECT;

/* The same, but among several ready cases the first listed one is chosen. [any] */
ZK_API int zk_select_ordered(const zk_case *cases, size_t n, zk_time deadline) ZK_DIRECT;

#ifndef __cplusplus
#  define ZK_SEND(c, p)        ((zk_case){ (c), (void *)(p), sizeof *(p), NULL, ZK_OP_SEND, 0 })
#  define ZK_RECV(c, p)        ((zk_case){ (c), (p), sizeof *(p), NULL, ZK_OP_RECV, 0 })
#  define ZK_RECV_OK(c, p, ok) ((zk_case){ (c), (p), sizeof *(p), (ok), ZK_OP_RECV, 0 })
#  define ZK_DONE(c)           ((zk_case){ (c), NULL, 0, NULL, ZK_OP_RECV, 0 })
#  define ZK_SELECT_UNTIL(deadline, ...)                                        \
     zk_select((zk_case[]){ __VA_ARGS__ },                                      \
               sizeof((zk_case[]){ __VA_ARGS__ }) / sizeof(zk_case), (deadline))
#  define ZK_SELECT(...)     ZK_SELECT_UNTIL(ZK_FOREVER, __VA_ARGS__)
#  define ZK_TRY_SELECT(...) ZK_SELECT_UNTIL(ZK_NOWAIT, __VA_ARGS__)
#  define ZK_GO(fn, ...)     zk_go_copy((fn), &(__VA_ARGS__), sizeof(__VA_ARGS__))
#endif

/* ---- timers ---------------------------------------------------------------------------------- */

/* A timer that sends on a channel. [any]
 * period 0: fires once; negative: NULL. first <= 0: at once. The channel carries the due time
 * (zk_time), has len and cap 0, and keeps at most one tick; a periodic timer drops the ticks
 * nobody took and keeps its phase. */
ZK_API zk_timer *zk_timer_new(zk_duration first, zk_duration period) ZK_OWNED;

/* A timer that runs fn(arg) in a new goroutine. NULL: no fn, or no memory. [any] */
ZK_API zk_timer *zk_timer_func(zk_duration first, zk_fn fn, void *arg) ZK_OWNED;

/* The timer's channel, borrowed; NULL for zk_timer_func. [any]
 * ZK_EPERM: what sending on it, or closing it, gives. */
ZK_API zk_chan *zk_timer_chan(zk_timer *t);

/* 1: no tick will be received (it was armed, or expired but unread). 0: the tick was received,
 * the callback started, or it was stopped before. [any] */
ZK_API int zk_timer_stop(zk_timer *t);

/* Same result; keeps the period; no tick from before is received afterwards. [any]
 * ZK_EINVAL for a handle of zk_ctx_after, which has no time. */
ZK_API int zk_timer_reset(zk_timer *t, zk_duration first);

/* Gives the timer back and stops it. A channel taken with zk_chan_ref stays valid. [any] */
ZK_API void zk_timer_unref(zk_timer *t);

/* ---- sync: zeroed storage is ready to use ---------------------------------------------------- */

typedef struct zk_mutex {
  uint64_t zk_priv[4];
} zk_mutex;

typedef struct zk_rwmutex {
  uint64_t zk_priv[4];
} zk_rwmutex;

typedef struct zk_cond {
  uint64_t zk_priv[4];
} zk_cond;

typedef struct zk_once {
  uint64_t zk_priv[4];
} zk_once;

typedef struct zk_sem {
  uint64_t zk_priv[4];
} zk_sem;

typedef struct zk_wg {
  uint64_t zk_priv[4];
} zk_wg;

#define ZK_ZERO        { { 0, 0, 0, 0 } }
#define ZK_SEM_INIT(n) { { (n), 0, 0, 0 } }

/* Waits for the mutex and takes it; not cancelable. Not reentrant. [any] */
ZK_API void zk_mutex_lock(zk_mutex *m);

/* The same with a deadline. [any] */
ZK_API int zk_mutex_lock_until(zk_mutex *m, zk_time deadline);

/* Gives the mutex back; whoever holds it may. Of an unlocked one: fatal, not catchable; so for
 * rwmutex and cond_wait as well. [any] */
ZK_API void zk_mutex_unlock(zk_mutex *m);

/* Waits until nobody reads or writes, and takes it for writing; not cancelable. [any] */
ZK_API void zk_rwmutex_lock(zk_rwmutex *m);

/* The same with a deadline. [any] */
ZK_API int zk_rwmutex_lock_until(zk_rwmutex *m, zk_time deadline);

/* Ends writing: every reader that waits gets in before the next writer. [any] */
ZK_API void zk_rwmutex_unlock(zk_rwmutex *m);

/* Waits until nobody writes or waits to write, and reads; not cancelable. [any] */
ZK_API void zk_rwmutex_rlock(zk_rwmutex *m);

/* The same with a deadline. [any] */
ZK_API int zk_rwmutex_rlock_until(zk_rwmutex *m, zk_time deadline);
ZK_API void zk_rwmutex_runlock(zk_rwmutex *m);  /* Ends reading. [any] */

/* Unlocks m, waits for a signal in the order of arrival, and locks m again, whatever the result.
 * [any]
 * Never wakes up without a signal. On ZK_ETIMEDOUT and ZK_ECANCELED no signal was used up. */
ZK_API int zk_cond_wait(zk_cond *c, zk_mutex *m, zk_time deadline);

/* Wakes the one that has waited longest, if anybody waits; m need not be held. [any] */
ZK_API void zk_cond_signal(zk_cond *c);
ZK_API void zk_cond_broadcast(zk_cond *c);  /* Wakes all that wait now; m need not be held. [any] */

/* Runs fn(arg) the first time; others wait, without deadline, for fn to end. [any]
 * A panic or zk_goexit in fn counts as its end. NULL ends the process. */
ZK_API void zk_once_do(zk_once *o, zk_fn fn, void *arg);

/* Takes n of the semaphore's tokens, all at once, in order of arrival. [any] */
ZK_API int zk_sem_acquire(zk_sem *s, uint32_t n, zk_time deadline);

/* Puts n tokens back. More than 2^63 - 1 end the process. [any] */
ZK_API void zk_sem_release(zk_sem *s, uint32_t n);

/* Adds delta, which may be negative, to the counter. [any]
 * Panics below zero (see zk_panic). NULL ends the process. */
ZK_API void zk_wg_add(zk_wg *wg, int delta);
ZK_API void zk_wg_done(zk_wg *wg);  /* Takes one from the counter. [any] */
ZK_API int zk_wg_wait(zk_wg *wg, zk_time deadline);  /* Waits until the counter is zero. [any] */

/* Adds one, starts fn(arg) (arg is not copied), and takes one when that has ended, however it
 * ends. [any]
 * On an error the counter is as before. */
ZK_API int zk_wg_go(zk_wg *wg, zk_fn fn, void *arg);

/* A cache of equal objects; the library may drop idle ones at any time. [any]
 * make (may be NULL) makes one when there is none, and may return NULL; drop (may be NULL) gets
 * those that are not needed. */
ZK_API zk_pool *zk_pool_new(void *(*make)(void *user), void (*drop)(void *obj, void *user),
                            void *user) ZK_OWNED;

/* An object that was put back, else a new one; never waits. NULL: no pool, or make gave none.
 * [any] */
ZK_API void *zk_pool_get(zk_pool *p);

/* Gives an object to whoever gets the next one; NULL does nothing. Without a pool the process
 * ends: the object would be lost. [any] */
ZK_API void zk_pool_put(zk_pool *p, void *obj);

/* Gives the pool back; its idle objects go to drop. [any]
 * If drop panics, or calls zk_goexit, all the same each object gets its turn; then the pool is
 * freed, and the first panic, or the exit, goes on from here. What a call of drop defers runs
 * when it returns. */
ZK_API void zk_pool_unref(zk_pool *p);

/* ---- context and groups ---------------------------------------------------------------------- */

/* A context that ends with its parent, by zk_ctx_cancel, or at deadline, whichever comes first.
 * parent NULL: a root. [any]
 * A deadline in the past: it has ended, with ZK_ETIMEDOUT. NULL: no memory, or parent is none. */
ZK_API zk_ctx *zk_ctx_new(zk_ctx *parent, zk_time deadline) ZK_OWNED;

/* The same without a deadline of its own, and with a value for key, which is compared as an
 * address. [any]
 * drop (may be NULL) gets the value when the context goes, in whichever goroutine or thread lets
 * go of it last. On NULL the value is still the caller's. */
ZK_API zk_ctx *zk_ctx_with_value(zk_ctx *parent, const void *key, void *value, zk_fn drop) ZK_OWNED;
ZK_API zk_ctx *zk_ctx_ref(zk_ctx *x);  /* One more reference; returns x. [any] */
ZK_API void zk_ctx_unref(zk_ctx *x);  /* Gives a reference back; does not cancel. [any] */

/* Its parent's values, not its end: a context for what has to go on. NULL: parent is none. [any] */
ZK_API zk_ctx *zk_ctx_detach(zk_ctx *parent) ZK_OWNED;

/* Ends x and all below it, before it returns; idempotent. cause 0: ZK_ECANCELED. [any] */
ZK_API void zk_ctx_cancel(zk_ctx *x, int cause);

/* 0 while live, else the cause; what a bound call returns is ZK_ECANCELED or ZK_ETIMEDOUT
 * whatever the cause. [any] */
ZK_API int zk_ctx_err(const zk_ctx *x);

/* A channel that is closed when x ends, borrowed; nobody else closes it or sends on it
 * (ZK_EPERM). NULL: no memory. [any] */
ZK_API zk_chan *zk_ctx_done(zk_ctx *x);

/* When x ends at the latest; ZK_FOREVER: no deadline. [any] */
ZK_API zk_time zk_ctx_deadline(const zk_ctx *x);

/* The innermost value for key; NULL without one. [any] */
ZK_API void *zk_ctx_value(const zk_ctx *x, const void *key);

/* Runs fn(arg) in a new goroutine once x is done; returns a handle for zk_timer_stop and
 * zk_timer_unref, which take it back. [any] */
ZK_API zk_timer *zk_ctx_after(zk_ctx *x, zk_fn fn, void *arg) ZK_OWNED;

/* The context that the goroutine which calls was started with, borrowed; NULL when unbound.
 * [any] */
ZK_API zk_ctx *zk_goctx(void);

/* A group whose context is a child of parent (NULL: a root); at most limit members run at once
 * (0: any number). [any]
 * The first non-zero result cancels the group's context with that cause (the rest see
 * ZK_ECANCELED) and is what wait returns. NULL: parent is no context. */
ZK_API zk_group *zk_group_new(zk_ctx *parent, uint32_t limit) ZK_OWNED;

/* The context its members are bound to, borrowed. [any] */
ZK_API zk_ctx *zk_group_ctx(zk_group *g);

/* Starts fn(arg) as a member, bound to the group's context; waits while the group is at its
 * limit. [any] */
ZK_API int zk_group_go(zk_group *g, zk_int_fn fn, void *arg);

/* The same with a deadline for that wait. On an error fn does not run. [any] */
ZK_API int zk_group_go_until(zk_group *g, zk_int_fn fn, void *arg, zk_time deadline);

/* Waits for all members, then ends the group's context. The first non-zero result of a member,
 * else 0. [any] */
ZK_API int zk_group_wait(zk_group *g);

/* The same with a deadline: ZK_ETIMEDOUT or ZK_EAGAIN when members are left. [any] */
ZK_API int zk_group_wait_until(zk_group *g, zk_time deadline);

/* All non-zero results so far, in the order in which the members ended: copies the first n to
 * results (NULL: none). Returns how many there are. [any]
 * A member whose function panicked, where zk_config.on_panic let the rest go on, counts as
 * ZK_EPANIC; one that called zk_goexit as 0. Complete once wait has returned a member's result
 * or 0. */
ZK_API size_t zk_group_errors(zk_group *g, int *results, size_t n);

/* Cancels the group's context, waits for its members whatever the caller is bound to, and gives
 * the group back. [any] */
ZK_API void zk_group_unref(zk_group *g);

/* ---- blocking code --------------------------------------------------------------------------- */

/* Runs fn(arg) on a helper thread while this goroutine waits. [any]
 * fn must not call blocking zokor functions: those that have a result give ZK_EPERM, unless with
 * ZK_NOWAIT. Not cancelable: it returns when fn does. */
ZK_API int zk_blocking(zk_fn fn, void *arg);

/* Opens a bracket around code that blocks the OS thread: the worker's place is handed to others.
 * [go] */
ZK_API void zk_block_begin(void);
ZK_API void zk_block_end(void);  /* Closes the bracket; may wait for a place to run. [go] */

/* ---- defer, panic, recover ------------------------------------------------------------------- */

typedef struct zk_scope {
  uint64_t zk_priv[2];
} zk_scope;

ZK_API zk_scope zk_scope_begin(void);  /* Opens a scope for zk_defer. [any] */

/* Closes it: runs what was deferred in it, last first. NULL, or a scope that is closed already,
 * is left alone. [any] */
ZK_API void zk_scope_end(zk_scope *s);

/* Runs fn(arg) at the end of the innermost scope, zk_try or goroutine, in reverse order; also
 * when a panic passes through. [any]
 * ZK_EPERM: on a plain thread outside any scope and zk_try, where nothing would run it. */
ZK_API int zk_defer(zk_fn fn, void *arg);

/* Runs the pending defers on this stack, then jumps (like longjmp: C++ and Rust frames must not
 * lie between) to the innermost zk_try, or ends in on_panic. On a plain thread outside zk_try
 * the process ends. [any] */
ZK_API void zk_panic(const char *msg) ZK_NORETURN;

/* Runs fn(arg). ZK_EPANIC if it panicked; msg (may be NULL) gets the text, cut off to msg_size
 * bytes with the NUL. [any]
 * ZK_ENOTSUP: not on this CPU; fn was not run.
 * An exception of C++ is not stopped; what was deferred runs when it passes. */
ZK_API int zk_try(zk_fn fn, void *arg, char *msg, size_t msg_size);

#if defined(__GNUC__) && !defined(__cplusplus)
   /* Statement: defers below it run at the end of the enclosing block. */
#  define ZK_SCOPE zk_scope zk_scope_ __attribute__((cleanup(zk_scope_end), unused)) = zk_scope_begin()
#endif

/* ---- looking inside -------------------------------------------------------------------------- */

typedef struct zk_stats {
  size_t size;                /* = sizeof(zk_stats) */
  uint64_t goroutines;        /* alive, main included */
  uint64_t runnable;          /* waiting for a worker */
  uint64_t blocked;           /* parked, or blocked in a call */
  uint64_t created;           /* since the start */
  uint64_t workers;           /* how many goroutines may run at once */
  uint64_t blocking_threads;  /* threads of zk_blocking() */
  uint64_t switches;          /* goroutines resumed */
  uint64_t steals;            /* of these, taken from another worker's queue */
  uint64_t parks;             /* times a goroutine waited */
  uint64_t timers;            /* armed */
  uint64_t fds;               /* descriptors watched */
  uint64_t stack_bytes;       /* of all goroutines, virtual */
} zk_stats;

typedef struct zk_goinfo {
  size_t size;        /* = sizeof(zk_goinfo) */
  uint64_t id;
  const char *name;   /* "" without one */
  const char *state;  /* "running", "runnable", "waiting", "blocked in call" */
  /* "" unless queued: "chan send", "chan receive", "select", "select (no cases)", "sleep",
   * "mutex", "rwmutex read", "rwmutex write", "cond", "wait group", "once", "semaphore",
   * "group", "io", "blocking", "join", "barrier", "scope", "singleflight" */
  const char *wait_on;
  zk_time since;      /* when it began to wait, to some 10 ms */
  size_t stack_size;
  size_t stack_used;
} zk_goinfo;

#define ZK_STATS_INIT { sizeof(zk_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }

ZK_API int zk_stats_get(zk_stats *out);  /* Fills what both sides know. [any] */

/* Shows each goroutine to the visitor, main included; a result that is not 0 stops. [any]
 * The visitor gets a snapshot, valid for its call, and must not call this library. */
ZK_API int zk_each(int (*visit)(const zk_goinfo *g, void *user), void *user);
ZK_API int zk_dump(int fd);  /* Writes every goroutine, with its stack, to the descriptor. [any] */

#ifdef __cplusplus
} /* extern "C" */
#endif
#endif /* ZK_H */
