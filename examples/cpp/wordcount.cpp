// wordcount - counts the words in all files below some directories.
//
//   wordcount [--deadline SECONDS] [--readers N] [--top N] [PATH...]
//
// One goroutine walks the trees and sends file names. A bounded pool of readers counts
// one file at a time and sends a tally for it. Main adds the tallies up:
//
//   walker --paths--> reader x N --tallies--> main
//
// A word is a maximal run of ASCII letters, in lower case. Every file that is found ends
// up in exactly one line of the summary: read, unreadable, or unfinished when the deadline
// came first. Symbolic links below a root and special files are skipped and counted.
#include <fcntl.h>
#include <getopt.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <utility>
#include <vector>

#include <zokor.hpp>

namespace fs = std::filesystem;

constexpr std::size_t CHUNK = 256 * 1024;
constexpr char USAGE[] = "usage: wordcount [--deadline SECONDS] [--readers N] [--top N] [PATH...]\n";

struct options {
    double deadline = -1;                          // seconds; < 0: none
    std::size_t readers = 16, top = 20;
    std::vector<std::string> roots = {"/usr/share/common-licenses", "/usr/share/doc"};
};

// ---- what travels through the channels -------------------------------------------

struct tally {
    std::unordered_map<std::string, std::uint64_t> words;
    std::uint64_t files = 0, bytes = 0, unreadable = 0, unfinished = 0, skipped = 0;
    bool stopped = false;                          // the walk ended before its end

    void operator+=(tally &&t) {
        for (auto &[word, count] : t.words) words[word] += count;
        files += t.files;
        bytes += t.bytes;
        unreadable += t.unreadable;
        unfinished += t.unfinished;
        skipped += t.skipped;
        stopped |= t.stopped || t.unfinished;
    }
};

struct job {
    zokor::chan<std::string> paths{256};
    zokor::chan<tally> tallies{64};                // main drains until the close: never lost
    std::vector<std::string> roots;
    zokor::deadline deadline;

    bool late() const { return zk_now() >= deadline.at; }

    void unreadable(std::string_view path, int error) const {
        std::string line = "wordcount: ";
        for (unsigned char b : path) {
            char hex[8];
            std::snprintf(hex, sizeof hex, "\\x%02x", b);
            if (b < ' ' || b == 127 || b == '\\') line += hex;
            else line += static_cast<char>(b);
        }
        line += ": " + std::generic_category().message(error) + "\n";
        std::fwrite(line.data(), 1, line.size(), stderr);
        tally t;
        t.unreadable = 1;
        tallies.send(std::move(t));
    }
    void unfinished() const {
        tally t;
        t.unfinished = 1;
        tallies.send(std::move(t));
    }
    void skipped() const {
        tally t;
        t.skipped = 1;
        tallies.send(std::move(t));
    }
};

// ---- system calls: a result, or -errno ----------------------------------------------
//
// A goroutine may continue on another thread after any zokor call, and a compiler may keep
// the old thread's &errno. So errno is read only here, in functions that call nothing of
// zokor and are never inlined into ones that do.

#define NOINLINE __attribute__((noinline))

static NOINLINE int sys_open(const char *path) {   // O_NONBLOCK: a FIFO must not block us
    int fd = ::open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    struct stat st;
    int error = fd < 0 ? errno : ::fstat(fd, &st) < 0 ? errno : S_ISREG(st.st_mode) ? 0 : EINVAL;
    if (error && fd >= 0) ::close(fd);
    return error ? -error : fd;
}

