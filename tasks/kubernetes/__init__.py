"""Everything that flows do to a Kubernetes cluster. Nothing else talks to one.

- `connection`: one cluster, reached by the official client; errors and retries.
- `kinds`: where each kind of object lives in the API.
- `ensure`: make the cluster hold given objects.
- `watching`: a list of objects, kept up to date by one watch.
- `forwarding`: a port of a pod, through the API server.
- `rollout`: wait until Deployments have rolled out, or say why they never will.
- `deleting`: make objects go away.
"""
