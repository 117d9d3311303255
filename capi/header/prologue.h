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
