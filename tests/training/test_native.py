"""The native kernels against autograd, under sanitizers, in threads, and without a compiler."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fedskew.protocols import DatasetInfo
from fedskew.training.choose import choose
from fedskew.training.native import NativeModel, Unsupported, build, codegen, compiler
from fedskew.training.native.plan import make_plan
from native_case import Case
from tolerance import Rounding, expect

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler")
Shape = tuple[int, int, int]


@pytest.fixture(autouse=True, scope="module")
def private_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        patch.setattr(compiler, "cache_folder", lambda: folder / "native")
        yield folder / "native"


def lenet() -> nn.Sequential:
    features = nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2)),
    )
    head = nn.Sequential(nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10))
    return nn.Sequential(features, nn.Flatten(), head)


def odd() -> nn.Sequential:
    """Everything at once: odd sizes, lone pools and ReLUs, no bias, dropout on maps and features, wide outputs."""
    return nn.Sequential(
        *(
            nn.Dropout(0.1),
            nn.Conv2d(3, 5, (3, 2), padding=(2, 1)),
            nn.Dropout(0.25),
            nn.ReLU(),
            nn.MaxPool2d((2, 1)),
        ),
        *(nn.Conv2d(5, 16, 3, padding=1, bias=False), nn.MaxPool2d(2), nn.ReLU()),
        *(nn.Conv2d(16, 7, 1), nn.ReLU(), nn.Dropout(0.5), nn.Flatten(), nn.Identity()),
        *(nn.Linear(7 * 3 * 4, 19, bias=False), nn.ReLU(), nn.Dropout(0.3), nn.ReLU(), nn.Linear(19, 3)),
    )


ODD_SHAPE: Shape = (3, 11, 7)


@pytest.fixture(scope="module")
def odd_case(private_cache: Path) -> Case:
    torch.manual_seed(1)
    return Case(odd(), ODD_SHAPE)


@pytest.mark.numerical
@needs_compiler
@pytest.mark.parametrize("size", [1, 15, 16, 17, 300])
def test_every_kind_of_layer_agrees_with_autograd(odd_case: Case, size: int) -> None:
    odd_case.check(size)


@pytest.mark.numerical
@needs_compiler
def test_lenet_agrees_with_autograd() -> None:
    torch.manual_seed(2)
    case = Case(lenet(), (1, 28, 28))
    assert case.model.num_parameters == 61_706
    for size in (1, 33):
        case.check(size)


@pytest.mark.numerical
@needs_compiler
@pytest.mark.parametrize("pool", [(2, 3), pytest.param((1, 1), marks=pytest.mark.slow)])
def test_a_wide_first_layer_and_several_chunks_agree_with_autograd(pool: tuple[int, int]) -> None:
    torch.manual_seed(5)
    features = (5 // pool[0]) * (8 // pool[1]) * 32
    layers = (nn.Conv2d(2, 32, (2, 3), padding=(0, 1)), nn.ReLU(), nn.MaxPool2d(pool), nn.Flatten())
    case = Case(nn.Sequential(*layers, nn.Linear(features, 3)), (2, 6, 8))
    for size in (3, 600):
        case.check(size)


@pytest.mark.slow
@pytest.mark.numerical
@needs_compiler
def test_the_cifar_cnn_agrees_with_autograd() -> None:
    torch.manual_seed(3)
    layers: list[nn.Module] = []
    for before, after in ((3, 64), (64, 128), (128, 256)):
        layers += [nn.Conv2d(before, after, 3), nn.ReLU(), nn.MaxPool2d(2)]
    layers.append(nn.Flatten())
    for before, after in ((1024, 128), (128, 256)):
        layers += [nn.Dropout(0.5), nn.Linear(before, after), nn.ReLU()]
    case = Case(nn.Sequential(*layers, nn.Dropout(0.5), nn.Linear(256, 10)), (3, 32, 32))
    assert case.model.num_parameters == 537_610
    for size in (1, 40):
        case.check(size)


@st.composite
def architectures(draw: st.DrawFn) -> tuple[nn.Sequential, Shape]:
    """Small random sequential models that fit their images."""
    size = st.integers(1, 9)
    shape = c, h, w = draw(st.integers(1, 4)), draw(size), draw(size)
    layers: list[nn.Module] = []
    for _ in range(draw(st.integers(0, 3))):
        pad = draw(st.integers(0, 3)), draw(st.integers(0, 3))
        kernel = draw(st.integers(1, min(5, h + 2 * pad[0]))), draw(st.integers(1, min(5, w + 2 * pad[1])))
        outputs = draw(st.one_of(st.integers(1, 14), st.sampled_from([16, 32])))
        layers.append(nn.Conv2d(c, outputs, kernel, padding=pad, bias=draw(st.booleans())))
        c, h, w = outputs, h + 2 * pad[0] - kernel[0] + 1, w + 2 * pad[1] - kernel[1] + 1
        for extra in draw(st.lists(st.sampled_from(["relu", "pool", "dropout"]), max_size=3)):
            if extra == "pool":
                pool = draw(st.integers(1, min(h, 3))), draw(st.integers(1, min(w, 3)))
                layers.append(nn.MaxPool2d(pool))
                h, w = h // pool[0], w // pool[1]
            else:
                layers.append(
                    nn.ReLU() if extra == "relu" else nn.Dropout(draw(st.sampled_from([0.0, 0.3, 0.7])))
                )
    layers.append(nn.Flatten())
    features = c * h * w
    for _ in range(draw(st.integers(0, 2))):
        outputs = draw(st.integers(1, 40))
        layers += [nn.Linear(features, outputs, bias=draw(st.booleans())), nn.ReLU()]
        features = outputs
    layers.append(nn.Linear(features, draw(st.integers(1, 11))))
    return nn.Sequential(*layers), shape


def check_random(module: nn.Sequential, shape: Shape, size: int, seed: int) -> None:
    torch.manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    Case(module, shape, seed=seed).check(size, seed)


relaxed = settings(
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
random_cases = given(
    architecture=architectures(),
    size=st.one_of(st.sampled_from([1, 16, 17]), st.integers(1, 40)),
    seed=st.integers(0, 2**31),
)


@pytest.mark.numerical
@needs_compiler
@settings(relaxed, max_examples=3)
@random_cases
def test_random_models_agree_with_autograd(
    architecture: tuple[nn.Sequential, Shape], size: int, seed: int
) -> None:
    check_random(*architecture, size, seed)


@pytest.mark.slow
@needs_compiler
@settings(relaxed, max_examples=40)
@random_cases
def test_many_random_models_agree_with_autograd(
    architecture: tuple[nn.Sequential, Shape], size: int, seed: int
) -> None:
    check_random(*architecture, size, seed)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_other_vector_lengths_agree_with_autograd_and_give_the_same_bits(
    lanes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the kernels become for NEON or SSE (4 floats), AVX2 (8) and AVX-512 (16), as far as this machine runs it."""
    torch.manual_seed(4)
    own = Case(odd(), ODD_SHAPE)
    monkeypatch.setattr(compiler, "FLAGS", (*compiler.FLAGS, "-O1", f"-DLANES={lanes}"))
    case = Case(own.module, ODD_SHAPE)
    assert case.model._library.fs_lanes() == lanes
    for size in (1, 35):
        case.check(size)
    indices = torch.arange(40)
    assert case.run(indices)[:2] == own.run(indices)[:2]
    assert torch.equal(case.run(indices)[2], own.run(indices)[2])


