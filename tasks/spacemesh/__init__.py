"""What flows do to a Spacemesh network.

- `node`, `messages`, `poet`: its software, over gRPC and REST.
- `reach`: the way to nodes and PoETs, directly or through the API server.
- `checks`: look before anything is spent, and make the plan.
- `bucket`: the network's place in a data bucket.
- `site`: what the stages of one deployment share.
- `miners`, `poets`, `publishing`, `completing`: the stages, each a task.
- `recording`: writes to the network's record.
- `trouble`: what is wrong with pods, for people.
- `listing`: the networks of a cluster.
"""
