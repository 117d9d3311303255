enum { ZK_OP_SEND = 1, ZK_OP_RECV = 2 };
