/* Three kinds of "not for ever": one operation, a select, a try. */
#include <stdio.h>
#include <zokor.h>

static void slow(void *arg) {
    zk_chan *answers = *(zk_chan **)arg;
    zk_sleep(200 * ZK_MS);
    zk_send(answers, &(int){42});
    zk_chan_unref(answers);
}

int main(void) {
    zk_chan *answers = ZK_CHAN(int, 0), *never = ZK_CHAN(int, 0);
    int v;
    ZK_GO(slow, (zk_chan *[]){zk_chan_ref(answers)});
    if (zk_recv_until(answers, &v, zk_in(50 * ZK_MS)) == ZK_ETIMEDOUT) puts("recv: timed out");
    switch (ZK_SELECT_UNTIL(zk_in(10 * ZK_SEC), ZK_RECV(never, &v), ZK_RECV(answers, &v))) {
    case 0: puts("select: a value from nowhere"); break;
    case 1: printf("select: %d\n", v); break;
    default: puts("select: timed out");
    }
    if (zk_try_recv(never, &v) == ZK_EAGAIN) puts("try: would block");
    zk_chan_unref(answers);
    zk_chan_unref(never);
}
