"""Annotations that say something: what the linter cannot tell from the shapes of jaxtyping is checked here.

Ruff takes a shape string ("batch dim") for an annotation that is broken Python, so its rule F722 is off in the package.
A shape that lost its quotes, on the other hand, can be an expression that nothing looks at.
"""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SHAPED = {"Float", "Int", "Bool"}
FILES = sorted((ROOT / "src").rglob("*.py"))


def annotations(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation is not None:
            yield node.annotation
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns is not None:
            yield node.returns


def broken(source):
    """The annotations that say nothing, as (line, text)."""
    for annotation in annotations(ast.parse(source)):
        yield from _broken(annotation)


def _broken(node):
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
        if node.value.id in SHAPED:
            elements = node.slice.elts if isinstance(node.slice, ast.Tuple) else []
            shape = elements[1] if len(elements) == 2 else None
            if not (isinstance(shape, ast.Constant) and isinstance(shape.value, str)):
                yield node.lineno, ast.unparse(node)
            return
        if node.value.id == "Literal":
            return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            ast.parse(node.value, mode="eval")
        except SyntaxError:
            yield node.lineno, node.value
    for child in ast.iter_child_nodes(node):
        yield from _broken(child)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT / "src")))
def test_every_annotation_says_something(path):
    assert list(broken(path.read_text())) == []


@pytest.mark.parametrize(
    "bad",
    [
        "def f(x: Float[FloatArray, batches * k]) -> float: ...",
        "def f(x: Float[Tensor, dim]): ...",
        "def f(x: Float[Tensor]): ...",
        "def f() -> Int[Tensor, 3]: ...",
        "def f(x: list[Bool[Tensor, n]] | None): ...",
        'def f(x: "list[int"): ...',
        'x: dict[str, "Tensor |"] = {}',
        "class C:\n    x: Float[Tensor, batch]",
    ],
)
def test_a_broken_one_is_seen(bad):
    assert list(broken(bad))


@pytest.mark.parametrize(
    "good",
    [
        'def f(x: Float[Tensor, "batch dim"], y: "Encoder | None") -> Float[Tensor, "*batch"]: ...',
        'def f(kind: Literal["yes/no", "a number"]): ...',
        "def f(x: Mapping[str, int] = {}): ...",
    ],
)
def test_a_sound_one_is_not_refused(good):
    assert list(broken(good)) == []


def test_the_linter_sees_a_shape_without_quotes():
    imports = "from torch import Tensor\n\nfrom aninfonce._typing import Float\n\n\n"
    code = f"{imports}def f(x: Float[Tensor, batch]) -> None: ...\n"
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--stdin-filename",
        "src/aninfonce/new.py",
        "--output-format=concise",
        "-",
    ]
    done = subprocess.run(command, input=code, capture_output=True, text=True, check=False, cwd=ROOT)
    assert "F821" in done.stdout, done.stderr
