"""What must be refused on a real engine, and what must not: both as data."""
