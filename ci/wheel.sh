#!/usr/bin/env bash
# A wheel and a source archive of the Python module below dist/, by maturin in .venv; the wheel is unpacked elsewhere and used.
. "$(dirname "$0")/lib.sh"

[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/python -c "import maturin" 2>/dev/null || .venv/bin/python -m pip install -q --disable-pip-version-check maturin
rm -f dist/zokor-*.whl
.venv/bin/maturin build --quiet --release --manifest-path python/Cargo.toml --out dist
wheel=$(ls dist/zokor-*.whl)
trial=$(mktemp -d)
trap 'rm -rf "$trial"' EXIT
.venv/bin/python -m zipfile -e "$wheel" "$trial"
for file in zokor/__init__.py zokor/__init__.pyi zokor/py.typed zokor/_types.py zokor/_zokor.abi3.so; do
    [ -e "$trial/$file" ] || { echo "$wheel lacks $file"; exit 1; }
done
(cd "$trial" && env -u PYTHONPATH "$OLDPWD/.venv/bin/python" -c '
import zokor
def main():
    c = zokor.Chan[int]()
    zokor.go(c.send, 42)
    return c.recv()
assert zokor.run(main) == 42
')
echo "$wheel works"
