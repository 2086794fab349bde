"""The entry of a built-in component in the catalogue (docs/catalogue.md, ``fedskew list KIND NAME``).

Name, summary, options and facts are those of its row. Formula, weights and reference are paragraphs of its docstring
that start with ``Formula:``, ``Weights:`` and ``Reference:``. The docstring is read from the source, so that no
component is imported.
"""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedskew.components.row import ANY_VALUES, ON_CLIENTS, REQUIRED, SECURE, Row
from fedskew.components.table import BUILT_IN
from fedskew.wording import article, count

SECTIONS = ("Formula", "Weights", "Reference")
"""What a paragraph of a docstring may start with, each at most once."""
EXAMPLE = 2
"""The value of options without a default where a fact is a number that depends on them."""
SMALL_RUNS = ((10, 1), (2, 1))
"""(clients, adversaries) of runs, all clients in each round, for which an attack is asked what it lacks."""


@dataclass(frozen=True)
class Entry:
    """What the catalogue says of a component.

    Attributes:
        options: ``name``, which must be given, or ``name = default``.
        summary: one line.
        formula: its statements; empty where it has none.
        weights: which weights of the clients it reports; "" for none.
        threat_model: what the adversaries of an attack see; "" for another kind.
        needs: what it needs of a run, each the end of a sentence.
        refused: what it is refused with when the config is read, each the end of a sentence.
        reference: "" where it comes from no paper.
    """

    kind: str
    name: str
    options: tuple[str, ...]
    summary: str
    formula: tuple[str, ...]
    weights: str
    threat_model: str
    needs: tuple[str, ...]
    refused: tuple[str, ...]
    reference: str


def statements(formula: str) -> tuple[str, ...]:
    """The statements of a formula, which semicolons separate; one in parentheses separates arguments."""
    depth, parts = 0, [""]
    for piece in re.split(r"(; |[()])", formula):
        depth += {"(": 1, ")": -1}.get(piece, 0)
        if piece == "; " and depth == 0:
            parts.append("")
        else:
            parts[-1] += piece
    return tuple(filter(None, parts))


def entry(kind: str, name: str) -> Entry:
    """The entry of a built-in component.

    Raises:
        ValueError: a paragraph of its docstring is not as it should be; names the component.
    """
    row = BUILT_IN[kind][name]
    try:
        marked = sections(docstring(row.target))
    except ValueError as error:
        raise ValueError(f"{kind} {name}: {error}") from None
    return Entry(
        kind=kind,
        name=name,
        options=options(row),
        summary=row.summary,
        formula=statements(marked["Formula"]),
        weights=marked["Weights"],
        threat_model=_threat_model(row) if kind == "attack" else "",
        needs=tuple(_needs(kind, row)),
        refused=tuple(_refused(kind, name, row)),
        reference=marked["Reference"],
    )


def said(one: Entry) -> dict[str, str]:
    """What an entry says after its summary, label -> text. Formula and options are code; the rest has it in ticks."""
    texts = {
        "formula": "; ".join(one.formula),
        "options": ", ".join(one.options),
        "threat model": one.threat_model,
        "weights": one.weights,
        "needs": "; ".join(one.needs),
        "refused": "; ".join(one.refused),
        "reference": one.reference,
    }
    return {label: text for label, text in texts.items() if text}


def options(row: Row) -> tuple[str, ...]:
    """The options of a row, with their defaults."""
    return tuple(o if d is REQUIRED else f"{o} = {_plain(d)}" for o, d in row.options.items())


def _plain(default: object) -> str:
    if isinstance(default, dict):
        return repr(default.get("name", ""))
    return "unset" if default is None else repr(default)


def docstring(target: str) -> str:
    """The docstring of ``"package.module:function"``, from its source; "" where it has none.

    Raises:
        ValueError: there is no such function.
    """
    module, _, name = target.partition(":")
    spec = importlib.util.find_spec(module)
    source = Path(spec.origin).read_text(encoding="utf-8") if spec and spec.origin else ""
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return ast.get_docstring(node) or ""
    raise ValueError(f"there is no {target}")


