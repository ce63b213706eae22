"""Serialization of the training function, its program and its values for trials."""
