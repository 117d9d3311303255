"""Turns figures into tables, and puts them between the markers of docs/performance.md and README.md; what is written around
them stays."""

from statistics import median

from . import differences, rows

BEGIN, END = "<!-- benches: begin -->", "<!-- benches: end -->"
SCALE = {"ns": 1, "µs": 1e3, "ms": 1e6, "B": 1, "×": 1}
OURS = {"zokor-rust": "Rust, pinned", "zokor-rust-migrating": "Rust, migrating", "zokor-c": "C", "zokor-python": "Python"}
NATIVE = tuple(OURS)[:3]
PYTHON = ("zokor-python", "py-asyncio", "py-uvloop", "py-gevent", "py-greenlet", "py-trio", "py-threads", "py-runloom")
KEPT = 0.5  # of the throughput with two workers, that with 64 has to keep


def number(v):
    return f"{v:,.0f}" if abs(v) >= 100 else f"{v:.1f}" if abs(v) >= 10 else f"{v:.2f}"


def paired(values, base):
    """The median of the ratios within the rounds that both ran in."""
    ratios = [v / b for v, b in zip(values, base) if v is not None and b]
    return median(ratios) if ratios else None


class Cell:
    """One program's figures for one metric: their median, their spread, and the ratio to the base program round by round."""

    def __init__(self, values, base, unit):
        self.values = values
        ran = [v for v in values if v is not None]
        self.median = median(ran)
        self.spread = (max(ran) - min(ran)) / 2 / self.median if self.median else 0.0
        self.ratio = paired(values, base) if base else None
        self.unit = unit

    def value(self):
        return number(self.median / SCALE[self.unit])

    def __str__(self):
        ratio = f" **{self.ratio:.2f}**" if self.ratio is not None else ""
        return f"{self.value()} {self.unit} ±{self.spread * 100:.0f} %{ratio}"

    def short(self):
        return self.value() + (f" ({self.ratio:.2f})" if self.ratio is not None else "")


def cells(figures, metric, base):
    """{program: Cell}, best first."""
    got = {p: f[metric.name] for p, f in figures.items() if any(v is not None for v in f.get(metric.name, []))}
    out = {p: Cell(v, got.get(base), metric.unit) for p, v in got.items()}
    return dict(sorted(out.items(), key=lambda kv: kv[1].median, reverse=metric.more_is_better))


def lines(results, table, python):
    """Every metric of every row that was measured: (row, metric, cells of the programs that did the whole work, all cells)."""
    for row in table:
        if row.key not in results["rows"] or row.python != python:
            continue
        figures = results["rows"][row.key]["figures"]
        for metric in row.metrics:
            every = cells(figures, metric, "zokor-python" if python else "go")
            whole = {p: c for p, c in every.items() if not row.n or figures[p]["n"] >= row.n}
            yield row, metric, whole, every


def met(metric, cell):
    """Whether the aim is met; None where there is none."""
    if metric.limit is not None:
        return cell.median >= metric.limit if metric.more_is_better else cell.median <= metric.limit
    return None if metric.target is None or cell.ratio is None else round(cell.ratio, 2) <= metric.target


def aim(metric):
    if metric.limit is not None:
        return f"{'≥' if metric.more_is_better else '≤'} {number(metric.limit / SCALE[metric.unit])} {metric.unit}"
    return f"≤ {metric.target:.2f}" if metric.target is not None else ""


def title(row, metric):
    return row.title + (f": {metric.title}" if metric.title else "")


def mark(metric, cell):
    return " ✓" if met(metric, cell) else ""


def native_table(results, table):
    out = ["| workload | P | Go | Rust, pinned | Rust, migrating | C | aim | best other |", "|---|---|---|---|---|---|---|---|"]
    for row, metric, c, _ in lines(results, table, python=False):
        ours = [f"{c[p]}{mark(metric, c[p])}" if p in c else "–" for p in NATIVE]
        other = next((f"{p} {x.short()}" for p, x in c.items() if p not in OURS and p != "go"), "–")
        go = f"{c['go'].value()} {metric.unit} ±{c['go'].spread * 100:.0f} %" if "go" in c else "–"
        out.append(f"| {title(row, metric)} | {row.p} | {go} | {' | '.join(ours)} | {aim(metric)} | {other} |")
    return out


