/* million - parks a million goroutines on one channel, then wakes them all.
 *
 *   million [N]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zokor.h>

/* Kilobytes of this process in memory, or of the page tables that describe them. */
static double memory(const char *key) {
    char line[256];
    double kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key))) kb = atof(line + strlen(key));
    if (f) fclose(f);
    return kb;
}

struct task {
    zk_chan *gate;
    zk_wg ended;
};

static void park(void *arg) {
    struct task *t = arg;
    zk_recv(t->gate, (char *)NULL);                /* until the gate is closed */
}

static int million(void *arg) {
    long n = *(long *)arg;
    struct task t = {zk_chan_new(1, 0), ZK_ZERO};
    zk_stats stats = ZK_STATS_INIT;
    double rss = memory("VmRSS:"), tables = memory("VmPTE:");

    zk_time start = zk_now();
    for (long i = 0; i < n; i++) {
        int rc = zk_wg_go(&t.ended, park, &t);
        if (rc != ZK_OK) return fprintf(stderr, "goroutine %ld: %s\n", i, zk_strerror(rc)), 1;
    }
    while (zk_stats_get(&stats) == ZK_OK && stats.blocked < (uint64_t)n) zk_yield();
    double parked = (double)(zk_now() - start) / 1e9;
    rss = memory("VmRSS:") - rss, tables = memory("VmPTE:") - tables;

    start = zk_now();
    zk_chan_close(t.gate);
    zk_wg_wait(&t.ended, ZK_FOREVER);
    double woken = (double)(zk_now() - start) / 1e9;
    zk_chan_unref(t.gate);

    double each = n ? (double)n / 1024 : 1;
    printf("goroutines      %ld\n", n);
    printf("spawn and park  %.3f s\n", parked);
    printf("wake and end    %.3f s\n", woken);
    printf("resident        %.0f B each\n", rss / each);
    printf("page tables     %.0f B each\n", tables / each);
    return 0;
}

int main(int argc, char **argv) {
    char *end = "";
    long n = argc > 1 ? strtol(argv[1], &end, 10) : 1000000;
    if (argc > 2 || *end || n < 0) return puts("usage: million [N]"), 2;
    int status = 1;
    int rc = zk_run(million, &n, &status);
    if (rc != ZK_OK) fprintf(stderr, "million: %s\n", zk_strerror(rc));
    return rc == ZK_OK ? status : 1;
}
