"""Mutants of a file: one small change each, by the operators of cosmic-ray, drawn with a seed."""

from __future__ import annotations

import ast
import difflib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Example, Operator
from cosmic_ray.plugins import get_operator
from parso.python.tree import Keyword, ReturnStmt

ORDERED = "Lt_LtE Lt_Gt LtE_Lt LtE_Gt Gt_GtE Gt_Lt GtE_Gt GtE_Lt"
COMPARED = f"{ORDERED} Eq_NotEq NotEq_Eq Is_IsNot IsNot_Is"
NUMBERS = "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_Mul Pow_Mul"
CALCULATED = f"{NUMBERS} BitOr_BitAnd BitAnd_BitOr"
NAMES = [
    *(f"ReplaceComparisonOperator_{pair}" for pair in COMPARED.split()),
    *(f"ReplaceBinaryOperator_{pair}" for pair in CALCULATED.split()),
    "ReplaceUnaryOperator_USub_UAdd",
    "ReplaceUnaryOperator_Delete_Not",
    "ReplaceUnaryOperator_Delete_Invert",
    "AddNot",
    "ReplaceTrueWithFalse",
    "ReplaceFalseWithTrue",
    "ReplaceAndWithOr",
    "ReplaceOrWithAnd",
    "ReplaceBreakWithContinue",
    "ReplaceContinueWithBreak",
    "NumberReplacer",
    "ZeroIterationForLoop",
]
"""What cosmic-ray changes. Left out: operators that no number or array knows (shifts, ``is`` for
``==``), and names put in other names' places; both fail on the spot and say nothing of a test."""


class ReturnNone(Operator):  # type: ignore[misc]
    """``return x`` becomes ``return None``."""

    def mutation_positions(self, node: object) -> Iterator[tuple[object, object]]:
        if isinstance(node, ReturnStmt) and node.children[1].get_code().strip() != "None":
            yield node.start_pos, node.end_pos

    def mutate(self, node: ReturnStmt, index: int) -> ReturnStmt:
        node.children[1] = Keyword(" None", node.children[1].start_pos)
        return node

    @classmethod
    def examples(cls) -> tuple[Example, ...]:
        return (Example("def f(): return 1", "def f(): return None"),)


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    ``lines`` are those of the statement that holds the change; ``always``: it runs when the file
    is imported. ``where`` and the changed lines, old and new, tell it from others wherever it
    moves.
    """

    file: str
    where: str
    line: int
    old: str
    new: str
    code: str
    lines: frozenset[int]
    always: bool

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What it is called in the table of those that change nothing."""
        return self.file, self.where, self.old, self.new

    def __str__(self) -> str:
        return f"{self.file}:{self.line} @ {self.where}\n- {self.old}\n+ {self.new}"


def sampled(file: str, code: str, count: int, seed: int) -> list[Mutant]:
    """So many mutants of a file, each in a place of its own; all of them where there are fewer."""
    known = _places(code)
    chance = random.Random(f"{seed} {file}")
    order = sorted(known)
    chance.shuffle(order)
    found: list[Mutant] = []
    for place in order:
        ways = chance.sample(known[place], len(known[place]))
        made = (_made(file, code, operator, at) for operator, at in ways)
        mutant = next((m for m in made if m is not None), None)
        if mutant is not None and mutant.key not in {m.key for m in found}:
            found.append(mutant)
        if len(found) == count:
            break
    return sorted(found, key=lambda m: (m.line, m.new))


def places(code: str) -> int:
    """How many places of a file can be changed, roughly."""
    return len(_places(code))


Places = dict[tuple[tuple[int, int], tuple[int, int]], list[tuple[Operator, int]]]


@cache
def _places(code: str) -> Places:
    """What can be done at each position: an operator, and the how-manieth time that it applies."""
    found: Places = {}
    nodes = list(ast_nodes(get_ast(code)))
    for operator in [*(get_operator(f"core/{name}")() for name in NAMES), ReturnNone()]:
        positions = (p for node in nodes for p in operator.mutation_positions(node))
        for at, position in enumerate(positions):
            found.setdefault(position, []).append((operator, at))
    return found


def _made(file: str, code: str, operator: Operator, at: int) -> Mutant | None:
    """The mutant, or None if it is none: the same program, no program, or a change of what is for
    type checkers."""
    changed = mutate_code(code, operator, at)
    try:
        if changed is None or _meaning(changed) == _meaning(code):
            return None
    except SyntaxError:
        return None
    old, new = code.splitlines(), changed.splitlines()
    steps = difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    _, a, b, c, d = next(step for step in steps if step[0] != "equal")
    where, lines, always = _statement(code, a + 1)
    if any("TYPE_CHECKING" in line for line in old[a:b]):
        return None
    was, now = (" ".join(line.strip() for line in part) for part in (old[a:b], new[c:d]))
    return Mutant(file, where, a + 1, was, now, changed, lines, always)


@cache
def _meaning(code: str) -> str:
    """The program without its annotations, and without the kinds of its arguments."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, ast.Constant(None))
        if isinstance(node, ast.arguments):  # a star or a slash between them is no calculation
            node.args = [*node.posonlyargs, *node.args, *node.kwonlyargs]
            node.defaults = [*node.defaults, *(d for d in node.kw_defaults if d is not None)]
            node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
    return ast.dump(tree)


def _statement(code: str, line: int) -> tuple[str, frozenset[int], bool]:
    """Names of the functions around a line, the lines of its innermost statement (a head without
    its body), and whether it runs at import."""
    names, lines, always = [], frozenset([line]), True
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.stmt) or not node.lineno <= line <= (node.end_lineno or 0):
            continue
        body = getattr(node, "body", None)
        end = body[0].lineno - 1 if body else node.end_lineno or node.lineno
        lines = frozenset(range(node.lineno, end + 1))
        inside = line > end
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and inside:
            names.append(node.name)
            always = always and isinstance(node, ast.ClassDef)
    return ".".join(names) or "module", lines, always
