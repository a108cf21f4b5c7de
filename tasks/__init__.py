"""What a flow does to the world: one room per outside system, and nothing else talks to that system."""
