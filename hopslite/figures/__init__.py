"""Figures of `hopslite.plots`: a module for each kind. Only this room imports matplotlib and scikit-learn."""
