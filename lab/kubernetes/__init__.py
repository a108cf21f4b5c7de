"""The API server: kinds, store, registry (what a write means) and HTTP (how clients ask for it)."""
