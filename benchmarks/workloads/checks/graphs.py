"""TensorFlow and Keras."""

import os
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

import keras
import numpy as np
import tensorflow as tf

from checks import close, equal, expect, raises

RNG = np.random.default_rng(0)


def arithmetic():
    values = tf.reshape(tf.range(12.0), (3, 4))
    close(tf.reduce_sum(values).numpy(), 66.0)
    close((values @ tf.transpose(values)).numpy(), values.numpy() @ values.numpy().T)
    close(tf.einsum("ij,kj->ik", values, values).numpy(), values.numpy() @ values.numpy().T)
    matrix = tf.transpose(values) @ values + tf.eye(4)
    close((matrix @ tf.linalg.inv(matrix)).numpy(), np.eye(4), 1e-2)
    close(tf.signal.irfft(tf.signal.rfft(values[0])).numpy(), values[0].numpy(), 1e-5)
    equal(tf.strings.upper(["a", "b"]).numpy().tolist(), [b"A", b"B"])
    equal(tf.ragged.constant([[1], [2, 3]]).row_lengths().numpy().tolist(), [1, 2])
    sparse = tf.sparse.from_dense(np.eye(3))
    close(tf.sparse.sparse_dense_matmul(sparse, np.ones((3, 1))).numpy(), np.ones((3, 1)))
    tf.random.set_seed(0)
    expect(abs(float(tf.reduce_mean(tf.random.normal((5000,))))) < 0.1)
    raises(tf.errors.InvalidArgumentError, tf.linalg.matmul, values, values)


def gradients():
    x = tf.Variable([2.0, 3.0])
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            y = tf.reduce_sum(x**3)
        slope = inner.gradient(y, x)
    close(slope.numpy(), [12.0, 27.0])
    close(outer.jacobian(slope, x).numpy(), [[12.0, 0.0], [0.0, 18.0]])


def functions():
    """AutoGraph reads the source of what it turns into a graph; XLA compiles it."""

    def steps(x, n):
        for _ in tf.range(n):
            x = x - 1 if tf.reduce_sum(x) > 10 else x * 2
        return x

    wanted = [3.0, 3.0, 3.0, 3.0]
    close(tf.function(steps)(tf.ones(4), tf.constant(3)).numpy(), wanted)
    compiled = tf.function(steps, jit_compile=True)
    close(compiled(tf.ones(4), tf.constant(3)).numpy(), wanted)
    graph = tf.function(steps).get_concrete_function(tf.ones(4), tf.constant(3)).graph
    expect(any("while" in node.op.lower() for node in graph.as_graph_def().node))


def training():
    keras.utils.set_random_seed(0)
    x = RNG.standard_normal((256, 8, 8, 1)).astype("float32")
    y = (x.mean(axis=(1, 2, 3)) > 0).astype("int64")
    model = keras.Sequential(
        [
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.MaxPooling2D(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.1),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    told = model.fit(x, y, epochs=6, batch_size=32, validation_split=0.25, verbose=0)
    expect(told.history["loss"][-1] < told.history["loss"][0])
    equal(model.predict(x[:3], verbose=0).shape, (3, 2))
    with tempfile.TemporaryDirectory() as folder:
        model.save(f"{folder}/m.keras")
        again = keras.models.load_model(f"{folder}/m.keras")
        close(again.predict(x[:3], verbose=0), model.predict(x[:3], verbose=0), 1e-4)
        model.export(f"{folder}/served", verbose=False)
        served = tf.saved_model.load(f"{folder}/served")
        close(served.serve(x[:3]).numpy(), model.predict(x[:3], verbose=0), 1e-4)
    steps = keras.layers.LSTM(6, return_sequences=True)(np.ones((2, 3, 4), "float32"))
    equal(tuple(steps.shape), (2, 3, 6))
    layer = keras.layers.MultiHeadAttention(2, 8)
    equal(tuple(layer(tf.ones((2, 5, 8)), tf.ones((2, 5, 8))).shape), (2, 5, 8))


def data():
    numbers = tf.data.Dataset.range(10).shuffle(10, seed=1).map(lambda n: n * 2).batch(4)
    equal(sorted(np.concatenate(list(numbers.as_numpy_iterator())).tolist()), [*range(0, 20, 2)])
    with tempfile.TemporaryDirectory() as folder:
        with tf.io.TFRecordWriter(f"{folder}/r") as out:
            feature = tf.train.Feature(int64_list=tf.train.Int64List(value=[7]))
            features = tf.train.Features(feature={"n": feature})
            out.write(tf.train.Example(features=features).SerializeToString())
        parsed = tf.data.TFRecordDataset(f"{folder}/r").map(
            lambda one: tf.io.parse_single_example(one, {"n": tf.io.FixedLenFeature([], tf.int64)})
        )
        equal([int(one["n"]) for one in parsed], [7])
        with tf.summary.create_file_writer(folder).as_default():
            tf.summary.write("loss", 1.0, step=0)
        expect(any("tfevents" in name for name in os.listdir(folder)))
    picture = tf.cast(RNG.integers(0, 255, (8, 9, 3)), tf.uint8)
    equal(tf.io.decode_png(tf.io.encode_png(picture)).shape, (8, 9, 3))
    equal(tf.image.resize(picture, (4, 4)).shape, (4, 4, 3))


def lite():
    """Convert a function for small machines, and run what comes out."""

    class Doubling(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((2,), tf.float32)])
        def double(self, x):
            return x * 2

    module = Doubling()
    made = tf.lite.TFLiteConverter.from_concrete_functions(
        [module.double.get_concrete_function()], module
    ).convert()
    running = tf.lite.Interpreter(model_content=made)
    running.allocate_tensors()
    running.set_tensor(running.get_input_details()[0]["index"], np.float32([1, 2]))
    running.invoke()
    close(running.get_tensor(running.get_output_details()[0]["index"]), [2.0, 4.0])


def one_by_one():
    """Use the old interface, which frozen graphs are still run with."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        x = tf.compat.v1.placeholder(tf.float32, (None,))
        close(session.run(x * 2, {x: [1.0, 2.0]}), [2.0, 4.0])


CHECKS = (arithmetic, gradients, functions, training, data, lite, one_by_one)
