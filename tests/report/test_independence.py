"""A report is the same files whatever the user's matplotlib, locale, time zone, terminal and encoding are."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from report_helpers import SETTINGS, complete, make_study

HOSTILE = {
    "LC_ALL": "C",
    "LANG": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "PYTHONIOENCODING": "ascii",
    "PYTHONHASHSEED": "7",
    "TZ": "Asia/Kathmandu",
    "TERM": "dumb",
    "FORCE_COLOR": "1",
    "COLUMNS": "20",
    "MPLBACKEND": "no-such-backend",
}
SETTINGS_FILE = """\
backend: no-such-backend
axes.formatter.use_locale: True
svg.fonttype: none
savefig.bbox: tight
savefig.facecolor: red
path.sketch: 5, 5, 5
font.family: serif
text.usetex: True
figure.autolayout: True
"""


def report(where: Path, study: Path, out: str, **environment: str) -> bytes:
    command = [sys.executable, "-m", "fedskew", "report", str(study), "--out", str(where / out)]
    plain = {key: value for key, value in os.environ.items() if key not in HOSTILE}
    done = subprocess.run(command, env=plain | environment, cwd=where, capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    assert b"Traceback" not in done.stderr
    return done.stdout


@pytest.mark.slow
def test_two_reports_are_the_same_bytes(tmp_path: Path) -> None:
    folder = make_study(tmp_path / "study", axes={"setting – ü": {"variants": SETTINGS}})
    complete(folder)
    (tmp_path / "hostile").mkdir()
    (tmp_path / "usual").mkdir()
    # Not even text: reading it would end the command.
    (tmp_path / "hostile" / "matplotlibrc").write_bytes(b"font.family: \xff\xfe\n" + SETTINGS_FILE.encode())
    usual = report(tmp_path / "usual", folder.path, "out", LC_ALL="C.UTF-8")
    hostile = report(tmp_path / "hostile", folder.path, "out", **HOSTILE)

    files = [
        sorted(p.relative_to(tmp_path / name) for p in (tmp_path / name / "out").rglob("*.*"))
        for name in ("usual", "hostile")
    ]
    assert files[0] == files[1]
    assert len(files[0]) > 20
    for path in files[0]:
        assert (tmp_path / "usual" / path).read_bytes() == (tmp_path / "hostile" / path).read_bytes(), path

    text = hostile.decode("ascii")
    assert "?" not in text
    assert "setting - u" in text
    assert re.search(r"backdoor \+ RLR +\d\d\.\d\d \+- \d\.\d\d", text)
    assert "±" in usual.decode("utf-8")


@pytest.mark.parametrize("encoding", ["latin-1", "ascii"])
def test_letters_that_an_encoding_lacks_have_others(encoding: str) -> None:
    code = (
        "from fedskew.terminal.letters import write_in_any_encoding; write_in_any_encoding(); "
        "print('1 ± 2 – ü → … − \\u4e2d')"
    )
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, check=True)
    wanted = {"ascii": "1 +- 2 - u -> ... - ?\n", "latin-1": "1 ± 2 - ü -> ... - ?\n"}
    assert done.stdout.decode(encoding) == wanted[encoding]
