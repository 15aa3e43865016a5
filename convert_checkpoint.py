"""Edits a checkpoint, averages several, deletes old ones, and converts from and to other frameworks.

    python convert_checkpoint.py --checkpoint_path=RUN --output=small/model.ckpt --fold_averages --strip
    python convert_checkpoint.py --checkpoint_path=RUN --average --last=3 --output=soup/model.ckpt
    python convert_checkpoint.py --checkpoint_path=vgg16.weights.h5 --output=vgg_16/model.ckpt
    python convert_checkpoint.py --checkpoint_path=zoo:vgg_16 --output=vgg16.safetensors
    python convert_checkpoint.py --checkpoint_path=RUN --prune --keep_last=2 --dry_run

What is not edited stays as it is, bit for bit. What is there is replaced only with --overwrite.
"""

from checkpoint_tools.convert_config import ConvertConfig
from common import scripts


def main(_: list[str]) -> None:
    config, _ = scripts.config_from_flags(ConvertConfig)

    scripts.start_tensorflow()
    from checkpoint_tools import convert

    print("\n".join(convert.convert(config)))


if __name__ == "__main__":
    scripts.define_flags(ConvertConfig)
    scripts.run(main)
