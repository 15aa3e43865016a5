"""Lists the published ImageNet checkpoints of TF-Slim, and fetches them.

    python fetch_checkpoint.py --list
    python fetch_checkpoint.py --list 'mobilenet_v1*'
    python fetch_checkpoint.py --name=inception_v3
    python fetch_checkpoint.py --all_of='resnet_v2_*' --output_dir=checkpoints_of_imagenet

The other scripts fetch by themselves: --checkpoint_path=zoo:inception_v3. Downloads go on where they broke off and are
checked; they stay in ~/.cache/tf_slim_checkpoints.
"""

from checkpoint_tools import fetching
from checkpoint_tools.fetching import FetchConfig
from common import scripts
from common.errors import FlagError


def main(patterns: list[str]) -> None:
    config, _ = scripts.config_from_flags(FetchConfig)
    if config.list:
        print(fetching.listing(patterns, config.json))
        return
    if patterns:
        raise FlagError(f"unexpected argument {patterns[0]!r}; flags are written --name=value")
    print("\n".join(fetching.fetch(config)))


if __name__ == "__main__":
    scripts.define_flags(FetchConfig)
    scripts.run(main, positional=True)
