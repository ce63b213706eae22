"""Commands as training functions, for `hopslite run`."""
