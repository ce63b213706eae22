"""Data and model of main.py."""
