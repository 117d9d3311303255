// Fibonacci numbers over a channel, until a second channel says quit.
#include <cstdio>
#include <zokor.hpp>

static void fibonacci(zokor::chan<unsigned long> c, zokor::chan<char> quit) {
    unsigned long x = 0, y = 1;
    for (bool more = true; more;)
        zokor::select(
            zokor::on_send(c, x, [&] { unsigned long next = x + y; x = y; y = next; }),
            zokor::on_recv(quit, [&](auto) { std::puts("quit"); more = false; }));
}

int main() {
    zokor::chan<unsigned long> c;
    zokor::chan<char> quit;
    zokor::go([=] {
        for (int i = 0; i < 10; i++) std::printf("%lu\n", *c.recv());
        quit.close();
    });
    fibonacci(c, quit);
}
