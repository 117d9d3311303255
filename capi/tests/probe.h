/* What the library built with the feature `probe` exports besides. */
#ifndef ZKPROBE_H
#define ZKPROBE_H
#include <zokor.h>
#ifdef __cplusplus
extern "C" {
#endif
void zk_probe_layout(void (*emit)(const char *name, int64_t value));
int zk_probe_relay(const zk_chan *from, const zk_chan *to);
int zk_probe_select(const zk_chan *from, const zk_chan *to, const zk_chan *done, int64_t n);
void zk_probe_thread(void (*f)(void *), void *arg);
#ifdef __cplusplus
}
#endif
#endif
