"""Runs the benchmark suite.

Every row is a workload with a number of workers. All programs of a row run in turn, several rounds of it, so that a slow minute of
the machine hits all of them; the ratio to Go is taken within a round. The full form writes docs/performance.md and its plots, the
quick form prints its table and leaves the documents alone.
"""

import argparse
import json
import sys
import time

from suite import build, measure, plot, report, rows

ROOT = build.ROOT


def arguments():
    a = argparse.ArgumentParser(description="Measure Zokor beside other runtimes.")
    a.add_argument("--quick", action="store_true", help="short runs, few peers, under five minutes; prints the table")
    a.add_argument("--rows", default="", help="only these rows: comma-separated beginnings, such as w3 or w4s-p2")
    a.add_argument("--peers", default="", help="only these programs: comma-separated names; go always runs")
    a.add_argument("--rounds", type=int, default=0, help="rounds per row (5, quick: 3)")
    a.add_argument("--seconds", type=float, default=0.0, help="aimed-at length of one run (0.5, quick: 0.1)")
    a.add_argument("--no-scaling", action="store_true", help="leave out the rows behind the scaling plots")
    a.add_argument("--write", action="store_true", help="write the documents even after a quick or partial run")
    a.add_argument("--report", action="store_true", help="measure nothing: write the documents from the last full run")
    return a.parse_args()


def chosen(names, wanted):
    wanted = [w for w in wanted.split(",") if w]
    return [n for n in names if not wanted or any(n == w or n.startswith(w + "-") for w in wanted)]


def main():
    a = arguments()
    store = build.OUT / ("quick.json" if a.quick else "full.json")
    if a.report:
        report.write(ROOT, json.loads(store.read_text()))
        return 0
    table = rows.QUICK if a.quick else rows.FULL + ([] if a.no_scaling else rows.SCALING)
    keys = set(chosen([r.key for r in table], a.rows))
    table = [r for r in table if r.key in keys]
    peers, missing = build.peers(quick=a.quick, wanted=[p for p in a.peers.split(",") if p])
    for name, why in missing.items():
        print(f"left out: {name}: {why}", file=sys.stderr)
    plan = measure.Plan(
        rounds=a.rounds or (3 if a.quick else 5),
        seconds=a.seconds or (0.1 if a.quick else 0.5),
        timeout=20 if a.quick else 90,
    )
    started = time.time()
    results = {"machine": build.machine(), "versions": build.versions(peers), "missing": missing, "quick": a.quick, "rows": {}}
    results["date"] = time.strftime("%Y-%m-%d", time.gmtime())
    for row in table:
        results["rows"][row.key] = measure.row(row, peers, plan)
        print(report.progress(row, results["rows"][row.key], time.time() - started), file=sys.stderr, flush=True)
        store.write_text(json.dumps(results, indent=1))
    partial = bool(a.rows or a.peers)
    if a.write or not (a.quick or partial):
        report.write(ROOT, results)
        plot.write(ROOT, results)
    else:
        print(report.tables(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
