"""Services and environments: what the hub is there for."""