def python_table(results, table):
    out = [f"| workload | aim | {' | '.join(n.removeprefix('py-') for n in PYTHON)} |", "|---" * (len(PYTHON) + 2) + "|"]
    for row, metric, _, c in lines(results, table, python=True):
        show = [(c[n].short() + mark(metric, c[n]) if n == PYTHON[0] else c[n].short()) if n in c else "–" for n in PYTHON]
        out.append(f"| {title(row, metric)}, {metric.unit} | {aim(metric)} | {' | '.join(show)} |")
    return out


def lead(results, table):
    """The round trip from Python beside those that it has an aim for, one by one."""
    found = [c for row, _, _, c in lines(results, table, python=True) if row.key == rows.AHEAD_ROW]
    said = [
        f"{p.removeprefix('py-')} {c[p].ratio:.1f} (aim {factor}{', met' if c[p].ratio >= factor else ', missed'})"
        for c in found
        for p, factor in rows.AHEAD.items()
        if p in c and c[p].ratio
    ]
    return [f"A round trip takes the others so many times as long: {', '.join(said)}.", ""] if said else []


def python_part(results, table):
    if not any(True for _ in lines(results, table, python=True)):
        return []
    return [
        "### Python", "",
        "In brackets the ratio to Zokor in the same round. W3 of greenlet is its bare switch to and fro.", "",
        *python_table(results, table), "", *lead(results, table),
    ]  # fmt: skip


def aims(results, table):
    """How many aims are met, and which are not."""
    good, missed = 0, []
    for python in (False, True):
        for row, metric, c, _ in lines(results, table, python):
            verdicts = {p: met(metric, c[p]) for p in OURS if p in c}
            good += sum(v is True for v in verdicts.values())
            bad = [f"{OURS[p]} {number(c[p].median / SCALE[metric.unit]) if metric.limit else format(c[p].ratio, '.2f')}"
                   for p, v in verdicts.items() if v is False]  # fmt: skip
            if bad:
                missed.append((len(bad), f"- {title(row, metric)}, P={row.p}: {', '.join(bad)}; aim {aim(metric)}"))
    total = good + sum(n for n, _ in missed)
    if not total:
        return []
    out = [f"{good} of {total} aims are met, each counted once for every kind of ours that it holds for."]
    return out + (["Missed:", "", *(text for _, text in missed)] if missed else []) + [""]


def behind(metric, cell, other):
    """By what factor ours is slower than the other within the same rounds; below 1 it is faster."""
    factor = paired(cell.values, other.values)
    return (1 / factor if factor else None) if metric.more_is_better else factor


def leaders(row, metric, c):
    """The programs ahead of any of ours in a row, those together that do without the same: {differences: (programs with
    their figures, by how much the first of them is ahead)}."""
    out = {}
    for p, other in c.items():
        gaps = {o: behind(metric, c[o], other) for o in OURS if o in c and p not in OURS}
        ahead = [f"{OURS[o]} {g:.2f}×" for o, g in gaps.items() if g and round(g, 2) > 1]
        if ahead:
            programs, _ = out.setdefault(tuple(differences.of(p, row.workload)), ([], ahead))
            programs.append(f"{p} {other.value()}")
    return out


def faster(results, table):
    """The rows in which some other program is faster than one of ours: by how much, and what it does without."""
    out = ["| row | P | programs | the first is ahead of | left out, or done another way |", "|---|---|---|---|---|"]
    used = set()
    for python in (False, True):
        for row, metric, c, _ in lines(results, table, python):
            for why, (programs, ahead) in leaders(row, metric, c).items():
                used |= set(why)
                said = ", ".join(why) or "nothing known: a gap of ours"
                out.append(f"| {title(row, metric)} | {row.p} | {', '.join(programs)} | {', '.join(ahead)} | {said} |")
    if len(out) == 2:
        return ["No other program was faster than any of ours in any row.", ""]
    kinds = [f"- *{k}*: {d.text}." for k, d in differences.KINDS.items() if k in used]
    return [
        "Every program, Go included, that beats one of ours in a row, with its figure and by what factor it does within the same rounds. "
        "The last column names the gap: what of the work it leaves out, or does another way.",
        "", *out, "", "In that table:", "", *kinds, "",
    ]  # fmt: skip


