/* Shared helpers of the C and C++ programs: options, clocks, memory, output, W10's durations, W13's work.
 *
 * A program is called as `<program> <workload> [name=value ...]`; the environment variable P sets its workers. It prints one line of
 * JSON: peer, w (workload), p (workers), n (operations), ns (per operation) and extra figures. */
#ifndef BENCH_H
#define BENCH_H
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static int g_argc;
static char **g_argv;
static long opt(const char *k, long d) {
    size_t n = strlen(k);
    for (int i = 2; i < g_argc; i++)
        if (!strncmp(g_argv[i], k, n) && g_argv[i][n] == '=') return atol(g_argv[i] + n + 1);
    return d;
}
static int envp(void) {
    const char *s = getenv("P");
    return s ? atoi(s) : 1;
}
static inline int64_t tick(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000000ll + t.tv_nsec;
}
static int64_t cpu_ns(void) {
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return (r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1000000000ll + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) * 1000ll;
}
static int64_t rss(void) {
    FILE *f = fopen("/proc/self/statm", "r");
    long a, b;
    if (!f || fscanf(f, "%ld %ld", &a, &b) != 2) abort();
    fclose(f);
    return b * 4096;
}
/* Bytes of page tables; a parked goroutine costs these besides its resident memory. */
static int64_t page_tables(void) {
    FILE *f = fopen("/proc/self/status", "r");
    char b[256];
    long kib = -1;
    if (!f) abort();
    while (fgets(b, sizeof b, f))
        if (sscanf(b, "VmPTE: %ld kB", &kib) == 1) break;
    fclose(f);
    if (kib < 0) abort();
    return kib * 1024;
}
static void line(const char *peer, const char *w, long n, double ns, const char *extra) {
    printf("{\"peer\":\"%s\",\"w\":\"%s\",\"p\":%d,\"n\":%ld,\"ns\":%.2f%s%s}\n", peer, w, envp(), n, ns, extra[0] ? "," : "", extra);
    fflush(stdout);
}
static void na(const char *peer, const char *w, const char *why) {
    printf("{\"peer\":\"%s\",\"w\":\"%s\",\"p\":%d,\"na\":\"%s\"}\n", peer, w, envp(), why);
    fflush(stdout);
}
static void die(const char *m) {
    fprintf(stderr, "FATAL %s\n", m);
    abort();
}
static int64_t *durations(long n) {
    int64_t *d = (int64_t *)malloc(sizeof(int64_t) * n);
    uint64_t x = 88172645463325252ull;
    for (long i = 0; i < n; i++) {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        d[i] = x % 100000000ull;
    }
    return d;
}
static int cmp64(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}
static void w10_line(const char *peer, long n, int64_t wall, int64_t cpu, int64_t *late) {
    char e[256];
    qsort(late, n, sizeof(int64_t), cmp64);
    snprintf(e, sizeof e, "\"cpu_ns\":%lld,\"min\":%lld,\"p50\":%lld,\"p99\":%lld,\"max\":%lld", (long long)cpu,
             (long long)late[0], (long long)late[n / 2], (long long)late[n * 99 / 100], (long long)late[n - 1]);
    line(peer, "w10", n, wall, e);
}
static __attribute__((noinline)) uint64_t work(long iters, uint64_t seed) {
    uint64_t x = seed;
    for (long i = 0; i < iters; i++) {
        x = x * 6364136223846793005ull + 1442695040888963407ull;
        __asm__("" : "+r"(x)); /* keep the chain: no folding of several steps */
    }
    return x;
}
#endif
