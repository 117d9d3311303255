#define ZK_ERRORS(X)                                                            \
  X(ZK_ECLOSED,   -5001, "channel is closed")                                   \
  X(ZK_ETIMEDOUT, -5002, "deadline has passed")                                 \
  X(ZK_EAGAIN,    -5003, "operation would block")                               \
  X(ZK_ECANCELED, -5004, "context was canceled")                                \
  X(ZK_EINVAL,    -5005, "invalid argument")                                    \
  X(ZK_ENOMEM,    -5006, "out of memory")                                       \
  X(ZK_EMSGSIZE,  -5007, "element size does not match the channel")             \
  X(ZK_EBUSY,     -5008, "resource is busy")                                    \
  X(ZK_EPERM,     -5009, "not allowed from here")                               \
  X(ZK_EDEADLOCK, -5010, "all goroutines are blocked")                          \
  X(ZK_EPANIC,    -5011, "goroutine panicked")                                  \
  X(ZK_ESHUTDOWN, -5012, "runtime is shut down")                                \
  X(ZK_ENOTSUP,   -5013, "not supported on this platform")                      \
  X(ZK_EOF,       -5014, "end of stream")                                       \
  X(ZK_ENOHOST,   -5015, "unknown host or service")                             \
  X(ZK_ELIMIT,    -5016, "configured limit reached")

enum {
  ZK_OK = 0,
#define ZK_DEF(name, code, text) name = code,
  ZK_ERRORS(ZK_DEF)
#undef ZK_DEF
  ZK_EMAX_ = -5999
};
