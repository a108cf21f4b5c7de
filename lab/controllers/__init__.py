"""The controller manager and the scheduler: loops that make what is match what is wanted."""
