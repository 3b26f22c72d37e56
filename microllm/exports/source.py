"""Our own source as one program: the definitions that it needs, each exactly as written, including comments.

Modules are written one after another without the imports between them, so their names must not collide. Unreachable
code is left out, and so are branches for settings other than those of the run: a model trained with AdamW comes without
Muon. Names decide what is reachable: a top-level definition by its name, a method by any attribute of its name.
"""

from __future__ import annotations

import ast
import importlib
import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, SimpleNamespace
from typing import Any

from ..config import LIVE, ModelConfig, TrainConfig, flat, knobs
from .literal import literal

_PACKAGE = Path(__file__).parents[1]
_CAN_CHANGE = (*LIVE, "max_steps")  # while a run trains
_CONFIGS = ("config", "model_config", "train_config")  # what a configuration is called in the textbook
_CALLED_BY_TORCH = ("forward",)

_Definition = ast.FunctionDef | ast.ClassDef


@dataclass(frozen=True)
class Program:
    """A program in parts: its imports, and the code needed from each module, by module name ("" if none is needed)."""

    imports: str
    code: dict[str, str]


@dataclass(eq=False)
class _Chunk:
    """Lines of a module that are kept or left out together, with the blank lines and comments before them."""

    module: str
    code: str
    bound: set[str]  # the names that it defines
    names: set[str]  # the names and attributes that it uses
    attributes: set[str]
    owner: _Chunk | None = None  # the class of a method


def program(
    modules: Iterable[str],
    roots: Iterable[str],
    model: ModelConfig,
    train: TrainConfig,
    facts: Mapping[str, Any],
    variables: Mapping[str, Any],
) -> Program:
    """The program that defines `roots`, from these modules of the package ("data.builtin"), in this order.

    In it, `model` and `train` are the defaults of the configurations, and `facts` are the values of its constants. A
    setting is marked as fixed if the program only has the code for its value. `variables` are further names that have
    the same value wherever they occur, such as the edit of a text.
    """
    chunks, imports, fixed = [], {}, set()
    unchanging = {name: value for name, value in flat(model, train).items() if name not in _CAN_CHANGE}
    known = dict.fromkeys(_CONFIGS, SimpleNamespace(**unchanging)) | dict(facts) | dict(variables)
    sources = {module: (_PACKAGE / f"{module.replace('.', '/')}.py").read_text("utf-8") for module in modules}
    for module, source in sources.items():
        constants = vars(importlib.import_module(f"{_PACKAGE.name}.{module}"))
        tables = {name: value for name, value in constants.items() if name.isupper() and isinstance(value, dict)}
        known_here = tables | known
        sources[module] = _looked_up(_folded(source, known_here, fixed), known_here, fixed)
    for module, source in sources.items():
        source = _with_values(source, flat(model, train), facts, fixed)
        chunks += _chunks(module, source)
        imports[module] = [node for node in ast.parse(source).body if _is_outside(node)]
    kept = _reached(chunks, set(roots))
    return Program(
        _merged((node, _names(module, kept)) for module, nodes in imports.items() for node in nodes),
        {module: _joined([chunk for chunk in kept if chunk.module == module]) for module in imports},
    )


def _names(module: str, chunks: list[_Chunk]) -> set[str]:
    return set().union(*(chunk.names for chunk in chunks if chunk.module == module))


def _joined(chunks: list[_Chunk]) -> str:
    """Chunks of a module one after another, two blank lines after each definition."""
    return re.sub(r"(\n [^\n]*)\n{2,}(?=\S)", r"\1\n\n\n", "".join(chunk.code for chunk in chunks)).strip("\n")


# ---- the settings as plain values


def _with_values(source: str, settings: dict[str, Any], facts: Mapping[str, Any], fixed: set[str]) -> str:
    """A module with each setting as a plain default, explained by a comment, and with the constants in `facts`."""
    lines = source.split("\n")
    values = dict(facts) | {"LIVE": LIVE}  # LIVE is computed from the metadata of the settings
    statements = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Assign | ast.AnnAssign)]
    for node in sorted(statements, key=lambda node: node.lineno, reverse=True):  # from the end: lines keep their number
        name = _name(node.targets[0] if isinstance(node, ast.Assign) else node.target)
        start = lines[node.lineno - 1].partition(" = ")[0]
        if isinstance(node.value, ast.Call) and _name(node.value.func) == "_knob":
            comment = knobs()[name].metadata["plain"] + (" (fixed)" if name in fixed else "")
            lines[node.lineno - 1 : node.end_lineno] = [literal(settings[name], f"{start} = ") + f"  # {comment}"]
        elif name in values and not node.col_offset:
            lines[node.lineno - 1 : node.end_lineno] = [literal(values[name], f"{start} = ")]
    return "\n".join(lines)


def _name(node: ast.AST) -> str | None:
    return node.id if isinstance(node, ast.Name) else None


