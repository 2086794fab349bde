"""Local training that stays on one device: data, batch plan, clients' weights and moments, without a word to the host.

Made for a GPU, where a small model's step is over before the next one can be launched. Everything that a step needs
lies in tensors that keep their place from round to round, so on CUDA a step is captured once as a graph and then
replayed; the host only says "again"::

    uploaded once a round                 one step, a graph                        read once a round
    +---------------------------+   t -> gather batch t of R clients
    | positions  [R, T, batch]  |        forward, backward     [R, P] gradients   +----------------+
    | counts     [R, T]         | -----> optimiser step        [R, P] weights --> | deltas  [S, P] |
    | dropout    [R, T] seeds   |        losses, hits += ...   [R]                | losses  [S]    |
    | learning rate             |        t += 1                                   +----------------+
    +---------------------------+

Clients are sorted by their number of steps, so those that still have a batch in step t are the first rows, and a client
that is done costs nothing more. An *arithmetic* says how the gradients of R clients are made:

``stacked``  all clients of a group at once, their weights a leading axis; for sequential models (the same as the native
             kernels serve). A client's short last batch is padded, its padding masked out of the loss.
``module``   one client at a time, any module; fills the card by itself only if the model is large.

On other devices the same steps run one after another without a graph, which is how they are tested.
"""

from fedskew.training.resident.engine import ResidentEngine
from fedskew.training.resident.module import ModuleArithmetic
from fedskew.training.resident.stacked import StackedArithmetic

__all__ = ["ModuleArithmetic", "ResidentEngine", "StackedArithmetic"]
