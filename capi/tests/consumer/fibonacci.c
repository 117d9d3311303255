/* Fibonacci numbers through a rendezvous, until somebody says quit. */
#include <stdio.h>
#include <zokor.h>

struct chans { zk_chan *c, *quit; };

static void consumer(void *arg) {
    struct chans *ch = arg;                        /* our own copy */
    long v;
    for (int i = 0; i < 10 && zk_recv(ch->c, &v) == ZK_OK; i++) printf("%ld\n", v);
    zk_chan_close(ch->quit);
}

int main(void) {
    zk_chan *c = ZK_CHAN(long, 0), *quit = zk_chan_new(0, 0);
    ZK_GO(consumer, (struct chans){c, quit});
    for (long x = 0, y = 1, t;;) {
        switch (ZK_SELECT(ZK_SEND(c, &x), ZK_DONE(quit))) {
        case 0: t = x + y; x = y; y = t; break;
        case 1: puts("quit"); return 0;            /* unref omitted: the process ends */
        default: return 1;
        }
    }
}
