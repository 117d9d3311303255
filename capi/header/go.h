#define ZK_GO_OPTS_INIT { sizeof(zk_go_opts), NULL, 0, 0, NULL, NULL }

#define ZK_GO_PINNED 1u     /* never changes OS thread once started: addresses of thread-locals
                               stay valid; others share the thread */
#define ZK_GO_EXCLUSIVE 2u  /* has an OS thread to itself (LockOSThread) */
