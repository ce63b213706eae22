"""From a program, a job file or a notebook to the call of a verb, for `hopslite run`."""