static NOINLINE ssize_t sys_read(int fd, char *chunk, std::size_t size) {
    ssize_t n;
    do n = ::read(fd, chunk, size);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

// ---- counting one file ------------------------------------------------------------------

static bool is_letter(char b) { return static_cast<unsigned char>((b | 32) - 'a') < 26; }

class counter {
    tally &t_;
    std::string word_;                             // survives the chunk's end
public:
    explicit counter(tally &t) : t_(t) {}
    void end_word() {
        if (word_.empty()) return;
        t_.words[word_]++;
        word_.clear();
    }
    void feed(const char *chunk, std::size_t size) {
        for (std::size_t i = 0; i < size; i++) {
            if (is_letter(chunk[i])) word_ += static_cast<char>(chunk[i] | 32);
            else end_word();
        }
        t_.bytes += size;
    }
};

// A local read is short; should one not be, the worker's place goes to another thread.
static void read_file(const job &j, const std::string &path) {
    int fd = sys_open(path.c_str());
    if (fd < 0) return j.unreadable(path, -fd);
    auto chunk = std::make_unique<char[]>(CHUNK);
    tally t;
    t.files = 1;
    counter c(t);
    ssize_t n = 0;
    bool late;
    while (!(late = j.late()) && (n = sys_read(fd, chunk.get(), CHUNK)) > 0)
        c.feed(chunk.get(), static_cast<std::size_t>(n));
    c.end_word();
    ::close(fd);
    if (late) j.unfinished();
    else if (n < 0) j.unreadable(path, static_cast<int>(-n));
    else j.tallies.send(std::move(t));
}

// ---- walking -----------------------------------------------------------------------------

using dirs = std::vector<std::string>;

// False once the deadline has passed.
static bool visit(const job &j, dirs &found, std::string path, const fs::file_status &st,
                  const std::error_code &ec) {
    switch (st.type()) {
    case fs::file_type::directory: found.push_back(std::move(path)); return true;
    case fs::file_type::regular:
        if (j.paths.send(std::move(path), j.deadline)) return true;
        j.unfinished();
        return false;
    case fs::file_type::none: j.unreadable(path, ec.value()); return true;
    case fs::file_type::not_found: j.unreadable(path, ENOENT); return true;
    default: j.skipped(); return true;
    }
}

static bool walk_dir(const job &j, dirs &found, const std::string &path) {
    std::error_code ec;
    fs::directory_iterator it(path, ec), end;
    for (; !ec && it != end; it.increment(ec)) {
        std::error_code status;
        fs::file_status st = it->symlink_status(status);
        if (!visit(j, found, it->path().native(), st, status)) return false;
    }
    if (ec) j.unreadable(path, ec.value());
    return true;
}

static void walk(const job &j) {
    dirs found;
    bool in_time = true;
    for (std::size_t i = 0; i < j.roots.size() && in_time; i++) {
        std::error_code ec;
        in_time = !j.late() && visit(j, found, j.roots[i], fs::status(j.roots[i], ec), ec);
        while (in_time && !found.empty()) {
            std::string dir = std::move(found.back());
            found.pop_back();
            in_time = !j.late() && walk_dir(j, found, dir);
        }
    }
    if (!in_time) {
        tally t;
        t.stopped = true;
        j.tallies.send(std::move(t));
    }
    j.paths.close();
}

// ---- main ---------------------------------------------------------------------------------

static void print_summary(const tally &total, std::size_t top, double seconds) {
    using entry = std::pair<std::string, std::uint64_t>;
    std::vector<entry> words(total.words.begin(), total.words.end());
    std::sort(words.begin(), words.end(), [](const entry &a, const entry &b) {
        return a.second != b.second ? a.second > b.second : a.first < b.first;
    });
    std::uint64_t all = 0;
    for (auto &[word, count] : words) all += count;
    for (std::size_t i = 0; i < words.size() && (top == 0 || i < top); i++)
        std::printf("%7ju %s\n", std::uintmax_t{words[i].second}, words[i].first.c_str());
    std::printf("files      %ju\n", std::uintmax_t{total.files});
    std::printf("bytes      %ju\n", std::uintmax_t{total.bytes});
    std::printf("words      %ju\n", std::uintmax_t{all});
    std::printf("distinct   %zu\n", words.size());
    std::printf("unreadable %ju\n", std::uintmax_t{total.unreadable});
    std::printf("unfinished %ju\n", std::uintmax_t{total.unfinished});
    std::printf("skipped    %ju\n", std::uintmax_t{total.skipped});
    std::printf("seconds    %.3f\n", seconds);
}

static int count_words(const options &o) {
    zk_time start = zk_now();
    job j;
    j.roots = o.roots;
    if (o.deadline >= 0) j.deadline = std::chrono::duration<double>(o.deadline);

    zokor::wait_group pool;
    pool.go([&j] { walk(j); });
    for (std::size_t i = 0; i < o.readers; i++)
        pool.go([&j] { for (auto &path : j.paths) read_file(j, path); });
    zokor::go([&pool, tallies = j.tallies] {         // a reference of its own: main may be faster
        pool.wait();
        tallies.close();
    });
    tally total;
    for (auto &t : j.tallies) total += std::move(t);

    print_summary(total, o.top, static_cast<double>(zk_now() - start) / 1e9);
    if (total.stopped) std::fputs("wordcount: stopped by the deadline, the counts are partial\n", stderr);
    return total.stopped ? 3 : total.unreadable ? 1 : 0;
}

static double number(const char *text, double least, double most) {
    char *end;
    double v = std::strtod(text, &end);
    if (end == text || *end || !(v >= least && v <= most)) {
        std::fprintf(stderr, "wordcount: not a valid number: %s\n%s", text, USAGE);
        std::exit(2);
    }
    return v;
}

static options parse(int argc, char **argv) {
    static const option LONG[] = {{"deadline", required_argument, nullptr, 'd'},
                                  {"readers", required_argument, nullptr, 'r'},
                                  {"top", required_argument, nullptr, 't'},
                                  {"help", no_argument, nullptr, 'h'},
                                  {nullptr, 0, nullptr, 0}};
    options o;
    for (int c; (c = getopt_long(argc, argv, "", LONG, nullptr)) != -1;) {
        if (c == 'd') o.deadline = number(optarg, 0, 1e9);
        else if (c == 'r') o.readers = static_cast<std::size_t>(number(optarg, 1, 1e6));
        else if (c == 't') o.top = static_cast<std::size_t>(number(optarg, 0, 1e15));
        else std::exit((std::fputs(USAGE, c == 'h' ? stdout : stderr), c == 'h' ? 0 : 2));
    }
    if (optind < argc) o.roots.assign(argv + optind, argv + argc);
    return o;
}

int main(int argc, char **argv) {
    options o = parse(argc, argv);
    int status = 2;
    int rc = zk_run([](void *arg) { return count_words(*static_cast<options *>(arg)); }, &o, &status);
    if (rc != ZK_OK) std::fprintf(stderr, "wordcount: %s\n", zk_strerror(rc));
    if (std::fflush(stdout) || std::ferror(stdout)) return std::perror("wordcount: stdout"), 2;
    return rc == ZK_OK ? status : 2;
}
