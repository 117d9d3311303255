// Three kinds of "not for ever": one operation, a select, a try.
#include <cstdio>
#include <zokor.hpp>
using namespace std::chrono_literals;

int main() {
    zokor::chan<int> answers, never;
    zokor::go([answers] { zokor::sleep(200ms); answers.send(42); });
    if (!answers.recv(50ms)) std::puts("recv: timed out");
    zokor::select(
        zokor::on_recv(never, [](auto) { std::puts("select: a value from nowhere"); }),
        zokor::on_recv(answers, [](auto v) { std::printf("select: %d\n", *v); }),
        zokor::on_timeout(10s, [] { std::puts("select: timed out"); }));
    zokor::select(
        zokor::on_recv(never, [](auto) { std::puts("try: a value from nowhere"); }),
        zokor::otherwise([] { std::puts("try: would block"); }));
}
