/* What becomes of an element that finds no room: no receiver waits, and the buffer is full. All
 * else is the same for all channels, select too: a case that sends is ready when there is room,
 * and always with the policies that drop. */
enum {
  ZK_CHAN_BLOCK = 0,        /* the sender waits */
  /* The buffer grows, and no send waits. At `capacity` elements, unless that is 0, sends fail:
   * the high-water mark. */
  ZK_CHAN_UNBOUNDED = 1,
  /* It takes the place of the oldest one, which is dropped. With capacity 0 it is dropped itself. */
  ZK_CHAN_DROP_OLDEST = 2,
  ZK_CHAN_DROP_NEWEST = 3,  /* it is dropped; its send returns ZK_OK */
  ZK_CHAN_LATEST = 4        /* ZK_CHAN_DROP_OLDEST with one slot: `capacity` is 0 or 1 */
};
#define ZK_CHAN_OPTS_INIT { sizeof(zk_chan_opts), 0, 0, NULL, NULL, NULL, ZK_CHAN_BLOCK, 0 }
