"""The rows of the catalogue (`published`): what the READMEs of TF-Slim and of its MobileNets list.

Accuracies are the READMEs'. SHA-256 sums and sizes are those that other projects have published with their own
downloads of these files (Open Model Zoo, an i.MX Linux distribution), None where none was found.
"""

from collections.abc import Iterator
from typing import Any

from common.published import MODELS_URL, PublishedCheckpoint

_GOOGLE = "https://storage.googleapis.com/"
_MODELS_HTTPS = _GOOGLE + "download.tensorflow.org/models/"
_V1_FOLDER = MODELS_URL + "mobilenet_v1_2018_08_02/"
_V2_FOLDER = _GOOGLE + "mobilenet_v2/checkpoints/"
_V3_FOLDER = _GOOGLE + "mobilenet_v3/checkpoints/"
_EDGE_TPU_FOLDER = "https://storage.cloud.google.com/mobilenet_edgetpu/checkpoints/"
_INCEPTION_V1_SHA256 = "7a620c430fcaba8f8f716241f5148c4c47c035cce4e49ef02cfbe6cd1adf96a6"


def _options(width: float) -> dict[str, Any]:
    """Arguments of a MobileNet's function for a width; below one the last convolution keeps its full width."""
    return {"depth_multiplier": width, **({"finegrain_classification_mode": True} if width < 1 else {})}


# What converted Caffe weights have in common: 1000 classes, no background, Caffe's preprocessing.
_CAFFE: dict[str, Any] = {"num_classes": 1000, "label_offset": 1, "preprocessing": "vgg", "image_size": 224}
_AT_299: dict[str, Any] = {"preprocessing": "inception", "image_size": 299}
_AT_224: dict[str, Any] = {"preprocessing": "inception", "image_size": 224}

# archive, network, top-1, top-5, what else
_LARGE: tuple[tuple[str, str, float, float, dict[str, Any]], ...] = (
    ("vgg_16_2016_08_28.tar.gz", "vgg_16", 71.5, 89.8, _CAFFE),
    ("vgg_19_2016_08_28.tar.gz", "vgg_19", 71.1, 89.8, _CAFFE),
    (
        "inception_v1_2016_08_28.tar.gz",
        "inception_v1",
        69.8,
        89.6,
        {**_AT_224, "sha256": _INCEPTION_V1_SHA256, "bytes": 24_642_554},
    ),
    ("inception_v2_2016_08_28.tar.gz", "inception_v2", 73.9, 91.8, {**_AT_224, "bytes": 41_577_079}),
    ("inception_v3_2016_08_28.tar.gz", "inception_v3", 78.0, 93.9, _AT_299),
    ("inception_v4_2016_09_09.tar.gz", "inception_v4", 80.2, 95.2, _AT_299),
    ("inception_resnet_v2_2016_08_30.tar.gz", "inception_resnet_v2", 80.4, 95.3, _AT_299),
    ("resnet_v1_50_2016_08_28.tar.gz", "resnet_v1_50", 75.2, 92.2, _CAFFE),
    ("resnet_v1_101_2016_08_28.tar.gz", "resnet_v1_101", 76.4, 92.9, _CAFFE),
    ("resnet_v1_152_2016_08_28.tar.gz", "resnet_v1_152", 76.8, 93.2, _CAFFE),
    # Slim evaluates a ResNet v2 with its `vgg` recipe at 224 unless told otherwise, but trained these otherwise.
    ("resnet_v2_50_2017_04_14.tar.gz", "resnet_v2_50", 75.6, 92.8, _AT_299),
    ("resnet_v2_101_2017_04_14.tar.gz", "resnet_v2_101", 77.0, 93.7, _AT_299),
    ("resnet_v2_152_2017_04_14.tar.gz", "resnet_v2_152", 77.8, 94.1, _AT_299),
)
_NASNETS: tuple[tuple[str, str, float, float, int], ...] = (
    ("nasnet-a_mobile_04_10_2017.tar.gz", "nasnet_mobile", 74.0, 91.6, 224),
    ("nasnet-a_large_04_10_2017.tar.gz", "nasnet_large", 82.7, 96.2, 331),
    ("pnasnet-5_mobile_2017_12_13.tar.gz", "pnasnet_mobile", 74.2, 91.9, 224),
    ("pnasnet-5_large_2017_12_13.tar.gz", "pnasnet_large", 82.9, 96.2, 331),
)

