#if defined(__GNUC__) && !defined(__cplusplus)
   /* Statement: defers below it run at the end of the enclosing block. */
#  define ZK_SCOPE zk_scope zk_scope_ __attribute__((cleanup(zk_scope_end), unused)) = zk_scope_begin()
#endif
