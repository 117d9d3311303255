// Three workers, five jobs.
#include <cstdio>
#include <set>
#include <zokor.hpp>
using namespace std::chrono_literals;

int main() {
    zokor::chan<int> jobs(100), results(100);
    {
        zokor::wait_group wg;
        for (int w = 0; w < 3; w++)
            wg.go([=] {
                for (int job : jobs) {
                    zokor::sleep(10ms);
                    results.send(job * 2);
                }
            });
        for (int j = 1; j <= 5; j++) jobs.send(j);
        jobs.close();
    }                                              // ~wait_group waits
    results.close();
    std::set<int> sorted;
    for (int r : results) sorted.insert(r);
    for (int r : sorted) std::printf("result %d\n", r);
}