# width, image size, top-1, top-5, the same of the 8-bit one, SHA-256 of the 8-bit one's archive
_V1: tuple[tuple[float, int, float, float, float, float, str], ...] = (
    (1.0, 224, 70.9, 89.9, 70.1, 88.9, "d32432d28673a936b2d6281ab0600c71cf7226dfe4cdcef3012555f691744166"),
    (1.0, 192, 70.0, 89.2, 69.2, 88.3, "b87b20c784e756fb52e265cc31fbea5b3236c9a001205bc24ed27985875b4559"),
    (1.0, 160, 68.0, 87.7, 67.2, 86.7, "b5c9da0d5215a1c1faab313f88ba0a900ac199c7af45f559ab65c63b0649bee1"),
    (1.0, 128, 65.2, 85.8, 63.4, 84.2, "29aec24c721329b83ff667195431ff9151362ba1854dfc8852d03aef5ac40def"),
    (0.75, 224, 68.4, 88.2, 66.8, 87.0, "6c40604a53edb295e6fd72ead340759db63a2e4d930593610f4d09efe17aa9b7"),
    (0.75, 192, 67.2, 87.3, 66.1, 86.4, "8dc64937bd9f35dcf8d3baa16b8eda47e2473c3af51641bf309d1ed2b1a355af"),
    (0.75, 160, 65.3, 86.0, 62.3, 83.8, "ed023a21c1fbb062a4777056f79910aab6137c9a83655317020faed6ad0ca738"),
    (0.75, 128, 62.1, 83.9, 55.8, 78.8, "14cd0b9c5cde26272c68ecc50de054979663e28fb1fd0348166d408a8b45538f"),
    (0.5, 224, 63.3, 84.9, 60.7, 83.2, "f61c28ab322a3ef441341431d33732ef79dfbf03ebc00769c12e5843573b2e9c"),
    (0.5, 192, 61.7, 83.6, 60.0, 82.2, "b3b7aca2599c9a09f7ebeb3f624fc51bc4897b9356950b67a5f11c65666dab3d"),
    (0.5, 160, 59.1, 81.9, 57.7, 80.4, "036ff1a53180f844ee629ae5846c2b18dfa94371c51c44016c70dc9688a34d31"),
    (0.5, 128, 56.3, 79.4, 54.5, 77.7, "0a5b18571d3df4d85a5ac6cb5be829d141dd5855243ea04422ca7d19f730a506"),
    (0.25, 224, 49.8, 74.2, 48.0, 72.8, "be8131a23c93a83d7d0b1875ac34aa2e06319aef377f89dc6be2e8f10a0589ca"),
    (0.25, 192, 47.7, 72.3, 46.0, 71.2, "33f4ca5c5c7fb70f81a23ec06a884482ddcf5d26e32e4211781e110afb7a0877"),
    (0.25, 160, 45.5, 70.3, 43.4, 68.5, "8aba0b905df472d994c1d923efa743c7dfe182df579e0440b8e78c8f714ddc98"),
    (0.25, 128, 41.5, 66.3, 39.5, 64.4, "40230cd1a429a20cfd648f08f72b6d554ca8f4bff838341cb8210bd167962c0e"),
)
_V1_NETWORKS = {1.0: "mobilenet_v1", 0.75: "mobilenet_v1_075", 0.5: "mobilenet_v1_050", 0.25: "mobilenet_v1_025"}
# (width, image size) -> SHA-256 and size of the archive of 2018-08-02
_V1_SUMS: dict[tuple[float, int], tuple[str | None, int]] = {
    (1.0, 224): ("2fadeabb9968ec6833bee903900dda6e61b3947200535874ce2fe42a8493abc0", 94_321_559),
    (0.5, 224): ("98cf7a39552f73920cb99617cfa9b88d5732a87abf9ec14f7cc7f3ade1db0aaa", 29_969_407),
    (0.5, 160): (None, 29_958_343),
    (0.25, 128): ("879ddc3e0857f3611b5cf248e36de2288c7a11ea8c2ed8a8bdded635e6010dfe", 10_800_019),
}

