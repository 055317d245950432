"""How the tables came to be, a file a step; each names the one before it."""
