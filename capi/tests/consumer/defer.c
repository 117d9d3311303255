/* Defers run in reverse order, also when a panic passes through; a try catches it. */
#include <stdio.h>
#include <stdlib.h>
#include <zokor.h>

static void bye(void *what) { printf("defer %s\n", (const char *)what); }

static void risky(void *arg) {
    ZK_SCOPE;
    char *buf = malloc(64);
    zk_defer(free, buf);
    zk_defer(bye, "file");
    if (arg) zk_panic("disk on fire");
    puts("fine");
}

int main(void) {
    char why[80];
    printf("%s\n", zk_strerror(zk_try(risky, NULL, NULL, 0)));
    if (zk_try(risky, "x", why, sizeof why) == ZK_EPANIC) printf("recovered: %s\n", why);
}
