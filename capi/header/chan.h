#define ZK_CHAN_OPTS_INIT { sizeof(zk_chan_opts), 0, 0, NULL, NULL, NULL }
