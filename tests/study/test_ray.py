"""A real Ray cluster of several nodes on this machine, one of which is killed in the middle of a study."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from fedskew.runs.folder import RunFolder
from fedskew.runs.locks import held_locks, is_held
from study_helpers import STUDY, begin, bytes_of, end, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::")]
pytest.importorskip("ray", reason="needs the extra ray: pip install ray")

SMALL = {"object_store_memory": 80 * 2**20, "include_dashboard": False}


class Nodes:
    """A head that does no runs, and two nodes with room for one run each: their cores are only labels."""

    def __init__(self) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        from ray.cluster_utils import Cluster

        self.cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **SMALL})
        self.nodes = [self.add() for _ in range(2)]

    def add(self) -> Any:
        return self.cluster.add_node(num_cpus=1, num_gpus=1, **SMALL)

    def workers(self, node: Any) -> list[psutil.Process]:
        """The processes of a node that do runs."""
        (raylet,) = node.all_processes["raylet"]
        found = psutil.Process(raylet.process.pid).children(recursive=True)
        return [one for one in found if "_events" in " ".join(one.cmdline())]

    def kill(self, node: Any) -> None:
        """Every process of a node at once, as when its machine is gone."""
        (raylet,) = node.all_processes["raylet"]
        pid = raylet.process.pid
        for one in [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]:
            os.kill(one, signal.SIGKILL)


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    found = Nodes()
    yield found
    found.cluster.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a study that was done here, to compare with."""
    found = tmp_path_factory.mktemp("study")
    (found / "mine.toml").write_text(STUDY.replace("rounds = 80", "rounds = 300"))
    end(begin(found, "here", "--jobs", "1"))
    return found


def test_a_node_is_killed_in_the_middle_and_the_bytes_are_the_same(nodes: Nodes, folder: Path) -> None:
    address = f"ray={nodes.cluster.address}"
    process = begin(folder, "there", "--on", address, "--checkpoint-every", "0")
    busy: list[Any] = []

    def training() -> bool:
        busy[:] = [node for node in nodes.nodes if nodes.workers(node)]
        begun = [path.parent for path in (folder / "there").glob("runs/*/checkpoint.safetensors")]
        # both nodes are in the middle of a run: whichever is killed had one that must be resumed
        return len(busy) == 2 and sum(not (run / "result.json").exists() for run in begun) == 2

    wait_until(lambda: training() or process.poll() is not None)
    assert process.poll() is None
    nodes.kill(busy[0])
    out, err = end(process)
    assert "; it is resumed on another" in err
    assert bytes_of(folder / "there") == bytes_of(folder / "here")
    runs = RunFolder.all_below(folder / "there")
    assert max(len(run.read_sessions()) for run in runs) == 2
    assert err.count(": done in 300 rounds  accuracy") == 4, "rounds and ends reach the driver"
    assert "0.3" in out
    assert {path.name for path in (folder / "there" / "runs").iterdir()} == {run.name for run in runs}
    nodes.cluster.remove_node(busy[0])
    nodes.nodes.remove(busy[0])


def test_a_worker_that_dies_again_and_again_is_the_fault_of_its_run(nodes: Nodes, folder: Path) -> None:
    """A plug-in that kills its process is one; its module lies beside the study. Failures reach the driver."""
    (folder / "deadly.py").write_text("import os\n\ndef deadly(evaluation):\n    os._exit(1)\n")
    options = [
        "--set",
        "evaluation.metrics=['deadly:deadly']",
        "--allow-plugin",
        "deadly",
        "--only",
        "seed=0",
    ]
    options += ["--only", "alpha=1.0", "--quiet", "--on", f"ray={nodes.cluster.address}"]
    process = begin(folder, "deadly", *options)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 1
    assert err.count("it is resumed on another") == 2
    assert "its worker died 3 times in the same round" in err


def test_a_run_of_another_process_is_left_to_it(nodes: Nodes, folder: Path) -> None:
    """On the cluster and on this machine at once, on one folder."""
    there = begin(folder, "both", "--on", f"ray={nodes.cluster.address}", "--jobs", "1")
    here = begin(folder, "both", "--jobs", "1")
    (_, err), (_, other_err) = end(there), end(here)
    assert bytes_of(folder / "both") == bytes_of(folder / "here")
    assert (err + other_err).count(": started") == 4


def test_each_run_has_its_share_of_a_gpu(nodes: Nodes, tmp_path: Path) -> None:
    """The label of one: where there is no GPU, the run fails for want of it, and says so."""
    import ray

    from fedskew.components.completed import completed
    from fedskew.config import Execution, Experiment
    from fedskew.study.ray_cluster import RayCluster
    from fedskew.study.tasks import Task, WorkerSetup

    task = Task(RunFolder.below(tmp_path, "x"), completed(Experiment()))
    try:
        ray.init(address=nodes.cluster.address, log_to_driver=False)
        setup = WorkerSetup(Execution(device="cuda", download=False))
        failed = RayCluster(None, 0.5)([task], None, setup, lambda event: None, lambda ended: False)
        assert ray.is_initialized(), "the connection was there before"
    finally:
        ray.shutdown()
    assert "cuda" in failed[0].lower()


def test_ctrl_c_ends_a_cluster_of_this_machine_alone_and_the_same_command_resumes(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    options = ("--only", "seed=0", "--only", "alpha=1.0", "--checkpoint-every", "0", "--on", "ray")
    process = begin(folder, "ctrl-c", *options)
    wait_until(lambda: list((folder / "ctrl-c").glob("runs/*/checkpoint.safetensors")))
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=300)
    assert process.returncode == 130, err
    assert err.endswith("interrupted; rerun the same command to resume\n")
    (run,) = RunFolder.all_below(folder / "ctrl-c")
    wait_until(lambda: not is_held(run.path, held_locks() or set()))
    end(begin(folder, "ctrl-c", *options))
    assert len(run.read_sessions()) == 2
    assert bytes_of(folder / "ctrl-c").items() <= bytes_of(folder / "here").items()


def test_a_cluster_that_does_not_answer(folder: Path) -> None:
    process = begin(folder, "nowhere", "--on", "ray=127.0.0.1:1")
    _, err = process.communicate(timeout=300)
    assert process.returncode == 2
    assert "no Ray cluster answers at 127.0.0.1:1" in err
    assert "Traceback" not in err
