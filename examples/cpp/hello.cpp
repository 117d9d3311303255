// One goroutine, one channel.
#include <cstdio>
#include <string>
#include <zokor.hpp>

int main() {
    zokor::chan<std::string> inbox;
    zokor::go([inbox] { inbox.send("hello, world"); });
    std::puts(inbox.recv()->c_str());
}