def points(results, plot):
    """{program: [(x, nanoseconds)]} of one scaling plot."""
    out = {}
    for row in rows.SCALING:
        if row.scaling != plot.rows or row.key not in results["rows"]:
            continue
        size = dict(row.args).get("g", row.n)
        x = row.p if plot.more == "workers" else size
        for p, f in results["rows"][row.key]["figures"].items():
            ran = [v for v in f[plot.metric] if v is not None]
            if ran:
                out.setdefault(p, []).append((x, median(ran) / (size if plot.divided else 1)))
    return out


def scaling_table(results, plots):
    out = []
    for plot in plots:
        got = points(results, plot)
        if not got:
            continue
        xs = sorted({x for line in got.values() for x, _ in line})
        out += [f"| {plot.cost}, ns | {' | '.join(f'{x:,}' for x in xs)} |", "|---" * (len(xs) + 1) + "|"]
        for p in (*NATIVE, "go"):
            line = dict(got.get(p, []))
            out.append(f"| {OURS.get(p, 'Go')} | {' | '.join(number(line[x]) if x in line else '–' for x in xs)} |")
        out.append("")
    return out


def contention(results):
    """The check that throughput does not collapse with more workers than CPUs."""
    out = []
    for plot in rows.PLOTS:
        kept = {p: dict(line)[2] / dict(line)[64] for p, line in points(results, plot).items()
                if plot.more == "workers" and {2, 64} <= dict(line).keys()}  # fmt: skip
        if kept:
            low = min((v, p) for p, v in kept.items() if p in OURS)
            verdict = "✓" if low[0] >= KEPT else "missed"
            each = ", ".join(f"{OURS.get(p, 'Go')} {v:.2f}" for p, v in kept.items())
            out.append(f"- {plot.cost}: throughput with 64 workers by that with 2: {each}; at least {KEPT} is asked of ours: {verdict}.")
    return out


def scaling(results):
    if not any(r.key in results["rows"] for r in rows.SCALING):
        return []
    goroutines = [p for p in rows.PLOTS if p.more != "workers"]
    workers = [p for p in rows.PLOTS if p.more == "workers"]
    return [
        "### More goroutines, more timers", "",
        "![Cost per operation by the number of goroutines and timers](performance/scaling.svg)", "",
        "One worker. Beyond some ten thousand goroutines their headers and stacks come from memory instead of the caches.", "",
        *scaling_table(results, goroutines),
        "### More workers than CPUs", "",
        "![Cost per operation by the number of workers](performance/workers.svg)", "",
        *contention(results), "",
        *scaling_table(results, workers),
    ]  # fmt: skip


def everything(results, table):
    """One line per row with all programs, best first."""
    out = []
    for python in (False, True):
        for row, metric, _, c in lines(results, table, python):
            r = results["rows"][row.key]
            fewer = {p: f", n={f['n']:,}" for p, f in r["figures"].items() if row.n and f["n"] < row.n}
            line = "; ".join(f"{p} {x.short()}{fewer.get(p, '')}" for p, x in c.items())
            out.append(f"- **{title(row, metric)}**, P={row.p}, {metric.unit}: {line}")
            if r["failed"] and metric is row.metrics[-1]:
                out.append("  - " + "; ".join(f"{p}: {why}" for p, why in r["failed"].items()))
    return out


def absent(results, table):
    """The workloads that a program does not do, those with the same reason together."""
    missing = {}
    for row in table:
        for p, why in results["rows"].get(row.key, {}).get("absent", {}).items():
            missing.setdefault((p, why), []).append(row.title.split(", ")[0])
    if not missing:
        return []
    lines = [f"- {p}: {', '.join(dict.fromkeys(titles))}: {why}." for (p, why), titles in missing.items()]
    return ["", "What a program does not do:", "", *lines]


