"""Warm-up requests: TensorFlow Serving runs them before a version answers, so that no caller waits for it.

https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

import os
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

FILE_NAME = os.path.join("assets.extra", "tf_serving_warmup_requests")


def write_requests(saved_model: str, requests: Sequence[tuple[str, Mapping[str, np.ndarray]]]) -> None:
    """Writes (signature name, inputs by name) requests into a SavedModel's folder."""
    from tensorflow_serving.apis import model_pb2, predict_pb2, prediction_log_pb2

    path = os.path.join(saved_model, FILE_NAME)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with tf.io.TFRecordWriter(path) as file:
        for signature, inputs in requests:
            request = predict_pb2.PredictRequest(
                model_spec=model_pb2.ModelSpec(name="classifier", signature_name=signature),
                inputs={name: tf.make_tensor_proto(value) for name, value in inputs.items()},
            )
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            file.write(log.SerializeToString())
