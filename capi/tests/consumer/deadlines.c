/* Four kinds of "not forever": one operation, a select, a context over a whole group, a try. */
#include <stdio.h>
#include <zokor.h>

static void slow(void *arg) {
    zk_chan *c = *(zk_chan **)arg;
    zk_sleep(200 * ZK_MS);
    zk_send(c, &(int){42});
    zk_chan_unref(c);
}

static int patient(void *arg) { int v; return zk_recv((zk_chan *)arg, &v); }

int main(void) {
    zk_chan *c = ZK_CHAN(int, 0), *never = ZK_CHAN(int, 0);
    int v;
    ZK_GO(slow, (zk_chan *[]){zk_chan_ref(c)});
    printf("%s\n", zk_strerror(zk_recv_until(c, &v, zk_in(10 * ZK_MS))));
    int i = ZK_SELECT_UNTIL(zk_in(20 * ZK_SEC), ZK_RECV(never, &v), ZK_RECV(c, &v));
    printf("case %d: %d\n", i, v);
    zk_ctx *ctx = zk_ctx_new(NULL, zk_in(10 * ZK_MS));
    zk_group *g = zk_group_new(ctx, 0);
    zk_group_go(g, patient, never);
    printf("group: %s\n", zk_strerror(zk_group_wait(g)));
    printf("try: %s\n", zk_strerror(zk_try_recv(never, &v)));
    zk_group_unref(g);
    zk_ctx_unref(ctx);
    zk_chan_unref(c);
    zk_chan_unref(never);
}