def minimal() -> nn.Sequential:
    """What LeNet does not have: minimal filtering, and a gradient with outputs as lanes."""
    features = nn.Sequential(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.MaxPool2d(2), nn.ReLU())
    return nn.Sequential(features, nn.Flatten(), nn.Linear(32 * 12 * 12, 10))


@pytest.mark.parametrize("make", [lenet, minimal])
def test_processors_with_other_vectors_give_the_same_bits(
    make: Callable[[], nn.Sequential], monkeypatch: pytest.MonkeyPatch
) -> None:
    """AVX2 and AVX-512: other instructions and other blocks of registers, but the same order of every sum."""
    present = set(compiler.cpu_identity().split())
    if not {"avx2", "fma", "avx512f", "avx512bw", "avx512dq", "avx512vl"} <= present:
        pytest.skip("needs a processor with AVX2 and AVX-512")
    results: list[tuple[Any, ...]] = []
    for target in ("x86-64-v3", "x86-64-v4"):
        monkeypatch.setenv(compiler.TARGET_VARIABLE, target)
        torch.manual_seed(6)
        case = Case(make(), (1, 28, 28), images=70)
        losses = case.model.evaluate(case.weights, case.images, case.labels, None)[0]
        results.append((case.model._library.fs_lanes(), losses, *case.run(torch.arange(70))))
    (eight, *one), (sixteen, *other) = results
    assert (eight, sixteen) == (8, 16)
    assert one[1:3] == other[1:3]
    assert torch.equal(one[0], other[0])
    assert torch.equal(one[3], other[3])


