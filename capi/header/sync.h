#define ZK_ZERO { { 0, 0, 0, 0 } }
