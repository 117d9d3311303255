#ifndef __cplusplus
#  define ZK_SEND(c, p)        ((zk_case){ (c), (void *)(p), sizeof *(p), NULL, ZK_OP_SEND, 0 })
#  define ZK_RECV(c, p)        ((zk_case){ (c), (p), sizeof *(p), NULL, ZK_OP_RECV, 0 })
#  define ZK_RECV_OK(c, p, ok) ((zk_case){ (c), (p), sizeof *(p), (ok), ZK_OP_RECV, 0 })
#  define ZK_DONE(c)           ((zk_case){ (c), NULL, 0, NULL, ZK_OP_RECV, 0 })
#  define ZK_SELECT_UNTIL(deadline, ...)                                        \
     zk_select((zk_case[]){ __VA_ARGS__ },                                      \
               sizeof((zk_case[]){ __VA_ARGS__ }) / sizeof(zk_case), (deadline))
#  define ZK_SELECT(...)     ZK_SELECT_UNTIL(ZK_FOREVER, __VA_ARGS__)
#  define ZK_TRY_SELECT(...) ZK_SELECT_UNTIL(ZK_NOWAIT, __VA_ARGS__)
#  define ZK_GO(fn, ...)     zk_go_copy((fn), &(__VA_ARGS__), sizeof(__VA_ARGS__))
#endif
