#define ZK_ZERO        { { 0, 0, 0, 0 } }
#define ZK_SEM_INIT(n) { { (n), 0, 0, 0 } }
