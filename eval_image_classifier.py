"""Evaluates an image classifier: every example of a split exactly once.

A run's folder is enough; what the run was is read from its run.json:

    python eval_image_classifier.py --checkpoint_path=RUN

Without a run.json, as in the original TF-Slim:

    python eval_image_classifier.py --checkpoint_path=inception_v3.ckpt --model_name=inception_v3 \\
        --dataset_dir=DATA --dataset_split_name=validation
"""

from common import scripts
from training.config import EvalConfig


def main(_: list[str]) -> None:
    config, given = scripts.config_from_flags(EvalConfig)

    scripts.start_tensorflow()  # only here: a wrong flag and --help answer at once
    from training import evaluate

    evaluate.evaluate(config, given)


if __name__ == "__main__":
    scripts.define_flags(EvalConfig)
    scripts.run(main)
