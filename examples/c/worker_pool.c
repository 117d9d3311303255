/* Three workers, five jobs. */
#include <stdio.h>
#include <stdlib.h>
#include <zokor.h>

struct pool { zk_chan *jobs, *results; };

static void worker(void *arg) {
    struct pool *p = arg;
    int job;
    ZK_RANGE(p->jobs, &job) {                      /* until closed and drained */
        zk_sleep(10 * ZK_MS);
        zk_send(p->results, &(int){job * 2});
    }
}

static int ascending(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

int main(void) {
    struct pool p = {ZK_CHAN(int, 100), ZK_CHAN(int, 100)};
    zk_wg wg = ZK_ZERO;
    int results[5], n = 0;
    for (int w = 0; w < 3; w++) zk_wg_go(&wg, worker, &p);
    for (int j = 1; j <= 5; j++) zk_send(p.jobs, &j);
    zk_chan_close(p.jobs);
    zk_wg_wait(&wg, ZK_FOREVER);
    while (n < 5 && zk_try_recv(p.results, &results[n]) == ZK_OK) n++;
    qsort(results, (size_t)n, sizeof *results, ascending);
    for (int i = 0; i < n; i++) printf("result %d\n", results[i]);
    zk_chan_unref(p.jobs);
    zk_chan_unref(p.results);
}
