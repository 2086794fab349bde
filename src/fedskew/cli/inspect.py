"""``fedskew inspect``: everything before training, without training (docs/design.md, rule 7)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fedskew.cli.app import (
    Config,
    DataDir,
    Json,
    Offline,
    Only,
    Overrides,
    Plugins,
    allow,
    app,
    own_matplotlib,
)
from fedskew.terminal.say import console, results_alone, show_json


@app.command(
    epilog="Examples:\n\n  fedskew inspect quickstart\n\n"
    "  fedskew inspect paper-fashion-mnist --set split.min_size=100 --picture split.svg"
)
@results_alone()
def inspect(
    config: Config,
    overrides: Overrides = [],  # noqa: B006 (typer copies it)
    only: Only = [],  # noqa: B006
    picture: Annotated[
        Path | None, typer.Option("--picture", help="Write the picture here as well (.png, .svg, .pdf).")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", help="Whose split to show. Default: the first.")
    ] = None,
    data_dir: DataDir = None,
    offline: Offline = False,
    plugins: Plugins = [],  # noqa: B006
    as_json: Json = False,
) -> None:
    """Show who would hold which data, without training. A table's features, client x class table, measures of skew,
    what cannot work."""
    from fedskew.study.grid import planned_runs
    from fedskew.study.select import select
    from fedskew.study.source import as_study, find_config

    allow(plugins)
    source = find_config(config, overrides)
    study = as_study(source)
    seed = study.seeds[0] if seed is None else seed
    chosen = study.model_copy(update={"seeds": (seed,)})

    from fedskew.config import Execution
    from fedskew.study.described import described_data
    from fedskew.study.foreseen import cautions_of
    from fedskew.study.splits import drawn_splits, splits_of

    wanted = select(planned_runs(chosen, source.origin), only)
    drawn = list(drawn_splits(wanted, Execution(data_dir, not offline)))
    splits, cautions = splits_of(drawn), cautions_of(drawn)
    data = described_data(dataset for _, dataset, _ in drawn)

    if picture is not None:
        own_matplotlib()
        from fedskew.report.figures.splits import split_picture

        split_picture(splits, picture)
    from fedskew.analysis.distrust.spread import planned_spreads, spread_reasons

    reasons = list(spread_reasons(study, planned_spreads(splits)))
    if as_json:
        plain = [
            {**split.as_dict(), "cautions": lines} for split, lines in zip(splits, cautions, strict=True)
        ]
        shown: dict[str, object] = {
            "picture": picture and str(picture),
            "data": [one.as_dict() for one in data],
            "splits": plain,
        }
        show_json(shown | {"reasons": [vars(reason) for reason in reasons]})
        return
    from rich.text import Text

    from fedskew.report.tables.features import features_table, title_of
    from fedskew.report.tables.split import split_table
    from fedskew.report.words import sentence
    from fedskew.wording import visible

    screen = console()
    if not screen.is_terminal:
        screen = console(width=200)  # nothing is cut where there is no window
    for one in data:
        screen.print(features_table(one) if one.features else Text(visible(title_of(one))))
        screen.print()
    for split, lines in zip(splits, cautions, strict=True):
        screen.print(split_table(split))
        measures = split.measures
        screen.print(
            f"honest clients: total variation {measures.total_variation:.3f}, "
            f"Jensen-Shannon {measures.jensen_shannon:.3f}, "
            f"effective classes {measures.effective_classes:.2f} of {len(split.class_names)}, "
            f"Gini of sizes {measures.size_gini:.3f}, sizes {measures.smallest} to {measures.largest}"
            + (f", {measures.empty} without data" if measures.empty else ""),
            highlight=False,
        )
        for line in lines:
            screen.print(f"caution: {line}", highlight=False, soft_wrap=True)
        screen.print()
    for reason in reasons:
        screen.print(f"{reason.severity}: {sentence(reason.text)}", highlight=False, soft_wrap=True)
    if picture is not None:
        screen.print(f"picture: {picture}", highlight=False)
