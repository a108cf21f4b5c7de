"""The systems outside the cluster: Cloudflare, Slack, GitHub, GKE, Compute. Each is a service of its own on a port of its own."""
