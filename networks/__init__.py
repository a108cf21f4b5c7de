"""What a network is: plain data and pure functions. No I/O, no Prefect, no clock of its own."""
