"""The outside world in one process: a Kubernetes API with its controllers and nodes, and the programs that run in pods.

It imports nothing of the other rooms: it is the independent other side, judged by recordings and by unmodified clients.
"""
