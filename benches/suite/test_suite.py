"""Tests of the suite itself, with programs that say what they are told to: `python3 -m unittest discover -s benches`."""

import json
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

from suite import build, differences, measure, report, rows

PLAN = measure.Plan(rounds=3, others=2, seconds=0.001, timeout=20)
VERSIONS = {"rustc": "1"}


def peer(name, *figures, **kw):
    """A program that prints these figures, the next of them at each run, and the last ever after."""
    folder = Path(tempfile.mkdtemp(dir=FOLDER.name))
    (folder / "lines").write_text("\n".join(json.dumps(f) for f in figures))
    script = "import pathlib as p; f = p.Path('lines'); l = f.read_text().split('\\n'); l[1:] and f.write_text('\\n'.join(l[1:])); print(l[0])"
    return build.Peer(name, [sys.executable, "-c", f"import os; os.chdir({str(folder)!r}); {script}"], **kw)


def setUpModule():
    global FOLDER
    FOLDER = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(FOLDER.cleanup)


def results(row, *peers, missing=None):
    return {
        "date": "2026-01-01",
        "machine": "a machine",
        "load": 0.0,
        "versions": VERSIONS,
        "programs": "",
        "plan": PLAN.named(),
        "missing": missing or {},
        "quick": False,
        "rows": {row.key: measure.row(row, peers, PLAN)},
    }


def row(key):
    [found] = [r for r in rows.FULL if r.key == key]
    return found


class Measuring(unittest.TestCase):
    def test_ratios_are_taken_within_a_round(self):
        # A slow second round hits both: the ratio stays what it is.
        sieve = row("w9-p1")
        figures = [{"ns": ns, "last": sieve.last} for ns in (100, 900, 100)]
        ours = build.Peer("zokor-c", peer("", *[f | {"ns": f["ns"] / 4} for f in figures]).argv, ours=True)
        got = measure.row(sieve, [peer("go", *figures), ours], PLAN)["figures"]
        self.assertEqual(got["go"]["ns"], [100, 900, 100])
        self.assertEqual(report.cells(got, sieve.metrics[0], "go")["zokor-c"].ratio, 0.25)

    def test_a_wrong_result_is_no_figure(self):
        sieve = row("w9-p1")
        got = measure.row(sieve, [peer("tokio", {"ns": 1, "last": 4})], PLAN)
        self.assertEqual(got["figures"], {})
        self.assertIn("instead of 17,389", got["failed"]["tokio"])

    def test_what_a_program_does_not_do_is_said_with_the_reason(self):
        yields = row("w2-p1")
        peers = [peer("go", {"ns": 10}), peer("pth", {}, skip={"w2": "no time"}), peer("may", {"na": "no such thing"})]
        got = results(yields, *peers)
        self.assertEqual(got["rows"]["w2-p1"]["absent"], {"pth": "no time", "may": "no such thing"})
        text = report.tables(got)
        self.assertIn("- pth: W2 yield: no time.", text)
        self.assertIn("- may: W2 yield: no such thing.", text)

    def test_a_fixed_number_is_not_tried_first(self):
        # So what is not there shows in the first round.
        got = measure.row(row("py-w10-p1"), [peer("py-greenlet", {"na": "no clock"}, python=True)], PLAN)
        self.assertEqual(got, {"figures": {}, "failed": {}, "absent": {"py-greenlet": "no clock"}})

    def test_others_run_in_fewer_rounds(self):
        self.assertEqual(PLAN.of(build.Peer("go", []), row("w2-p1")), {0, 1, 2})
        self.assertEqual(PLAN.of(build.Peer("may", []), row("w2-p1")), {0, 2})

    def test_a_program_that_crashes_is_left_out_with_what_it_said(self):
        crash = build.Peer("may", [sys.executable, "-c", "import sys; sys.exit('no stack')"])
        self.assertEqual(measure.row(row("w2-p1"), [crash], PLAN)["failed"], {"may": "exit status 1: no stack"})

    def test_last_words_are_a_line_without_directories(self):
        self.assertEqual(measure.last_words("thread panicked at /home/me/a-0.1/src/stack.rs:5:1:\nno memory\n"), "thread panicked at stack.rs:5:1: no memory")
        self.assertEqual(measure.last_words(" \n"), "no output")


