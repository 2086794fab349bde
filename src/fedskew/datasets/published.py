"""What the published data sets are: files, sizes, SHA-256, sources, class names, normalisation.

Only constants, so that ``fedskew data where`` and ``fedskew list`` need neither numpy nor torch.

Where the hashes come from:

- Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv:1708.07747) and MNIST (LeCun, Cortes, Burges): SHA-256 of
  the *decompressed* IDX files, on which several independent public projects agree. A file that was compressed
  again is therefore as good as the original.
- CIFAR-10 (Krizhevsky 2009): the author publishes the archive's MD5, c32a1d4ab5d03f1284b67883e8d87530; GoMLX,
  torchvision for Ruby and others give the SHA-256 of the file with this MD5. The hashes of the ``.bin`` files
  are those of torchvision for Ruby; two more projects give the same one for the test batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from fedskew.errors import DataError, unknown


@dataclass(frozen=True)
class Content:
    """One file as its publisher made it.

    Attributes:
        name: file name, without ``.gz``.
        size: bytes, decompressed.
        sha256: of the decompressed bytes.
        variants: SHA-256 of other content that is known, and what it is (a sentence's end).
    """

    name: str
    size: int
    sha256: str
    variants: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def describe(self, sha256: str) -> str:
        """What content with this SHA-256 is, as a phrase for people and for the run's record."""
        if sha256 == self.sha256:
            return f"official content (SHA-256 {sha256})"
        if sha256 in self.variants:
            return f"known variant: {self.variants[sha256]} (SHA-256 {sha256})"
        return f"unknown content (SHA-256 {sha256})"


@dataclass(frozen=True)
class Entry:
    """A published data set.

    Attributes:
        name: as in the config.
        folder: where its files lie below the data root.
        contents: its files, those of the training set first; the meaning of the order is the loader's.
        suffixes: what may follow a file's name, the preferred one first.
        archive: the one file, directly below the root, that may replace the whole folder; its hash and size
            are those of the archive itself. None: each file is downloaded on its own, as ``name + ".gz"``.
        strict: whether content other than the official is refused (unless verification is off).
        mirrors: base URLs, tried in turn.
        class_names: in label order.
        image_shape: (channels, height, width).
        mean, std: per channel, of pixel / 255 over the training images; empty where they are computed.
        label_bytes: before the pixels of a record, in the CIFAR layout.
    """

    name: str
    folder: str
    contents: tuple[Content, ...]
    mirrors: tuple[str, ...]
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    suffixes: tuple[str, ...] = ("",)
    archive: Content | None = None
    strict: bool = True
    label_bytes: int = 1


def _names(listed: str) -> tuple[str, ...]:
    return tuple(listed.split(", "))


def _idx_files(
    train_images: str, train_labels: str, test_images: str, test_labels: str
) -> tuple[Content, ...]:
    """The four files of MNIST, and of Fashion-MNIST, which has the same format, by their SHA-256."""
    return (
        Content("train-images-idx3-ubyte", 16 + 60_000 * 28 * 28, train_images),
        Content("train-labels-idx1-ubyte", 8 + 60_000, train_labels),
        Content("t10k-images-idx3-ubyte", 16 + 10_000 * 28 * 28, test_images),
        Content("t10k-labels-idx1-ubyte", 8 + 10_000, test_labels),
    )


_CIFAR_NOTE = (
    "59,799 of 60,000 images bit-identical to the official release, 201 differ by a few grey levels; "
    "test set in another order"
)


def _batch(name: str, official: str, variant: str) -> Content:
    """A CIFAR-10 batch: 10,000 records of 1 label byte and 3,072 image bytes."""
    return Content(name, 10_000 * 3073, official, MappingProxyType({variant: _CIFAR_NOTE}))


FASHION_MNIST = Entry(
    name="fashion-mnist",
    folder="fashion-mnist",
    contents=_idx_files(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    suffixes=("", ".gz"),
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    class_names=_names(
        "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
    ),
    image_shape=(1, 28, 28),
    mean=(0.2860,),
    std=(0.3530,),
)

MNIST = Entry(
    name="mnist",
    folder="mnist",
    contents=_idx_files(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    suffixes=("", ".gz"),
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    class_names=tuple("0123456789"),
    image_shape=(1, 28, 28),
    mean=(0.1307,),
    std=(0.3081,),
)

CIFAR_10 = Entry(
    name="cifar-10",
    folder="cifar-10-batches-bin",
    contents=(
        _batch(
            "data_batch_1.bin",
            "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
            "accee34cf14640b0efdb75aebef8360e008ba180bad36c9fecd38d827fee2068",
        ),
        _batch(
            "data_batch_2.bin",
            "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
            "c415678db605d74de5c65ed503f905f33b5e322a6fde1e790613fff2796ae469",
        ),
        _batch(
            "data_batch_3.bin",
            "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
            "91d534ee06d26888301e54a5fe724fc2b7bfbc5387378862a23563f5c8d259c7",
        ),
        _batch(
            "data_batch_4.bin",
            "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
            "1bedbf1a3388e9bc51ef9b25c592f11e97c1bdf542fc9d03547594c5b63a0d9c",
        ),
        _batch(
            "data_batch_5.bin",
            "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
            "ce40f6de167c1c804f17368184fdc4ce27187611ceea1445e4c0517ae1596e96",
        ),
        _batch(
            "test_batch.bin",
            "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
            "4d92aa2bc43a39157a9fb65bd65b2477a74f92383642d0d2912e34d61decddf9",
        ),
    ),
    archive=Content(
        "cifar-10-binary.tar.gz",
        170_052_171,
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
    strict=False,
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    class_names=_names("airplane, automobile, bird, cat, deer, dog, frog, horse, ship, truck"),
    image_shape=(3, 32, 32),
    mean=(0.4914, 0.4822, 0.4465),
    std=(0.2023, 0.1994, 0.2010),
)

_CLASSES_OF_100 = """apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly
camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup
dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower
leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid
otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray
road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar
sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle
wardrobe whale willow_tree wolf woman worm"""
CIFAR_100 = Entry(
    name="cifar-100",
    folder="cifar-100-binary",
    contents=(Content("train.bin", 50_000 * 3074, ""), Content("test.bin", 10_000 * 3074, "")),
    archive=Content("cifar-100-binary.tar.gz", 0, ""),
    strict=False,
    mirrors=("https://www.cs.toronto.edu/~kriz/",),
    class_names=tuple(_CLASSES_OF_100.split()),
    image_shape=(3, 32, 32),
    mean=(),
    std=(),
    label_bytes=2,
)
"""No checksum of this layout is known here."""

PUBLISHED: dict[str, Entry] = {entry.name: entry for entry in (FASHION_MNIST, MNIST, CIFAR_10)}
"""The data sets that live in files of a known shape and can be fetched."""

LOADERS: Mapping[str, str] = MappingProxyType(
    {
        "digits": "fedskew.datasets.digits:digits",
        "fashion-mnist": "fedskew.datasets.idx:fashion_mnist",
        "mnist": "fedskew.datasets.idx:mnist",
        "cifar-10": "fedskew.datasets.cifar:cifar10",
        "cifar-100": "fedskew.datasets.cifar100:cifar100",
        "emnist": "fedskew.datasets.emnist:emnist",
        "npz": "fedskew.datasets.npz:npz",
        "csv": "fedskew.datasets.csv_file:csv",
        "parquet": "fedskew.datasets.parquet_file:parquet",
        "image-folder": "fedskew.datasets.image_folder:image_folder",
        "hf": "fedskew.datasets.hugging_face:hf",
        "leaf": "fedskew.datasets.leaf:leaf",
    }
)
"""Every built-in name and its DatasetLoader; imported only when it is needed."""


def checked_name(name: str) -> str:
    """``name`` itself, if it is a built-in data set.

    Raises:
        DataError: it is not; the hint is the nearest name that is.
    """
    if name not in LOADERS:
        raise DataError(*unknown("data set", name, LOADERS))
    return name
