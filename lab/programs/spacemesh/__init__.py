"""The parts of a small Spacemesh node: its configuration, identity, peers, layers and API."""
