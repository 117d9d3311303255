/* Three workers, five jobs; the results come in any order, so their sum is printed. */
#include <stdio.h>
#include <zokor.h>

struct pool { zk_chan *jobs, *results; };

static void worker(void *arg) {
    struct pool *p = arg;
    int job;
    ZK_RANGE(p->jobs, &job) {                      /* until closed and drained */
        zk_sleep(ZK_MS);
        zk_send(p->results, &(int){job * 2});
    }
}

int main(void) {
    struct pool p = {ZK_CHAN(int, 100), ZK_CHAN(int, 100)};
    zk_wg wg = ZK_ZERO;
    int sum = 0, n = 0;
    for (int w = 0; w < 3; w++) zk_wg_go(&wg, worker, &p);
    for (int j = 1; j <= 5; j++) zk_send(p.jobs, &j);
    zk_chan_close(p.jobs);
    zk_wg_wait(&wg, ZK_FOREVER);
    for (int r; zk_try_recv(p.results, &r) == ZK_OK; n++) sum += r;
    printf("%d results, sum %d\n", n, sum);
    zk_chan_unref(p.jobs);
    zk_chan_unref(p.results);
}
