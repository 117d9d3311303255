#define ZK_US      INT64_C(1000)
#define ZK_MS      INT64_C(1000000)
#define ZK_SEC     INT64_C(1000000000)
#define ZK_MIN     (60 * ZK_SEC)
#define ZK_NOWAIT  INT64_C(0)   /* deadline: now or not at all */
#define ZK_FOREVER INT64_MAX    /* deadline: never */
