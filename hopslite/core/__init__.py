"""Values that cross boundaries, settings, plug-ins and formatting."""
