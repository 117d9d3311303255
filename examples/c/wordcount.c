/* wordcount - counts the words in all files below some directories.
 *
 *   wordcount [--deadline SECONDS] [--readers N] [--top N] [PATH...]
 *
 * One goroutine walks the trees and sends file names. A bounded pool of readers counts
 * one file at a time and sends a tally for it. Main adds the tallies up:
 *
 *   walker --paths--> reader x N --tallies--> main
 *
 * A word is a maximal run of ASCII letters, in lower case. Every file that is found ends
 * up in exactly one line of the summary: read, unreadable, or unfinished when the deadline
 * came first. Symbolic links below a root and special files are skipped and counted.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <zokor.h>

enum { CHUNK = 256 * 1024 };

static const char *const DEFAULT_ROOTS[] = {"/usr/share/common-licenses", "/usr/share/doc"};
static const char USAGE[] =
    "usage: wordcount [--deadline SECONDS] [--readers N] [--top N] [PATH...]\n";

static void *must(void *p) {
    if (!p) {
        fputs("wordcount: out of memory\n", stderr);
        exit(2);
    }
    return p;
}

/* ---- system calls: a result, or -errno ------------------------------------------
 *
 * A goroutine may continue on another thread after any zokor call, and a compiler may keep
 * the old thread's &errno. So errno is read only here, in functions that call nothing of
 * zokor and are never inlined into ones that do. */

#define NOINLINE __attribute__((noinline))

static NOINLINE int sys_open(const char *path) {   /* O_NONBLOCK: a FIFO must not block us */
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    int error = fd < 0 ? errno : fstat(fd, &st) < 0 ? errno : S_ISREG(st.st_mode) ? 0 : EINVAL;
    if (error && fd >= 0) close(fd);
    return error ? -error : fd;
}

