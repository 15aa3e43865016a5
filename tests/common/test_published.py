"""The catalogue of published checkpoints."""

import re

import pytest

from common import published
from common.errors import UserError


def test_every_row_is_a_file_with_a_key_and_facts():
    catalogue = published.catalogue()
    assert len(catalogue) == 17 + 32 + 44 + 11  # large networks, MobileNet v1, v2, v3 and Edge TPU
    assert len({entry.key for entry in catalogue}) == len(catalogue)
    for entry in catalogue:
        assert re.fullmatch(r"https?://[^ ]+/[^/ ]+\.(tgz|tar\.gz)", entry.url)
        assert entry.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", entry.sha256)
        assert (entry.network is None) == bool(entry.family and entry.options)
        assert entry.image_size
        assert entry.preprocessing in ("inception", "vgg")
        assert entry.top1 or entry.quantized
        assert (entry.num_classes, entry.label_offset) in ((1001, 0), (1000, 1))
    sums = [entry.sha256 for entry in catalogue if entry.sha256]
    assert len(set(sums)) == len(sums), "one sum for two files is a slip of the pen"


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("inception_v3", "inception_v3_2016_08_28"),
        ("inception_v3_2016_08_28.tar.gz", "inception_v3_2016_08_28"),
        ("MobileNet_v1_0.25_128", "mobilenet_v1_0.25_128"),
        ("mobilenet_v1_025", "mobilenet_v1_0.25_224"),
        ("mobilenet_v2", "mobilenet_v2_1.0_224"),
        ("mobilenet_v3_large", "v3-large_224_1.0_float"),
        ("nasnet_large", "nasnet-a_large_04_10_2017"),
    ],
)
def test_a_checkpoint_is_found_by_key_archive_and_network(name, key):
    assert published.find(name).key == key


@pytest.mark.parametrize(
    ("name", "near"), [("inception_v3_2016", "inception_v3"), ("resnet50", "resnet_v1_50"), ("v3-large", "v3-large")]
)
def test_an_unknown_name_lists_near_ones(name, near):
    with pytest.raises(UserError, match=rf"--checkpoint_path=zoo:{name}: .*did you mean .*{near}.*--list"):
        published.find(name, "--checkpoint_path=zoo:")


def test_globs_match_keys_and_networks_and_other_widths():
    assert len(published.matching("mobilenet_v2*")) == 44
    assert [entry.key for entry in published.matching("resnet_v2_*")] == [
        f"resnet_v2_{layers}_2017_04_14" for layers in (50, 101, 152)
    ]
    with pytest.raises(UserError, match="did you mean vgg_19 or vgg_16"):
        published.matching("vgg_1")


def test_downloads_come_over_https_where_that_is_the_same_place():
    assert published.get("vgg_16_2016_08_28").urls == (
        "https://storage.googleapis.com/download.tensorflow.org/models/vgg_16_2016_08_28.tar.gz",
        "http://download.tensorflow.org/models/vgg_16_2016_08_28.tar.gz",
    )
    assert published.find("mobilenet_edgetpu").urls[0].startswith("https://storage.googleapis.com/mobilenet_edgetpu/")
    assert len(published.find("nasnet_mobile").urls) == 1


def test_a_checkpoint_says_in_a_line_what_it_is():
    assert published.find("resnet_v2_50").text() == (
        "resnet_v2_50, 1001 classes, trained at 299 pixels with inception preprocessing, top-1 75.6 %, top-5 92.8 %"
    )
    text = published.find("mobilenet_v2_0.75_96").text()
    assert text.startswith("a width of mobilenet_v2 that is not registered (depth_multiplier=0.75, finegrain_cla")


def test_the_page_counts_the_files_right(project_root):
    page = (project_root / "docs" / "zoo.md").read_text()
    catalogue = published.catalogue()
    assert f"{len(catalogue)} files" in page
    assert f"Of {sum(bool(entry.sha256) for entry in catalogue)} files the SHA-256 is published" in page
