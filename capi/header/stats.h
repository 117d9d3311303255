#define ZK_STATS_INIT { sizeof(zk_stats), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
