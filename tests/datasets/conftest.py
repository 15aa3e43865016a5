"""Small images and folders of them."""

import gzip
import io
import json
import pathlib
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping

import numpy as np
import pytest
from PIL import Image


def _pixels(index: int, height: int = 18, width: int = 24) -> np.ndarray:
    """A smooth picture that JPEG keeps well, another for each index."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [x * 8 + index * 5, y * 10 + index * 3, x + y + index * 11]
    return (np.stack(planes, -1) % 256).astype(np.uint8)


@pytest.fixture(scope="session")
def pixels() -> Callable[..., np.ndarray]:
    return _pixels


@pytest.fixture(scope="session")
def encoded() -> Callable[..., bytes]:
    """encoded(index or Pillow image, format='JPEG', **options) -> bytes of an image file."""

    def encode(image: int | Image.Image = 0, image_format: str = "JPEG", **options: object) -> bytes:
        image = Image.fromarray(_pixels(image)) if isinstance(image, int) else image
        buffer = io.BytesIO()
        image.save(buffer, image_format, **options)
        return buffer.getvalue()

    return encode


@pytest.fixture
def photos(tmp_path: pathlib.Path, encoded: Callable[..., bytes]) -> pathlib.Path:
    """A folder of three class folders with 6, 5 and 4 JPEG files."""
    folder = tmp_path / "photos"
    for label, (name, count) in enumerate({"cat": 6, "dog": 5, "emu": 4}.items()):
        (folder / name).mkdir(parents=True)
        for k in range(count):
            (folder / name / f"{k}.jpg").write_bytes(encoded(10 * label + k))
    return folder


@pytest.fixture(scope="session")
def bomb() -> bytes:
    """A PNG file that says it has 30,000 x 30,000 pixels; its checksums are right."""
    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _write_idx(path: pathlib.Path, magic: int, values: np.ndarray) -> None:
    data = struct.pack(f">{1 + values.ndim}I", magic, *values.shape) + values.tobytes()
    path.write_bytes(gzip.compress(data))


@pytest.fixture(scope="session")
def make_mnist() -> Callable[[pathlib.Path], pathlib.Path]:
    """make_mnist(folder): the four files of MNIST, with 25 and 6 images; image i is full of i, of class i % 10."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        folder.mkdir(parents=True, exist_ok=True)
        for prefix, count in (("train", 25), ("t10k", 6)):
            numbers = np.arange(count, dtype=np.uint8)
            images = np.broadcast_to(numbers[:, None, None], (count, 28, 28))
            _write_idx(folder / f"{prefix}-images-idx3-ubyte.gz", 0x803, np.ascontiguousarray(images))
            _write_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", 0x801, numbers % 10)
        return folder

    return make


def _tar(path: pathlib.Path, members: Mapping[str, bytes], mode: str = "w") -> pathlib.Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


@pytest.fixture(scope="session")
def make_tar() -> Callable[..., pathlib.Path]:
    """make_tar(path, {name: bytes}, mode="w"): a tar archive."""
    return _tar


KINDS = {"fine": 100, "coarse": 20}  # of CIFAR-100's classes


@pytest.fixture(scope="session")
def make_cifar() -> Callable[..., pathlib.Path]:
    """make_cifar(folder, 10 or 100): its archive, 2 images a batch; image i of a batch has the pixels 0 to 3071 + i."""

    def batch(keys: Mapping[str, int], start: int) -> bytes:
        data = ((np.arange(3072) + np.arange(2)[:, None]) % 256).astype(np.uint8)
        labels = {key.encode(): [(start + k) % count for k in range(2)] for key, count in keys.items()}
        return pickle.dumps({b"data": data, **labels}, protocol=2)

    def make(folder: pathlib.Path, classes: int = 10) -> pathlib.Path:
        if classes == 10:
            names = [*(f"data_batch_{k}" for k in range(1, 6)), "test_batch"]
            files = {f"cifar-10-batches-py/{name}": batch({"labels": 10}, 2 * k) for k, name in enumerate(names)}
            _tar(folder / "cifar-10-python.tar.gz", files, "w:gz")
            return folder
        names = {kind: [f"{kind} {k}".encode() for k in range(count)] for kind, count in KINDS.items()}
        meta = pickle.dumps({f"{kind}_label_names".encode(): of_kind for kind, of_kind in names.items()}, 2)
        keys = {f"{kind}_labels": count for kind, count in KINDS.items()}
        files = {"train": batch(keys, 0), "test": batch(keys, 5), "meta": meta}
        files = {f"cifar-100-python/{name}": data for name, data in files.items()}
        _tar(folder / "cifar-100-python.tar.gz", files, "w:gz")
        return folder

    return make


