#!/usr/bin/env bash
# The main job, offline, on drawn shapes: pretrain on one task, fine-tune the checkpoint on another, evaluate, export,
# classify. The same commands, with your photos and a published checkpoint, are the workflow of the README.
set -euo pipefail
cd "$(dirname "$0")/.."
OUT=${1:-demo-output/shapes}
rm -rf "$OUT"
NET="--model_name=mobilenet_v1_025 --train_image_size=64"
RATES="--learning_rate_decay_type=fixed --optimizer=rmsprop --opt_epsilon=0.1"

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() { printf '\n$ %s\n' "$*"; "$@"; }

say "1. Two data sets of drawn shapes as TFRecords"
run python download_and_convert_data.py --dataset_name=shapes --shapes_task=source --dataset_dir="$OUT/source"
run python download_and_convert_data.py --dataset_name=shapes --shapes_task=target --dataset_dir="$OUT/target"

say "2. A checkpoint to start from: a network trained on the source shapes"
run python train_image_classifier.py --dataset_dir="$OUT/source" --train_dir="$OUT/pretrained" $NET $RATES \
    --learning_rate=0.01 --max_number_of_steps=900 --log_every_n_steps=100

say "3. Fine-tune it on the target shapes: first the new head alone ..."
run python train_image_classifier.py --dataset_dir="$OUT/target" --train_dir="$OUT/head" $NET $RATES \
    --checkpoint_path="$OUT/pretrained" --checkpoint_exclude_scopes=MobilenetV1/Logits \
    --trainable_scopes=MobilenetV1/Logits --learning_rate=0.01 --max_number_of_steps=100 --log_every_n_steps=50

say "   ... then all layers"
run python train_image_classifier.py --dataset_dir="$OUT/target" --train_dir="$OUT/all" $NET $RATES \
    --checkpoint_path="$OUT/head" --learning_rate=0.001 --max_number_of_steps=150 --log_every_n_steps=50

say "4. Evaluate: every validation image once"
run python eval_image_classifier.py --checkpoint_path="$OUT/all"

say "5. Export for TensorFlow Serving, and classify image files with the export"
run python export_saved_model.py --checkpoint_path="$OUT/all" --export_dir="$OUT/export"
run python classify_images.py --saved_model="$OUT/export" "$OUT/target/examples"

say "Done. What there is to look at: tensorboard --logdir $OUT"
