"""A coordinator, two workers and a parameter server: TensorFlow's ParameterServerStrategy with a custom training loop.

    python examples/parameter_server_digits.py

Needs `pip install 'hopslite[tensorflow]' scikit-learn` and Java 17 or 21; no data is downloaded. Only the chief runs
`train`. The workers and the parameter server run TensorFlow's server, which hopslite starts and stops.
"""

import os

from hopslite import experiment, tensorboard


def train(steps_per_epoch=40, epochs=8, learning_rate=0.1):
    import tensorflow as tf
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images.astype("float32") / 16, labels, test_size=0.25, random_state=0)
    x_train, x_test, y_train, y_test = split

    strategy = tf.distribute.ParameterServerStrategy(tf.distribute.cluster_resolver.TFConfigClusterResolver())
    coordinator = tf.distribute.coordinator.ClusterCoordinator(strategy)
    with strategy.scope():  # these variables are on the parameter server
        hidden = tf.Variable(tf.random.stateless_normal((64, 64), seed=(0, 1)) * 0.1)
        hidden_bias = tf.Variable(tf.zeros(64))
        output = tf.Variable(tf.random.stateless_normal((64, 10), seed=(0, 2)) * 0.1)
        output_bias = tf.Variable(tf.zeros(10))
    variables = [hidden, hidden_bias, output, output_bias]

    def logits(x):
        return tf.nn.relu(x @ hidden + hidden_bias) @ output + output_bias

    def batches():
        dataset = tf.data.Dataset.from_tensor_slices((x_train, y_train))
        return dataset.shuffle(2000).repeat().batch(64)  # each worker creates its own dataset, in another order

    @tf.function
    def step(iterator):
        x, y = next(iterator)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits(x)))
        for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
            variable.assign_sub(learning_rate * gradient)
        return loss

    iterator = iter(coordinator.create_per_worker_dataset(batches))
    with tf.summary.create_file_writer(tensorboard.logdir()).as_default():
        for epoch in range(epochs):
            losses = [coordinator.schedule(step, (iterator,)) for _ in range(steps_per_epoch)]
            coordinator.join()  # asynchronous: the next free worker takes the next step
            loss = float(sum(loss.fetch() for loss in losses)) / steps_per_epoch
            tf.summary.scalar("loss", loss, step=epoch)
            print(f"epoch {epoch}: loss {loss:.3f}")
    accuracy = float(tf.reduce_mean(tf.cast(tf.argmax(logits(x_test), axis=1) == y_test, tf.float32)))
    return {"accuracy": accuracy, "loss": loss}


if __name__ == "__main__":
    # Four slots, even on a machine with fewer cores. spark-submit overrides this line.
    os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--master local[4] pyspark-shell")
    logdir, outputs = experiment.parameter_server(
        train, name="digits parameter server", metric_key="accuracy", num_workers=2, num_ps=1
    )
    print(f"accuracy {outputs['accuracy']:.3f}; all of it is in {logdir}")
