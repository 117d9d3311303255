// Kinds of "not forever", and what a closed channel says.
#include <cstdio>
#include <string>
#include <zokor.hpp>
using namespace std::chrono_literals;

int main() {
    zokor::chan<std::string> c, never;
    zokor::go([c] { zokor::sleep(200ms); c.send("late answer"); });
    if (!c.recv(10ms)) std::puts("deadline has passed");
    zokor::select(
        zokor::on_recv(never, [](auto) {}),
        zokor::on_recv(c, [](auto s) { std::puts(s->c_str()); }),
        zokor::on_timeout(20s, [] { std::puts("gave up"); }));
    int i = zokor::select(zokor::on_recv(never, [](auto) {}), zokor::otherwise([] { std::puts("nothing yet"); }));
    std::printf("%d\n", i);
    never.close();
    try { never.send("x"); } catch (const zokor::error &e) { std::puts(e.what()); }
}