# ---- what other settings need


def _folded(source: str, known: dict[str, Any], fixed: set[str]) -> str:
    """The source without the `if` statements whose outcome follows from `known`, the values by name.

    The settings on which they depend are added to `fixed`.
    """
    while edits := [
        (*_without_if(source.split("\n"), block, i, value), deciding)
        for block, i, value, deciding in _decided_ifs(ast.parse(source), known, source.split("\n"))
    ]:
        lines, edge = source.split("\n"), math.inf
        for start, end, branch, deciding in sorted(edits, key=lambda edit: edit[0], reverse=True):
            if end < edge:  # else another edit is inside: this one is for the next round
                lines[start - 1 : end], edge = branch, start
                fixed |= deciding
        source = "\n".join(lines)
    return source


def _decided_ifs(
    node: ast.AST, known: dict[str, Any], lines: list[str]
) -> Iterator[tuple[list[ast.stmt], int, bool, set[str]]]:
    """(block, index, value, settings that decide it) of each `if` statement that is decided; not of an `elif`."""
    if isinstance(node, ast.ClassDef):
        known = known | {"self": _attributes(node, known)}
    for field in ("body", "orelse", "finalbody", "handlers"):
        block = getattr(node, field, None)
        for i, statement in enumerate(block if isinstance(block, list) else []):
            if isinstance(statement, ast.If) and not _is_elif(statement, lines):
                value = _value(statement.test, known)
                is_followed = statement.orelse and _is_elif(statement.orelse[0], lines)
                if value is not None and not is_followed:
                    yield block, i, bool(value), _settings_in(statement.test, known)
            yield from _decided_ifs(statement, known, lines)


def _settings_in(expression: ast.expr, known: dict[str, Any]) -> set[str]:
    """The settings on which an expression depends."""
    names = {part.attr for part in ast.walk(expression) if isinstance(part, ast.Attribute)}
    behind = known["self"].behind if "self" in known else {}
    return (names & knobs().keys()).union(*(behind.get(name, ()) for name in names))


def _is_elif(node: ast.stmt, lines: list[str]) -> bool:
    return lines[node.lineno - 1].lstrip().startswith("elif")


def _attributes(node: ast.ClassDef, known: dict[str, Any]) -> SimpleNamespace:
    """The attributes of a class that its constructor takes from the settings, as in `self.causal = config.causal`."""
    found = SimpleNamespace(config=known["config"], behind={})  # behind: the settings that decide each attribute
    for assign in ast.walk(node):
        if not isinstance(assign, ast.Assign):
            continue
        target, value = assign.targets[0], assign.value
        is_pair = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
        for one, its in zip(target.elts, value.elts, strict=True) if is_pair else [(target, value)]:
            comes_from_settings = any(_name(part) in _CONFIGS for part in ast.walk(its) if part is not its)
            if isinstance(one, ast.Attribute) and comes_from_settings and (now := _value(its, known)) is not None:
                setattr(found, one.attr, now)
                found.behind[one.attr] = _settings_in(its, {})
    return found


def _value(expression: ast.expr, known: dict[str, Any]) -> Any | None:
    """The value of an expression that uses only what is known; None if it needs more."""
    if isinstance(expression, ast.NamedExpr) and isinstance(expression.value, ast.Call):
        return False if _name(expression.value.func) == "problems" else None  # the run has passed this check
    try:
        return eval(compile(ast.Expression(expression), "", "eval"), {"__builtins__": {"len": len}}, known)
    except (NameError, AttributeError, TypeError, LookupError):
        return None


def _without_if(lines: list[str], block: list[ast.stmt], i: int, value: bool) -> tuple[int, int, list[str]]:
    """(first line, last line, the branch to write instead) of an `if`, and of what follows if that branch returns."""
    statement, end = block[i], block[i].end_lineno
    kept = statement.body if value else statement.orelse
    branch = [" " * statement.col_offset + "pass"] if len(block) == 1 else []
    if kept:
        first = kept[0].lineno
        while first - 1 > statement.lineno and lines[first - 2].lstrip().startswith("#"):
            first -= 1
        inward = kept[0].col_offset - statement.col_offset
        branch = [line[inward:] for line in lines[first - 1 : kept[-1].end_lineno]]
        if isinstance(kept[-1], ast.Return | ast.Raise):
            end = block[-1].end_lineno
    return statement.lineno, end, branch


def _looked_up(source: str, known: dict[str, Any], fixed: set[str]) -> str:
    """The source with each table lookup by a known value, as in `ACTIVATIONS[config.activation]`, replaced by what it
    finds; and without our own decorators, which put functions into such tables.

    The settings on which they depend are added to `fixed`.
    """
    tree, written = ast.parse(source), source
    own = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Load):
            if isinstance(found := _value(node, known), FunctionType):
                written = written.replace(ast.get_source_segment(source, node), found.__name__)
                fixed |= _settings_in(node, known)
        elif isinstance(node, ast.FunctionDef):
            for name in own.intersection(map(_name, node.decorator_list)):
                written = written.replace(f"@{name}\n", "")
    return written


