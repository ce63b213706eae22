"""The driver's side of a run: from the arguments of a verb to the loop that asks, submits, waits and records."""
