"""How the figures of `hopslite.plots` are drawn: one file a kind. matplotlib and scikit-learn live here alone."""
