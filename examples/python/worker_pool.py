"""Three workers, five jobs."""

import zokor


def worker(jobs: zokor.RecvChan[int], results: zokor.SendChan[int]) -> None:
    for job in jobs:  # until closed and drained
        zokor.sleep(0.01)
        results.send(job * 2)


def main() -> list[int]:
    jobs, results = zokor.Chan[int](100), zokor.Chan[int](100)
    wg = zokor.WaitGroup()
    for _ in range(3):
        wg.go(worker, jobs, results)
    with jobs:  # leaving closes it
        for job in range(1, 6):
            jobs.send(job)
    wg.wait()
    results.close()
    return sorted(results)


if __name__ == "__main__":
    for result in zokor.run(main):
        print("result", result)