@needs_compiler
def test_dropout_masks_have_the_rate_and_depend_on_seed_layer_and_position_alone(odd_case: Case) -> None:
    model = odd_case.model
    for layer, p in enumerate((0.1, 0.25, 0.5, 0.3)):
        masks = torch.stack([model.dropout_mask(layer, seed, i) for seed in range(10) for i in range(100)])
        values = masks.unique().tolist()  # type: ignore[no-untyped-call]
        assert set(values) == {0.0, torch.tensor(1 / (1 - p)).item()}
        kept = (masks > 0).float()
        assert kept.mean().item() == pytest.approx(1 - p, abs=5 * (p * (1 - p) / kept.numel()) ** 0.5)
        neighbours = torch.corrcoef(torch.stack([kept[:-1].flatten(), kept[1:].flatten()]))[0, 1]
        assert abs(neighbours) < 5 / kept.numel() ** 0.5
        different = len(masks.unique(dim=0))  # type: ignore[no-untyped-call]
        assert different > 950  # 19 units at p = 0.3 coincide sometimes
    assert torch.equal(model.dropout_mask(1, 5, 3), model.dropout_mask(1, 5, 3))
    with pytest.raises(ValueError, match="no dropout layer"):
        model.dropout_mask(9, 0, 0)


@needs_compiler
def test_dropout_of_everything_leaves_the_last_bias_to_learn() -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(4, 5), nn.Dropout(1.0), nn.Linear(5, 2))
    _, _, gradient = Case(module, (1, 2, 2)).run(torch.arange(3))
    assert not gradient[:-2].any()
    assert gradient[-2:].any()


@pytest.mark.numerical
@needs_compiler
def test_repeats_are_bit_identical_and_the_seed_matters(odd_case: Case) -> None:
    indices = odd_case.batch(37)
    first = odd_case.run(indices)
    odd_case.run(odd_case.batch(19), seed=1)  # whatever the workspace held before
    again, other = odd_case.run(indices), odd_case.run(indices, seed=8)
    assert first[:2] == again[:2]
    assert torch.equal(first[2], again[2])
    assert not torch.equal(first[2], other[2])


@pytest.mark.numerical
@needs_compiler
def test_two_instances_in_two_threads_give_the_same_bits(odd_case: Case) -> None:
    models = [build(odd_case.module, ODD_SHAPE, odd_case.mean, odd_case.std, 64) for _ in range(2)]
    batches = [odd_case.batch(64) for _ in range(20)]
    alone = [odd_case.run(batch) for batch in batches]
    results: list[list[tuple[float, int, Tensor]]] = [[], []]
    start = threading.Barrier(2)

    def work(number: int) -> None:
        start.wait()
        results[number] = [odd_case.run(batch, model=models[number]) for batch in batches]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for found in results:
        assert [item[:2] for item in found] == [item[:2] for item in alone]
        assert all(torch.equal(a[2], b[2]) for a, b in zip(found, alone, strict=True))


