/* GNU Pth 2.0.7 (Debian libpth-dev): one OS thread, no channels.
 * A channel here is a ring guarded by pth_mutex + pth_cond (capacity >= 1; "unbuffered" = capacity 1). */
#include "bench.h"
#include <pth.h>
#define PEER "pth"
typedef struct chan { pth_mutex_t m; pth_cond_t ne, nf; int64_t *b; long cap, head, len; int closed; } *CHAN;
typedef long COUNT_T;
#define DEC(p) (--*(p))
#define INC(p) (++*(p))
static pth_attr_t attr;
static CHAN ch_make(int cap) {
    CHAN c = (CHAN)calloc(1, sizeof *c);
    c->cap = cap ? cap : 1;
    c->b = (int64_t *)calloc(c->cap, 8);
    pth_mutex_init(&c->m); pth_cond_init(&c->ne); pth_cond_init(&c->nf);
    return c;
}
static int ch_send(CHAN c, int64_t v) {
    pth_mutex_acquire(&c->m, FALSE, NULL);
    while (c->len == c->cap) pth_cond_await(&c->nf, &c->m, NULL);
    c->b[(c->head + c->len++) % c->cap] = v;
    pth_cond_notify(&c->ne, FALSE);
    pth_mutex_release(&c->m);
    return 0;
}
static int ch_recv(CHAN c, int64_t *v) {
    int r = -1;
    pth_mutex_acquire(&c->m, FALSE, NULL);
    while (c->len == 0 && !c->closed) pth_cond_await(&c->ne, &c->m, NULL);
    if (c->len) { *v = c->b[c->head]; c->head = (c->head + 1) % c->cap; c->len--; r = 0; pth_cond_notify(&c->nf, FALSE); }
    pth_mutex_release(&c->m);
    return r;
}
static void ch_close(CHAN c) { pth_mutex_acquire(&c->m, FALSE, NULL); c->closed = 1; pth_cond_notify(&c->ne, TRUE); pth_mutex_release(&c->m); }
static CHAN ch_hold(CHAN c) { return c; }
static void ch_drop(CHAN c) { }
typedef struct { void (*f)(void *); void *a; } J;
static void *tramp(void *p) { J j = *(J *)p; free(p); j.f(j.a); return NULL; }
static void co_go(void (*f)(void *), void *a) {
    J *j = (J *)malloc(sizeof *j);
    j->f = f; j->a = a;
    if (!pth_spawn(attr, tramp, j)) { perror("pth_spawn"); die("pth_spawn"); }
}
static void co_yield_(void) { pth_yield(NULL); }
static void co_sleep_(int64_t ns) { pth_nap(pth_time(ns / 1000000000, ns % 1000000000 / 1000)); }
#define HAS_MUTEX
static pth_mutex_t mu = PTH_MUTEX_INIT;
static void mu_lock(void) { pth_mutex_acquire(&mu, FALSE, NULL); }
static void mu_unlock(void) { pth_mutex_release(&mu); }
#include "workloads.inc"
int main(int argc, char **argv) {
    g_argc = argc; g_argv = argv;
    pth_init();
    attr = pth_attr_new();
    pth_attr_set(attr, PTH_ATTR_JOINABLE, FALSE);
    pth_attr_set(attr, PTH_ATTR_STACK_SIZE, (unsigned int)opt("stack", 16384));
    run_workload();
    _exit(0);
}
