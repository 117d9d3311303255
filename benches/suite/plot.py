"""The plots beside the tables, as SVG files in docs/performance."""

import sys

from . import report, rows

COLOURS = {"zokor-rust": "#c0392b", "zokor-rust-migrating": "#e67e22", "zokor-c": "#8e44ad", "go": "#00a0c6", "other": "#999999"}
AIM = "#27ae60"


def write(root, results):
    try:
        import matplotlib
    except ImportError:
        print("no plots: matplotlib is not installed", file=sys.stderr)
        return
    matplotlib.use("svg")
    # The same figures give the same file; text stays text.
    matplotlib.rcParams.update({"svg.hashsalt": "zokor", "svg.fonttype": "none", "font.size": 9})
    at = root / "docs" / "performance"
    at.mkdir(parents=True, exist_ok=True)
    ratios(results, at / "ratios.svg")
    scaling(results, [p for p in rows.PLOTS if p.more != "workers"], (3, 2), at / "scaling.svg")
    scaling(results, [p for p in rows.PLOTS if p.more == "workers"], (1, 2), at / "workers.svg")


def save(figure, path):
    # On white, for pages that are dark.
    figure.savefig(path, metadata={"Date": None, "Creator": None}, bbox_inches="tight", facecolor="white")


def ratios(results, path):
    """Every row of the native table: our programs and the others as dots on a logarithmic scale of ratios to Go."""
    from matplotlib.figure import Figure

    table = rows.QUICK if results["quick"] else rows.FULL
    lines = [
        (f"{report.title(row, metric)}, P={row.p}", c, metric.target)
        for row, metric, c, _ in report.lines(results, table, python=False)
        if not metric.more_is_better
    ]
    if not any(x.ratio for _, c, _ in lines for x in c.values()):
        return  # without Go there are none
    lines.reverse()
    figure = Figure(figsize=(9, 0.19 * len(lines) + 0.8))
    axes = figure.subplots()
    for p in ("other", "go", *report.NATIVE):
        ours = p in report.NATIVE
        named = [[x for q, x in c.items() if (q if q in COLOURS else "other") == p] for _, c, _ in lines]
        dots = [(x.ratio, y) for y, some in enumerate(named) for x in some if x.ratio]
        xs, ys = zip(*dots) if dots else ((), ())
        axes.plot(xs, ys, "D" if ours else "o", ls="", ms=4 if ours else 3, color=COLOURS[p], label=report.OURS.get(p, p.title()), zorder=3 if ours else 2)
    aims = [(target, y) for y, (_, _, target) in enumerate(lines) if target]
    if aims:
        axes.plot(*zip(*aims), "|", ls="", ms=10, mew=1.5, color=AIM, label="Aim", zorder=4)
    axes.set_yticks(range(len(lines)), [name for name, _, _ in lines], fontsize=7)
    axes.set_ylim(-0.7, len(lines) - 0.3)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.axvline(1, color=COLOURS["go"], lw=0.8)
    axes.set_xlabel("ratio to Go in the same round (left is better)")
    axes.grid(lw=0.2)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=6, fontsize=8, frameon=False)
    save(figure, path)


def scaling(results, plots, shape, path):
    """Cost per operation by the number of goroutines, timers or workers."""
    from matplotlib.figure import Figure

    some = [(p, got) for p in plots if (got := report.points(results, p))]
    if not some:
        return
    figure = Figure(figsize=(9, 2.9 * shape[0]))
    grid = figure.subplots(*shape, squeeze=False)
    for axes in grid.flat[len(some) :]:
        axes.set_axis_off()
    for axes, (plot, programs) in zip(grid.flat, some):
        for p in (*report.NATIVE, "go"):
            line = sorted(programs.get(p, []))
            axes.plot([x for x, _ in line], [y for _, y in line], "o-", ms=3, lw=1.2, color=COLOURS[p], label=report.OURS.get(p, "Go"))
        axes.set_xscale("log", base=2 if plot.more == "workers" else 10)
        if plot.more == "workers":
            axes.set_xticks(rows.WORKERS)
        axes.minorticks_off()
        axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter("{x:,.0f}")
        axes.tick_params(labelsize=7)
        axes.set_ylim(bottom=0)
        axes.set_title(f"{plot.cost}, ns", fontsize=9)
        axes.set_xlabel(plot.more)
        axes.grid(lw=0.2)
    figure.tight_layout()
    figure.legend(*grid.flat[0].get_legend_handles_labels(), loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, frameon=False)
    save(figure, path)
