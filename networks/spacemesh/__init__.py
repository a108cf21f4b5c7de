"""Spacemesh networks: presets, node configuration, addresses, every object of a network, and the report about it."""
