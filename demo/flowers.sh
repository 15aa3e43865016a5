#!/usr/bin/env bash
# The README's workflow on real photos (five kinds of flowers) with a real ImageNet checkpoint.
#
#     demo/flowers.sh FOLDER [OUT]
#
# FOLDER has flowers/CLASS/*.jpg and mobilenet_v1_0.25_224/mobilenet_v1_0.25_224.ckpt.*
set -euo pipefail
DATA=$(realpath "${1:?folder with flowers/ and mobilenet_v1_0.25_224/}")
cd "$(dirname "$0")/.."
OUT=${2:-demo-output/flowers}
rm -rf "$OUT"
NET="--model_name=mobilenet_v1_025"
CHECKPOINT="$DATA/mobilenet_v1_0.25_224/mobilenet_v1_0.25_224.ckpt"

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() { printf '\n$ %s\n' "$*"; "$@"; }
began=$SECONDS

say "1. Photos to TFRecords"
run python download_and_convert_data.py --dataset_name=flowers --source_dir="$DATA/flowers" --dataset_dir="$OUT/data"

say "2. The new classifier on the pretrained network, then all layers"
run python train_image_classifier.py --dataset_dir="$OUT/data" --train_dir="$OUT/head" $NET \
    --checkpoint_path="$CHECKPOINT" \
    --checkpoint_exclude_scopes=MobilenetV1/Logits --trainable_scopes=MobilenetV1/Logits \
    --learning_rate=0.01 --learning_rate_decay_type=fixed --max_number_of_steps=300 --log_every_n_steps=50
run python train_image_classifier.py --dataset_dir="$OUT/data" --train_dir="$OUT/all" $NET \
    --checkpoint_path="$OUT/head" \
    --learning_rate=0.01 --learning_rate_decay_type=polynomial --num_epochs_per_decay=14 --max_number_of_steps=500 \
    --log_every_n_steps=50

say "3. Evaluate, export, classify"
run python eval_image_classifier.py --checkpoint_path="$OUT/all"
run python export_saved_model.py --checkpoint_path="$OUT/all" --export_dir="$OUT/served"
run python classify_images.py --saved_model="$OUT/served" "$DATA"/flowers/roses/1009*.jpg "$DATA"/flowers/tulips/1016*.jpg
say "Took $((SECONDS - began)) s"

say "The ImageNet checkpoint itself, exported whole, names ImageNet's classes"
run python export_saved_model.py --checkpoint_path="$CHECKPOINT" $NET --export_dir="$OUT/imagenet"
run python classify_images.py --saved_model="$OUT/imagenet" --top_k=3 "$DATA"/flowers/daisy/100*.jpg
