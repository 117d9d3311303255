"""The stubs and the documentation of the module agree with what it is."""

import ast
import doctest
import inspect
from pathlib import Path

import zokor

STUB = Path(zokor.__file__).parent / "__init__.pyi"


def test_examples_in_docstrings_run() -> None:
    results = doctest.testmod(zokor, extraglobs={"Chan": zokor.Chan})
    assert results.attempted >= 3 and results.failed == 0


def test_docstrings_begin_as_in_the_stub() -> None:
    tree = ast.parse(STUB.read_text())
    checked = 0

    def first_line(text: str | None) -> str:
        return (text or "").strip().split("\n")[0].strip()

    def check(name: str, node: ast.AST, o: object) -> None:
        nonlocal checked
        assert isinstance(node, (ast.ClassDef, ast.FunctionDef))
        want = first_line(ast.get_docstring(node))
        if want:
            assert first_line(inspect.getdoc(o)) == want, name
            checked += 1

    for node in tree.body:
        if isinstance(node, (ast.ClassDef, ast.FunctionDef)):
            o = getattr(zokor, node.name)
            check(node.name, node, o)
            for member in getattr(node, "body", []):
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    check(f"{node.name}.{member.name}", member, getattr(o, member.name))
    assert checked >= 30


def test_py_typed_is_there() -> None:
    assert (STUB.parent / "py.typed").exists()
