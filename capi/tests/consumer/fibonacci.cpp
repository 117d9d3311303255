// Fibonacci numbers through a rendezvous, until somebody says quit.
#include <cstdio>
#include <zokor.hpp>

int main() {
    zokor::chan<long> c;
    zokor::chan<char> quit;
    zokor::go([=] {
        for (int i = 0; i < 10; i++) std::printf("%ld\n", *c.recv());
        quit.close();
    });
    long x = 0, y = 1;
    for (bool run = true; run;)
        zokor::select(
            zokor::on_send(c, x, [&] { std::tie(x, y) = std::pair{y, x + y}; }),
            zokor::on_recv(quit, [&](auto) { std::puts("quit"); run = false; }));
}
