"""What runs inside an executor: the slot, the trial's process, and what user code finds there."""