@pytest.mark.numerical
@needs_compiler
def test_evaluation_agrees_with_torch(odd_case: Case) -> None:
    everything = torch.arange(len(odd_case.images))
    for indices in (None, odd_case.batch(17), odd_case.batch(1), torch.empty(0, dtype=torch.int64)):
        losses, predictions = odd_case.model.evaluate(
            odd_case.weights, odd_case.images, odd_case.labels, indices
        )
        chosen = everything if indices is None else indices

        def exact(rounding: Rounding, chosen: Tensor = chosen) -> list[Tensor]:
            parts = odd_case.split(odd_case.weights.double())
            shapes = [parameter.shape for parameter in odd_case.module.parameters()]
            rounded = [
                rounding.multiplied(part.view(shape)).flatten()
                for part, shape in zip(parts, shapes, strict=True)
            ]
            logits = odd_case.logits(torch.cat(rounded), chosen, None, rounding)
            return [logits, rounding.cross_entropy(logits, odd_case.labels[chosen])]

        want = expect(exact, 1)
        assert losses.dtype == torch.float32
        assert predictions.dtype == torch.int64
        assert want.excess([want.blocks[0], losses]) < 1
        assert torch.equal(predictions, want.blocks[0].argmax(1))


@needs_compiler
def test_a_weight_that_is_not_a_number_shows_in_the_loss(odd_case: Case) -> None:
    broken = odd_case.weights.clone()
    broken[0] = float("nan")
    gradient = torch.empty_like(broken)
    data = (odd_case.images, odd_case.labels)
    loss, _ = odd_case.model.loss_and_gradient(broken, gradient, *data, torch.arange(4), 0)
    assert loss != loss
    assert odd_case.model.evaluate(broken, *data, None)[0].isnan().any()


@needs_compiler
def test_wrong_arguments_are_refused(odd_case: Case) -> None:
    weights, images, labels = odd_case.weights, odd_case.images, odd_case.labels
    gradient, indices = torch.empty_like(weights), torch.arange(4)
    good = {"weights": weights, "gradient": gradient, "images": images, "labels": labels, "indices": indices}
    bad: list[tuple[str, Tensor]] = [
        ("weights", weights[:-1]),
        ("weights", weights.double()),
        ("gradient", torch.empty(2 * len(weights))[::2]),
        ("images", images.float()),
        ("images", images[:, :, 1:]),
        ("labels", labels[:-1]),
        ("indices", indices.int()),
        ("logit_map", torch.zeros(2, 4)),
        ("logit_map", torch.zeros(6)),
    ]
    for name, tensor in bad:
        with pytest.raises(ValueError, match=f"^{name} must be a contiguous"):
            odd_case.model.loss_and_gradient(**{**good, name: tensor}, dropout_seed=0)
    with pytest.raises(ValueError, match="at least one"):
        odd_case.model.loss_and_gradient(**{**good, "indices": indices[:0]}, dropout_seed=0)
    for wrong in (-1, len(images)):
        out = torch.tensor([0, 1, wrong])
        with pytest.raises(IndexError, match="position 2"):
            odd_case.model.loss_and_gradient(**{**good, "indices": out}, dropout_seed=0)
        with pytest.raises(IndexError, match="position 2"):
            odd_case.model.evaluate(weights, images, labels, out)
    with pytest.raises(IndexError, match=r"classes: 0\.\.2"):
        odd_case.model.evaluate(weights, images, torch.full_like(labels, 3), None)
    with pytest.raises(ValueError, match="one per channel"):
        build(odd_case.module, ODD_SHAPE, (0.5,), (0.5,))


def _hooked() -> nn.Module:
    layer = nn.ReLU()
    layer.register_forward_hook(lambda *_: None)
    return layer


def _twice() -> list[nn.Module]:
    layer = nn.Linear(4, 4)
    return [nn.Flatten(), layer, layer]