# width, image size, top-1, top-5, SHA-256
_V2: tuple[tuple[float, int, float, float, str], ...] = (
    (1.4, 224, 75.0, 92.5, "a20d0c8d698502dc6a620528871c97a588885df7737556243a3412b39fce85e0"),
    (1.3, 224, 74.4, 92.1, "b04129d44a46e0eb409c1a2bc255472ebdd57f9c091812e7866d79d0cc7fecaa"),
    (1.0, 224, 71.8, 91.0, "318084bc1b63d6d7b854553e09cdf77078b1c0168be27c59a0d44253b5ed49dc"),
    (1.0, 192, 70.7, 90.1, "e8d9cd7c571f375c80945b5f889705ae412db32d3419d747e796429e39132f48"),
    (1.0, 160, 68.8, 89.0, "e374bc70066dde0c3af6cb4c98ecd8707800d71d11353c4cc359b3069415f23e"),
    (1.0, 128, 65.3, 86.9, "f692e341cf1529df4f7e68ed13d0284ad8796ade1108f802eec135abc1fc1b83"),
    (1.0, 96, 60.3, 83.2, "8f0377b71d79f5626c5198f248b476d2604b3e4e596ca4076e1b1f8fcd3f3844"),
    (0.75, 224, 69.8, 89.6, "335cd22c7e1c5e80205dedd6e2ff5d1d8af5c29074496eb047fd621349e10cc5"),
    (0.75, 192, 68.7, 88.9, "40efef9324376d47b872d1cd6e4de8ba7c9323b6203252aa66dc2b2413e0dc8d"),
    (0.75, 160, 66.4, 87.3, "904d1a1f84c329ad766464d132f697e96814685853c45c6ee4dd21877ada36bc"),
    (0.75, 128, 63.2, 85.3, "9ac932679a9fb1304bc1435bb7fa30e1b2fcaa7f49e0902da24d154ec83f9302"),
    (0.75, 96, 58.8, 81.6, "bdf06eec5478dbb1bb9e01648637d8acd4cc500f72e1a3dad01ba45642e31e6f"),
    (0.5, 224, 65.4, 86.4, "813febbdbe2a7a50055ee2f6b374938aed03e2f607f63f3479622aefc4e12b00"),
    (0.5, 192, 63.9, 85.4, "5a344ed91cded5d420b6c65d47343ee60b43b570953b0feed4ee95451a679dd5"),
    (0.5, 160, 61.0, 83.2, "f89c879b1a45c5d677ad7fe499f08a7854ef1772f0f5ae5d606afaaa87218e45"),
    (0.5, 128, 57.7, 80.8, "ba078efd101c2308fb978467084f0ec12485ed8bfbb7695e477587b3272a1d66"),
    (0.5, 96, 51.2, 75.8, "71a814047d7729bad711ae3e7db30e6c32999a1189f88d328b73939f7aa80d62"),
    (0.35, 224, 60.3, 82.9, "efcc34277c52f7dd4b0b26c2f52686793f4ea5fdddc899ac5aac9eb8d5861550"),
    (0.35, 192, 58.2, 81.2, "5dec603e2714a780c3cfc0656dac51bf2f4b354c4f7acda879ad5b6017f3f55b"),
    (0.35, 160, 55.7, 79.1, "e579b5b50f47e88dc0c4390d20a396658b97457182f83905154a8a687ba15fa7"),
    (0.35, 128, 50.8, 75.0, "c21a8f89e2e1a49e9002b1e1b871f3c92695ccb0cd64e7e7a21b71f2820beddb"),
    (0.35, 96, 45.5, 70.4, "282996bca7d799d0172ce5d34ac59dea497c4c75f069a8b466bb944c6f843353"),
)
_V2_NETWORKS = {1.4: "mobilenet_v2_140", 1.0: "mobilenet_v2", 0.35: "mobilenet_v2_035"}
_V2_BYTES = {(1.0, 224): 78_306_834, (1.4, 224): 135_977_516}

