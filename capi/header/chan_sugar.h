/* Typed sugar: sizeof is taken from the pointer, so a mismatch is caught. */
#define ZK_CHAN(type, cap)       zk_chan_new(sizeof(type), (cap))
#define zk_send(c, p)            zk_chan_send((c), (p), sizeof *(p), ZK_FOREVER)
#define zk_recv(c, p)            zk_chan_recv((c), (p), sizeof *(p), ZK_FOREVER)
#define zk_send_until(c, p, dl)  zk_chan_send((c), (p), sizeof *(p), (dl))
#define zk_recv_until(c, p, dl)  zk_chan_recv((c), (p), sizeof *(p), (dl))
#define zk_try_send(c, p)        zk_chan_send((c), (p), sizeof *(p), ZK_NOWAIT)
#define zk_try_recv(c, p)        zk_chan_recv((c), (p), sizeof *(p), ZK_NOWAIT)
#define ZK_RANGE(c, p)           while (zk_recv((c), (p)) == ZK_OK)
