"""Reading recorded runs: lookup, history, best trial."""
