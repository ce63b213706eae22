"""File systems by URL, and files on their way between them and this machine."""
