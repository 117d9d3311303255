"""Runs the benchmark suite.

Every row is a workload with a number of workers. All programs of a row run in turn, several rounds of it, so that a slow minute of
the machine hits all of them; the ratio to Go is taken within a round. The full form writes docs/performance.md, its plots and the
table of README.md; the quick form and a run of some rows print their tables and leave the documents alone. What a row gave is stored
at once: an interrupted run goes on with --resume, and --report writes the documents from what there is.
"""

import argparse
import json
import os
import re
import sys
import time

from suite import build, measure, plot, report, rows

ROOT = build.ROOT


def arguments():
    a = argparse.ArgumentParser(description="Measure Zokor beside other runtimes.")
    a.add_argument("--quick", action="store_true", help="short runs, few peers, under five minutes; prints the table")
    a.add_argument("--rows", default="", help="only these rows: comma-separated beginnings, such as w3 or w4s-p2")
    a.add_argument("--peers", default="", help="only these programs: comma-separated names; go always runs")
    a.add_argument("--rounds", type=int, default=0, help="rounds per row (5, quick: 3); other programs run in at most 3")
    a.add_argument("--seconds", type=float, default=0.0, help="aimed-at length of one run (0.25, quick: 0.1)")
    a.add_argument("--no-scaling", action="store_true", help="leave out the rows behind the scaling plots")
    a.add_argument("--resume", action="store_true", help="go on with the last run of the same kind: keep the rows it has")
    a.add_argument("--again", default="", help="with --resume: measure these rows anew; beginnings as in --rows")
    a.add_argument("--write", action="store_true", help="write the documents even after a quick or partial run")
    a.add_argument("--report", action="store_true", help="measure nothing: write the documents from the last run of the same kind")
    a.add_argument("--list", action="store_true", help="print the names of the rows and end")
    a.add_argument("--build", action="store_true", help="build the programs and end")
    return a.parse_args()


def chosen(table, wanted):
    """The rows whose names begin so; w1 is the beginning of w1a, but not of w13."""
    wanted = [w for w in wanted.split(",") if w]
    return [r for r in table if not wanted or any(re.match(re.escape(w) + r"(?!\d)", r.key) for w in wanted)]


def stored(a):
    kind = "partial" if a.rows or a.peers else "quick" if a.quick else "full"
    return build.OUT / f"{kind}.json"


def begin(a, peers, missing, plan):
    """The results to add to: new ones, or those of the run to go on with."""
    new = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": build.machine(),
        "load": os.getloadavg()[0],
        "versions": build.versions(peers),
        "programs": build.fingerprint(peers),
        "plan": plan.named(),
        "missing": missing,
        "quick": a.quick,
        "rows": {},
    }
    if not a.resume:
        return new
    if not stored(a).exists():
        sys.exit(f"nothing to resume: {stored(a)} does not exist")
    old = json.loads(stored(a).read_text())
    for what in ("machine", "versions", "programs", "plan", "quick"):
        if old.get(what) != new[what]:
            sys.exit(f"cannot resume: the {what} changed, and rows of one table have to be of one kind; run without --resume")
    for row in chosen(rows.FULL + rows.QUICK + rows.SCALING, a.again) if a.again else []:
        old["rows"].pop(row.key, None)
    return old


def documents(results):
    report.write(ROOT, results)
    plot.write(ROOT, results)


def main():
    a = arguments()
    if a.report:
        documents(json.loads(stored(a).read_text()))
        return 0
    table = rows.QUICK if a.quick else rows.FULL + ([] if a.no_scaling else rows.SCALING)
    table = chosen(table, a.rows)
    if a.list or not table:
        print("\n".join(r.key for r in table) or f"no row begins with {a.rows}")
        return not table
    print("building", file=sys.stderr, flush=True)
    peers, missing = build.peers(quick=a.quick, wanted=[p for p in a.peers.split(",") if p])
    for name, why in missing.items():
        print(f"left out: {name}: {why}", file=sys.stderr)
    if a.build:
        return 0
    plan = measure.Plan(
        rounds=a.rounds or (3 if a.quick else 5),
        others=3,
        seconds=a.seconds or (0.1 if a.quick else 0.25),
        timeout=20 if a.quick else 90,
    )
    results = begin(a, peers, missing, plan)
    started = time.time()
    left = [r for r in table if r.key not in results["rows"]]
    for done, row in enumerate(left, 1):
        results["rows"][row.key] = measure.row(row, peers, plan)
        save(stored(a), results)
        print(report.progress(row, results["rows"][row.key], time.time() - started, done, len(left)), file=sys.stderr, flush=True)
    if a.write or not (a.quick or a.rows or a.peers):
        documents(results)
    else:
        print(report.tables(results))
    return 0


def save(path, results):
    """In one step: an interrupted write leaves the old file."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(results, indent=1))
    new.replace(path)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\ninterrupted: --resume goes on from here, --report writes the documents from the rows there are")
