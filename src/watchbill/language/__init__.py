"""The pure compiler: documents, values, findings. No clock, no network, no database, no Django."""
