"""The fault campaign (``campaign.py``): its instruments, and a short one."""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from campaign_parts import mutations
from campaign_parts.faults import KINDS, Fault, Faults
from campaign_parts.outcomes import BEGIN, END, Campaign, Outcome, with_block
from campaign_parts.soak import Look, growth
from fedskew.training.native.plan import Unsupported

CAMPAIGN = Path(__file__).with_name("campaign.py")
WRITER = """
import os, sys
for name in ("a", "b", "c"):
    path = os.path.join(sys.argv[1], name)
    with open(path, "wb", buffering=0) as file:
        sys.stdout.write(f"{file.write(b'0123456789')} ")
        os.fsync(file.fileno())
    os.replace(path, path + "2")
"""


@pytest.fixture(scope="module")
def faults(tmp_path_factory: pytest.TempPathFactory) -> Faults:
    try:
        return Faults.build(tmp_path_factory.mktemp("faults"))
    except Unsupported as error:
        pytest.skip(str(error))


def wrote(faults: Faults, folder: Path, fault: Fault | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-S", "-c", WRITER, str(folder)],
        env=faults.around(folder, fault),
        capture_output=True,
        text=True,
        check=False,
    )


def test_operations_in_the_folder_are_counted(faults: Faults, tmp_path: Path) -> None:
    assert wrote(faults, tmp_path).returncode == 0
    wanted = {"open": 3, "write": 3, "fsync": 3, "rename": 3, "close": 3}
    assert {name: count for name, count in faults.seen().counts.items() if count} == wanted


@pytest.mark.parametrize("operation", ["open", "write", "fsync", "rename", "close"])
@pytest.mark.parametrize("kind", ["EIO", "kill"])
def test_the_second_operation_alone_goes_wrong(
    faults: Faults, tmp_path: Path, operation: str, kind: str
) -> None:
    done = wrote(faults, tmp_path, Fault(operation, kind, 2))
    assert done.returncode == (-9 if kind == "kill" else 1)
    assert kind == "kill" or "Input/output error" in done.stderr
    assert faults.seen().hits == 1
    assert faults.seen().path == str(tmp_path / "b")
    assert (tmp_path / "a2").read_bytes() == b"0123456789"
    assert not (tmp_path / "c").exists()


def test_half_a_write(faults: Faults, tmp_path: Path) -> None:
    assert wrote(faults, tmp_path, Fault("write", "short", 2)).stdout.split() == ["10", "5", "10"]
    assert wrote(faults, tmp_path, Fault("write", "torn", 3)).returncode == -9
    assert (tmp_path / "c").read_bytes() == b"01234"


def test_a_disk_that_is_full_for_good(faults: Faults, tmp_path: Path) -> None:
    done = wrote(faults, tmp_path, Fault("any", "ENOSPC", 1, onwards=True))
    assert "No space left on device" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_kind_is_one_that_the_library_knows() -> None:
    assert {kind for kinds in KINDS.values() for kind in kinds} == {"ENOSPC", "EIO", "short", "torn", "kill"}


@pytest.mark.parametrize(
    ("mutate", "whole"),
    [
        (mutations.bytewise, b"some bytes"),
        (mutations.of_json, b'{"a": [1, 2.5, null], "b": {"c": "x"}}'),
        (mutations.of_lines, b'{"a": 1}\n{"a": 2}\n'),
        (mutations.of_toml, b"a = 1\n[b]\nc = [1, 2]\n"),
    ],
)
def test_damage_is_drawn_from_the_seed(
    mutate: Callable[[random.Random, Sequence[bytes]], bytes], whole: bytes
) -> None:
    first, again = ([mutate(random.Random(n), [whole]) for n in range(200)] for _ in range(2))
    assert first == again
    assert len(set(first)) > 100


def test_a_campaign_is_continued(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    campaign = Campaign(tmp_path, seed=3)
    campaign.add(Outcome("kills", "1", "SIGKILL of a study's parent"))
    campaign.add(Outcome("kills", "2", "SIGKILL of a study's parent", problems=["x has other bytes"]))
    campaign.add(Outcome("parsers", "csv 0 to 99", "csv", count=100, wrong=2, problems=["ValueError"]))
    campaign.add(Outcome("operations", "write EIO 9999", "write", reached=False))
    assert "kills 2: FAILED" in capsys.readouterr().out
    again = Campaign(tmp_path, seed=3)
    assert again.outcomes == campaign.outcomes
    assert not again.is_due("kills", "1")
    assert again.is_due("kills", "3")
    assert Campaign(tmp_path, seed=3, trials=["1"]).is_due("kills", "1")
    assert "| kills | SIGKILL of a study's parent | 2 | 1 | 1 |" in again.table("x")
    assert "| parsers | csv | 100 | 98 | 2 |" in again.table("x")
    assert "| operations | write | 0 | 0 | 0 |" in again.table("x")
    assert Campaign(tmp_path / "late", seed=3, minutes=-1).is_over()
    with pytest.raises(SystemExit, match="of another campaign"):
        Campaign(tmp_path, seed=4)


def test_the_table_replaces_the_one_before() -> None:
    page = f"# Title\n\n{BEGIN}\nold\n\n{END}\nafter\n"
    once = with_block(page, "new\n")
    assert "old" not in once
    assert once.startswith("# Title\n")
    assert once.endswith("after\n")
    assert with_block(once, "new\n") == once
    with pytest.raises(SystemExit, match="no lines"):
        with_block("# Title\n", "new\n")


def looks(leak: float = 0.0, files: int = 0, slower: float = 0.0) -> list[Look]:
    rng = random.Random(0)
    return [
        Look(
            done,
            200.0 + leak * done + rng.uniform(-2, 2),
            150.0,
            30 + files * done // 1000,
            0.1 * done + slower * done * done,
        )
        for done in range(5, 1000, 5)
    ]


def test_what_grows_is_named() -> None:
    assert growth(looks(), 1000)[1] == []
    (grown,) = growth(looks(leak=0.05), 1000)[1]
    assert grown.startswith("memory of a worker, MB grew from ")
    (grown,) = growth(looks(files=5), 1000)[1]
    assert grown.startswith("open files grew from ")
    (grown,) = growth(looks(slower=5e-5), 1000)[1]
    assert grown.startswith("seconds per run grew from ")


@pytest.fixture
def near() -> Iterator[str]:
    """A folder with a short path: in one of pytest's, the sockets of a study's workers would have too long names."""
    with tempfile.TemporaryDirectory(prefix="campaign-") as folder:
        yield folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "part",
    [
        ["kills", "--kills=6"],
        ["operations", "--operations=8"],
        ["parsers", "--inputs=4200"],
        ["soak", "--cells=40"],
    ],
)
def test_a_short_campaign(near: str, part: list[str]) -> None:
    only, count = part
    done = subprocess.run(
        [sys.executable, str(CAMPAIGN), "--only", only, count, "--out", near],
        cwd=CAMPAIGN.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_every_command_in_every_surrounding(near: str) -> None:
    done = subprocess.run(
        [sys.executable, str(CAMPAIGN), "--only", "surroundings", "--out", near],
        cwd=CAMPAIGN.parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
