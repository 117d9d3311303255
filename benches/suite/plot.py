"""The plots beside the tables, as SVG files in docs/performance."""

from statistics import median

from . import report, rows

COLOURS = {"zokor-rust": "#c0392b", "zokor-rust-migrating": "#e67e22", "zokor-c": "#8e44ad", "go": "#00a0c6", "other": "#999999"}


def write(root, results):
    try:
        import matplotlib
    except ImportError:
        return
    matplotlib.use("svg")
    # The same figures give the same file.
    matplotlib.rcParams.update({"svg.hashsalt": "zokor", "svg.fonttype": "none", "font.size": 8})
    at = root / "docs" / "performance"
    at.mkdir(parents=True, exist_ok=True)
    ratios(results, at / "ratios.svg")
    scaling(results, at / "scaling.svg")


def save(figure, path):
    figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight")


def ratios(results, path):
    """Every row of the native table: our programs and the others as dots on a logarithmic scale of ratios to Go."""
    from matplotlib.figure import Figure

    lines = []
    for row, r in report.measured(results, rows.QUICK if results["quick"] else rows.FULL):
        if row.python:
            continue
        for metric in row.metrics:
            if metric.unit in ("ns", "ms") or metric.name == "p99":
                lines.append((f"{report.title(row, metric)}, P={row.p}", report.cells(r["figures"], metric, "go"), metric.target))
    if not lines:
        return
    figure = Figure(figsize=(8, 0.2 * len(lines) + 0.8))
    axes = figure.subplots()
    for y, (_, c, target) in enumerate(reversed(lines)):
        for p, x in c.items():
            if x.ratio:
                ours = p in report.OURS
                axes.plot(x.ratio, y, "D" if ours else "o", ms=4 if ours else 3, color=COLOURS.get(p, COLOURS["other"]), zorder=3 if ours else 2)
        if target:
            axes.plot(target, y, "|", ms=9, color="#27ae60", zorder=4)
    axes.set_yticks(range(len(lines)), [name for name, _, _ in reversed(lines)])
    axes.set_xscale("log")
    axes.axvline(1, color=COLOURS["go"], lw=0.8)
    axes.set_xlabel("time, as a ratio to Go in the same round (left is faster)")
    axes.grid(axis="x", lw=0.3)
    handles = [axes.plot([], [], "D" if k in report.OURS else "o", color=c, label=k)[0] for k, c in COLOURS.items()]
    handles.append(axes.plot([], [], "|", color="#27ae60", ms=9, label="aim")[0])
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1))
    save(figure, path)


def scaling(results, path):
    """Cost per operation by the number of goroutines, parked goroutines, timers and workers."""
    from matplotlib.figure import Figure

    points = {}
    for row, r in report.measured(results, rows.SCALING):
        metric = row.metrics[1] if row.scaling == "timers" else row.metrics[0]
        size = dict(row.args).get("g", row.n)
        x = row.p if row.scaling == "workers" else size
        for p, f in r["figures"].items():
            y = median(f[metric.name]) / (size if row.scaling == "timers" else 1)
            points.setdefault((row.scaling, row.title), {}).setdefault(p, []).append((x, y))
    if not points:
        return
    figure = Figure(figsize=(9, 6))
    for axes, ((by, title), programs) in zip(figure.subplots(2, 3).flat, points.items()):
        for p, line in programs.items():
            xs, ys = zip(*sorted(line))
            axes.plot(xs, ys, "o-", ms=3, lw=1, color=COLOURS.get(p, COLOURS["other"]), label=p)
        axes.set_xscale("log", base=2 if by == "workers" else 10)
        axes.set_ylim(bottom=0)
        axes.set_title(f"{title}, ns per operation")
        axes.set_xlabel(by)
        axes.grid(lw=0.3)
        axes.legend(fontsize=6)
    figure.tight_layout()
    save(figure, path)
