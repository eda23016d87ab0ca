"""No test depends on the speed of the machine: what it waits for may take three minutes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.parsed import of_each, parsed

TESTS = Path(__file__).parents[1]
WAIT_S_MIN = 180
# A test that expects a time-out, or asks again and again, gives up earlier than that.
BRIEF_S = 3
WAITS = {"communicate", "join", "result", "settimeout", "timeout", "wait", "wait_for"}
NAMES_OF_BOUNDS = {"timeout", "timeout_s"}
# Only files with such a text are parsed: half of them.
MAY_WAIT = re.compile(rf"\b(?:{'|'.join([*WAITS, 'until'])})\(|\b(?:{'|'.join(NAMES_OF_BOUNDS)})=")
# Their seconds are those of a simulated clock.
SIMULATION = "simulation"


def short_bounds_of(path: Path) -> list[str]:
    """Return the short bounds of a file."""
    return list(short_bounds(parsed(path))) if MAY_WAIT.search(path.read_text()) else []


def short_bounds(tree: ast.Module) -> Iterator[str]:
    """Yield the calls that wait for a number of seconds between the two bounds."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            name = name_of(node.func)
            bounds = [
                *(node.args if name in WAITS else node.args[2:] if name == "until" else ()),
                *(word.value for word in node.keywords if word.arg in NAMES_OF_BOUNDS),
            ]
            if any(map(is_short, bounds)):
                yield f"line {node.lineno}: {ast.unparse(node)[:80]}"


def name_of(function: ast.expr) -> str:
    """Return the last part of a function's name; "" if it has none."""
    match function:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
        case _:
            return ""


def is_short(bound: ast.expr) -> bool:
    """Return whether it is a number of seconds that a busy machine may need, without a name."""
    return (
        isinstance(bound, ast.Constant)
        and isinstance(bound.value, int | float)
        and BRIEF_S < bound.value < WAIT_S_MIN
    )


def test_a_shorter_bound_has_a_name_and_so_a_reason() -> None:
    """Most tests that failed only in CI had waited for 20 to 60 s."""
    paths = (path for path in TESTS.rglob("*.py") if SIMULATION not in path.parts)
    found = of_each(short_bounds_of, paths)
    assert {path: bounds for path, bounds in found.items() if bounds} == {}


@pytest.mark.parametrize(
    ("source", "is_found"),
    [
        ("asyncio.timeout(60)", True),
        ("await until(holds, 'it holds', 30)", True),
        ("subprocess.run(command, timeout=20)", True),
        ("asyncio.timeout(180)", False),
        ("asyncio.timeout(0.5)", False),
        ("asyncio.timeout(END_S_MAX)", False),
        ("simulate(rate=20, seconds=30)", False),
    ],
)
def test_short_bounds_are_found(source: str, *, is_found: bool) -> None:
    """Numbers that are no bounds are not."""
    assert bool(list(short_bounds(ast.parse(source)))) == is_found
    assert MAY_WAIT.search(source) or not is_found
