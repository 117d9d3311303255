// Three workers, five jobs; the results come in any order, so they are sorted.
#include <cstdio>
#include <set>
#include <string>
#include <zokor.hpp>
using namespace std::chrono_literals;

int main() {
    zokor::chan<int> jobs(100);
    zokor::chan<std::string> results(100);
    {
        zokor::wait_group wg;
        for (int w = 0; w < 3; w++)
            wg.go([=] {
                for (int j : jobs) {
                    zokor::sleep(1ms);
                    results.send("job " + std::to_string(j));
                }
            });
        for (int j = 1; j <= 5; j++) jobs.send(j);
        jobs.close();
    }                                               // ~wait_group waits
    results.close();
    std::set<std::string> sorted;
    for (auto &r : results) sorted.insert(r);
    for (auto &r : sorted) std::puts(r.c_str());
}