SYNSETS = ("n01440764", "n01443537", "n01484850")  # ImageNet's first three
BOX_XML = (
    "<annotation><size><width>{0}</width><height>{1}</height></size>"
    "<object><name>{2}</name><bndbox><xmin>{3}</xmin><ymin>{4}</ymin><xmax>{5}</xmax><ymax>{6}</ymax></bndbox></object>"
    "</annotation>"
)


@pytest.fixture(scope="session")
def make_imagenet(encoded: Callable[..., bytes]) -> Callable[[pathlib.Path], pathlib.Path]:
    """make_imagenet(folder): archives as ImageNet's, 3 synsets of 4 photos, 5 for validation, boxes of two photos."""

    def make(folder: pathlib.Path) -> pathlib.Path:
        inner = {}
        for k, synset in enumerate(SYNSETS):
            photos = {f"{synset}_{n}.JPEG": encoded(10 * k + n) for n in range(4)}
            inner[f"{synset}.tar"] = _tar(folder / "inner.tar", photos).read_bytes()
        (folder / "inner.tar").unlink()
        _tar(folder / "ILSVRC2012_img_train.tar", inner)
        # The classes of the first five validation photos are 66, 971, 231, 810 and 517.
        _tar(folder / "ILSVRC2012_img_val.tar", {f"ILSVRC2012_val_{k:08d}.JPEG": encoded(100 + k) for k in range(1, 6)})
        xml = {
            f"{SYNSETS[0]}/{SYNSETS[0]}_2.xml": BOX_XML.format(24, 18, SYNSETS[0], 6, 9, 12, 18),
            f"{SYNSETS[1]}/{SYNSETS[1]}_0.xml": BOX_XML.format(24, 18, SYNSETS[2], 0, 0, 24, 18),  # of another synset
        }
        _tar(folder / "ILSVRC2012_bbox_train_v2.tar.gz", {name: text.encode() for name, text in xml.items()}, "w:gz")
        return folder

    return make


@pytest.fixture(scope="session")
def make_coco(encoded: Callable[..., bytes]) -> Callable[[pathlib.Path], pathlib.Path]:
    """make_coco(folder): COCO's archives of 2014 with 5 and 3 photos of 24 x 18 pixels.

    Photo k of a split has k objects of kind 1 (person), the first of 2 pixels, each further one of 12 x 9 pixels, and
    a large dog.
    """

    def make(folder: pathlib.Path) -> pathlib.Path:
        folder.mkdir(parents=True, exist_ok=True)
        texts = {}
        for split, count in (("train2014", 5), ("val2014", 3)):
            names = [f"COCO_{split}_{k:012d}.jpg" for k in range(count)]
            with zipfile.ZipFile(folder / f"{split}.zip", "w") as archive:
                for k, name in enumerate(names):
                    archive.writestr(f"{split}/{name}", encoded(k + count))
            people = [
                {"image_id": 7 * k, "category_id": 1, "area": 108.5 if n else 2, "bbox": [6.0, 4.5, 12.0, 9.0], "id": n}
                for k in range(count)
                for n in range(k)
            ]
            dogs = [{"image_id": 7 * k, "category_id": 18, "area": 400, "bbox": [0, 0, 20, 18]} for k in range(count)]
            content = {
                "info": {"year": 2014, "list": [1]},
                "images": [{"id": 7 * k, "file_name": name, "height": 18, "width": 24} for k, name in enumerate(names)],
                "licenses": [],
                "annotations": people + dogs,
                "categories": [{"id": 1, "name": "person"}, {"id": 18, "name": "dog"}],
            }
            texts[f"annotations/instances_{split}.json"] = json.dumps(content, indent=1)
        with zipfile.ZipFile(folder / "annotations_trainval2014.zip", "w") as archive:
            for name, text in texts.items():
                archive.writestr(name, text)
        return folder

    return make
