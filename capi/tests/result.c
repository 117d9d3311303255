/* Results: numbers, names, texts; and that errno is left alone. */
#include "zktest.h"
#include <limits.h>

static void own_errors_have_their_names_and_texts(void) {
  EQ(ZK_OK, 0);
  CHECK(!strcmp(zk_errname(ZK_OK), "ZK_OK"));
  CHECK(!strcmp(zk_strerror(ZK_OK), "ok"));
#define SAME(name, code, text)                  \
  EQ(name, code);                               \
  CHECK(!strcmp(zk_errname(name), #name));      \
  CHECK(!strcmp(zk_strerror(name), text));
  ZK_ERRORS(SAME)
#undef SAME
}

static void results_that_count_are_success(void) {
  CHECK(!strcmp(zk_strerror(5), "ok"));
  CHECK(!strcmp(zk_strerror(INT_MAX), "ok"));
  CHECK(!strcmp(zk_errname(1), "ZK_OK"));
}

static void errors_of_the_system_have_their_names_and_texts(void) {
  CHECK(!strcmp(zk_errname(-ECONNRESET), "ECONNRESET"));
  CHECK(!strcmp(zk_errname(-EBADF), "EBADF"));
  CHECK(!strcmp(zk_errname(-EAGAIN), "EAGAIN"));
  CHECK(!strcmp(zk_strerror(-ENOENT), "No such file or directory"));
#ifdef __GLIBC__
  /* Every number the C library knows is known here, with the same text. */
  for (int e = 1; e < 4096; e++) {
    const char *theirs = strerror(e);
    if (strncmp(theirs, "Unknown error", 13) != 0) CHECK(!strcmp(zk_strerror(-e), theirs));
  }
#endif
}

static void numbers_without_meaning_have_a_text_too(void) {
  const int odd[] = { -4000, -4095, -4096, -5000, -5017, ZK_EMAX_, -6000, INT_MIN };
  for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
    CHECK(!strncmp(zk_strerror(odd[i]), "unknown error", 13));
    CHECK(!strcmp(zk_errname(odd[i]), "unknown"));
  }
}

static void errno_is_neither_read_nor_written(void) {
  zk_chan *c = zk_chan_new(4, 1);
  int v = 0;
  errno = 4242;
  (void)zk_strerror(-ENOENT);
  (void)zk_errname(-4000);
  (void)zk_chan_recv(c, &v, sizeof v, ZK_NOWAIT);
  (void)zk_chan_send(c, &v, sizeof v, ZK_NOWAIT);
  CHECK(zk_chan_new((size_t)1 << 40, (size_t)1 << 40) == NULL);
  (void)zk_go(NULL, NULL);
  EQ(errno, 4242);
  if (zk_goid() == 0) { /* a goroutine may wake up on another thread, which has an errno of its own */
    EQ(zk_chan_send(c, &v, sizeof v, zk_in(ZK_MS)), ZK_ETIMEDOUT);
    OK(zk_sleep(ZK_MS));
    EQ(errno, 4242);
  }
  zk_chan_unref(c);
}

static void the_library_is_as_old_as_its_header(void) {
  EQ(zk_version(), ZK_VERSION);
  CHECK(!strcmp(zk_version_string(), ZK_VERSION_STRING));
  char text[40];
  snprintf(text, sizeof text, "%d.%d.%d", ZK_VERSION_MAJOR, ZK_VERSION_MINOR, ZK_VERSION_PATCH);
  CHECK(!strcmp(text, ZK_VERSION_STRING));
  CHECK(ZK_AT_LEAST(0, 1) && !ZK_AT_LEAST(99, 0));
}

static const zt_test tests[] = {
  BOTH(own_errors_have_their_names_and_texts),
  BOTH(results_that_count_are_success),
  BOTH(errors_of_the_system_have_their_names_and_texts),
  BOTH(numbers_without_meaning_have_a_text_too),
  BOTH(errno_is_neither_read_nor_written),
  BOTH(the_library_is_as_old_as_its_header),
};
MAIN(tests)
