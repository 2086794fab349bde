"""Writes a report into a folder: ``index.html``, ``tables/*.{md,csv,tex}``, ``figures/*.{svg,png}``.

``files.jsonl`` there lists them, so that the next report can take away what it does not write again: a figure of last
week's study must not lie among those of today's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fedskew.errors import FedskewError, RunError
from fedskew.files import read_lines, replace_file, to_json
from fedskew.report.evidence import gather
from fedskew.report.numbers import count
from fedskew.report.page import render_page
from fedskew.report.sections import Content, build_content
from fedskew.report.sheet import EXTENSIONS, render
from fedskew.report.style import figure_style
from fedskew.report.svg import save
from fedskew.report.words import headline, verdict_lines
from fedskew.study_folder import StudyFolder

TABLE_STYLES = ("markdown", "csv", "latex")
FIGURE_ENDINGS = (".svg", ".png")


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        page: the file to open.
        tables, figures: the files, in their order.
    """

    page: Path
    tables: list[Path]
    figures: list[Path]
    content: Content

    @property
    def summary(self) -> str:
        """The page's first sentences, for a terminal."""
        judgements = self.content.judgements
        serious = sum(reason.severity == "serious" for reason in self.content.reasons)
        cautions = len(self.content.reasons) - serious
        lines = [headline(judgements, self.content.evidence), *verdict_lines(judgements)]
        if self.content.reasons:
            lines.append(
                f"Reasons to distrust: {serious} serious, {count(cautions, 'caution')}; see the page."
            )
        return "\n".join(lines)


def write_report(
    folder: StudyFolder,
    out: Path | None = None,
    metrics: Sequence[str] = (),
    progress: Callable[[str], None] = lambda text: None,
) -> Report:
    """Writes the report of a study; the same records give the same bytes.

    Args:
        out: where to; ``report`` in the study's folder unless given. Files of the same name are replaced, files of
            an earlier report that this one does not have are removed, others are left alone.
        metrics: to show first instead of the paper's.
        progress: is told what is being done.

    Raises:
        FedskewError: a damaged record, an unknown metric, or a place that cannot be written.
    """
    where = out or folder.path / "report"
    tables, figures = [], []
    try:
        for name in ("tables", "figures"):
            (where / name).mkdir(parents=True, exist_ok=True)
        content = build_content(gather(folder, progress), metrics, progress)
        for sheet in content.sheets:
            for style in TABLE_STYLES:
                path = where / "tables" / f"{sheet.slug}.{EXTENSIONS[style]}"
                replace_file(path, render(sheet, style))
                tables.append(path)
        progress(f"drawing {len(content.plates)} figures")
        for plate in content.plates:
            with figure_style():
                figure = plate.draw()
                figure.draw_without_rendering()
                figure.set_layout_engine("none")  # laid out once, not once per file
                for ending in FIGURE_ENDINGS:
                    path = where / "figures" / f"{plate.slug}{ending}"
                    save(figure, path)
                    figures.append(path)
        page = where / "index.html"
        replace_file(page, render_page(content))
        _clear_away(where, [path.relative_to(where).as_posix() for path in (*tables, *figures)])
    except OSError as error:
        raise FedskewError(f"cannot write the report into {where}: {error.strerror or error}") from None
    return Report(page, tables, figures, content)


FILES = "files.jsonl"


def _clear_away(where: Path, written: Sequence[str]) -> None:
    """Removes what an earlier report listed and this one has not written, and lists this one's files.

    The list may have come with a study from anywhere: only a file right in one of the two folders, with an ending of
    ours, is ever removed.
    """
    try:
        earlier = read_lines(where / FILES)
    except RunError:  # somebody's own file, or a damaged one: nothing is known of earlier files
        earlier = []
    endings = {*FIGURE_ENDINGS, *(f".{EXTENSIONS[style]}" for style in TABLE_STYLES)}
    for name in earlier:
        place = PurePosixPath(name) if isinstance(name, str) else PurePosixPath()
        ours = len(place.parts) == 2 and place.parts[0] in ("tables", "figures") and place.suffix in endings
        if ours and name not in written:
            (where / place).unlink(missing_ok=True)
    replace_file(where / FILES, "".join(to_json(name) + "\n" for name in written))
