"""Custom resources: what CustomResourceDefinitions say, and how objects of the kinds that they define are pruned, completed, judged and shown."""
