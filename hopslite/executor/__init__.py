"""Code that runs inside an executor: slots, trials' processes, and the functions that training code calls."""
