"""Writes a report into a folder: ``index.html``, ``tables/*.{md,csv,tex}``, ``figures/*.{svg,png}``.

``written-by-fedskew.jsonl`` there lists them, so that the next report can remove those that it does not write
again: a figure of an earlier state of the study must not lie among the present ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from fedskew.errors import FedskewError, RunError
from fedskew.files import is_own_folder, make_folder, read_lines, replace_file, sweep, to_json
from fedskew.report.evidence import gather
from fedskew.report.figures.files import save_scene
from fedskew.report.page.content import Content, build_content
from fedskew.report.page.render import render_page
from fedskew.report.tables.rounds import long_files
from fedskew.report.tables.sheet import EXTENSIONS, render
from fedskew.report.words import headline, sentence, verdict_lines
from fedskew.runs.locks import BRIEF, locked
from fedskew.study.folder import StudyFolder
from fedskew.wording import count

TABLE_STYLES = ("markdown", "csv", "latex")
FIGURE_ENDINGS = (".svg", ".png")
FILES = "written-by-fedskew.jsonl"
LONG = 600.0
"""Seconds after which a file that is still being written is one whose writer was killed."""


@dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
        page: the file to open.
        tables, figures: the files, in their order.
        thinned: of ``tables``, the names of those that have every n-th round only -> n.
    """

    page: Path
    tables: list[Path]
    figures: list[Path]
    content: Content
    thinned: dict[str, int]

    @property
    def summary(self) -> str:
        """The page's first sentences, for a terminal; of an audit its answers, since a number of claims that hold says
        nothing where some are good news and some are bad."""
        content, judgements = self.content, self.content.judgements
        told = {number for _, numbers in content.answers.values() for number in numbers}
        serious = [reason for reason in self.content.reasons if reason.severity == "serious"]
        cautions = len(self.content.reasons) - len(serious)
        lines = [f"{question}: {answer}" for question, (answer, _) in content.answers.items()]
        lines += [] if told else [headline(judgements, content.evidence)]
        lines += verdict_lines(judgements, content.late, told)
        if self.content.reasons:
            lines.append(
                f"Reasons to distrust: {len(serious)} serious, {count(cautions, 'caution')}; see the page."
            )
            lines += [f"  serious: {sentence(reason.text)}" for reason in serious]
        return "\n".join(lines)


def write_report(
    folder: StudyFolder,
    out: Path | None = None,
    metrics: Sequence[str] = (),
    progress: Callable[[str], None] = lambda text: None,
    best: str | None = None,
    data_dir: Path | None = None,
) -> Report:
    """Writes the report of a study; the same records give the same bytes.

    Args:
        out: where to; ``folder.report`` unless given. Files of the same name are replaced, files of
            an earlier report that this one does not have are removed, others are left alone.
        metrics: to show first instead of the usual.
        progress: is told what is being done.
        best: the metric that chooses the best round of each run, to be shown beside the last.
        data_dir: the data root; None for ``$FEDSKEW_DATA`` or the user's cache folder.

    Raises:
        FedskewError: a damaged record, an unknown metric, a place that cannot be written, or a study's folder that
            another process holds for longer than it takes to write a report.
    """
    where = out or folder.report
    tables, figures, thinned = [], [], {}
    try:
        for name in ("tables", "figures"):
            if out is None:
                is_own_folder(where)
                make_folder(where / name)
            (where / name).mkdir(parents=True, exist_ok=True)
        content = build_content(gather(folder, progress, data_dir), metrics, progress, best)
        # Two audits of one folder end at the same time, when the last run is done.
        with nullcontext() if out else locked(folder.path, BRIEF):
            for place in (where, where / "tables", where / "figures"):
                sweep(place, older=LONG)
            for sheet in content.sheets:
                for style in TABLE_STYLES:
                    path = where / "tables" / f"{sheet.slug}.{EXTENSIONS[style]}"
                    replace_file(path, render(sheet, style))
                    tables.append(path)
            for file in long_files(content.evidence):
                tables.append(where / "tables" / file.name)
                replace_file(tables[-1], file.text)
                if file.every > 1:
                    thinned[file.name] = file.every
            progress(f"drawing {len(content.plates)} figures")
            for plate in content.plates:
                paths = [where / "figures" / f"{plate.slug}{ending}" for ending in FIGURE_ENDINGS]
                save_scene(plate.draw(), *paths)
                figures += paths
            page = where / "index.html"
            replace_file(page, render_page(content))
            _clear_away(where, [path.relative_to(where).as_posix() for path in (*tables, *figures)])
    except OSError as error:
        raise FedskewError(f"cannot write the report into {where}: {error.strerror or error}") from None
    return Report(page, tables, figures, content, thinned)


def _clear_away(where: Path, written: Sequence[str]) -> None:
    """Removes what an earlier report listed and this one has not written, and lists this one's files.

    The list may have come with a study from anywhere: only a plain file right in one of the two folders, with an
    ending of ours, is ever removed, and nothing if the folder lies elsewhere (a link).
    """
    try:
        earlier = read_lines(where / FILES)
    except (RunError, RecursionError):  # damaged: nothing is known of earlier files
        earlier = []
    for name in earlier:
        if isinstance(name, str) and name not in written and _is_ours(where, name):
            (where / name).unlink()
    replace_file(where / FILES, "".join(to_json(name) + "\n" for name in written))


def _is_ours(where: Path, name: str) -> bool:
    place = PurePosixPath(name)
    endings = {*FIGURE_ENDINGS, *(f".{EXTENSIONS[style]}" for style in TABLE_STYLES)}
    if len(place.parts) != 2 or place.parts[0] not in ("tables", "figures") or place.suffix not in endings:
        return False
    try:
        return not (where / place.parts[0]).is_symlink() and (where / place).is_file()
    except ValueError:  # letters that no file name can have
        return False
