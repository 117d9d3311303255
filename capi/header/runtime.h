#define ZK_CONFIG_INIT { sizeof(zk_config), 0, 0, 0, 0, NULL, NULL, NULL }
