"""Native kernels: loss and gradient of a sequential model, compiled for its shapes when first needed.

The idea is one memory layout. A batch is cut into tiles of T = 32 samples, and the T values of one unit are
neighbours in memory::

    one map of a tile:   [row y] [column x] [channel c] [sample s]

        y=0  x=0   c=0  | s0 s1 s2 ... s31 |     one unit: 128 bytes, four AVX2 or two AVX-512 registers
                   c=1  | s0 s1 s2 ... s31 |
             x=1   c=0  | s0 s1 s2 ... s31 |     a filter row (kx, c) is one contiguous run of units
                   c=1  | s0 s1 s2 ... s31 |
        y=1  x=0   ...                           a map that a padded convolution reads has a zero border

    forward, backward-data              weight gradient of a convolution
        6 outputs   w: one float each       4 outputs  g: one vector each
          |   +--------------------+           |   +-----------------+
          v   | 6 x 2 accumulators |           v   | 4 x 3 sums      |  added over pixels and samples,
              +--------------------+               +-----------------+  over lanes once per batch
                ^ one unit x (2 vectors)             ^ 3 taps x          (AVX-512: 14 x 2, and 4 x 6)

So the inner loops do not depend on the size of an image, there is no im2col, ReLU and pooling happen on accumulators
that are still in registers, and a tile stays in cache from its uint8 images to its weight gradients. Linear layers are
1x1 convolutions; their weight gradient waits for 8 tiles and is one matrix product with features as lanes (linear.h).
3x3 convolutions of many channels take a quarter of the products (minimal.h), in bfloat16 if asked for.

``plan`` reads a module into layers, ``codegen`` writes the C file that calls the kernels (``*.h``) with its shapes as
constants, ``compiler`` builds and caches the library, ``model`` calls it, ``step`` has the optimisers. For other models
it raises :class:`Unsupported`, whose text says why, and the caller uses PyTorch.

Results are a pure function of the arguments, with the same bits for any length of a vector: sums run in a fixed order
in one thread (vector.h). Several models may run in several threads at once (the interpreter's lock is released), each
on its own workspace.
"""

from fedskew.training.native.arithmetic import NativeArithmetic
from fedskew.training.native.model import NativeModel, build
from fedskew.training.native.plan import Unsupported

__all__ = ["NativeArithmetic", "NativeModel", "Unsupported", "build"]
