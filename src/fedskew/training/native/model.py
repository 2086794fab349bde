"""The Python interface of a compiled model: checks tensors, passes their addresses, gives back numbers."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from fedskew.training.native import compiler, tiles
from fedskew.training.native.codegen import generate
from fedskew.training.native.convolutions import halved, minimal, tiled
from fedskew.training.native.plan import Conv, Dropout, Plan, make_plan
from fedskew.wording import count

_POINTER, _I64, _U64 = ctypes.c_void_p, ctypes.c_int64, ctypes.c_uint64
_OUT_OF_RANGE = "index or label at position {} is out of range (images: 0..{}, classes: 0..{})"


def build(
    module: nn.Module,
    image_shape: tuple[int, int, int],
    mean: Sequence[float],
    std: Sequence[float],
    max_batch: int | None = None,
    half: bool = False,
    in_tiles: bool | None = None,
) -> NativeModel:
    """Compiles (or finds in the cache) the kernels for a sequential module, and makes a workspace for it.

    Args:
        module: nested ``nn.Sequential`` of Conv2d, MaxPool2d, ReLU, Dropout, Flatten, Linear, Identity. Only its
            structure is read, not its weights and not its training flag.
        image_shape: (channels, height, width) of the uint8 images.
        mean, std: per channel; the model sees ``(pixel / 255 - mean) / std``.
        max_batch: the largest batch that will be asked for; the workspace does not depend on it.
        half: in training, round the factors of filtered convolutions to bfloat16.
        in_tiles: multiply them in the processor's tiles (emulated, slowly, if it has none); None: if it has them.

    Raises:
        Unsupported: the model or the machine cannot be served; the text says why.
        ValueError: mean or std do not have one value per channel.
    """
    if len(mean) != image_shape[0] or len(std) != image_shape[0]:
        raise ValueError(
            f"mean and std need {image_shape[0]} values, one per channel; got {len(mean)} and {len(std)}"
        )
    plan = make_plan(module, image_shape)
    if not half or not any(isinstance(layer, Conv) and tiled(layer) for layer in plan.layers):
        in_tiles = False
    elif in_tiles is None:
        in_tiles = tiles.available()
    return NativeModel(plan, compiler.load(generate(plan, half, in_tiles)), mean, std, half, in_tiles)


def _table(mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """float32 [channels, 256]: what each byte becomes, bit for bit as torch computes it."""
    pixels = torch.arange(256, dtype=torch.uint8).to(torch.float32).div(255)
    means, stds = torch.tensor(mean, dtype=torch.float32), torch.tensor(std, dtype=torch.float32)
    return ((pixels[None, :] - means[:, None]) / stds[:, None]).contiguous()


def _declare(library: ctypes.CDLL) -> None:
    library.fs_create.argtypes, library.fs_create.restype = [_POINTER], _POINTER
    library.fs_destroy.argtypes, library.fs_destroy.restype = [_POINTER], None
    library.fs_gradient.argtypes = [*[_POINTER] * 5, _I64, _POINTER, _I64, _U64, *[_POINTER] * 3]
    library.fs_gradient.restype = _I64
    library.fs_evaluate.argtypes = [*[_POINTER] * 4, _I64, _POINTER, _I64, _POINTER, _POINTER]
    library.fs_evaluate.restype = _I64
    library.fs_dropout_mask.argtypes, library.fs_dropout_mask.restype = (
        [ctypes.c_int, _U64, _U64, _POINTER],
        _I64,
    )


def _address(name: str, tensor: Tensor, dtype: torch.dtype, shape: tuple[int, ...]) -> int:
    """The address of a tensor, after checking that the kernels may read it as this type and shape."""
    if (
        tensor.dtype != dtype
        or tensor.shape != shape
        or not tensor.is_contiguous()
        or tensor.device.type != "cpu"
    ):
        raise ValueError(
            f"{name} must be a contiguous {dtype} CPU tensor of shape {list(shape)}, not {tensor.dtype} "
            f"{list(tensor.shape)} on {tensor.device}{'' if tensor.is_contiguous() else ' (not contiguous)'}"
        )
    return tensor.data_ptr()


class NativeModel:
    """One compiled model with one workspace.

    Not to be shared between threads; several instances may run in several threads at once. P is the number
    of parameters; weights and gradients are flat vectors in the order of ``module.parameters()``.
    """

    def __init__(
        self,
        plan: Plan,
        library: ctypes.CDLL,
        mean: Sequence[float],
        std: Sequence[float],
        half: bool = False,
        in_tiles: bool = False,
    ) -> None:
        _declare(library)
        self._half, self._tiles = half, in_tiles
        self._library = library
        self._plan = plan
        self._image = (plan.image.channels, plan.image.height, plan.image.width)
        table = _table(mean, std)  # a name, so that it outlives the call
        self._workspace = library.fs_create(table.data_ptr())
        if not self._workspace:
            raise MemoryError("no memory for the workspace of the native kernels")
        weakref.finalize(self, library.fs_destroy, self._workspace)
        self.num_parameters: int = plan.num_parameters

    def described(self) -> str:
        """How they compute, for a run's record."""
        convolutions = [layer for layer in self._plan.layers if isinstance(layer, Conv)]
        filtered = [layer for layer in convolutions if minimal(layer)]
        parts = [f"{self._library.fs_lanes()} floats per vector"]
        if filtered:
            parts.append(f"minimal filtering in {len(filtered)} of {count(len(convolutions), 'convolution')}")
        if self._half:
            parts.append("their products in bfloat16" + (" by tiles" if self._tiles else ""))
        return ", ".join(parts)

    def why_not_half(self) -> str:
        """Why kernels built with ``half`` are no better than others; "" if they are."""
        if not any(isinstance(layer, Conv) and halved(layer) for layer in self._plan.layers):
            return "it has no layer for which they have bfloat16 products (3x3 convolutions of many channels)"
        if not self._library.fs_half():
            return "this processor has no bfloat16 products (AVX512-BF16)"
        return ""

    def loss_and_gradient(
        self,
        weights: Tensor,
        gradient: Tensor,
        images: Tensor,
        labels: Tensor,
        indices: Tensor,
        dropout_seed: int,
        logit_map: Tensor | None = None,
    ) -> tuple[float, int]:
        """One mini-batch, dropout on.

        Args:
            weights: float32 [P].
            gradient: float32 [P]; overwritten with the gradient of the *mean* cross-entropy over the batch.
            images: uint8 [N, channels, height, width].
            labels: int64 [N].
            indices: int64 [b], b >= 1: which images make up the batch.
            dropout_seed: the masks are a function of it, of the layer and of the position in the batch.
            logit_map: float32 [2, C], a scale and an offset for each class; the loss is that of scale * logit + offset.

        Returns:
            The *sum* of the losses over the batch, and how many logits (in training mode) have their first maximum
            at the label.

        Raises:
            ValueError: a tensor of another type or shape; an empty batch.
            IndexError: an index or a label out of range.
        """
        size = (self.num_parameters,)
        n, loss, correct = indices.numel(), ctypes.c_double(), ctypes.c_int64()
        if n == 0:
            raise ValueError("a batch needs at least one index")
        bad = self._library.fs_gradient(
            self._workspace,
            _address("weights", weights, torch.float32, size),
            _address("gradient", gradient, torch.float32, size),
            _address("images", images, torch.uint8, (images.shape[0], *self._image)),
            _address("labels", labels, torch.int64, (images.shape[0],)),
            images.shape[0],
            _address("indices", indices, torch.int64, (n,)),
            n,
            dropout_seed & (2**64 - 1),
            None
            if logit_map is None
            else _address("logit_map", logit_map, torch.float32, (2, self._plan.num_classes)),
            ctypes.byref(loss),
            ctypes.byref(correct),
        )
        if bad:
            raise IndexError(_OUT_OF_RANGE.format(bad - 1, images.shape[0] - 1, self._plan.num_classes - 1))
        return loss.value, correct.value

    def evaluate(
        self, weights: Tensor, images: Tensor, labels: Tensor, indices: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Forward only, dropout off: cross-entropy (float32 [n]) and predicted class (int64 [n]) of each image.

        Args:
            weights: float32 [P].
            images: uint8 [N, channels, height, width].
            labels: int64 [N].
            indices: int64 [n]; None means all images in order.

        Raises:
            ValueError, IndexError: as in :meth:`loss_and_gradient`; n = 0 is fine.
        """
        n = images.shape[0] if indices is None else indices.numel()
        losses, predictions = torch.empty(n, dtype=torch.float32), torch.empty(n, dtype=torch.int64)
        bad = self._library.fs_evaluate(
            self._workspace,
            _address("weights", weights, torch.float32, (self.num_parameters,)),
            _address("images", images, torch.uint8, (images.shape[0], *self._image)),
            _address("labels", labels, torch.int64, (images.shape[0],)),
            images.shape[0],
            None if indices is None else _address("indices", indices, torch.int64, (n,)),
            n,
            losses.data_ptr(),
            predictions.data_ptr(),
        )
        if bad:
            raise IndexError(_OUT_OF_RANGE.format(bad - 1, images.shape[0] - 1, self._plan.num_classes - 1))
        return losses, predictions

    def dropout_mask(self, layer: int, dropout_seed: int, position: int) -> Tensor:
        """What dropout layer ``layer`` (counted from 0) multiplies the sample at ``position`` of a batch by; for tests.

        Returns:
            float32 [units] in torch's order (channel, row, column): 0 or 1 / (1 - p).
        """
        found = [item for item in self._plan.layers if isinstance(item, Dropout) and item.number == layer]
        if not found:
            raise ValueError(f"no dropout layer with p > 0 has number {layer}")
        mask = torch.empty(found[0].source.units, dtype=torch.float32)
        self._library.fs_dropout_mask(layer, dropout_seed & (2**64 - 1), position, mask.data_ptr())
        return mask