# ---- what is reached


def _chunks(module: str, source: str) -> list[_Chunk]:
    """The definitions of a module, methods as chunks of their own; no imports, no docstring of the module."""
    lines, chunks, end = source.split("\n"), [], 0
    for node in ast.parse(source).body:
        code, end = "\n".join(lines[end : node.end_lineno]) + "\n", node.end_lineno
        if isinstance(node, ast.Expr) and chunks:  # the docstring of a constant
            chunks[-1].code += code
        elif isinstance(node, ast.ClassDef):
            chunks += _class_chunks(module, code.splitlines(), node)
        elif not isinstance(node, ast.Expr | ast.Import | ast.ImportFrom | ast.If):
            chunks.append(_Chunk(module, code, _bound(node), *_used([node])))
    return chunks


def _class_chunks(module: str, lines: list[str], node: ast.ClassDef) -> list[_Chunk]:
    """The head of a class with its fields and special methods as one chunk, and each other method as its own."""
    before = node.end_lineno - len(lines)  # lines of the module before these
    methods = [
        part
        for part in node.body
        if isinstance(part, ast.FunctionDef) and not (part.name.startswith("__") or part.name in _CALLED_BY_TORCH)
    ]
    always = [part for part in node.body if part not in methods]
    head = _Chunk(module, "", {node.name}, *_used([*always, *node.bases, *node.decorator_list]))
    chunks, end = [head], 0
    for part in node.body:
        code = "\n".join(lines[end : part.end_lineno - before]) + "\n"
        end = part.end_lineno - before
        if part in methods:
            chunks.append(_Chunk(module, code, {part.name}, *_used([part]), owner=head))
        elif len(chunks) == 1:
            head.code += code
        else:  # after a method: a chunk of its own, to stay in its place
            chunks.append(_Chunk(module, code, set(), set(), set(), owner=head))
    return chunks


def _bound(node: ast.stmt) -> set[str]:
    if isinstance(node, _Definition):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    return {part.id for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}


def _used(nodes: list[ast.AST]) -> tuple[set[str], set[str]]:
    """The names and the attributes that occur in some code, without the variables of its functions."""
    names, attributes = set(), set()
    for node in nodes:
        parts = list(ast.walk(node))
        own = {part.arg for part in parts if isinstance(part, ast.arg)}
        own |= {part.id for part in parts if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)}
        names |= {part.id for part in parts if isinstance(part, ast.Name)} - own
        attributes |= {part.attr for part in parts if isinstance(part, ast.Attribute)}
    return names, attributes


def _reached(chunks: list[_Chunk], names: set[str]) -> list[_Chunk]:
    """The chunks that are reached from some names, in their order."""
    kept, attributes = [], set()
    while True:
        more = [chunk for chunk in chunks if chunk not in kept and _is_reached(chunk, kept, names, attributes)]
        if not more:
            return [chunk for chunk in chunks if chunk in kept]
        kept += more
        names = names.union(*(chunk.names for chunk in more))
        attributes = attributes.union(*(chunk.attributes for chunk in more))


def _is_reached(chunk: _Chunk, kept: list[_Chunk], names: set[str], attributes: set[str]) -> bool:
    if chunk.owner is None:
        return bool(chunk.bound & names)
    return chunk.owner in kept and (not chunk.bound or bool(chunk.bound & attributes))


# ---- imports


def _is_outside(node: ast.AST) -> bool:
    return isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level)


def _merged(imports: Iterable[tuple[ast.Import | ast.ImportFrom, set[str]]]) -> str:
    """The imports, given with the names that their module uses, merged: the standard library, then other packages."""
    whole: dict[str, set[str]] = {}  # module: what is imported from it ("" for the module itself)
    for node, names in imports:
        for alias in node.names:
            if isinstance(node, ast.ImportFrom) and (alias.asname or alias.name) in names:
                whole.setdefault(node.module, set()).add(
                    f"{alias.name} as {alias.asname}" if alias.asname else alias.name
                )
            elif isinstance(node, ast.Import) and alias.name.partition(".")[0] in names:
                whole.setdefault(alias.name, set()).add("")
    groups = [], []
    for module in sorted(module for module, parts in whole.items() if "" in parts):
        groups[_is_installed(module)].append(f"import {module}")
    for module in sorted(whole):
        if named := sorted(whole[module] - {""}, key=str.lower):
            groups[_is_installed(module)].append(f"from {module} import {', '.join(named)}")
    return "\n\n".join("\n".join(group) for group in groups if group)


def _is_installed(module: str) -> bool:
    return module.partition(".")[0] not in sys.stdlib_module_names
