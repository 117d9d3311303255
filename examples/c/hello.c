/* One goroutine, one channel. */
#include <stdio.h>
#include <zokor.h>

static void greet(void *arg) {
    zk_send((zk_chan *)arg, &(const char *){"hello, world"});
}

int main(void) {
    zk_chan *inbox = ZK_CHAN(const char *, 0);
    const char *text;
    zk_go(greet, inbox);
    if (zk_recv(inbox, &text) == ZK_OK) puts(text);
    return 0;                                      /* unref omitted: the process ends */
}
