"""Trains or fine-tunes an image classifier.

The fine-tuning of the original TF-Slim: restore a checkpoint but for the classifier, train the classifier alone.

    python train_image_classifier.py --dataset_dir=DATA --model_name=inception_v3 --train_dir=RUN \\
        --checkpoint_path=inception_v3.ckpt --checkpoint_exclude_scopes=head --trainable_scopes=head

Started again, the same command goes on where the run stopped.
"""

from common import scripts
from training.config import TrainConfig


def main(_: list[str]) -> None:
    config, given = scripts.config_from_flags(TrainConfig)

    scripts.start_tensorflow()  # only here: a wrong flag and --help answer at once
    from training import loop

    loop.train(config, given)


if __name__ == "__main__":
    scripts.define_flags(TrainConfig)
    scripts.run(main)
