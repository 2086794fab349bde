"""What mkdocs does besides: README, CHANGELOG and CONTRIBUTING become pages, links to files outside docs/ point to the
source of the release or are text, and the reports of the published studies are put beside the gallery.

``FEDSKEW_GALLERY=folder`` names the folder with the reports (``make site`` writes it); without it the gallery lists
them without links.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"README.md": "index.md", "CHANGELOG.md": "changelog.md", "CONTRIBUTING.md": "contributing.md"}
"""Files of the project that are pages here."""
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)")


FENCE = re.compile(r"^(```\w+) .*$", re.MULTILINE)
"""The tests read a second word after the language; Markdown's renderer knows one."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the project's own pages and the gallery's reports."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_as_page(text, "", config)))
    gallery = os.environ.get("FEDSKEW_GALLERY")
    for report in sorted(Path(gallery).glob("*/index.html")) if gallery else []:
        files.append(
            File.generated(config, f"gallery/{report.parent.name}.html", content=report.read_bytes())
        )
    return files


def on_page_markdown(markdown: str, page: Any, config: MkDocsConfig, files: Files) -> str:
    """Mends links that lead out of docs/; those to a published study lead to its report, if that is there."""
    if page.file.src_uri in PAGES.values():
        return markdown
    studies = re.sub(
        r"\(\.\./results/([\w-]+)\.tar\.xz\)",
        lambda link: (
            f"(gallery/{link[1]}.html)" if files.get_file_from_path(f"gallery/{link[1]}.html") else link[0]
        ),
        markdown,
    )
    return FENCE.sub(r"\1", _as_page(studies, "../", config))


def _as_page(text: str, up: str, config: MkDocsConfig) -> str:
    """Links as they are from a page of the site.

    Args:
        up: the way from the file to the project's root.
    """

    def mended(link: re.Match[str]) -> str:
        image, words, target = link.groups()
        if re.match(r"[a-z]+:|#", target):
            return link[0]
        path, _, anchor = target.partition("#")
        anchor = f"#{anchor}" if anchor else ""
        inside = path.removeprefix(up) if path.startswith(up) else None
        if inside is None:  # beside this file, in docs/
            return link[0]
        if inside in PAGES:
            return f"{image}[{words}]({PAGES[inside]}{anchor})"
        if inside.startswith("docs/"):
            return f"{image}[{words}]({inside.removeprefix('docs/')}{anchor})"
        if config.repo_url:
            return f"[{words}]({config.repo_url.rstrip('/')}/blob/main/{inside})"
        return words

    return LINK.sub(mended, text)
