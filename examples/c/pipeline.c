/* Stages that are joined by channels: numbers, their squares, the squares of those, the sum. */
#include <stdio.h>
#include <zokor.h>

struct stage { zk_chan *in, *out; };

static void numbers(void *arg) {
    zk_chan *out = arg;
    for (long n = 0; n < 10; n++) zk_send(out, &n);
    zk_chan_close(out);
    zk_chan_unref(out);
}

static void squares(void *arg) {
    struct stage *s = arg;                         /* our own copy */
    long n;
    ZK_RANGE(s->in, &n) zk_send(s->out, &(long){n * n});
    zk_chan_close(s->out);
    zk_chan_unref(s->in);
    zk_chan_unref(s->out);
}

static zk_chan *source(void) {
    zk_chan *out = ZK_CHAN(long, 0);
    zk_go(numbers, zk_chan_ref(out));
    return out;
}

static zk_chan *square(zk_chan *in) {              /* takes over the caller's reference */
    zk_chan *out = ZK_CHAN(long, 0);
    ZK_GO(squares, (struct stage){in, zk_chan_ref(out)});
    return out;
}

int main(void) {
    zk_chan *results = square(square(source()));
    long n, sum = 0;
    ZK_RANGE(results, &n) sum += n;
    printf("%ld\n", sum);
    zk_chan_unref(results);
}
