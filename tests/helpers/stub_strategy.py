"""A distributed framework that trains nothing: members open sockets to each other and wait for each other at each step.

It does with the network what TensorFlow's MultiWorkerMirroredStrategy does, in a process that imports no framework, for
tests of what becomes of members. Training itself is tested with the real ones.
"""

from __future__ import annotations

from collections.abc import Callable

Step = Callable[[], None]


def stub_strategy() -> Callable[[], Step]:
    """The function to call in each member; it is nested so that it travels with the training function.

    It returns when all members have called it. The step that it returns then waits until all have called that.
    """

    def make() -> Step:
        import json
        import os
        import socket
        import threading
        import time

        config = json.loads(os.environ["TF_CONFIG"])
        addresses = [*config["cluster"]["chief"], *config["cluster"].get("worker", ())]
        own = config["cluster"][config["task"]["type"]][config["task"]["index"]]
        rank = addresses.index(own)
        server = socket.create_server(("", int(own.rpartition(":")[2])))
        peers = []
        for address in addresses[:rank]:
            host, _, port = address.rpartition(":")
            while True:
                try:
                    peers.append(socket.create_connection((host, int(port))))
                    break
                except ConnectionRefusedError:
                    time.sleep(0.01)
            peers[-1].sendall(b"m")
        while len(peers) < len(addresses) - 1:
            connection, _ = server.accept()
            if connection.recv(1):  # otherwise somebody only looked whether anybody listens
                peers.append(connection)

        def serve() -> None:
            while True:
                server.accept()

        threading.Thread(target=serve, daemon=True).start()  # as long as the process is there

        def step() -> None:
            for peer in peers:
                peer.sendall(b"s")
            if b"" in [peer.recv(1) for peer in peers]:
                raise ConnectionResetError("the connection to another member is gone")

        return step

    return make
