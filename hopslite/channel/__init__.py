"""Authenticated connections between the driver and its slots, and between a slot and its trial's process."""