def sections(text: str) -> dict[str, str]:
    """The marked paragraphs of a docstring by name, each on one line and without its mark; "" for a missing one.

    Raises:
        ValueError: a mark that does not start a paragraph, has no text after it on its line, or stands twice.
    """
    found = dict.fromkeys(SECTIONS, "")
    for paragraph in re.split(r"\n[ \t]*\n", text):
        for line in re.finditer(rf"^\s*({'|'.join(SECTIONS)}):.*$", paragraph, re.MULTILINE):
            name = line[1]
            if not paragraph.startswith(f"{name}: ") or line.start():
                raise ValueError(
                    f"`{line[0].strip()}` in its docstring; expected a paragraph that starts with `{name}: ` and text"
                )
            if found[name]:
                raise ValueError(f"its docstring has two paragraphs that start with `{name}:`")
            found[name] = " ".join(paragraph.removeprefix(f"{name}:").split())
    return found


def _threat_model(row: Row) -> str:
    by_option = "threat_model" in row.options
    if row.facts.wraps:
        theirs = f"that of the attack in `{row.facts.wraps}`"
        return f"{theirs}, or more where `threat_model` says so" if by_option else theirs
    return (
        f"{row.options['threat_model']}, or as `threat_model` says" if by_option else row.facts.threat_model
    )


def _needs(kind: str, row: Row) -> Iterator[str]:
    facts, example = row.facts, _example(row)
    chosen = ", ".join(f"{name} = {EXAMPLE}" for name, value in row.options.items() if value is REQUIRED)
    given = f" with {chosen}" if chosen else ""
    if kind != "dataset" and facts.values != ANY_VALUES:
        yield f"samples made of {' or '.join(facts.values)}"
    if facts.clients is not None:
        why = f": {facts.clients_why}" if facts.clients_why else ""
        yield f"at least {facts.clients(example):g} updates in a round{given}{why}"
    if facts.most is not None:
        why = f": {facts.most_why}" if facts.most_why else ""
        yield f"at most {facts.most(example):g} updates in a round{given}{why}"
    if facts.rows is not None:
        yield f"a rule after it that can work on {facts.rows(10, example)} updates instead of 10{given}"
    if facts.server_data is not None:
        yield f"training images that the server sets aside, as many as `{facts.server_data}`"
    if kind == "personal" and not facts.harmless:
        yield "`clients.held_out`, on which personal models are measured"
    if facts.pool is not None:
        yield f"`{facts.pool}` from the number of clients of a round to that of all clients"
    for option, held in facts.components.items():
        if row.options[option] is REQUIRED:
            yield f"{article(held)} in `{option}`"
    for option in facts.monitors:
        if option in row.options:
            yield f"`data.validation` where `{option}` is validation_loss"
    for field, name in facts.needs.items():
        yield f"`{field} = {name}`"
    if facts.planted:
        yield "a property that is planted in the data of some clients (`privacy.property`)"
    if facts.on_uploads:
        yield "a local objective that uploads something"
    if facts.on_training is not None:
        yield f"adversaries of the attack in `{facts.wraps}` who send something of their own training"
    if facts.each_client:
        yield f"{facts.each_client}, which no transform before it may merge"
    if facts.unsuited is not None:
        yield "options that fit `training.optimizer`"
    if facts.merges is not None and facts.merges(example):
        yield "no rule after it that needs what single clients report"
    if facts.private:
        yield "to be all that makes use of what clients send"


def _refused(kind: str, name: str, row: Row) -> Iterator[str]:
    facts, example = row.facts, _example(row)
    if facts.private:  # as together.check_together does
        others = [
            f"`{other}`"
            for kind in ("learning-rate", "selection", "objective")
            for other, theirs in BUILT_IN[kind].items()
            if not theirs.facts.blind
        ]
        yield f"with update transforms, rules that look at train_loss, {', '.join(others)}"
    if facts.lacking is not None:
        whys = [facts.lacking(example, clients, adversaries, clients) for clients, adversaries in SMALL_RUNS]
        if len({*whys}) == 1 and whys[0]:
            yield f"with these defaults: `{name}` {whys[0]}"
        elif any(whys):
            (clients, adversaries), why = next(pair for pair in zip(SMALL_RUNS, whys, strict=True) if pair[1])
            who = f"{count(adversaries, 'adversary', 'adversaries')} among {clients} clients"
            yield f"for example with {who}: `{name}` {why}"
    if kind in ON_CLIENTS and not facts.blind and not (facts.sums and facts.sums(example)):
        yield f"with `{SECURE}`"


def _example(row: Row) -> dict[str, Any]:
    """The options of a row, with a value for those without a default."""
    return {name: EXAMPLE if value is REQUIRED else value for name, value in row.options.items()}
