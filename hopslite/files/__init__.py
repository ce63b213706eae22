"""Implementation of `hopslite.hdfs` on any file system."""
