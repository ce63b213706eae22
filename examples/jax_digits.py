"""Two processes that train one network in JAX: the batch is sharded over the devices of both.

    python examples/jax_digits.py

Needs `pip install hopslite jax scikit-learn` and Java 17 or 21; no data is downloaded.
"""

import os

from hopslite import experiment


def train(epochs=12, batch_size=64, learning_rate=0.3):
    import jax
    import jax.numpy as jnp
    import numpy as np
    from jax.sharding import NamedSharding
    from jax.sharding import PartitionSpec as P
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    jax.distributed.initialize()  # hopslite has set the variables that it reads; call it before other functions of JAX
    print(f"process {jax.process_index()} of {jax.process_count()}, {jax.device_count()} devices in all")
    mesh = jax.make_mesh((jax.device_count(),), ("batch",))
    sharded, replicated = NamedSharding(mesh, P("batch")), NamedSharding(mesh, P())

    images, labels = load_digits(return_X_y=True)
    split = train_test_split(images.astype("float32") / 16, labels, test_size=0.25, random_state=0)
    x_train, x_test, y_train, y_test = split

    def share(values):
        """An array over all processes, of which each process provides its part of the batch."""
        part = values[jax.process_index() :: jax.process_count()]
        return jax.make_array_from_process_local_data(sharded, part)

    def logits(weights, x):
        hidden = jax.nn.relu(x @ weights["hidden"] + weights["hidden_bias"])
        return hidden @ weights["output"] + weights["output_bias"]

    def loss_of(weights, x, y):
        return -jnp.take_along_axis(jax.nn.log_softmax(logits(weights, x)), y[:, None], axis=1).mean()

    @jax.jit
    def step(weights, x, y):  # XLA sums the gradients of all processes
        loss, gradients = jax.value_and_grad(loss_of)(weights, x, y)
        return jax.tree.map(lambda w, g: w - learning_rate * g, weights, gradients), loss

    first, second = jax.random.split(jax.random.key(0))
    start = {
        "hidden": 0.1 * jax.random.normal(first, (64, 64)),
        "hidden_bias": jnp.zeros(64),
        "output": 0.1 * jax.random.normal(second, (64, 10)),
        "output_bias": jnp.zeros(10),
    }
    weights = jax.device_put(jax.tree.map(np.asarray, start), replicated)
    order = np.random.default_rng(0)  # the same on every process, so that all use the same batches
    for epoch in range(epochs):
        shuffled = order.permutation(len(x_train))
        for begin in range(0, len(shuffled) - batch_size + 1, batch_size):
            batch = shuffled[begin : begin + batch_size]
            weights, loss = step(weights, share(x_train[batch]), share(y_train[batch]))
        print(f"epoch {epoch}: loss {float(loss):.3f}")

    here = jax.tree.map(lambda w: w.addressable_data(0), weights)
    accuracy = float((logits(here, x_test).argmax(axis=1) == y_test).mean())
    jax.distributed.shutdown()
    return {"accuracy": accuracy, "loss": float(loss)}


if __name__ == "__main__":
    # Two slots, even on a machine with fewer cores. spark-submit overrides this line.
    os.environ.setdefault("PYSPARK_SUBMIT_ARGS", "--master local[2] pyspark-shell")
    logdir, outputs = experiment.distributed(
        train, strategy="jax", name="digits jax", metric_key="accuracy", num_workers=2
    )
    print(f"accuracy {outputs['accuracy']:.3f}; all of it is in {logdir}")
