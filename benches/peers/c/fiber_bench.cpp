// Boost.Fiber 1.74 (Debian libboost-fiber-dev): stackful fibers, buffered and unbuffered channels.
// P=1: the default round-robin scheduler on one thread. P=2: work_stealing over two threads.
// pooled=1 uses pooled_fixedsize_stack (default: fixedsize_stack, 128 KiB from malloc).
// suspend=1 lets an idle thread sleep; Boost's work_stealing never wakes it for new work, so with it
// the second thread takes no part. The default here is suspend=0: an idle thread keeps looking for work.
#include "bench.h"
#include <boost/fiber/all.hpp>
#include <atomic>
#include <chrono>
#include <thread>
namespace bf = boost::fibers;
#ifndef PEER
#define PEER (opt("pooled", 0) ? "boost.fiber-pooled" : "boost.fiber")
#endif
struct chan_ { int refs; int unb; bf::unbuffered_channel<int64_t> *u; bf::buffered_channel<int64_t> *b; };
typedef chan_ *CHAN;
typedef std::atomic<long> COUNT_T;
#define DEC(p) (--*(p))
#define INC(p) (++*(p))
static CHAN ch_make(int cap) {
    CHAN c = new chan_{};
    if (cap == 0) c->u = new bf::unbuffered_channel<int64_t>(); else { int k = 2; while (k - 1 < cap) k *= 2; c->b = new bf::buffered_channel<int64_t>(k); }
    return c;
}
static inline int ch_send(CHAN c, int64_t v) { return (c->u ? c->u->push(v) : c->b->push(v)) == bf::channel_op_status::success ? 0 : -1; }
static inline int ch_recv(CHAN c, int64_t *v) { return (c->u ? c->u->pop(*v) : c->b->pop(*v)) == bf::channel_op_status::success ? 0 : -1; }
static void ch_close(CHAN c) { if (c->u) c->u->close(); else c->b->close(); }
static CHAN ch_hold(CHAN c) { return c; }
static void ch_drop(CHAN c) { }
static bf::pooled_fixedsize_stack *pool_;
static inline void co_go(void (*f)(void *), void *a) {
    if (pool_) bf::fiber(bf::launch::post, std::allocator_arg, *pool_, [f, a] { f(a); }).detach();
    else bf::fiber(bf::launch::post, [f, a] { f(a); }).detach();
}
static inline void co_yield_() { boost::this_fiber::yield(); }
static inline void co_sleep_(int64_t ns) { boost::this_fiber::sleep_for(std::chrono::nanoseconds(ns)); }
#define HAS_TRY
static inline int ch_tryrecv(CHAN c, int64_t *v) { return c->b->try_pop(*v) == bf::channel_op_status::success ? 0 : -1; }
#define HAS_MUTEX
static bf::mutex mu;
static void mu_lock() { mu.lock(); }
static void mu_unlock() { mu.unlock(); }
#define HAS_FOREIGN
#include "workloads.inc"
int main(int argc, char **argv) {
    g_argc = argc; g_argv = argv;
    if (opt("pooled", 0)) pool_ = new bf::pooled_fixedsize_stack();
    int p = envp();
    bool sus = opt("suspend", 0);
    if (p > 1) {
        for (int i = 1; i < p; i++)
            std::thread([p, sus] {
                bf::use_scheduling_algorithm<bf::algo::work_stealing>(p, sus);
                bf::mutex m; bf::condition_variable_any cv; // park this thread's main fiber for ever
                std::unique_lock<bf::mutex> l(m);
                cv.wait(l, [] { return false; });
            }).detach();
        bf::use_scheduling_algorithm<bf::algo::work_stealing>(p, sus);
    }
    run_workload();
    fflush(stdout);
    _exit(0);
}
