"""Local training that stays on one device: data, batch plan, clients' weights and moments; no transfer to the host.

Made for a GPU, where a small model's step is over before the next one can be launched. Everything that a step needs
is in tensors whose addresses stay the same from round to round, so on CUDA a step is captured once as a graph and then
replayed; the host only starts it::

    uploaded once a round                 one step, a graph                        read once a round
    +---------------------------+   t -> gather batch t of R clients
    | positions  [R, T, batch]  |        forward, backward     [R, P] gradients   +----------------+
    | counts     [R, T]         | -----> optimiser step        [R, P] weights --> | deltas  [S, P] |
    | dropout    [R, T] seeds   |        losses, hits += ...   [R]                | losses  [S]    |
    | learning rate             |        t += 1                                   +----------------+
    +---------------------------+

Clients are sorted by their number of steps, so those that still have a batch in step t are the first rows, and a client
that is done costs no more time. An *arithmetic* says how the gradients of R clients are made:

``stacked``  all clients of a group at once, their weights a leading axis; for sequential models (the same as the native
             kernels serve). A client's short last batch is padded, its padding masked out of the loss.
``module``   one client at a time, any module.

Groups of clients run in *lanes*, streams beside each other: the kernels of one fill what those of another leave idle.

On other devices the same steps run one after another without a graph, which is how they are tested.
"""

from fedskew.training.resident.engine import ResidentEngine
from fedskew.training.resident.module import ModuleArithmetic
from fedskew.training.resident.stacked import StackedArithmetic

__all__ = ["ModuleArithmetic", "ResidentEngine", "StackedArithmetic"]
