// Stages that are joined by channels: numbers, their squares, the squares of those, the sum.
#include <cstdio>
#include <zokor.hpp>

static zokor::chan<long> source(long end) {
    zokor::chan<long> out;
    zokor::go([=] {
        for (long n = 0; n < end; n++) out.send(n);
        out.close();
    });
    return out;
}

static zokor::chan<long> square(zokor::chan<long> in) {
    zokor::chan<long> out;
    zokor::go([=] {
        for (long n : in) out.send(n * n);
        out.close();
    });
    return out;
}

int main() {
    long sum = 0;
    for (long n : square(square(source(10)))) sum += n;
    std::printf("%ld\n", sum);
}