class Building(unittest.TestCase):
    def test_what_cannot_be_had_is_left_out_with_a_line(self):
        def absent():
            raise build.Unavailable("no network")

        with mock.patch.dict(build.BUILDERS, {"go": absent, "pth": lambda: [build.Peer("pth", [])]}, clear=True):
            found, missing = build.peers()
        self.assertEqual([p.name for p in found], ["pth"])
        self.assertEqual(missing, {"go": "no network"})

    def test_without_go_there_are_figures_and_no_ratios(self):
        got = results(row("w2-p1"), build.Peer("zokor-c", peer("", {"ns": 7}).argv, ours=True), missing={"go": "no network"})
        text = report.tables(got)
        self.assertIn("Left out: go (no network).", text)
        self.assertIn("| W2 yield, per switch | 1 | – | – | – | 7.00 ns ±0 % | ≤ 0.08 | – |", text)
        self.assertIn("| yield, ns | – | – | 7.00 | – |", report.readme(got))

    def test_a_missing_tool_is_a_reason(self):
        with self.assertRaisesRegex(build.Unavailable, "no-such-compiler is not installed"):
            build.sh(["no-such-compiler"], "compiling")


class Telling(unittest.TestCase):
    def test_who_is_ahead_is_named_with_what_it_leaves_out(self):
        ours = build.Peer("zokor-c", peer("", {"ns": 20}).argv, ours=True)
        got = results(row("w6m-p1"), peer("go", {"ns": 10}), peer("pth", {"ns": 5}), ours)
        text = "\n".join(report.faster(got, rows.FULL))
        self.assertIn("| pth 5.00 | C 4.00× | one thread, no time slice |", text)
        self.assertIn("| go 10.0 | C 2.00× | nothing known: a gap of ours |", text)

    def test_aims_are_met_or_named_as_missed(self):
        fast, slow = (build.Peer(n, peer("", {"ns": ns}).argv, ours=True) for n, ns in (("zokor-c", 8), ("zokor-rust", 9)))
        text = report.aims(results(row("w2-p1"), peer("go", {"ns": 100}), fast, slow), rows.FULL)
        self.assertIn("1 of 2 aims are met", text[0])
        self.assertIn("- W2 yield, per switch, P=1: Rust, pinned 0.09; aim ≤ 0.08", text)

    def test_the_lead_of_python_has_aims_of_its_own(self):
        ours = build.Peer("zokor-python", peer("", {"ns": 200}).argv, python=True, ours=True)
        others = [peer(name, {"ns": ns}, python=True) for name, ns in (("py-asyncio", 4200), ("py-gevent", 2000))]
        text = report.lead(results(row("py-w3-p1"), ours, *others), rows.FULL)
        self.assertEqual(text[0], "A round trip takes the others so many times as long: asyncio 21.0 (aim 20, met), gevent 10.0 (aim 15, missed).")

    def test_differences_name_programs_and_rows_that_exist(self):
        workloads = {r.workload for r in rows.FULL}
        for name, kind in differences.KINDS.items():
            self.assertLessEqual(set(kind.rows), workloads, name)
        for program, kinds in differences.PROGRAMS.items():
            self.assertLessEqual(set(kinds), set(differences.KINDS), program)

    def test_rows_have_names_of_their_own(self):
        for table in (rows.FULL + rows.SCALING, rows.QUICK):
            keys = [r.key for r in table]
            self.assertEqual(len(keys), len(set(keys)))


if __name__ == "__main__":
    unittest.main()
