"""The documentation as a site: it builds without a warning, and what it tells people to type works."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fedskew

ROOT = Path(__file__).resolve().parent.parent


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}", **more}


@pytest.mark.parametrize("name", fedskew.__all__)
def test_every_public_name_is_in_the_reference_with_an_example_that_runs(name: str) -> None:
    thing = getattr(fedskew, name)
    home = thing.__name__ if inspect.ismodule(thing) else f"{thing.__module__}.{thing.__qualname__}"
    page = (ROOT / "docs/reference.md").read_text(encoding="utf-8")
    assert re.search(rf"^::: {re.escape(home)}$", page, re.MULTILINE), home
    module = thing if inspect.ismodule(thing) else importlib.import_module(thing.__module__)
    finder = doctest.DocTestFinder(recurse=False)
    examples = [test for test in finder.find(thing, name, module=module, globs=None) if test.examples]
    assert examples, "a public name's docstring has an example"
    for example in examples:
        runner = doctest.DocTestRunner()
        runner.run(example)
        assert not runner.failures


@pytest.mark.slow
@pytest.mark.skipif(
    not importlib.util.find_spec("mkdocs"), reason="the site needs mkdocs: pip install 'fedskew[docs]'"
)
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    (tmp_path / "gallery" / "paper-fashion-mnist").mkdir(parents=True)
    (tmp_path / "gallery" / "paper-fashion-mnist" / "index.html").write_text("<title>a report</title>")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path / "site")],
        cwd=ROOT,
        env=environment(FEDSKEW_GALLERY=str(tmp_path / "gallery"), NO_MKDOCS_2_WARNING="1"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    site = tmp_path / "site"
    assert (site / "gallery" / "paper-fashion-mnist.html").read_text() == "<title>a report</title>"
    gallery = (site / "gallery.html").read_text(encoding="utf-8")
    assert 'href="gallery/paper-fashion-mnist.html"' in gallery
    assert 'href="gallery/paper-cifar-10-bfloat16.html"' not in gallery, "a report that is not there"
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert "fonts.googleapis" not in text, "nothing is fetched from elsewhere"
        assert 'href="../' not in text or page.parent != site, page


@pytest.mark.slow
def test_the_tutorial_works_as_it_stands(tmp_path: Path) -> None:
    page = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert [kind for kind, _ in blocks].count("sh") == 5
    for kind, text in blocks:
        if named := re.match(r"# ([\w.]+)", text):
            (tmp_path / named[1]).write_text(text)
        elif kind == "python":
            done = subprocess.run(
                [sys.executable, "-c", text], cwd=tmp_path, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            assert done.stdout.count("\n") == 5
        elif not text.startswith("make install"):
            done = subprocess.run(
                ["bash", "-euc", text],
                cwd=tmp_path,
                env=environment(),
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, done.stderr
            if "report mine" in text:
                assert "2 of 2 claims hold (5 seeds)." in done.stdout
    assert (tmp_path / "studies/mine/report/index.html").exists()
    assert (tmp_path / "split.svg").exists()
