"""Turns figures into tables, and puts them between the markers of docs/performance.md; what is written around them stays."""

from statistics import median

from . import rows

BEGIN, END = "<!-- benches: begin -->", "<!-- benches: end -->"
SCALE = {"ns": 1, "µs": 1e3, "ms": 1e6, "B": 1, "×": 1}
OURS = ("zokor-rust", "zokor-rust-migrating", "zokor-c")


def number(v):
    return f"{v:,.0f}" if abs(v) >= 100 else f"{v:.1f}" if abs(v) >= 10 else f"{v:.2f}"


class Cell:
    """One program's figures for one metric: their median, their spread, and the ratio to the base program round by round."""

    def __init__(self, values, base, unit):
        self.median = median(values)
        self.spread = (max(values) - min(values)) / 2 / self.median if self.median else 0.0
        self.ratio = median(v / b for v, b in zip(values, base) if b) if base and any(base) else None
        self.unit = unit

    def __str__(self):
        value = f"{number(self.median / SCALE[self.unit])} {self.unit}"
        ratio = f" **{self.ratio:.2f}**" if self.ratio is not None else ""
        return f"{value} ±{self.spread * 100:.0f} %{ratio}"

    def short(self):
        ratio = f" ({self.ratio:.2f})" if self.ratio is not None else ""
        return f"{number(self.median / SCALE[self.unit])}{ratio}"


def cells(figures, metric, base):
    """{program: Cell}, best first."""
    got = {p: f[metric.name] for p, f in figures.items() if f.get(metric.name)}
    out = {p: Cell(v, got.get(base), metric.unit) for p, v in got.items()}
    return dict(sorted(out.items(), key=lambda kv: kv[1].median, reverse=metric.more_is_better))


def met(metric, cell):
    if metric.limit is not None:
        return cell.median >= metric.limit if metric.more_is_better else cell.median <= metric.limit
    return metric.target is None or cell.ratio is None or cell.ratio <= metric.target


def aim(metric):
    if metric.limit is not None:
        return f"{'≥' if metric.more_is_better else '≤'} {number(metric.limit / SCALE[metric.unit])} {metric.unit}"
    return f"≤ {metric.target:.2f}" if metric.target is not None else ""


def title(row, metric):
    return row.title + (f": {metric.title}" if metric.title else "")


def measured(results, table):
    for row in table:
        if row.key in results["rows"]:
            yield row, results["rows"][row.key]


def native_table(results, table):
    out = ["| workload | P | Go | Rust, pinned | Rust, migrating | C | aim | best other |", "|---|---|---|---|---|---|---|---|"]
    for row, r in measured(results, table):
        if row.python or row.scaling:
            continue
        for metric in row.metrics:
            c = cells(r["figures"], metric, "go")
            go = c.get("go")
            ours = [f"{c[p]}{' ✓' if aim(metric) and met(metric, c[p]) else ''}" if p in c else "–" for p in OURS]
            other = next(((p, x) for p, x in c.items() if p not in OURS and p != "go"), None)
            best = f"{other[0]} {other[1].short()}" if other else ""
            gone = f"{number(go.median / SCALE[metric.unit])} {metric.unit} ±{go.spread * 100:.0f} %" if go else "–"
            out.append(f"| {title(row, metric)} | {row.p} | {gone} | {' | '.join(ours)} | {aim(metric)} | {best} |")
    return out


def python_table(results, table):
    names = ("zokor-python", "py-asyncio", "py-uvloop", "py-gevent", "py-greenlet", "py-trio", "py-threads", "py-runloom")
    heads = [n.removeprefix("py-") for n in names]
    out = [f"| workload | aim | {' | '.join(heads)} |", "|---" * (len(names) + 2) + "|"]
    for row, r in measured(results, table):
        if not row.python:
            continue
        for metric in row.metrics:
            c = cells(r["figures"], metric, "zokor-python")
            show = [f"{number(c[n].median / SCALE[metric.unit])} ({c[n].ratio:.1f})" if n in c and c[n].ratio else
                    number(c[n].median / SCALE[metric.unit]) if n in c else "–" for n in names]  # fmt: skip
            out.append(f"| {title(row, metric)}, {metric.unit} | {aim(metric)} | {' | '.join(show)} |")
    return out


def scaling_table(results):
    out = ["| what | of | workers | " + " | ".join((*OURS, "go")) + " |", "|---" * (4 + len(OURS)) + "|"]
    for row, r in measured(results, rows.SCALING):
        metric = row.metrics[1] if row.scaling == "timers" else row.metrics[0]
        c = cells(r["figures"], metric, "go")
        size = dict(row.args).get("g", row.n)
        per = size if row.scaling == "timers" else 1
        show = [f"{number(c[p].median / per)} ns" if p in c else "–" for p in (*OURS, "go")]
        out.append(f"| {row.title} | {row.scaling}: {row.p if row.scaling == 'workers' else size:,} | {row.p} | {' | '.join(show)} |")
    return out


def everything(results, table):
    """One line per row with all programs, best first."""
    out = []
    for row, r in measured(results, table):
        for metric in row.metrics:
            c = cells(r["figures"], metric, "zokor-python" if row.python else "go")
            fewer = {p: f", n={f['n']:,}" for p, f in r["figures"].items() if row.n and f["n"] < row.n}
            line = "; ".join(f"{p} {x.short()}{fewer.get(p, '')}" for p, x in c.items())
            out.append(f"- **{title(row, metric)}**, P={row.p}, {metric.unit}: {line}")
        if r["failed"]:
            out.append("  - " + "; ".join(f"{p}: {why}" for p, why in r["failed"].items()))
    return out


def tables(results):
    table = rows.QUICK if results["quick"] else rows.FULL
    versions = ", ".join(f"{k} {v}" for k, v in results["versions"].items())
    out = [f"Measured on {results['date']}: {results['machine']}. {versions}.", ""]
    out += ["Left out: " + "; ".join(f"{k} ({v})" for k, v in results["missing"].items()) + ".", ""] if results["missing"] else []
    out += [
        "Medians over interleaved rounds with half the range between the fastest and the slowest round; in bold the ratio to Go in the "
        "same round. P is the number of workers (`GOMAXPROCS`). ✓ marks an aim that is met.",
        "",
        *native_table(results, table),
        "",
        "### Python",
        "",
        "In brackets the ratio to Zokor in the same round.",
        "",
        *python_table(results, table),
        "",
    ]
    if any(r.key in results["rows"] for r in rows.SCALING):
        out += ["### Scaling", "", "Nanoseconds per operation.", "", *scaling_table(results), ""]
    out += ["### Every program", "", "Best first, in brackets the ratio to Go (Python: to Zokor).", "", *everything(results, table), ""]
    return "\n".join(out)


def write(root, results):
    path = root / "docs" / "performance.md"
    text = path.read_text()
    head, rest = text.split(BEGIN)
    tail = rest.split(END)[1]
    path.write_text(f"{head}{BEGIN}\n\n{tables(results)}\n{END}{tail}")


def progress(row, r, elapsed):
    parts = []
    for metric in row.metrics:
        c = cells(r["figures"], metric, "zokor-python" if row.python else "go")
        parts.append((metric.title or row.title) + ": " + ", ".join(f"{p} {x.short()}" for p, x in c.items()))
    failed = "".join(f"\n    {p}: {why}" for p, why in r["failed"].items())
    return f"[{elapsed:4.0f} s] {row.key}\n    " + "\n    ".join(parts) + failed