class _Own(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        return x + 1


UNSUPPORTED: list[tuple[list[nn.Module], str]] = [
    ([nn.BatchNorm2d(1)], "layer BatchNorm2d is not supported"),
    ([nn.Conv2d(1, 2, 1, stride=2)], "Conv2d with stride"),
    ([nn.Conv2d(1, 2, 1, padding=1, padding_mode="reflect")], "Conv2d with padding_mode"),
    ([nn.Conv2d(2, 2, 1)], "expects 2 channels and gets 1"),
    ([nn.Conv2d(1, 2, 3)], "larger than its 2x2 map"),
    ([nn.Conv2d(1, 2, 2, padding="same")], "even kernel"),
    ([nn.MaxPool2d(2, stride=1)], "MaxPool2d is supported with"),
    ([nn.MaxPool2d(3)], "window"),
    ([nn.Flatten(), nn.Linear(5, 2)], "expects 5 features and gets 4"),
    ([nn.Linear(2, 2)], "not flattened"),
    ([nn.Flatten(), nn.Conv2d(1, 1, 1)], "after Flatten"),
    ([nn.Flatten(), nn.MaxPool2d(1)], "after Flatten"),
    ([nn.Flatten(0)], "start_dim=1"),
    ([nn.Conv2d(1, 2, 1)], "one flat vector"),
    ([nn.Flatten(), nn.Linear(4, 2).double()], "float64"),
    ([_hooked()], "hook"),
    (_twice(), "shares"),
    ([_Own()], "_Own"),
    ([nn.Flatten()], "flat vector"),
]


@pytest.mark.parametrize(("layers", "reason"), UNSUPPORTED, ids=[reason for _, reason in UNSUPPORTED])
def test_what_is_not_served_says_why(layers: list[nn.Module], reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        build(nn.Sequential(*layers), (1, 2, 2), (0.5,), (0.5,), 8)


def tiny(outputs: int = 2) -> nn.Sequential:
    return nn.Sequential(nn.Flatten(), nn.Linear(4, outputs))


def build_tiny(outputs: int = 2) -> NativeModel:
    return build(tiny(outputs), (1, 2, 2), (0.5,), (0.5,), 8)


def test_without_a_compiler_the_reason_is_clear(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CC", "no-such-compiler -pipe")
    with pytest.raises(Unsupported, match=r"no C compiler found \(no-such-compiler\)"):
        build_tiny()
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match=r"no C compiler found \(cc\)"):
        build_tiny()
    broken = tmp_path / "cc"
    broken.write_text("#!/bin/sh\n[ \"$1\" = --version ] && exit 0\necho 'x.c:1: error: boom' >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(Unsupported, match=r"exit code 3.*error: boom"):
        build_tiny()


@needs_compiler
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="targets of x86-64")
def test_kernels_can_be_built_for_another_processor_and_say_so(
    monkeypatch: pytest.MonkeyPatch, private_cache: Path
) -> None:
    info = DatasetInfo("toy", ("a", "b"), (1, 2, 2), (0.5,), (0.5,))
    data = torch.zeros(2, 1, 2, 2, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64)
    monkeypatch.delenv("FEDSKEW_NATIVE_TARGET", raising=False)
    assert choose(tiny(), info, *data, torch.device("cpu")).reason.endswith("floats per vector")
    before = set(private_cache.iterdir())
    monkeypatch.setenv("FEDSKEW_NATIVE_TARGET", "x86-64")
    other = choose(tiny(), info, *data, torch.device("cpu"))
    assert other.build(1).name == "native"
    assert other.reason == "native kernels serve this model: 8 floats per vector; built for x86-64"
    assert len(set(private_cache.iterdir()) - before) == 2  # the model's kernels, the optimisers' steps
    for name, reason in (
        ("x86-64-v99", r"FEDSKEW_NATIVE_TARGET = 'x86-64-v99': .*(bad value|unknown)"),
        ("native -DLANES=3", "is not the name of a processor"),
    ):
        monkeypatch.setenv("FEDSKEW_NATIVE_TARGET", name)
        with pytest.raises(Unsupported, match=reason):
            build_tiny()
    monkeypatch.setattr(compiler, "cpu_identity", lambda: "x86_64\nflags : sse sse2")
    monkeypatch.setenv("FEDSKEW_NATIVE_TARGET", "haswell")
    with pytest.raises(Unsupported, match=r"this processor lacks .*avx2"):
        build_tiny()


@needs_compiler
def test_without_a_cache_that_can_be_written_kernels_are_not_kept(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(compiler, "_loaded", {})
    monkeypatch.setattr(compiler, "cache_folder", lambda: tmp_path / "file" / "native")
    assert build_tiny(3).num_parameters == 15
    (message,) = caplog.messages
    assert re.search(r"this process alone and not kept, since .*exists: '.*/file';", message)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "file"))
    monkeypatch.setattr(compiler, "_loaded", {})
    with pytest.raises(Unsupported, match="cannot be built or loaded"):
        build_tiny(3)


@needs_compiler
def test_the_library_is_built_once_and_a_damaged_one_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiler, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(compiler, "_loaded", {})
    build_tiny(3)
    (folder,) = tmp_path.iterdir()  # and nothing temporary is left
    library = folder / "library.so"
    good, made = library.read_bytes(), library.stat().st_mtime_ns
    monkeypatch.setattr(compiler, "_loaded", {})
    build_tiny(3)
    assert library.stat().st_mtime_ns == made
    library.unlink()  # a new file: the old one is mapped into this process
    library.write_bytes(good[: len(good) // 2])
    monkeypatch.setattr(compiler, "_loaded", {})
    model = build_tiny(3)
    assert library.stat().st_size == len(good)
    assert list(tmp_path.iterdir()) == [folder]
    assert model.num_parameters == 15


@needs_compiler
def test_two_builders_at_once_do_not_disturb_each_other(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiler, "cache_folder", lambda: tmp_path)
    source = codegen.generate(make_plan(tiny(4), (1, 2, 2)))
    command = [*compiler.find_compiler(), "-O0", "-w"]
    folders: list[Path] = []
    start = threading.Barrier(2)

    def work() -> None:
        start.wait()
        folders.append(compiler._ensure_built(tmp_path, "somekey", source, command))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folders == [tmp_path / "somekey"] * 2
    assert list(tmp_path.iterdir()) == [tmp_path / "somekey"]


def planted(root: Path) -> Path:
    """A library in the cache that is not the one that was built, though its digest fits: loading it would fail."""
    (library,) = root.glob("*/library.so")
    library.unlink()
    library.write_bytes(b"somebody else's code")
    library.with_name("library.sha256").write_text(hashlib.sha256(library.read_bytes()).hexdigest())
    return library


@needs_compiler
@pytest.mark.parametrize("opened", [".", "library.so"])
def test_a_library_that_others_could_have_changed_is_built_again(
    opened: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiler, "cache_folder", lambda: tmp_path / "native")
    monkeypatch.setattr(compiler, "_loaded", {})
    build_tiny(3)
    library = planted(tmp_path / "native")
    (library.parent / opened).chmod(0o777)
    monkeypatch.setattr(compiler, "_loaded", {})
    assert build_tiny(3).num_parameters == 15
    assert library.stat().st_size > 1000
    assert not caplog.messages


@needs_compiler
def test_in_a_cache_that_others_could_change_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    monkeypatch.setattr(compiler, "cache_folder", lambda: shared / "fedskew" / "native")
    monkeypatch.setattr(compiler, "_loaded", {})
    build_tiny(3)
    library = planted(shared / "fedskew" / "native")
    shared.chmod(0o777)
    monkeypatch.setattr(compiler, "_loaded", {})
    assert build_tiny(3).num_parameters == 15
    assert library.read_bytes() == b"somebody else's code"
    (message,) = caplog.messages
    assert f"for this process alone and not kept, since others can write {shared};" in message
    monkeypatch.setattr(tempfile, "tempdir", str(shared))
    monkeypatch.setattr(compiler, "_loaded", {})
    with pytest.raises(Unsupported, match=f"nobody else could change: others can write {shared}"):
        build_tiny(3)


@needs_compiler
def test_the_cache_is_the_users_alone_whatever_the_umask(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    monkeypatch.setattr(compiler, "cache_folder", lambda: tmp_path / "made" / "fedskew" / "native")
    monkeypatch.setattr(compiler, "_loaded", {})
    before = os.umask(0o002)
    try:
        build_tiny(3)
    finally:
        os.umask(before)
    (library,) = tmp_path.glob("made/fedskew/native/*/library.so")
    assert not caplog.messages
    for place in (library, *library.parents[:4]):
        assert place.stat().st_mode & 0o077 == 0, place


@needs_compiler
def test_what_killed_compilations_left_is_swept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(compiler, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(compiler, "_loaded", {})
    old, running = tmp_path / ".0123-old", tmp_path / ".0123-running"
    for folder in (old, running):
        folder.mkdir()
        (folder / "model.c").touch()
    long_ago = time.time() - 3600
    os.utime(old, (long_ago, long_ago))
    build_tiny(3)
    assert not old.exists()
    assert running.exists()


HARNESS = r"""
int main(void) {
    const int sizes[] = {1, 15, 16, 17, 32, 40};
    float *table = malloc(sizeof(float) * 256 * CHANNELS);
    for (int i = 0; i < 256 * CHANNELS; i++) table[i] = (float)(i % 256) / 255.0f - 0.5f;
    struct workspace *ws = fs_create(table);
    free(table);
    float *weights = malloc(sizeof(float) * PARAMETERS), *gradient = malloc(sizeof(float) * PARAMETERS);
    for (int i = 0; i < PARAMETERS; i++) weights[i] = (float)((i * 7919) % 1000) / 5000.0f - 0.1f;
    for (int t = 0; t < 6; t++) { /* every array has exactly its size, so that one byte too far is reported */
        int n = sizes[t];
        uint8_t *images = malloc((size_t)n * CHANNELS * PIXELS);
        int64_t *labels = malloc(sizeof(int64_t) * n), *indices = malloc(sizeof(int64_t) * n);
        int64_t *predictions = malloc(sizeof(int64_t) * n);
        float *losses = malloc(sizeof(float) * n);
        for (int i = 0; i < n * CHANNELS * PIXELS; i++) images[i] = (uint8_t)(i * 31);
        for (int i = 0; i < n; i++) labels[i] = i % CLASSES, indices[i] = n - 1 - i;
        float *map = malloc(sizeof(float) * 2 * CLASSES);
        for (int c = 0; c < 2 * CLASSES; c++) map[c] = (float)c;
        double loss;
        int64_t correct;
        for (float *m = map;; m = 0) { /* with a map and without one */
            if (fs_gradient(ws, weights, gradient, images, labels, n, indices, n, 3, m, &loss, &correct)) return 2;
            if (!m) break;
        }
        free(map);
        if (fs_evaluate(ws, weights, images, labels, n, t % 2 ? indices : 0, n, losses, predictions)) return 3;
        free(images), free(labels), free(indices), free(predictions), free(losses);
    }
    free(weights), free(gradient);
    fs_destroy(ws);
    return 0;
}
"""


def sanitize(module: nn.Module, shape: Shape, folder: Path, *flags: str) -> None:
    source = codegen.generate(make_plan(module, shape))
    pixels = f"#define PIXELS {shape[1] * shape[2]}\n"
    (folder / "main.c").write_text(source + pixels + HARNESS, encoding="utf-8")
    program = folder / "main"
    options = ["-O0", "-std=gnu11", "-march=native", "-Wall", "-Wextra", "-Werror", "-Wno-psabi", *flags]
    checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    include = f"-I{compiler.KERNELS}"
    subprocess.run(
        ["cc", *options, *checks, include, str(folder / "main.c"), "-o", str(program), "-lm"], check=True
    )
    done = subprocess.run([str(program)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@needs_compiler
def test_sanitizers_find_nothing(tmp_path: Path) -> None:
    sanitize(odd(), ODD_SHAPE, tmp_path)


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("lanes", [4, 8, 16])
def test_sanitizers_find_nothing_in_other_models(tmp_path: Path, lanes: int) -> None:
    first_wide = nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.MaxPool2d((2, 3)), nn.Flatten(), nn.Linear(64, 2)
    )
    one_pixel = nn.Sequential(
        nn.Conv2d(2, 33, 3, padding=2), nn.MaxPool2d(3), nn.Flatten(), nn.Linear(33, 17)
    )
    for module, shape in (
        (odd(), ODD_SHAPE),
        (lenet(), (1, 28, 28)),
        (one_pixel, (2, 1, 1)),
        (first_wide, (1, 5, 9)),
    ):
        sanitize(module, shape, tmp_path, f"-DLANES={lanes}")
