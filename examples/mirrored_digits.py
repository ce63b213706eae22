"""Two processes that train one Keras network synchronously: TensorFlow's MultiWorkerMirroredStrategy.

    python examples/mirrored_digits.py

Needs `pip install 'hopslite[tensorflow]' tf_keras scikit-learn` and Java 17 or 21; no data is downloaded. The model is
created with tf_keras because Keras 3 cannot `fit` under this strategy.
"""

import os

from hopslite import experiment, tensorboard


def train():
    import tensorflow as tf
    import tf_keras
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    strategy = tf.distribute.MultiWorkerMirroredStrategy()  # reads TF_CONFIG and connects to the other members
    images, labels = load_digits(return_X_y=True)
    x_train, x_test, y_train, y_test = train_test_split(images / 16.0, labels, test_size=0.25, random_state=0)
    # TensorFlow gives each member its share of every batch: with two members, 32 of these 64.
    batches = tf.data.Dataset.from_tensor_slices((x_train, y_train)).shuffle(2000, seed=0).batch(64)
    with strategy.scope():
        model = tf_keras.Sequential(
            [
                tf_keras.layers.Dense(64, activation="relu", input_shape=(64,)),
                tf_keras.layers.Dropout(0.2),
                tf_keras.layers.Dense(10, activation="softmax"),
            ]
        )
        model.compile(tf_keras.optimizers.Adam(0.005), "sparse_categorical_crossentropy", metrics=["accuracy"])
    # Every member runs the callbacks, but only the chief's logdir() is the trial's directory.
    model.fit(batches, epochs=8, verbose=2, callbacks=[tf_keras.callbacks.TensorBoard(tensorboard.logdir())])
    loss, accuracy = model.evaluate(tf.data.Dataset.from_tensor_slices((x_test, y_test)).batch(64), verbose=0)
    return {"accuracy": accuracy, "loss": loss}


if __name__ == "__main__":
    # Two slots, even on a machine with fewer cores. spark-submit overrides this line.
    os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--master local[2] pyspark-shell")
    logdir, outputs = experiment.mirrored(train, name="digits mirrored", metric_key="accuracy", num_workers=2)
    print(f"accuracy {outputs['accuracy']:.3f}; all of it is in {logdir}")
