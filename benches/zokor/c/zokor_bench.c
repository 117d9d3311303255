/* The workloads through the C interface: goroutines may move between workers (the default of zk_go).
 * pinned=1 starts them pinned instead. */
#include "bench.h"
#include <stdatomic.h>
#include <zokor.h>

static int pinned;
#define PEER (pinned ? "zokor-c-pinned" : "zokor-c")

typedef zk_chan *CHAN;
typedef atomic_long COUNT_T;
#define DEC(p) (atomic_fetch_sub((p), 1) - 1)
#define INC(p) (atomic_fetch_add((p), 1) + 1)

static CHAN ch_make(int cap) {
    CHAN c = ZK_CHAN(int64_t, (size_t)cap);
    if (!c) die("zk_chan_new");
    return c;
}
static inline int ch_send(CHAN c, int64_t v) { return zk_send(c, &v); }
static inline int ch_recv(CHAN c, int64_t *v) { return zk_recv(c, v); }
static void ch_close(CHAN c) { zk_chan_close(c); }
static CHAN ch_hold(CHAN c) { return zk_chan_ref(c); }
static void ch_drop(CHAN c) { zk_chan_unref(c); }

static inline void co_go(void (*f)(void *), void *a) {
    int rc;
    if (pinned) {
        zk_go_opts o = ZK_GO_OPTS_INIT;
        o.flags = ZK_GO_PINNED;
        rc = zk_go_with(&o, f, a);
    } else {
        rc = zk_go(f, a);
    }
    if (rc < 0) die(zk_strerror(rc));
}
static inline void co_yield_(void) { zk_yield(); }
static inline void co_sleep_(int64_t ns) { zk_sleep(ns); }

#define HAS_WG
typedef zk_wg WG;
static WG *wg_new(long n) {
    WG *g = (WG *)calloc(1, sizeof *g);
    zk_wg_add(g, (int)n);
    return g;
}
static inline void wg_done(WG *g) { zk_wg_done(g); }
static void wg_wait(WG *g) { zk_wg_wait(g, ZK_FOREVER); }

#define HAS_TRY
static inline int ch_tryrecv(CHAN c, int64_t *v) { return zk_try_recv(c, v); }

#define HAS_SELECT
static inline int64_t ch_select(CHAN *cs, int k) {
    int64_t v;
    if (k == 2) {
        if (ZK_SELECT(ZK_RECV(cs[0], &v), ZK_RECV(cs[1], &v)) < 0) die("select");
    } else if (ZK_SELECT(ZK_RECV(cs[0], &v), ZK_RECV(cs[1], &v), ZK_RECV(cs[2], &v), ZK_RECV(cs[3], &v), ZK_RECV(cs[4], &v),
                         ZK_RECV(cs[5], &v), ZK_RECV(cs[6], &v), ZK_RECV(cs[7], &v)) < 0) {
        die("select");
    }
    return v;
}
#define HAS_DEFAULT
static inline int ch_select_miss(CHAN a, CHAN b) {
    int64_t v;
    return ZK_TRY_SELECT(ZK_RECV(a, &v), ZK_RECV(b, &v)) == ZK_EAGAIN;
}

#define HAS_MUTEX
static zk_mutex mu;
static inline void mu_lock(void) { zk_mutex_lock(&mu); }
static inline void mu_unlock(void) { zk_mutex_unlock(&mu); }

#define HAS_TIMERS
typedef zk_timer *TIMER;
static void tm_fired(void *arg) { (void)arg; }
static TIMER tm_new(int64_t ns) {
    TIMER t = zk_timer_func(ns, tm_fired, NULL);
    if (!t) die("zk_timer_func");
    return t;
}
static inline int tm_reset(TIMER t, int64_t ns) { return zk_timer_reset(t, ns); }

#define HAS_FOREIGN
#define HOLD() zk_hold()
#define RELEASE() zk_release()
#include "workloads.inc"

static int run(void *arg) {
    (void)arg;
    run_workload();
    return 0;
}

int main(int argc, char **argv) {
    if (argc < 2) die("usage: zokor_bench <workload> [name=value ...]");
    g_argc = argc;
    g_argv = argv;
    pinned = (int)opt("pinned", 0);
    zk_config cfg = ZK_CONFIG_INIT;
    cfg.workers = (uint32_t)envp();
    cfg.stack_size = (size_t)opt("stack", 0);
    int rc = zk_init(&cfg);
    if (rc == 0) rc = zk_run(run, NULL, NULL);
    if (rc < 0) die(zk_strerror(rc));
    fflush(stdout);
    _exit(0);
}