def head(results):
    versions = ", ".join(f"{k} {v}" for k, v in results["versions"].items())
    plan = results["plan"]
    out = [f"Measured on {results['date']}: {results['machine']}; load average at the start {results['load']:.1f}. {versions}.", ""]
    if results["quick"]:
        out += ["From the short form, `make bench-quick`: smaller sizes, runs of a tenth of a second. `make bench` replaces it.", ""]
    out += [f"Left out: {k} ({v})." for k, v in results["missing"].items()] + [""] * bool(results["missing"])
    out += [
        f"Medians over interleaved rounds ({plan['rounds']}; {plan['others']} for programs other than ours and Go, 2 in W7, 1 where a run takes more than "
        f"{plan['patience']:.0f} s; 3 for stacks of 256 KiB and for the plots) with half the range between the fastest and the slowest round; in bold the ratio to Go in the same round. "
        "P is the number of workers (`GOMAXPROCS`). ✓ marks an aim that is met; an aim without unit is a ratio to Go.",
        "",
    ]
    return out


def tables(results):
    table = rows.QUICK if results["quick"] else rows.FULL
    out = [
        *head(results), *native_table(results, table), "",
        "![Every row as a ratio to Go](performance/ratios.svg)", "",
        *aims(results, table),
        *python_part(results, table),
        "### Where another program is faster", "", *faster(results, table),
        *scaling(results),
        "### Every program", "", "Best first, in brackets the ratio to Go (Python: to Zokor).", "", *everything(results, table), *absent(results, table),
    ]  # fmt: skip
    return "\n".join(out)


# What the README shows: some rows of the table, in fewer words.
README = {
    "w1b-p1": "start and finish a goroutine",
    "w2-p1": "yield",
    "w3-p1": "unbuffered round trip, one worker",
    "w3-p2": "unbuffered round trip, two workers",
    "w4s-p2": "message through a buffered channel, two workers",
    "w4m-p2": "the same, four to four",
    "w5u-k2-p1": "select over two channels that waits",
    "w5d-p1": "select with default that misses",
    "w6m-p1": "lock and unlock a mutex",
    "w7-stack65536-p1": "one of many parked goroutines",
    "w8-p2": "skynet, two workers",
    "w12p-p2": "round trip between thread and goroutine",
}


def readme(results):
    table = rows.QUICK if results["quick"] else rows.FULL
    out = ["| | Go | Rust, pinned | C | best other |", "|---|---|---|---|---|"]
    for row, metric, c, _ in lines(results, table, python=False):
        if row.key not in README:
            continue
        name = README[row.key] + (f": {metric.title}" if metric.title else "")
        go = c["go"].value() if "go" in c else "–"
        ours = [c[p].value() + (f" **{c[p].ratio:.2f}**" if c[p].ratio else "") if p in c else "–" for p in ("zokor-rust", "zokor-c")]
        other = next((f"{p} {x.short()}" for p, x in c.items() if p not in OURS and p != "go"), "–")
        out.append(f"| {name}, {metric.unit} | {go} | {' | '.join(ours)} | {other} |")
    return "\n".join(out)


def put(path, text):
    before, rest = path.read_text().split(BEGIN)
    path.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END)[1]}")


def write(root, results):
    put(root / "docs" / "performance.md", tables(results))
    put(root / "README.md", readme(results))


def progress(row, r, elapsed, done, total):
    parts = []
    for metric in row.metrics:
        c = cells(r["figures"], metric, "zokor-python" if row.python else "go")
        parts.append((metric.title or row.title) + ": " + ", ".join(f"{p} {x.short()}" for p, x in c.items()))
    failed = "".join(f"\n    {p}: {why}" for p, why in r["failed"].items())
    return f"[{elapsed:4.0f} s, {done} of {total}] {row.key}\n    " + "\n    ".join(parts) + failed
