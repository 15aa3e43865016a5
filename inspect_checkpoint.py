"""Says what a checkpoint is, and whether and how it fits a network.

    python inspect_checkpoint.py --checkpoint_path=X
    python inspect_checkpoint.py --checkpoint_path=X --model_name=inception_v3 --num_classes=5
    python inspect_checkpoint.py --checkpoint_path=X --list
    python inspect_checkpoint.py --checkpoint_path=X --stats
    python inspect_checkpoint.py --checkpoint_path=X --diff=OTHER

Without a network, it compares names and shapes with the whole zoo. The exit status is 0 where all is well; 1 where the
checkpoint is of no network that is known, does not fit --model_name, holds numbers that are not finite (--stats), or
differs (--diff), and where it cannot be read; 2 for a wrong flag. Changes nothing.
"""

import sys

from checkpoint_tools.doctor import DoctorConfig
from common import scripts


def main(_: list[str]) -> None:
    config, _ = scripts.config_from_flags(DoctorConfig)

    scripts.start_tensorflow()
    from checkpoint_tools import doctor

    is_well, text = doctor.inspect(config)
    print(text)
    if not is_well:
        sys.exit(scripts.USER_ERROR)


if __name__ == "__main__":
    scripts.define_flags(DoctorConfig)
    scripts.run(main)