# archive, network (None: no such width is registered), top-1, SHA-256, what else
_V3: tuple[tuple[str, str | None, float, str | None, dict[str, Any]], ...] = (
    (
        "v3-small_224_1.0_float.tgz",
        "mobilenet_v3_small",
        67.5,
        "e60ad9f450f892ae56f8b9122ffc750d88940d9e6b63f6dc70649179fb3a9065",
        {},
    ),
    (
        "v3-large_224_1.0_float.tgz",
        "mobilenet_v3_large",
        75.2,
        "9be8563f92022f412c82f2811d670888d6db998e2da9af3e71415fdde2f4f504",
        {},
    ),
    ("v3-small-minimalistic_224_1.0_float.tgz", "mobilenet_v3_small_minimalistic", 61.9, None, {}),
    ("v3-large-minimalistic_224_1.0_float.tgz", "mobilenet_v3_large_minimalistic", 72.3, None, {}),
    (
        "v3-small_224_0.75_float.tgz",
        None,
        65.4,
        "fffd2e437434f319623ecf26cdbebdb933dcd753afa38e7c2f78cb59c6fc470f",
        {"family": "mobilenet_v3_small", "options": _options(0.75)},
    ),
    (
        "v3-large_224_0.75_float.tgz",
        None,
        73.3,
        "4346e7893769d3f8ac79e28e7924b351bf8348a8a4d5e7a606260003e706aea5",
        {"family": "mobilenet_v3_large", "options": _options(0.75)},
    ),
    (
        "v3-small_224_1.0_uint8.tgz",
        "mobilenet_v3_small",
        64.9,
        "58ecd8c4c5b0a330f1d72c0a3d7bc6073ff771e14b052da336691246ee8e178f",
        {"quantized": True},
    ),
    (
        "v3-large_224_1.0_uint8.tgz",
        "mobilenet_v3_large",
        73.9,
        "42cfd69fb70c48dde56dc3f2c872bdeb4fdc9beb3105e4b164dde7c49b7a2702",
        {"quantized": True},
    ),
    ("v3-large-minimalistic_224_1.0_uint8.tgz", "mobilenet_v3_large_minimalistic", 71.3, None, {"quantized": True}),
)
# Float checkpoints; the README gives the accuracy after their conversion to 8 bits.
_EDGE_TPU = (
    ("mobilenet_edgetpu_224_1.0.tgz", "mobilenet_edgetpu", 75.6),
    ("mobilenet_edgetpu_224_0.75.tgz", "mobilenet_edgetpu_075", 73.5),
)


def rows() -> tuple[PublishedCheckpoint, ...]:
    """All published checkpoints, those with 8-bit training after the others."""
    entries = [*_large(), *_mobilenet_v1(), *_mobilenet_v2(), *_mobilenet_v3()]
    return tuple(sorted(entries, key=lambda entry: entry.quantized))


def _large() -> Iterator[PublishedCheckpoint]:
    for archive, network, top1, top5, facts in _LARGE:
        yield PublishedCheckpoint(archive, network=network, top1=top1, top5=top5, **facts)
    for archive, network, top1, top5, size in _NASNETS:
        yield PublishedCheckpoint(
            archive,
            folder=_MODELS_HTTPS,
            network=network,
            top1=top1,
            top5=top5,
            preprocessing="inception",
            image_size=size,
        )


def _mobilenet_v1() -> Iterator[PublishedCheckpoint]:
    for width, size, top1, top5, top1_quantized, top5_quantized, sha256_quantized in _V1:
        facts: dict[str, Any] = {
            "folder": _V1_FOLDER,
            "network": _V1_NETWORKS[width],
            "preprocessing": "inception",
            "image_size": size,
        }
        sha256, length = _V1_SUMS.get((width, size), (None, None))
        name = f"mobilenet_v1_{width}_{size}"
        yield PublishedCheckpoint(f"{name}.tgz", top1=top1, top5=top5, sha256=sha256, bytes=length, **facts)
        yield PublishedCheckpoint(
            f"{name}_quant.tgz",
            top1=top1_quantized,
            top5=top5_quantized,
            sha256=sha256_quantized,
            quantized=True,
            **facts,
        )


def _mobilenet_v2() -> Iterator[PublishedCheckpoint]:
    for width, size, top1, top5, sha256 in _V2:
        facts: dict[str, Any] = {"folder": _V2_FOLDER, "preprocessing": "inception", "image_size": size}
        if width in _V2_NETWORKS:
            facts["network"] = _V2_NETWORKS[width]
        else:
            facts |= {"family": "mobilenet_v2", "options": _options(width)}
        yield PublishedCheckpoint(
            f"mobilenet_v2_{width}_{size}.tgz",
            top1=top1,
            top5=top5,
            sha256=sha256,
            bytes=_V2_BYTES.get((width, size)),
            **facts,
        )
        yield PublishedCheckpoint(f"quantized_v2_{size}_{round(100 * width)}.tgz", quantized=True, **facts)


def _mobilenet_v3() -> Iterator[PublishedCheckpoint]:
    for archive, network, top1, sha256, facts in _V3:
        yield PublishedCheckpoint(
            archive, folder=_V3_FOLDER, network=network, top1=top1, sha256=sha256, **_AT_224, **facts
        )
    for archive, network, top1 in _EDGE_TPU:
        yield PublishedCheckpoint(archive, folder=_EDGE_TPU_FOLDER, network=network, top1=top1, **_AT_224)