static NOINLINE ssize_t sys_read(int fd, char *chunk, size_t size) {
    ssize_t n;
    do n = read(fd, chunk, size);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

static NOINLINE int sys_mode(const char *path, bool follow) {
    struct stat st;
    return (follow ? stat : lstat)(path, &st) < 0 ? -errno : (int)(st.st_mode & S_IFMT);
}

static NOINLINE int sys_opendir(const char *path, DIR **dir) {
    return (*dir = opendir(path)) ? 0 : -errno;
}

/* 1 and the next name, 0 at the end. */
static NOINLINE int sys_readdir(DIR *dir, const char **name) {
    errno = 0;
    struct dirent *e = readdir(dir);
    if (!e) return -errno;
    *name = e->d_name;
    return 1;
}

/* ---- a hash table of words ------------------------------------------------ */

struct word {
    char *text;
    size_t length;
    uint64_t hash, count;
};

struct words {
    struct word *slots;                            /* free slots have text == NULL */
    size_t used, room;                             /* room is 0 or a power of two */
};

static uint64_t hash_of(const char *text, size_t length) {         /* FNV-1a */
    uint64_t h = 14695981039346656037u;
    for (size_t i = 0; i < length; i++) h = (h ^ (unsigned char)text[i]) * 1099511628211u;
    return h ^ h >> 32;
}

static struct word *find(const struct words *t, const char *text, size_t length, uint64_t hash) {
    size_t i = hash & (t->room - 1);
    for (;; i = (i + 1) & (t->room - 1)) {
        struct word *w = &t->slots[i];
        if (!w->text) return w;
        if (w->hash == hash && w->length == length && !memcmp(w->text, text, length)) return w;
    }
}

static void grow(struct words *t) {
    struct words bigger = {NULL, t->used, t->room ? 2 * t->room : 256};
    bigger.slots = must(calloc(bigger.room, sizeof *bigger.slots));
    for (size_t i = 0; i < t->room; i++) {
        struct word *w = &t->slots[i];
        if (w->text) *find(&bigger, w->text, w->length, w->hash) = *w;
    }
    free(t->slots);
    *t = bigger;
}

static void add(struct words *t, const char *text, size_t length, uint64_t count) {
    uint64_t hash = hash_of(text, length);
    if (2 * t->used >= t->room) grow(t);
    struct word *w = find(t, text, length, hash);
    if (!w->text) {
        *w = (struct word){must(malloc(length + 1)), length, hash, 0};
        memcpy(w->text, text, length);
        w->text[length] = 0;
        t->used++;
    }
    w->count += count;
}

static void free_words(struct words *t) {
    for (size_t i = 0; i < t->room; i++) free(t->slots[i].text);
    free(t->slots);
    *t = (struct words){0};
}

/* ---- what travels through the channels --------------------------------------- */

struct tally {
    struct words words;
    uint64_t files, bytes, unreadable, unfinished, skipped;
    bool stopped;                                  /* the walk ended before its end */
};

struct job {
    zk_chan *paths;                                /* of char *, owned by who received it */
    zk_chan *tallies;                              /* of struct tally, likewise */
    char **roots;
    int root_count;
    zk_time deadline;
};

static void send_tally(struct job *job, struct tally tally) {
    zk_send(job->tallies, &tally);                 /* main drains until the close: never lost */
}

static void report(const char *path, int error) {
    char *line = NULL;
    size_t size = 0;
    FILE *out = must(open_memstream(&line, &size));
    fputs("wordcount: ", out);
    for (const unsigned char *p = (const unsigned char *)path; *p; p++)
        if (*p < ' ' || *p == 127 || *p == '\\') fprintf(out, "\\x%02x", *p);
        else putc(*p, out);
    fprintf(out, ": %s\n", strerror(error));
    fclose(out);
    fwrite(line, 1, size, stderr);
    free(line);
}

static void unreadable(struct job *job, const char *path, int rc) {
    report(path, -rc);
    send_tally(job, (struct tally){.unreadable = 1});
}

/* ---- counting one file -------------------------------------------------------- */

struct counter {
    struct words words;
    char *held;                                    /* start of a word that reaches the chunk's end */
    size_t length, room;
};

static void hold(struct counter *c, const char *text, size_t length) {
    if (c->length + length > c->room) {
        c->room = 2 * (c->length + length);
        c->held = must(realloc(c->held, c->room));
    }
    memcpy(c->held + c->length, text, length);
    c->length += length;
}

static void end_held_word(struct counter *c) {
    if (c->length) add(&c->words, c->held, c->length, 1);
    c->length = 0;
}

static int is_letter(char b) { return (unsigned char)((b | 32) - 'a') < 26; }

static void count_chunk(struct counter *c, char *chunk, size_t size) {
    for (size_t i = 0; i < size;) {
        size_t start = i;
        for (; i < size && is_letter(chunk[i]); i++) chunk[i] |= 32;
        if (i == size || c->length) hold(c, chunk + start, i - start);
        else if (i > start) add(&c->words, chunk + start, i - start, 1);
        if (i < size) {
            end_held_word(c);
            i++;
        }
    }
}

/* 0 and `t` filled in, -errno, or 1 when the deadline came first. A local read is short;
 * should one not be, the worker's place goes to another thread meanwhile. */
static int count_file(const char *path, zk_time deadline, struct tally *t) {
    struct counter c = {0};
    int fd = sys_open(path);
    if (fd < 0) return fd;
    char *chunk = must(malloc(CHUNK));
    uint64_t bytes = 0;
    ssize_t n = 0;
    bool late;
    while (!(late = zk_now() >= deadline) && (n = sys_read(fd, chunk, CHUNK)) > 0) {
        count_chunk(&c, chunk, (size_t)n);
        bytes += (uint64_t)n;
    }
    end_held_word(&c);
    close(fd);
    free(chunk);
    free(c.held);
    if (late || n < 0) free_words(&c.words);
    else *t = (struct tally){.words = c.words, .files = 1, .bytes = bytes};
    return late ? 1 : (int)n;
}

static void reader(void *arg) {
    struct job *job = arg;
    char *path;
    ZK_RANGE(job->paths, &path) {
        struct tally t;
        int rc = count_file(path, job->deadline, &t);
        if (rc == 0) send_tally(job, t);
        else if (rc > 0) send_tally(job, (struct tally){.unfinished = 1});
        else unreadable(job, path, rc);
        free(path);
    }
}

/* ---- walking -------------------------------------------------------------------- */

struct stack {
    char **items;
    size_t used, room;
};

static void push(struct stack *s, char *path) {
    if (s->used == s->room) {
        s->room = s->room ? 2 * s->room : 64;
        s->items = must(realloc(s->items, s->room * sizeof *s->items));
    }
    s->items[s->used++] = path;
}

static char *join(const char *dir, const char *name) {
    size_t n = strlen(dir);
    char *path = must(malloc(n + strlen(name) + 2));
    strcpy(path, dir);
    if (n && dir[n - 1] != '/') strcat(path, "/");
    return strcat(path, name);
}

/* Takes `path`; false once the deadline has passed. */
static bool send_path(struct job *job, char *path) {
    if (zk_send_until(job->paths, &path, job->deadline) == ZK_OK) return true;
    free(path);
    send_tally(job, (struct tally){.unfinished = 1});
    return false;
}

/* Takes `path`; false once the deadline has passed. */
static bool visit(struct job *job, struct stack *dirs, char *path, bool follow) {
    int mode = sys_mode(path, follow);
    if (mode == S_IFREG) return send_path(job, path);
    if (mode == S_IFDIR) return push(dirs, path), true;
    if (mode < 0) unreadable(job, path, mode);
    else send_tally(job, (struct tally){.skipped = 1});
    free(path);
    return true;
}

static bool walk_dir(struct job *job, struct stack *dirs, const char *path) {
    DIR *dir;
    const char *name;
    bool in_time = true;
    int rc = sys_opendir(path, &dir);
    if (rc < 0) return unreadable(job, path, rc), true;
    while (in_time && (rc = sys_readdir(dir, &name)) > 0)
        if (strcmp(name, ".") && strcmp(name, ".."))
            in_time = visit(job, dirs, join(path, name), false);
    if (rc < 0) unreadable(job, path, rc);
    closedir(dir);
    return in_time;
}

static void walker(void *arg) {
    struct job *job = arg;
    struct stack dirs = {0};
    bool in_time = true;
    for (int i = 0; i < job->root_count && in_time; i++) {
        in_time = zk_now() < job->deadline && visit(job, &dirs, must(strdup(job->roots[i])), true);
        while (in_time && dirs.used) {
            char *path = dirs.items[--dirs.used];
            in_time = zk_now() < job->deadline && walk_dir(job, &dirs, path);
            free(path);
        }
    }
    if (!in_time) send_tally(job, (struct tally){.stopped = true});
    while (dirs.used) free(dirs.items[--dirs.used]);
    free(dirs.items);
    zk_chan_close(job->paths);
}

/* ---- main ------------------------------------------------------------------------- */

struct pool {
    zk_wg wg;
    zk_chan *tallies;                              /* a reference of its own: main may be faster */
};

static void close_when_done(void *arg) {
    struct pool *pool = arg;
    zk_chan *tallies = pool->tallies;
    zk_wg_wait(&pool->wg, ZK_FOREVER);
    zk_chan_close(tallies);
    zk_chan_unref(tallies);
}

static void merge(struct tally *total, struct tally *t) {
    for (size_t i = 0; i < t->words.room; i++) {
        struct word *w = &t->words.slots[i];
        if (w->text) add(&total->words, w->text, w->length, w->count);
    }
    free_words(&t->words);
    total->files += t->files;
    total->bytes += t->bytes;
    total->unreadable += t->unreadable;
    total->unfinished += t->unfinished;
    total->skipped += t->skipped;
    total->stopped |= t->stopped || t->unfinished;
}

static int by_count_then_word(const void *pa, const void *pb) {
    const struct word *a = pa, *b = pb;
    if (a->count != b->count) return a->count < b->count ? 1 : -1;
    return strcmp(a->text, b->text);
}

static void print_summary(struct tally *total, size_t top, double seconds) {
    struct words *t = &total->words;
    uint64_t all = 0;
    size_t n = 0;
    for (size_t i = 0; i < t->room; i++) {
        if (!t->slots[i].text) continue;
        all += t->slots[i].count;
        t->slots[n++] = t->slots[i];               /* n <= i: the table becomes a plain array */
    }
    t->room = n;
    if (n) qsort(t->slots, n, sizeof *t->slots, by_count_then_word);
    for (size_t i = 0; i < n && (top == 0 || i < top); i++)
        printf("%7llu %s\n", (unsigned long long)t->slots[i].count, t->slots[i].text);
    printf("files      %llu\n", (unsigned long long)total->files);
    printf("bytes      %llu\n", (unsigned long long)total->bytes);
    printf("words      %llu\n", (unsigned long long)all);
    printf("distinct   %zu\n", n);
    printf("unreadable %llu\n", (unsigned long long)total->unreadable);
    printf("unfinished %llu\n", (unsigned long long)total->unfinished);
    printf("skipped    %llu\n", (unsigned long long)total->skipped);
    printf("seconds    %.3f\n", seconds);
}

struct options {
    double deadline;                               /* seconds; < 0: none */
    size_t readers, top;
    char **roots;
    int root_count;
};

static int count_words(void *arg) {
    struct options *o = arg;
    zk_time start = zk_now();
    struct job job = {zk_chan_new(sizeof(char *), 256), zk_chan_new(sizeof(struct tally), 64),
                      o->roots, o->root_count, ZK_FOREVER};
    struct tally t, total = {0};
    must(job.paths), must(job.tallies);
    struct pool pool = {ZK_ZERO, zk_chan_ref(job.tallies)};
    if (o->deadline >= 0) job.deadline = zk_in((int64_t)(o->deadline * 1e9));

    int rc = zk_wg_go(&pool.wg, walker, &job);
    for (size_t i = 0; i < o->readers && rc == ZK_OK; i++) rc = zk_wg_go(&pool.wg, reader, &job);
    if (rc == ZK_OK) rc = zk_go(close_when_done, &pool);
    if (rc != ZK_OK) {
        fprintf(stderr, "wordcount: cannot start a goroutine: %s\n", zk_strerror(rc));
        exit(2);
    }
    ZK_RANGE(job.tallies, &t) merge(&total, &t);

    print_summary(&total, o->top, (double)(zk_now() - start) / 1e9);
    if (total.stopped) fputs("wordcount: stopped by the deadline, the counts are partial\n", stderr);
    free_words(&total.words);
    zk_chan_unref(job.paths);
    zk_chan_unref(job.tallies);
    return total.stopped ? 3 : total.unreadable ? 1 : 0;
}

static double number(const char *text, double least, double most) {
    char *end;
    double v = strtod(text, &end);
    if (end == text || *end || !(v >= least && v <= most)) {
        fprintf(stderr, "wordcount: not a valid number: %s\n%s", text, USAGE);
        exit(2);
    }
    return v;
}

int main(int argc, char **argv) {
    static const struct option LONG[] = {{"deadline", required_argument, NULL, 'd'},
                                         {"readers", required_argument, NULL, 'r'},
                                         {"top", required_argument, NULL, 't'},
                                         {"help", no_argument, NULL, 'h'},
                                         {NULL, 0, NULL, 0}};
    struct options o = {-1, 16, 20, (char **)DEFAULT_ROOTS, 2};
    for (int c; (c = getopt_long(argc, argv, "", LONG, NULL)) != -1;) {
        if (c == 'd') o.deadline = number(optarg, 0, 1e9);
        else if (c == 'r') o.readers = (size_t)number(optarg, 1, 1e6);
        else if (c == 't') o.top = (size_t)number(optarg, 0, 1e15);
        else return fputs(USAGE, c == 'h' ? stdout : stderr), c == 'h' ? 0 : 2;
    }
    if (optind < argc) o.roots = argv + optind, o.root_count = argc - optind;

    int status = 2;
    int rc = zk_run(count_words, &o, &status);
    if (rc != ZK_OK) fprintf(stderr, "wordcount: %s\n", zk_strerror(rc));
    if (fflush(stdout) || ferror(stdout)) return perror("wordcount: stdout"), 2;
    return rc == ZK_OK ? status : 2;
}
