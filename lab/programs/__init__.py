"""What runs in containers: small asyncio programs, one class per real one, or real processes."""
