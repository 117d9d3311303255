/* Fibonacci numbers over a channel, until a second channel says quit. */
#include <stdio.h>
#include <zokor.h>

struct chans { zk_chan *c, *quit; };

static void print_ten(void *arg) {
    struct chans *ch = arg;                     /* this goroutine's own copy */
    unsigned long n;
    for (int i = 0; i < 10 && zk_recv(ch->c, &n) == ZK_OK; i++) printf("%lu\n", n);
    zk_chan_close(ch->quit);
}

static int fibonacci(void *arg) {
    struct chans *ch = arg;
    unsigned long x = 0, y = 1, next;
    for (;;) {
        switch (ZK_SELECT(ZK_SEND(ch->c, &x), ZK_DONE(ch->quit))) {
        case 0: next = x + y; x = y; y = next; break;
        case 1: puts("quit"); return 0;
        default: return 1;
        }
    }
}

int main(void) {
    struct chans ch = {ZK_CHAN(unsigned long, 0), ZK_CHAN(char, 0)};
    int status = 1;
    ZK_GO(print_ten, ch);
    if (zk_run(fibonacci, &ch, &status) != ZK_OK) return 1;
    zk_chan_unref(ch.c);
    zk_chan_unref(ch.quit);
    return status;
}
