"""ingress-nginx: ways into the cluster by host and path."""
