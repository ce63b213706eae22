"""Run directories on any file system: journal, leases and annotations; the cache of inputs."""
