"""The nodes: pods' lives, their containers, volumes, probes, logs and network."""
